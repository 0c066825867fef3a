"""Retries: how often, after which pauses, and when they end.

``backoff`` repeats the call; this module is its only user. Its own pauses can't be interrupted in
a thread, so the pauses of a synchronous call are made by the ``sleep`` that the caller gives.
"""

from __future__ import annotations

import random
import time
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar, cast

T = TypeVar("T")

#: Seconds of the longest pause that no server asked for.
LONGEST_OWN_PAUSE = 30.0


class RetryableError(Exception):
    """Reports an attempt that failed and may be retried.

    ``str()`` says why it failed, ``retry_after`` how many seconds the server asked to wait, and
    ``status`` is the HTTP status of its response, if there was one.
    """

    def __init__(self, reason: str, retry_after: float = 0, status: int | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after
        self.status = status


class Retry:
    """Repeats calls that fail; threads and tasks may share it.

    A call is attempted ``attempts`` times at most, again after ``errors``. The pause before the
    n-th retry is up to ``first_pause`` · 2ⁿ⁻¹ seconds (at least half of that, at random, so that
    many clients do not come back at the same moment), or what ``Retry-After`` asks for, but never
    more than ``longest_pause``. No attempt begins more than ``deadline`` seconds after the first.

    ``sleep`` pauses a synchronous call; it may raise to end it. ``on_pause`` is called before
    each pause with the error and the seconds.
    """

    def __init__(
        self,
        attempts: int,
        *,
        errors: type[Exception] | tuple[type[Exception], ...] = RetryableError,
        first_pause: float = 0.5,
        longest_pause: float = 300,
        deadline: float | None = None,
        sleep: Callable[[float], None] = time.sleep,
        on_pause: Callable[[Exception, float], None] | None = None,
    ) -> None:
        import backoff  # takes 2 ms, which a run that needs no request does not need

        self.attempts = attempts
        self._first_pause = first_pause
        self._longest_pause = longest_pause
        self._deadline = deadline
        self._sleep = sleep
        self._on_pause = on_pause
        rule: dict[str, Any] = {"max_tries": attempts, "max_time": deadline}
        rule |= {"jitter": None, "logger": None}
        with warnings.catch_warnings():
            # backoff asks for it when it decorates; deprecated since Python 3.14.
            warnings.filterwarnings("ignore", ".*iscoroutinefunction.*", DeprecationWarning)
            self._sync = backoff.on_exception(self._slept_pauses, errors, **rule)(_call)
            self._async = backoff.on_exception(self._pauses, errors, **rule)(_call_async)

    def call(self, function: Callable[[], T]) -> T:
        """Returns the result of ``function``; raises what the last attempt raised, or ``sleep``."""
        return self._sync(function)

    async def call_async(self, function: Callable[[], Awaitable[T]]) -> T:
        """Returns the result of ``function``; raises what the last attempt raised."""
        return cast(T, await self._async(function))

    async def rounds(self) -> AsyncIterator[None]:
        """Yields as often as a call is attempted, with pauses in between; leave it with break."""
        import asyncio

        pauses = self._pauses()
        for number in range(self.attempts):
            await asyncio.sleep(next(pauses) if number == 0 else pauses.send(None))
            yield

    def _pauses(self) -> Generator[float, Any, None]:
        """Speaks backoff's protocol: it sends the error and gets the seconds to wait."""
        started = time.monotonic()
        error = yield 0  # backoff primes its generators
        longest = self._first_pause
        while True:
            asked_for = getattr(error, "retry_after", 0)
            own = min(longest, LONGEST_OWN_PAUSE) * random.uniform(0.5, 1)
            seconds = min(max(own, asked_for), self._longest_pause)
            if self._deadline is not None:
                seconds = max(0, min(seconds, started + self._deadline - time.monotonic()))
            if self._on_pause:
                self._on_pause(error, seconds)
            error = yield seconds
            longest *= 2 if longest < LONGEST_OWN_PAUSE else 1

    def _slept_pauses(self) -> Generator[float, Any, None]:
        """Makes the same pauses itself: nothing is left to wait for backoff."""
        pauses = self._pauses()
        error = yield next(pauses)
        while True:
            self._sleep(pauses.send(error))
            error = yield 0


def _call(function: Callable[[], T]) -> T:
    return function()


async def _call_async(function: Callable[[], Awaitable[T]]) -> T:
    return await function()


def retry_after(headers: Mapping[str, str]) -> float:
    """Returns the seconds that ``Retry-After`` asks for, in either of its forms; else 0."""
    text = headers.get("Retry-After", "").strip()
    if text.isdecimal():
        return float(text)
    from email.utils import parsedate_to_datetime  # takes 3 ms, which few runs need

    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return 0
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
