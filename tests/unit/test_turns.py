"""How many lookups run at a time, and which comes next."""

from __future__ import annotations

import asyncio

import pytest

from buildhub.archive.turns import Turns


async def two_requests(turns: Turns, number: int, order: list[str]) -> None:
    for request in "ab":
        async with turns.turn(number):
            order.append(f"{number}{request}")
            await asyncio.sleep(0)


def test_a_lookup_that_has_begun_does_not_wait_until_all_others_have() -> None:
    async def run() -> list[str]:
        turns, order = Turns(2), list[str]()
        await asyncio.gather(*(two_requests(turns, number, order) for number in range(20)))
        return order

    order = asyncio.run(run())
    assert len(order) == 40
    for number in range(16):
        assert order.index(f"{number}b") < order.index(f"{number + 4}a")


@pytest.mark.parametrize("woken", [False, True])
def test_a_turn_of_one_that_was_cancelled_goes_to_the_next(woken: bool) -> None:
    async def run() -> None:
        turns = Turns(1)
        order = list[str]()
        async with turns.turn(0):
            cancelled = asyncio.create_task(two_requests(turns, 1, order))
            other = asyncio.create_task(two_requests(turns, 2, order))
            await asyncio.sleep(0)
            if not woken:
                cancelled.cancel()
        if woken:  # its turn has come, but it does not know yet
            cancelled.cancel()
        await other
        assert order == ["2a", "2b"]
        async with turns.turn(3):
            pass

    asyncio.run(asyncio.wait_for(run(), 10))


def test_without_a_limit_nobody_waits() -> None:
    async def run() -> None:
        turns = Turns(None)
        async with turns.turn(1), turns.turn(0):
            pass

    asyncio.run(run())
