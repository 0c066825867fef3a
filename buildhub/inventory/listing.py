"""The archive's own bucket → inventory rows: many requests at a time, the rows in order.

All that is to be done is a heap of requests, the one with the first position on top. A free
connection takes that one; what follows from its answer goes back onto the heap. Rows wait until
nothing before them is under way. So the work stays close to the rows that are written next, and
what waits is bounded.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence

from isal import isal_zlib

from ..errors import Unreachable
from .bucket import Bucket
from .walks import Request, RequestResult, Walk

#: Pages of one walk, about: fewer cost requests (the last page is not full), more cost time (in
#: a walk one page is asked for after the other).
PAGES = 16

#: One division without need is allowed for so many pages; it can cost one request.
PAGES_PER_DIVISION = 16

#: A walk has to be so many pages long before it is divided at a guess.
PAGES_BEFORE_GUESS = 2

#: Bytes of rows, partly compressed, that may wait for rows before them.
MOST_WAITING = 64 << 20

#: A page is a thousand rows: so often it is tried as often as the settings say.
ROUNDS = 3

#: Behind all names.
LAST = chr(0x10FFFF)

#: The number of a request, the request, and what came of it.
_Answer = tuple[int, Request, RequestResult | Exception]


class BucketListing:
    """Lists the objects that ``requests`` and all that follows from them find.

    ``jobs`` requests run at the same time. ``on_error`` is called with a sentence for each page
    that stays unreadable; what is behind it is listed nevertheless.
    """

    def __init__(
        self,
        bucket: Bucket,
        requests: Sequence[Request],
        *,
        jobs: int,
        on_error: Callable[[str], None],
    ) -> None:
        self.rows = 0  #: given out so far
        self.failed = 0  #: requests that stayed without answer
        self._bucket = bucket
        self._jobs = jobs
        self._on_error = on_error
        self._numbers = itertools.count()
        self._pending: list[tuple[str, int, Request]] = []
        self._running: dict[int, str] = {}  #: positions of the requests without answer
        self._tasks: set[asyncio.Task[None]] = set()
        self._answers: asyncio.Queue[tuple[int, Request, RequestResult | Exception]] = (
            asyncio.Queue()
        )
        self._waiting: list[tuple[str, bool, bytes]] = []
        self._waiting_bytes = 0
        self._pages = 0
        self._divisions = 0
        self._add(requests)

    async def blocks(self) -> AsyncGenerator[bytes, None]:
        """The rows, whole lines, as soon as all before them were given out.

        Raises :class:`Fatal` if the bucket can't be listed. What is under way is given up when
        the iterator is closed.
        """
        try:
            while self._pending or self._running:
                self._start()
                number, request, answer = await self._answers.get()
                position = self._running.pop(number)
                rows = self._take(request, answer)
                for block in self._in_order(position, rows):
                    self.rows += block.count(b"\n")
                    yield block
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _add(self, requests: Sequence[Request]) -> None:
        for request in requests:
            heapq.heappush(self._pending, (request.position, next(self._numbers), request))

    def _start(self) -> None:
        """Start requests on all free connections, unless too much waits already."""
        while self._pending and len(self._running) < self._jobs and self._may_start():
            _, _, request = heapq.heappop(self._pending)
            if isinstance(request, Walk) and (at := self._division(request)):
                self._add([request.divide(at)])
            number = next(self._numbers)
            self._running[number] = request.position
            task = asyncio.create_task(self._run(number, request))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _may_start(self) -> bool:
        """Rows wait for those before them: the request that comes first is always allowed."""
        first = min(self._running.values(), default=None)
        return self._waiting_bytes < MOST_WAITING or first is None or self._pending[0][0] < first

    def _division(self, walk: Walk) -> str | None:
        """Where to divide a walk, so that several connections share it: if it is long, or needed.

        It is needed if connections are idle, or if the rows of many pages wait for this one's.
        """
        folders = walk.density.folders_in(max(PAGES - walk.pages, 1))
        if folders is not None and folders <= len(walk.cuts):
            return walk.cuts[folders - 1]
        idle = len(self._pending) + len(self._running) + 1 < self._jobs
        late = self._waiting_bytes > MOST_WAITING // 4 and self._is_early(walk)
        allowed = self._pages // PAGES_PER_DIVISION - self._divisions
        if not (idle or late) or allowed < 1 or walk.pages < PAGES_BEFORE_GUESS:
            return None
        self._divisions += 1
        return walk.division()

    def _is_early(self, walk: Walk) -> bool:
        """Whether ``walk`` is one of the first quarter: those hold up the others."""
        before = sum(position < walk.position for position in self._running.values())
        return before <= self._jobs // 4

    async def _run(self, number: int, request: Request) -> None:
        answer: RequestResult | Exception
        for _ in range(ROUNDS):
            try:
                answer = await request.run(self._bucket)
                break
            except Unreachable as error:
                answer = error
            except Exception as error:
                answer = error
                break
        self._answers.put_nowait((number, request, answer))

    def _take(self, request: Request, answer: RequestResult | Exception) -> bytes:
        """What follows from an answer is pending now; its rows."""
        if isinstance(answer, Unreachable):
            self.failed += 1
            missing, follow = request.give_up()
            self._on_error(f"Not listed: {missing}: {answer}, {ROUNDS} times in a row.")
            self._add(follow)
            return b""
        if isinstance(answer, Exception):
            raise answer
        self._pages += 1
        self._add(answer.follow)
        return answer.rows

    def _in_order(self, position: str, rows: bytes) -> Iterator[bytes]:
        """The rows before which nothing can come any more; the others wait."""
        first = min(self._running.values(), default=LAST)
        if self._pending:
            first = min(first, self._pending[0][0])
        if rows and position < first:
            yield rows
        elif rows:
            self._wait(position, rows)
        while self._waiting and self._waiting[0][0] < first:
            _, packed, block = heapq.heappop(self._waiting)
            self._waiting_bytes -= len(block)
            yield isal_zlib.decompress(block) if packed else block

    def _wait(self, position: str, rows: bytes) -> None:
        """Keep rows until it is their turn; compressed, if many wait already."""
        if packed := self._waiting_bytes > MOST_WAITING // 8:
            rows = isal_zlib.compress(rows, 1)
        self._waiting_bytes += len(rows)
        heapq.heappush(self._waiting, (position, packed, rows))
