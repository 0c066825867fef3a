"""Inventory rows → records, in the same order.

Metadata that is cached is used at once. A build whose metadata has to be fetched is put into a
window of bounded length, and so are the records after it until the answer has come: the output
is the same, byte for byte, in whichever order the archive answers.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from ..archive.formats import Metadata
from ..archive.lookup import MetadataLookup
from ..builds.recognise import Build
from ..errors import Interrupted, Unreachable
from ..inventory.row_formats import InventoryRow
from ..records import Record
from ..signals import CancellationToken
from .record_maker import BATCH, Missing, RecordMaker

#: The rows of one block; None at the end.
Rows = list[InventoryRow] | None

#: Maximum number of rows in the window. Some 90 of them share one metadata file.
WINDOW = 10_000


class _Waiting(NamedTuple):
    """A build whose metadata is being fetched."""

    row: InventoryRow
    build: Build
    fetch: asyncio.Task[Metadata | None]  #: shared by all builds with the same metadata file


@contextlib.contextmanager
def _signals(cancellation: CancellationToken) -> Iterator[asyncio.Future[None]]:
    """A future that is done once the token is cancelled."""
    loop = asyncio.get_running_loop()
    stopped = loop.create_future()

    def on_signal() -> None:
        loop.remove_reader(cancellation.fileno())  # it stays readable
        stopped.set_result(None)

    loop.add_reader(cancellation.fileno(), on_signal)
    try:
        yield stopped
    finally:
        loop.remove_reader(cancellation.fileno())


def _retrieve_exception(reading: asyncio.Future[Any]) -> None:
    """Avoid asyncio's warning: after a signal nothing awaits the read that it has ended."""
    if not reading.cancelled():
        reading.exception()


class Pipeline:
    """Makes records with ``maker``, and fetches the metadata that is not cached with ``lookup``.

    ``made`` is what the maker has made before.
    """

    def __init__(
        self, maker: RecordMaker, lookup: MetadataLookup, made: Iterable[Record | Missing] = ()
    ) -> None:
        self._maker = maker
        self._lookup = lookup
        self._window: deque[_Waiting | Record] = deque(map(self._waiting, made))

    @property
    def idle(self) -> bool:
        """Whether no request is in flight: a blocking call then delays nothing in the event loop.

        It is made without a thread: handing over small blocks would cost more than the work.
        """
        return not self._window

    def blocking(self, read: Callable[[], Rows]) -> Callable[[], asyncio.Future[Rows]]:
        """For :meth:`records`: a function that blocks, such as one that reads a file.

        It runs in a thread while requests are in flight, and is called at once otherwise.
        """

        def start() -> asyncio.Future[Rows]:
            if not self.idle:
                return asyncio.ensure_future(asyncio.to_thread(read))
            future = asyncio.get_running_loop().create_future()
            future.set_result(read())
            return future

        return start

    async def records(
        self, read: Callable[[], asyncio.Future[Rows]], cancellation: CancellationToken
    ) -> AsyncIterator[list[Record]]:
        """The records of the rows that ``read`` begins to read, until these are None.

        When it is called, all rows before are in the window or done. On a signal, the requests in
        flight get a few seconds to complete, the records that are ready then are given out, and
        :class:`Interrupted` is raised.
        """
        try:
            with _signals(cancellation) as stopped:
                async for ready in self._run(read, stopped):
                    yield ready
                    cancellation.raise_if_cancelled()
        except Interrupted:
            # The other half is for whatever stores the records.
            await self._complete_requests((cancellation.remaining() or 0) / 2)
            yield self._ready()
            raise

    async def _run(
        self, read: Callable[[], asyncio.Future[Rows]], stopped: asyncio.Future[None]
    ) -> AsyncIterator[list[Record]]:
        while True:
            reading = read()
            if not reading.done():  # the event loop would keep it, and its rows, until it runs
                reading.add_done_callback(_retrieve_exception)
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
        """Wait until the first of the window is answered, rows were read, or a signal came."""
        first = self._window[0] if self._window else None
        fetch = first.fetch if isinstance(first, _Waiting) else None
        awaited = {future for future in (stopped, reading, fetch) if future is not None}
        await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)

    def _take(self, rows: Sequence[InventoryRow]) -> list[Record]:
        """Process rows; returns the records that are ready."""
        ready = self._ready()
        for made in map(self._waiting, self._maker.make(rows)):
            if self._window or isinstance(made, _Waiting):
                self._window.append(made)
            else:
                ready.append(made)
        return ready

    def _waiting(self, made: Record | Missing) -> Record | _Waiting:
        """Start the request for what is missing, unless that has been started before."""
        if not isinstance(made, Missing):
            return made
        row, build, location = made
        return _Waiting(row, build, self._lookup.fetch(location, row.date))

    def _ready(self) -> list[Record]:
        """Remove the records from the front of the window that wait for no request."""
        ready = []
        while self._window:
            first = self._window[0]
            if isinstance(first, _Waiting) and not first.fetch.done():
                break
            self._window.popleft()
            record = self._finish(first) if isinstance(first, _Waiting) else first
            if record:
                ready.append(record)
        return ready

    def _finish(self, waiting: _Waiting) -> Record | None:
        """The record of a build whose request is done."""
        try:
            metadata = waiting.fetch.result()
        except Unreachable as error:
            self._maker.fail(waiting.row, error)
            return None
        return self._maker.finish(waiting.row, waiting.build, metadata)

    async def _complete_requests(self, seconds: float) -> None:
        fetches = [w.fetch for w in self._window if isinstance(w, _Waiting)]
        if fetches:
            await asyncio.wait(fetches, timeout=seconds)
