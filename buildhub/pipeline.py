"""Entries of an inventory → records, in the same order.

What is known of the archive already is answered at once, without the event loop. Whatever has
to be fetched waits in a window of bounded length, and what comes behind it waits with it: the
output is the same, byte for byte, in whichever order the archive answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from .archive.formats import Metadata
from .archive.locations import location_of
from .archive.lookup import MetadataLookup, NotCached
from .builds.recognise import Build, recognise
from .errors import Interrupted, Unreachable
from .inventory.formats import InventoryRow
from .records import Record, invalid_field, make_record
from .settings import Settings
from .signals import CancellationToken

logger = logging.getLogger(__name__)

#: Entries that may wait for the archive at the same time. Some 90 share one answer.
WINDOW = 10_000


@dataclass
class PipelineCounts:
    """What became of the builds of a run."""

    builds: int = 0
    records: int = 0
    failed: int = 0
    skipped: Counter[str] = field(default_factory=Counter)

    def skipped_by_reason(self) -> str:
        """``1,204 no metadata, 3 suspicious field``; empty if nothing was skipped."""
        return ", ".join(f"{number:,} {reason}" for reason, number in self.skipped.most_common())


@dataclass(slots=True)
class _Waiting:
    """A build whose metadata is being looked for."""

    row: InventoryRow
    build: Build
    search: asyncio.Task[Metadata | None]  #: shared by all who need the same metadata


@contextlib.contextmanager
def _signals(cancellation: CancellationToken) -> Iterator[asyncio.Future[None]]:
    """A future that is done once a signal has come."""
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


def _nobody_may_ask(reading: asyncio.Future[Any]) -> None:
    """A signal ends both the reading and its reader: nobody is left to look at its error."""
    if not reading.cancelled():
        reading.exception()


class Pipeline:
    """Recognises builds, finds their metadata, makes their records.

    ``products`` are the archive's folders to look at; ``oldest``: files last modified before
    that are skipped. ``on_error`` is called with one sentence for each build that failed,
    ``on_skip`` for each that was skipped for a reason worth knowing.
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
        self._folders = frozenset(products)
        self._oldest = oldest.strftime("%Y-%m-%dT%H:%M:%SZ") if oldest else ""
        self._on_error = on_error
        self._on_skip = on_skip
        self._window: deque[_Waiting | Record] = deque()

    @classmethod
    def from_settings(cls, lookup: MetadataLookup, settings: Settings) -> Pipeline:
        """The pipeline that the settings describe; what it has to say goes to the log."""
        return cls(
            lookup,
            archive_url=settings.archive_url,
            products=settings.products,
            oldest=settings.oldest(datetime.now(UTC)),
            on_error=logger.error,
            on_skip=logger.info,
        )

    async def records(
        self, read: Callable[[], list[InventoryRow] | None], cancellation: CancellationToken
    ) -> AsyncIterator[list[Record]]:
        """The records of the entries that ``read`` gives, until it gives None.

        ``read`` may block: it runs in a thread whenever requests are under way. On a signal what
        is under way is given a few seconds to end, and :class:`Interrupted` is raised.
        """
        try:
            with _signals(cancellation) as stopped:
                async for ready in self._run(read, stopped):
                    yield ready
                    cancellation.raise_if_cancelled()
        except Interrupted:
            await self._finish_what_is_under_way(cancellation.grace)
            yield self._ready()
            raise

    async def _run(
        self, read: Callable[[], list[InventoryRow] | None], stopped: asyncio.Future[None]
    ) -> AsyncIterator[list[Record]]:
        reading: asyncio.Future[list[InventoryRow] | None] | None = None
        while True:
            if not self._window and reading is None:
                rows = read()  # nothing is under way that a blocked event loop would delay
            else:
                if reading is None:
                    reading = asyncio.ensure_future(asyncio.to_thread(read))
                    reading.add_done_callback(_nobody_may_ask)
                await self._wait(stopped, reading)
                if not reading.done():
                    yield self._ready()
                    continue
                rows, reading = reading.result(), None
            if rows is None:
                break
            for start in range(0, len(rows), WINDOW):
                yield self._take(rows[start : start + WINDOW])
                while len(self._window) > WINDOW:
                    await self._wait(stopped)
                    yield self._ready()
        while self._window:
            await self._wait(stopped)
            yield self._ready()

    async def _wait(
        self, stopped: asyncio.Future[None], reading: asyncio.Future[Any] | None = None
    ) -> None:
        """Until the first of the window is answered, input arrived, or a signal came."""
        first = self._window[0] if self._window else None
        search = first.search if isinstance(first, _Waiting) else None
        awaited = {future for future in (stopped, reading, search) if future is not None}
        await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)

    def _take(self, rows: Sequence[InventoryRow]) -> list[Record]:
        """Put entries through; what can be given out now."""
        ready = self._ready()
        for row in rows:
            made = self._start(row)
            if made is None:
                continue
            if self._window or isinstance(made, _Waiting):
                self._window.append(made)
            else:
                ready.append(made)
        return ready

    def _start(self, row: InventoryRow) -> Record | _Waiting | None:
        build = recognise(row.key)
        if build is None:
            return None
        self.counts.builds += 1
        if build.key.split("/", 2)[1] not in self._folders:
            self._skip("other product")
            return None
        if row.date < self._oldest:
            self._skip("too old")
            return None
        location = location_of(build)
        metadata = self._lookup.cached(location, row.date)
        if isinstance(metadata, NotCached):
            return _Waiting(row, build, self._lookup.fetch(location, row.date))
        return self._finish(row, build, metadata)

    def _finish(self, row: InventoryRow, build: Build, metadata: Metadata | None) -> Record | None:
        if metadata is None:
            self._on_skip(f"{row.key}: no metadata.")
            self._skip("no metadata")
            return None
        record = make_record(
            build, metadata, url=self._archive_url + row.key, size=row.size, date=row.date
        )
        if suspicious := invalid_field(record):
            self._on_skip(f"{row.key}: suspicious {suspicious}.")
            self._skip("suspicious field")
            return None
        self.counts.records += 1
        return record

    def _skip(self, reason: str) -> None:
        self.counts.skipped[reason] += 1

    def _ready(self) -> list[Record]:
        """The records at the front of the window that wait for nothing any more."""
        ready = []
        while self._window:
            first = self._window[0]
            if isinstance(first, _Waiting) and not first.search.done():
                break
            self._window.popleft()
            record = self._outcome(first) if isinstance(first, _Waiting) else first
            if record:
                ready.append(record)
        return ready

    def _outcome(self, waiting: _Waiting) -> Record | None:
        try:
            metadata = waiting.search.result()
        except Unreachable as error:
            self.counts.failed += 1
            self._on_error(f"{waiting.row.key}: its metadata can't be fetched: {error}")
            return None
        return self._finish(waiting.row, waiting.build, metadata)

    async def _finish_what_is_under_way(self, seconds: float) -> None:
        searches = [w.search for w in self._window if isinstance(w, _Waiting)]
        if searches:
            await asyncio.wait(searches, timeout=seconds)
