"""Records on their way to the store: those that are ready at about the same time go together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from ..kinto import Outcome
from ..records import Record

#: Seconds that a record waits for company before a batch leaves.
COMPANY_SECONDS = 0.015


class RecordBatcher:
    """Takes records from many tasks, and has them stored, one load after the other.

    ``store`` is called in a thread with a load of records, and gives an :class:`Outcome` for
    each id. While it is busy, the next load grows.
    """

    def __init__(self, store: Callable[[Sequence[Record]], Sequence[Outcome]]) -> None:
        self._store = store
        self._load: list[tuple[Record, asyncio.Future[Outcome]]] = []
        self._carrier: asyncio.Task[None] | None = None

    async def put(self, record: Record) -> Outcome:
        """Have a record stored; returns when it is. Raises what ``store`` raises."""
        stored: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._load.append((record, stored))
        if self._carrier is None:
            self._carrier = asyncio.create_task(self._carry())
        return await stored

    async def _carry(self) -> None:
        while self._load:
            await asyncio.sleep(COMPANY_SECONDS)
            load, self._load = self._load, []
            try:
                outcomes = await asyncio.to_thread(self._store, [record for record, _ in load])
            except Exception as error:
                for _, stored in load:
                    if not stored.done():
                        stored.set_exception(error)
                continue
            by_id = {outcome.id: outcome for outcome in outcomes}
            for record, stored in load:
                if not stored.done():  # whoever put it here may have run out of time
                    stored.set_result(by_id[record["data"]["id"]])
        self._carrier = None
