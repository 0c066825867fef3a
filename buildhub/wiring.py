"""Puts the parts together as the settings say: clients, lookup, and inventory files → records.

The packages take what they need and know no settings. Commands and Lambda handlers build them
here, so that there is one way to build each. What only some of them need is imported by the
function that builds it: the client of Kinto takes 0.1 s.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import chain
from typing import TYPE_CHECKING

from . import streams
from .archive.cache import LookupCache
from .archive.client import Archive
from .archive.lookup import MetadataLookup
from .builds.recognise import candidate_pattern, ending_pattern
from .errors import BadInput
from .inventory.formats import InventoryRow, Schema
from .inventory.reader import InventoryReader
from .inventory.rows import last_key
from .pipeline import Pipeline, RecordMaker, Rows
from .records import Record
from .settings import Settings
from .signals import CancellationToken

if TYPE_CHECKING:
    from .inventory.bucket import Bucket
    from .kinto import Client

logger = logging.getLogger(__name__)


def kinto_client(settings: Settings, cancellation: CancellationToken | None = None) -> Client:
    """The client of the collection that the settings name. Raises :class:`Fatal`.

    A stop of ``cancellation`` ends its requests and pauses.
    """
    from .kinto import Client

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


def archive_bucket(settings: Settings) -> Bucket:
    """The client of the archive's own bucket, not connected yet."""
    from .inventory.bucket import Bucket

    return Bucket(
        settings.archive_bucket,
        host=settings.storage_emulator_host,
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
    """Inventory files or a listing → rows → records → a sink, and the counts of all rows.

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
        self.position = ""  #: the key up to which a listing is done
        self._last_key = ""  # of the listing's block that was read last
        self._archive_url = settings.archive_url
        self._cancellation = cancellation
        self._reader = InventoryReader(
            candidate_pattern(), schema, logger.error, ending=ending_pattern()
        )
        maker = RecordMaker(
            lookup,
            archive_url=settings.archive_url,
            products=settings.products,
            oldest=settings.oldest(datetime.now(UTC)),
            on_error=logger.error,
            on_skip=logger.info,
        )
        self._pipeline = Pipeline(maker)
        #: What became of the rows so far. The same object during the whole run.
        self.counts = maker.counts

    async def process(
        self,
        files: Iterable[tuple[str, str]],
        sink: Callable[[Sequence[Record]], None],
        on_progress: Callable[[], None] = lambda: None,
        *,
        opener: Callable[[str], int] = streams.open_file,
    ) -> None:
        """Pass the records of ``files`` (path, name for messages) to ``sink``, in order.

        ``opener`` is that of :func:`streams.chunks`. A file that cannot be read (to its end) is
        reported and counted; the next one follows. Raises :class:`Interrupted` on a signal, after
        what was ready was passed on.
        """
        batches = self._rows(files, opener)
        read = self._pipeline.blocking(lambda: next(batches, None))
        await self._process(read, sink, on_progress)

    async def process_listing(
        self,
        blocks: AsyncGenerator[bytes, None],
        sink: Callable[[Sequence[Record]], None],
        on_progress: Callable[[], None] = lambda: None,
    ) -> None:
        """Pass the records of a listing's blocks of rows to ``sink``; raises as :meth:`process`.

        The rows come in the order of their keys: all up to :attr:`position` are done.
        """
        reading: asyncio.Future[Rows] | None = None

        def read() -> asyncio.Future[Rows]:
            nonlocal reading
            if self._pipeline.idle:
                self.position = self._last_key
            reading = asyncio.ensure_future(self._next_rows(blocks))
            return reading

        def pass_on(records: Sequence[Record]) -> None:
            sink(records)
            url = records[-1]["data"]["download"]["url"]
            self.position = url.removeprefix(self._archive_url)

        try:
            await self._process(read, pass_on, on_progress)
        finally:
            if reading:
                reading.cancel()
                await asyncio.wait([reading])

    async def _process(
        self,
        read: Callable[[], asyncio.Future[Rows]],
        sink: Callable[[Sequence[Record]], None],
        on_progress: Callable[[], None],
    ) -> None:
        async for records in self._pipeline.records(read, self._cancellation):
            if records and self._pipeline.idle:
                sink(records)
            elif records:
                await asyncio.to_thread(sink, records)
            on_progress()

    async def _next_rows(self, blocks: AsyncGenerator[bytes, None]) -> Rows:
        """The rows of the next block that may be builds."""
        block = await anext(blocks, None)
        if block is None:
            return None
        rows = list(chain.from_iterable(self._read([block], "the listing")))
        self._last_key = last_key(block)
        return rows

    def _rows(
        self, files: Iterable[tuple[str, str]], opener: Callable[[str], int]
    ) -> Iterator[list[InventoryRow]]:
        for path, name in files:
            blocks = streams.blocks(streams.chunks(path, self._cancellation, opener=opener))
            try:
                yield from self._read(blocks, name)
            except BadInput as error:
                self.counts.unreadable_files += 1
                logger.error("%s", error)

    def _read(self, blocks: Iterable[bytes], name: str) -> Iterator[list[InventoryRow]]:
        for rows in self._reader.entries(blocks, name):
            self.counts.rows = self._reader.rows
            self.counts.bad_rows = self._reader.bad_rows
            yield rows
