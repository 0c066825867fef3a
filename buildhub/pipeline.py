"""Inventory rows → records, in the same order.

Metadata that is cached is used at once. A build whose metadata has to be fetched is put into a
window of bounded length, and so are the records after it until the answer has come: the output
is the same, byte for byte, in whichever order the archive answers.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from .archive.formats import Metadata
from .archive.locations import location_of
from .archive.lookup import MetadataLookup, NotCached
from .builds.products import PRODUCTS
from .builds.recognise import Build, recognise
from .errors import Interrupted, Unreachable
from .inventory.formats import InventoryRow
from .records import Record, invalid_field, make_record
from .signals import CancellationToken

#: The rows of one block; None at the end.
Rows = list[InventoryRow] | None

#: Maximum number of rows in the window. Some 90 of them share one metadata file.
WINDOW = 10_000

#: Rows whose records are made and given out together. Where they are more, each batch takes new
#: memory of the system instead of that of the batch before, which costs more than their JSON.
BATCH = 200


@dataclass
class PipelineCounts:
    """What became of the rows of a run: each builds a record, is skipped or failed."""

    rows: int = 0
    bad_rows: int = 0
    unreadable_files: int = 0
    builds: int = 0
    records: int = 0
    failed: int = 0  #: builds whose metadata could not be fetched
    skipped: Counter[str] = field(default_factory=Counter)  #: builds, by reason

    @property
    def not_finished(self) -> int:
        """Builds whose metadata was still awaited when the run was stopped."""
        return self.builds - self.records - self.failed - self.skipped.total()

    @property
    def ok(self) -> bool:
        """Whether every row was read and no build failed."""
        return not (self.bad_rows or self.unreadable_files or self.failed)

    def skipped_by_reason(self) -> str:
        """``1,204 no metadata, 3 suspicious field``; empty if nothing was skipped."""
        return ", ".join(f"{number:,} {reason}" for reason, number in self.skipped.most_common())

    def __str__(self) -> str:
        skipped = self.skipped_by_reason()
        parts = [
            f"{self.rows:,} rows",
            f"{self.builds:,} builds",
            f"{self.records:,} records",
            f"skipped: {skipped}" if skipped else "none skipped",
            f"{self.bad_rows:,} bad rows" if self.bad_rows else "",
            f"{self.failed:,} failed" if self.failed else "",
            f"{self.not_finished:,} not finished" if self.not_finished else "",
        ]
        return ", ".join(filter(None, parts))


@dataclass(slots=True)
class _Waiting:
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


class RecordMaker:
    """Makes the record of one row, and counts what becomes of it.

    ``products`` are the folders of the archive to process; files that were last modified before
    ``oldest`` (in UTC) are skipped. ``on_error`` is called with a sentence for each build that
    failed, ``on_skip`` for each that was skipped because of its metadata.
    """

    def __init__(
        self,
        lookup: MetadataLookup,
        *,
        archive_url: str,
        products: Sequence[str],
        oldest: datetime | None,
        on_error: Callable[[str], None],
        on_skip: Callable[[str], None],
    ) -> None:
        self.counts = PipelineCounts()
        self._lookup = lookup
        self._archive_url = archive_url
        self._products = {p.name for p in PRODUCTS.values() if p.folder in products}
        self._oldest = _comparable(oldest) if oldest else ""
        self._on_error = on_error
        self._on_skip = on_skip

    def start(self, row: InventoryRow) -> Record | _Waiting | None:
        """The record of a row, or what it waits for; None if it is not to be published."""
        build = recognise(row.key)
        if build is None:
            return None
        self.counts.builds += 1
        if build.product not in self._products:
            self.counts.skipped["other product"] += 1
            return None
        if row.date < self._oldest:
            self.counts.skipped["too old"] += 1
            return None
        location = location_of(build)
        metadata = self._lookup.cached(location, row.date)
        if isinstance(metadata, NotCached):
            return _Waiting(row, build, self._lookup.fetch(location, row.date))
        return self._finish(row, build, metadata)

    def _finish(self, row: InventoryRow, build: Build, metadata: Metadata | None) -> Record | None:
        if metadata is None:
            self._on_skip(f"{row.key}: no metadata.")
            self.counts.skipped["no metadata"] += 1
            return None
        record = make_record(
            build, metadata, url=self._archive_url + row.key, size=row.size, date=row.date
        )
        if suspicious := invalid_field(record):
            self._on_skip(f"{row.key}: suspicious {suspicious}.")
            self.counts.skipped["suspicious field"] += 1
            return None
        self.counts.records += 1
        return record

    def finish_waiting(self, waiting: _Waiting) -> Record | None:
        """The record of a build whose request is done."""
        try:
            metadata = waiting.fetch.result()
        except Unreachable as error:
            self.counts.failed += 1
            self._on_error(f"{waiting.row.key}: its metadata cannot be fetched: {error}")
            return None
        return self._finish(waiting.row, waiting.build, metadata)


class Pipeline:
    """Recognises builds, looks up their metadata, makes their records."""

    def __init__(self, maker: RecordMaker) -> None:
        self._maker = maker
        self._window: deque[_Waiting | Record] = deque()

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
        for row in rows:
            made = self._maker.start(row)
            if made is None:
                continue
            if self._window or isinstance(made, _Waiting):
                self._window.append(made)
            else:
                ready.append(made)
        return ready

    def _ready(self) -> list[Record]:
        """Remove the records from the front of the window that wait for no request."""
        ready = []
        while self._window:
            first = self._window[0]
            if isinstance(first, _Waiting) and not first.fetch.done():
                break
            self._window.popleft()
            record = self._maker.finish_waiting(first) if isinstance(first, _Waiting) else first
            if record:
                ready.append(record)
        return ready

    async def _complete_requests(self, seconds: float) -> None:
        fetches = [w.fetch for w in self._window if isinstance(w, _Waiting)]
        if fetches:
            await asyncio.wait(fetches, timeout=seconds)


def _comparable(moment: datetime) -> str:
    """A time as inventory rows have it; strftime does not pad years before 1000."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"
