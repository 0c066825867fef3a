"""Puts the parts together as the settings say: clients, lookup, and inventory files → records.

The packages take what they need and know no settings. Commands and Lambda handlers build them
here, so that there is one way to build each.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime

from . import streams
from .archive.cache import LookupCache
from .archive.client import Archive
from .archive.lookup import MetadataLookup
from .builds.recognise import candidate_pattern
from .errors import BadInput
from .inventory.formats import InventoryRow, Schema
from .inventory.reader import InventoryReader
from .kinto import Client
from .pipeline import Pipeline, PipelineCounts
from .records import Record
from .settings import Settings
from .signals import CancellationToken

logger = logging.getLogger(__name__)


def kinto_client(settings: Settings, cancellation: CancellationToken | None = None) -> Client:
    """The client of the collection that the settings name. Raises :class:`Fatal`.

    A stop of ``cancellation`` ends its requests and pauses.
    """
    return Client(
        settings.server_url,
        settings.auth,
        settings.bucket,
        settings.collection,
        retries=settings.nb_retry_request,
        timeout=settings.timeout_seconds,
        batch_size=settings.batch_max_requests,
        cancellation=cancellation,
    )


def archive_client(settings: Settings) -> Archive:
    """The HTTP client of the archive, not connected yet."""
    return Archive(
        settings.archive_url,
        parallel=settings.nb_parallel_requests,
        retries=settings.nb_retry_request,
        timeout=settings.timeout_seconds,
    )


@contextlib.asynccontextmanager
async def open_lookup(
    settings: Settings, *, keep_absent: bool = True
) -> AsyncIterator[MetadataLookup]:
    """The metadata lookup of one run, with its HTTP session and its cache file."""
    with contextlib.closing(LookupCache(settings.cache_folder, settings.archive_url)) as cache:
        async with archive_client(settings) as archive:
            yield MetadataLookup(
                archive,
                cache,
                keep_absent=keep_absent,
                searches=settings.nb_parallel_requests,
            )


class InventoryProcessor:
    """Inventory files → rows → records → a sink, and the counts of what became of each row.

    While requests to the archive are in flight, reading the files and writing to the sink run in
    threads. Errors and skipped builds are logged.
    """

    def __init__(
        self,
        settings: Settings,
        lookup: MetadataLookup,
        cancellation: CancellationToken,
        *,
        schema: Schema | None = None,
    ) -> None:
        self._cancellation = cancellation
        self._reader = InventoryReader(candidate_pattern(), schema, logger.error)
        self._pipeline = Pipeline(
            lookup,
            archive_url=settings.archive_url,
            products=settings.products,
            oldest=settings.oldest(datetime.now(UTC)),
            on_error=logger.error,
            on_skip=logger.info,
        )

    @property
    def counts(self) -> PipelineCounts:
        """What became of the rows so far. The same object during the whole run."""
        return self._pipeline.counts

    async def process(
        self,
        files: Iterable[tuple[str, str]],
        sink: Callable[[Sequence[Record]], None],
        on_progress: Callable[[], None] = lambda: None,
    ) -> None:
        """Pass the records of ``files`` (path, name for messages) to ``sink``, in order.

        A file that cannot be read (to its end) is reported and counted; the next one follows.
        Raises :class:`Interrupted` on a signal, after what was ready was passed on.
        """
        batches = self._rows(files)
        async for records in self._pipeline.records(
            lambda: next(batches, None), self._cancellation
        ):
            if records and self._pipeline.idle:
                sink(records)
            elif records:
                await asyncio.to_thread(sink, records)
            on_progress()

    def _rows(self, files: Iterable[tuple[str, str]]) -> Iterator[list[InventoryRow]]:
        for path, name in files:
            blocks = streams.blocks(streams.chunks(path, self._cancellation))
            try:
                for rows in self._reader.entries(blocks, name):
                    self.counts.rows = self._reader.rows
                    self.counts.bad_rows = self._reader.bad_rows
                    yield rows
            except BadInput as error:
                self.counts.unreadable_files += 1
                logger.error("%s", error)
