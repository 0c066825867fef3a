"""Inventory files or a listing → rows → records → whatever takes them."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from .. import streams
from ..errors import BadInput
from ..inventory.reader import InventoryReader
from ..inventory.row_formats import InventoryRow, last_key
from ..records import Record
from ..signals import CancellationToken
from .record_maker import BATCH, Missing, RecordMaker

if TYPE_CHECKING:
    import asyncio

    from ..archive.lookup import MetadataLookup
    from .concurrent import Pipeline, Rows

logger = logging.getLogger(__name__)


class Remaining(NamedTuple):
    """What remains of files from the first build on whose metadata is not cached."""

    made: list[Record | Missing]
    rows: Iterator[list[InventoryRow]]  #: after those of ``made``


class InventoryProcessor:
    """Inventory files or a listing → rows → records → a sink, and the counts of all rows.

    All methods but :meth:`process_cached` fetch what is not cached. While requests to the archive
    are in flight, reading the files and writing to the sink run in threads. Errors and skipped
    builds are logged.
    """

    def __init__(
        self, reader: InventoryReader, maker: RecordMaker, cancellation: CancellationToken
    ) -> None:
        self.position = ""  #: the key up to which a listing is done
        self._last_key = ""  # of the listing's block that was read last
        self._reader = reader
        self._maker = maker
        self._cancellation = cancellation
        #: What became of the rows so far. The same object during the whole run.
        self.counts = self._maker.counts

    def process_cached(
        self, files: Iterable[tuple[str, str]], sink: Callable[[Sequence[Record]], None]
    ) -> Remaining | None:
        """Pass the records of ``files`` to ``sink`` as long as all metadata is cached.

        There is no event loop then, as importing asyncio takes longer than all else that has to be
        imported. Returns what remains, for :meth:`process_remaining`. Raises as :meth:`process`.
        """
        blocks = self._rows(files, streams.open_file)
        for rows in blocks:
            for start in range(0, len(rows), BATCH):
                made = self._maker.make(rows[start : start + BATCH])
                cached, rest = _up_to_missing(made)
                if cached:
                    sink(cached)
                if rest:
                    return Remaining(rest, chain([rows[start + BATCH :]], blocks))
                self._cancellation.raise_if_cancelled()
        return None

    async def process(
        self,
        files: Iterable[tuple[str, str]],
        lookup: MetadataLookup,
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
        remaining = Remaining([], self._rows(files, opener))
        await self.process_remaining(remaining, lookup, sink, on_progress)

    async def process_remaining(
        self,
        remaining: Remaining,
        lookup: MetadataLookup,
        sink: Callable[[Sequence[Record]], None],
        on_progress: Callable[[], None] = lambda: None,
    ) -> None:
        """Pass the records of what :meth:`process_cached` left to ``sink``."""
        from .concurrent import Pipeline

        pipeline = Pipeline(self._maker, lookup, remaining.made)
        read = pipeline.blocking(lambda: next(remaining.rows, None))
        await self._process(pipeline, read, sink, on_progress)

    async def process_listing(
        self,
        blocks: AsyncGenerator[bytes, None],
        lookup: MetadataLookup,
        sink: Callable[[Sequence[Record]], None],
        on_progress: Callable[[], None] = lambda: None,
    ) -> None:
        """Pass the records of a listing's blocks of rows to ``sink``; raises as :meth:`process`.

        The rows come in the order of their keys: all up to :attr:`position` are done.
        """
        import asyncio

        from .concurrent import Pipeline

        pipeline = Pipeline(self._maker, lookup)
        reading: asyncio.Future[Rows] | None = None

        def read() -> asyncio.Future[Rows]:
            nonlocal reading
            if pipeline.idle:
                self.position = self._last_key
            reading = asyncio.ensure_future(self._next_rows(blocks))
            return reading

        def pass_on(records: Sequence[Record]) -> None:
            sink(records)
            url = records[-1]["data"]["download"]["url"]
            self.position = url.removeprefix(self._maker.archive_url)

        try:
            await self._process(pipeline, read, pass_on, on_progress)
        finally:
            if reading:
                reading.cancel()
                await asyncio.wait([reading])

    async def _process(
        self,
        pipeline: Pipeline,
        read: Callable[[], asyncio.Future[Rows]],
        sink: Callable[[Sequence[Record]], None],
        on_progress: Callable[[], None],
    ) -> None:
        import asyncio

        async for records in pipeline.records(read, self._cancellation):
            if records and pipeline.idle:
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


def _up_to_missing(
    made: Sequence[Record | Missing],
) -> tuple[list[Record], list[Record | Missing]]:
    """The records before the first one whose metadata has to be fetched, and all from that on."""
    cached: list[Record] = []
    for one in made:
        if isinstance(one, Missing):
            break
        cached.append(one)
    return cached, list(made[len(cached) :])
