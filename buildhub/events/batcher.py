"""Items of many tasks that are ready at about the same time are processed together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

#: Seconds that an item waits for others before a batch is processed.
LINGER_SECONDS = 0.015


class Batcher(Generic[Item, Result]):
    """Takes items from many tasks and processes them in batches, one batch after the other.

    ``process`` gets the items of a batch and returns a result for each, in their order. While
    it is busy, the next batch grows.
    """

    def __init__(self, process: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]]) -> None:
        self._process = process
        self._batch: list[tuple[Item, asyncio.Future[Result]]] = []
        self._worker: asyncio.Task[None] | None = None

    async def submit(self, item: Item) -> Result:
        """The result of an item, once its batch is processed. Raises what ``process`` raises."""
        result: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._batch.append((item, result))
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())
        return await result

    async def close(self) -> None:
        """Stop processing; for when no task waits for a result any more."""
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.gather(self._worker, return_exceptions=True)

    async def _work(self) -> None:
        while self._batch:
            await asyncio.sleep(LINGER_SECONDS)
            batch, self._batch = self._batch, []
            try:
                results = await self._process([item for item, _ in batch])
            except Exception as error:
                for _, result in batch:
                    if not result.done():
                        result.set_exception(error)
                continue
            for (_, result), value in zip(batch, results, strict=True):
                if not result.done():  # its task may have run out of time
                    result.set_result(value)
        self._worker = None
