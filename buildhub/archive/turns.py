"""A limit on the lookups that run at a time, in the order in which they were asked for."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
from collections.abc import AsyncIterator


class Turns:
    """At most ``limit`` turns at a time; of those who wait, the lowest number comes next.

    A semaphore would let them come in the order in which they wait: the second request of the first
    lookup after the first request of all others. None as the limit is no limit.
    """

    def __init__(self, limit: int | None) -> None:
        self._free = limit
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._arrivals = itertools.count()

    @contextlib.asynccontextmanager
    async def turn(self, number: int) -> AsyncIterator[None]:
        """Wait for a turn, and have it as long as the context lasts."""
        if self._free is None:
            yield
            return
        await self._acquire(number)
        try:
            yield
        finally:
            self._release()

    async def _acquire(self, number: int) -> None:
        if self._free:
            self._free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (number, next(self._arrivals), turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._release()
            raise

    def _release(self) -> None:
        assert self._free is not None
        while self._waiting:
            _, _, turn = heapq.heappop(self._waiting)
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
