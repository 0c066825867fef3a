"""Rows of files or of a listing → records, in the same order → whatever takes them.

Metadata that is cached is used at once. A build whose metadata has to be fetched is put into a
window of bounded length, and so are the records after it until the response has come: the output
is the same, byte for byte, in whichever order the archive responds.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

from .. import streams
from ..errors import BadInput, Interrupted
from ..inventory.reader import InventoryReader
from ..inventory.row_formats import InventoryRow, last_key
from ..records import Record
from ..signals import CancellationToken
from .record_maker import NotMade, Pending, RecordMaker

logger = logging.getLogger(__name__)

#: Rows whose records are made and given out together.
BATCH = 200
#: Maximum number of rows in the window. Some 90 of them share one metadata file.
WINDOW = 10_000


class InventoryProcessor:
    """Passes the records of inventory files or a listing to a sink, and counts all rows.

    While requests to the archive are in flight, reading the files and writing to the sink run in
    threads. Otherwise they delay nothing in the event loop, and are called directly: handing over
    small blocks would cost more than the work. Errors and skipped builds are logged.
    """

    def __init__(
        self, reader: InventoryReader, maker: RecordMaker, cancellation: CancellationToken
    ) -> None:
        self.position = ""  #: the key up to which all rows are done, if they come in order
        #: What became of the rows so far. The same object during the whole run.
        self.counts = maker.counts
        self._reader = reader
        self._maker = maker
        self._cancellation = cancellation
        self._window: deque[Record | Pending] = deque()
        self._reading: asyncio.Future[Any] | None = None

    async def process(
        self,
        blocks: AsyncGenerator[list[InventoryRow], None],
        sink: Callable[[Sequence[Record]], None],
        on_progress: Callable[[], None] = lambda: None,
    ) -> None:
        """Passes the records of rows (of files or a listing) to ``sink``, in order.

        On a signal, the requests in flight get a few seconds to complete, the records that are
        ready then are passed on, and :class:`Interrupted` is raised.
        """
        async with contextlib.aclosing(self._records(blocks)) as batches:
            async for records in batches:
                if records and self._window:
                    await asyncio.to_thread(sink, records)
                elif records:
                    sink(records)
                if records:
                    url = records[-1]["data"]["download"]["url"]
                    self.position = url.removeprefix(self._maker.archive_url)
                on_progress()

    # ---- rows ----

    async def rows_of_files(
        self,
        files: Iterable[tuple[str, str]],
        *,
        opener: Callable[[str], int] = streams.open_file,
    ) -> AsyncGenerator[list[InventoryRow], None]:
        """Yields the rows of ``files`` (path, name for messages).

        A file that cannot be read (to its end) is reported and counted; the next one follows.
        ``opener`` is that of :func:`streams.chunks`.
        """
        blocks = self._blocks(files, opener)
        while True:
            read = asyncio.to_thread(next, blocks, None) if self._window else None
            rows = await read if read else next(blocks, None)
            if rows is None:
                return
            yield rows
            del rows  # they must not stay until the next ones are read

    def _blocks(
        self, files: Iterable[tuple[str, str]], opener: Callable[[str], int]
    ) -> Iterator[list[InventoryRow]]:
        for path, name in files:
            blocks = streams.blocks(streams.chunks(path, self._cancellation, opener=opener))
            try:
                yield from self._read(blocks, name)
            except BadInput as error:
                self.counts.unreadable_files += 1
                logger.error("%s", error)

    async def rows_of_listing(
        self, blocks: AsyncGenerator[bytes, None]
    ) -> AsyncGenerator[list[InventoryRow], None]:
        """Yields the rows of a listing, in the order of their keys: they move :attr:`position`."""
        async for block in blocks:
            yield list(chain.from_iterable(self._read([block], "the listing")))
            if not self._window:
                self.position = last_key(block)

    def _read(self, blocks: Iterable[bytes], name: str) -> Iterator[list[InventoryRow]]:
        for rows in self._reader.entries(blocks, name):
            self.counts.rows = self._reader.rows
            self.counts.bad_rows = self._reader.bad_rows
            yield rows

    # ---- records ----

    async def _records(
        self, blocks: AsyncGenerator[list[InventoryRow], None]
    ) -> AsyncGenerator[list[Record], None]:
        try:
            stopped: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            with self._cancellation.calling(lambda: stopped.set_result(None)):
                async for ready in self._run(blocks, stopped):
                    yield ready
                    self._cancellation.raise_if_cancelled()
        except Interrupted:
            # The other half is for whatever stores the records.
            await self._complete_requests((self._cancellation.remaining() or 0) / 2)
            yield self._ready()
            raise
        finally:
            if self._reading:
                self._reading.cancel()
                await asyncio.wait([self._reading])

    async def _run(
        self, blocks: AsyncGenerator[list[InventoryRow], None], stopped: asyncio.Future[None]
    ) -> AsyncIterator[list[Record]]:
        while True:
            reading = self._reading = asyncio.ensure_future(anext(blocks, None))
            while not reading.done():
                await self._wait(stopped, reading)
                if not reading.done():
                    yield self._ready()
            rows = reading.result()
            if rows is None:
                break
            for start in range(0, len(rows), BATCH):
                yield self._take(rows[start : start + BATCH])
                if self._window:  # its requests need not wait until all rows are taken
                    await asyncio.sleep(0)
                while len(self._window) > WINDOW:
                    await self._wait(stopped)
                    yield self._ready()
        while self._window:
            await self._wait(stopped)
            yield self._ready()

    async def _wait(
        self, stopped: asyncio.Future[None], reading: asyncio.Future[Any] | None = None
    ) -> None:
        """Waits until the first of the window can be made, rows were read, or a signal came."""
        first = self._window[0] if self._window else None
        fetch = first.fetch if isinstance(first, Pending) else None
        awaited = {future for future in (stopped, reading, fetch) if future is not None}
        await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)

    def _take(self, rows: Sequence[InventoryRow]) -> list[Record]:
        ready = self._ready()
        for made in map(self._maker.make, rows):
            if isinstance(made, NotMade):
                continue
            if self._window or isinstance(made, Pending):
                self._window.append(made)
            else:
                ready.append(made)
        return ready

    def _ready(self) -> list[Record]:
        """Removes the records from the front of the window that wait for no request."""
        ready = []
        while self._window:
            first = self._window[0]
            if isinstance(first, Pending) and not first.fetch.done():
                break
            self._window.popleft()
            made = self._maker.finish(first) if isinstance(first, Pending) else first
            if not isinstance(made, NotMade):
                ready.append(made)
        return ready

    async def _complete_requests(self, seconds: float) -> None:
        fetches = [pending.fetch for pending in self._window if isinstance(pending, Pending)]
        if fetches:
            await asyncio.wait(fetches, timeout=seconds)
