"""Calls are repeated after pauses, up to a number of attempts and a deadline."""

from __future__ import annotations

import asyncio
import email.utils
import time
import warnings
from collections.abc import Callable
from typing import Any

import pytest

from buildhub.retries import LONGEST_OWN_PAUSE, Retry, RetryableError, retry_after


class Calls:
    """A function that fails with these errors, one a call, and then returns how often it ran."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.count = 0

    def __call__(self) -> int:
        self.count += 1
        if self.errors:
            raise self.errors.pop(0)
        return self.count

    async def later(self) -> int:
        return self()


def failures(count: int, wait: float = 0) -> Calls:
    return Calls(*(RetryableError(f"failure {n}", wait) for n in range(1, count + 1)))


def run(retry: Retry, calls: Calls, mode: str) -> int:
    if mode == "sync":
        return retry.call(calls)
    return asyncio.run(retry.call_async(calls.later))


def pauses(attempts: int, calls: Calls, **rule: Any) -> list[float]:
    """The seconds between the attempts; none of them is waited."""
    slept: list[float] = []
    with pytest.raises(RetryableError):
        Retry(attempts, sleep=slept.append, **rule).call(calls)
    return slept


@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_call_is_repeated_until_it_succeeds(mode: str, count: int) -> None:
    assert run(Retry(4, first_pause=0), failures(count), mode) == count + 1


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_the_error_of_the_last_attempt_is_raised(mode: str) -> None:
    calls = failures(9)
    with pytest.raises(RetryableError, match="failure 3"):
        run(Retry(3, first_pause=0), calls, mode)
    assert calls.count == 3


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_other_errors_are_not_repeated(mode: str) -> None:
    calls = Calls(ValueError("wrong"))
    with pytest.raises(ValueError, match="wrong"):
        run(Retry(3, first_pause=0), calls, mode)
    assert calls.count == 1


def test_pauses_double_up_to_a_limit_and_are_never_less_than_half_of_it() -> None:
    for number, seconds in enumerate(pauses(12, failures(12), first_pause=1)):
        longest = min(2**number, LONGEST_OWN_PAUSE)
        assert longest / 2 <= seconds <= longest


def test_clients_that_fail_at_the_same_moment_do_not_come_back_at_the_same_moment() -> None:
    assert len({pauses(2, failures(2))[0] for _ in range(20)}) > 1


def test_a_pause_is_as_long_as_the_server_asks_but_not_longer_than_allowed() -> None:
    assert pauses(3, failures(3, wait=100), first_pause=1) == [100, 100]
    assert pauses(3, failures(3, wait=100), first_pause=1, longest_pause=20) == [20, 20]


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_one_deadline_ends_all_attempts_and_pauses(mode: str) -> None:
    """A server that asks for an hour is asked once more at the deadline, and no more."""
    calls = failures(1000, wait=3600)
    with pytest.raises(RetryableError, match="failure 2"):
        run(Retry(1000, longest_pause=3600, deadline=0.05), calls, mode)


def test_a_pause_may_end_the_call() -> None:
    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    calls = failures(9)
    with pytest.raises(KeyboardInterrupt):
        Retry(9, sleep=interrupted).call(calls)
    assert calls.count == 1


def test_a_pause_of_a_task_ends_when_it_is_cancelled() -> None:
    async def cancel() -> None:
        paused = asyncio.Event()
        retry = Retry(9, on_pause=lambda error, seconds: paused.set())
        task = asyncio.create_task(retry.call_async(failures(9, wait=300).later))
        await paused.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(asyncio.wait_for(cancel(), 30))


@pytest.mark.parametrize(("wanted", "number"), [(2, 2), (9, 3)])
def test_what_is_incomplete_is_asked_for_again_as_often_as_allowed(
    wanted: int, number: int
) -> None:
    async def ask() -> int:
        count = 0
        async for _ in Retry(3, first_pause=0).rounds():
            count += 1
            if count == wanted:
                break
        return count

    assert asyncio.run(ask()) == number


def test_each_pause_is_reported() -> None:
    reported: list[str] = []
    retry = Retry(
        3,
        longest_pause=7,
        sleep=lambda seconds: None,
        on_pause=lambda error, seconds: reported.append(f"{error}: {seconds:g}"),
    )
    assert retry.call(failures(2, wait=9)) == 3
    assert reported == ["failure 1: 7", "failure 2: 7"]


def test_the_deprecated_call_of_backoff_is_not_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Python 3.14 has it; every other deprecation is still one."""

    def deprecated(function: Callable[..., Any], known: Any = asyncio.iscoroutinefunction) -> Any:
        warnings.warn(
            "'asyncio.iscoroutinefunction' is deprecated", DeprecationWarning, stacklevel=2
        )
        return known(function)

    monkeypatch.setattr(asyncio, "iscoroutinefunction", deprecated)
    retry = Retry(2, first_pause=0)
    assert [run(retry, failures(1), mode) for mode in ("sync", "async")] == [2, 2]


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7), ("0", 0), ("", 0), ("soon", 0), ("-3", 0), ("1.5", 0), (" 8 ", 8),
     ("Wed, 21 Oct 2015 07:28:00 GMT", 0), ("Wed, 21 Oct 99999 07:28:00 GMT", 0)],
)  # fmt: skip
def test_retry_after(header: str, seconds: float) -> None:
    assert retry_after({"Retry-After": header}) == seconds


@pytest.mark.parametrize("usegmt", [True, False])
def test_retry_after_may_be_a_date(usegmt: bool) -> None:
    date = email.utils.formatdate(time.time() + 3600, usegmt=usegmt)
    assert 3000 < retry_after({"Retry-After": date}) <= 3600
