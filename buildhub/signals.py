"""Signals ask to stop; everything that waits ends within five seconds of one."""

from __future__ import annotations

import contextlib
import os
import queue
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from types import FrameType
from typing import Any, TypeVar

from .errors import Interrupted

T = TypeVar("T")

#: Seconds after a stop in which work in progress may still complete.
GRACE = 5.0

#: Seconds in which signals are one request: ``timeout`` sends two, to its child and to its group.
_SAME_REQUEST = 0.5

#: Seconds between two checks of the token, where there is no file descriptor to wait for.
_POLL_SECONDS = 0.1


class CancellationToken:
    """Knows whether the program was asked to stop, since when, and ends what waits for it.

    ``grace`` is how many seconds the work in progress gets after a stop.
    """

    def __init__(self, grace: float = GRACE) -> None:
        self.signum: int | None = None
        self.grace = grace
        self._cancelled_at: float | None = None
        self._reader, self._writer = os.pipe()

    def on_signal(self, signum: int, _frame: FrameType | None = None) -> None:
        """Asks to stop. A later signal, which is not of the same request, ends the program."""
        if self._cancelled_at is None:
            self.signum = signum
            self.cancel()
        elif time.monotonic() > self._cancelled_at + _SAME_REQUEST:
            signal.signal(signum, signal.SIG_DFL)
            signal.raise_signal(signum)

    def fileno(self) -> int:
        """Returns a descriptor for ``select``, readable once the program was asked to stop."""
        return self._reader

    @property
    def cancelled(self) -> bool:
        """Says whether the program was asked to stop."""
        return self._cancelled_at is not None

    def raise_if_cancelled(self) -> None:
        """Raises :class:`Interrupted` if the program was asked to stop."""
        if self.cancelled:
            raise Interrupted(self.signum or 0)

    def remaining(self) -> float | None:
        """Returns the seconds that work in progress has left; None if there is no stop."""
        if self._cancelled_at is None:
            return None
        return max(0.0, self._cancelled_at + self.grace - time.monotonic())

    def raise_if_overdue(self) -> None:
        """Raises :class:`Interrupted` once the time after a stop is over."""
        if self.remaining() == 0:
            raise Interrupted(self.signum or 0)

    def sleep(self, seconds: float) -> None:
        """Pauses. Raises :class:`Interrupted` as soon as a stop leaves less time than that."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            remaining = self.remaining()
            if remaining is None and self._reader >= 0:
                select.select([self._reader], [], [], left)
            elif remaining is not None and remaining < left:
                raise Interrupted(self.signum or 0)
            else:
                time.sleep(left)

    @contextlib.contextmanager
    def calling(self, function: Callable[[], object]) -> Iterator[None]:
        """Calls ``function`` in the running event loop, once, on a stop during the block."""
        import asyncio

        loop, descriptor = asyncio.get_running_loop(), self._reader

        def stop() -> None:
            loop.remove_reader(descriptor)  # it stays readable
            function()

        loop.add_reader(descriptor, stop)
        try:
            yield
        finally:
            loop.remove_reader(descriptor)

    @contextlib.contextmanager
    def ending_task(self) -> Iterator[None]:
        """Ends the running task with :class:`Interrupted` on a stop during the block."""
        import asyncio

        task = asyncio.current_task()
        assert task is not None
        try:
            with self.calling(task.cancel):
                yield
        except asyncio.CancelledError:
            self.raise_if_cancelled()
            raise

    def cancel(self) -> None:
        """Asks to stop."""
        if self._cancelled_at is None:
            self._cancelled_at = time.monotonic()
            if self._writer >= 0:
                os.write(self._writer, b"!")

    def close(self) -> None:
        """Closes the file descriptors. The token can still be asked, but not waited for."""
        descriptors, self._reader, self._writer = (self._reader, self._writer), -1, -1
        for descriptor in descriptors:
            if descriptor >= 0:
                os.close(descriptor)

    __del__ = close


@contextlib.contextmanager
def cancel_on_signals() -> Iterator[CancellationToken]:
    """Yields a token that SIGINT, SIGTERM and SIGHUP cancel during the block.

    An ignored SIGHUP stays ignored: that is what ``nohup`` asks for. After a stop all are ignored,
    as the second signal of ``timeout`` may come while the summary is written.
    """
    cancellation = CancellationToken()
    previous = {}
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            previous[number] = signal.signal(number, cancellation.on_signal)
    try:
        yield cancellation
    finally:
        for number, handler in previous.items():
            signal.signal(number, signal.SIG_IGN if cancellation.cancelled else handler)
        cancellation.close()


class AbandonableCalls:
    """Makes blocking calls in threads of their own, so that callers can stop waiting for one.

    Nothing in Python ends a call that hangs in a system call. The caller leaves it behind, and
    its next call gets a new thread; an abandoned one does not keep the program from exiting. Each
    calling thread has its own thread for its calls; all may share one object.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._workers = threading.local()

    def call(self, function: Callable[[], T], timeout: float, check: Callable[[], None]) -> T:
        """Returns the result of ``function``, or raises what it raises.

        Raises ``TimeoutError`` after ``timeout`` seconds, and what ``check`` raises, which is
        called several times a second. The call is then abandoned.
        """
        worker: _Worker | None = getattr(self._workers, "worker", None)
        if worker is None:
            worker = self._workers.worker = _Worker(self._name)
        future = worker.start(function)
        try:
            return result_of(future, timeout, check)
        finally:
            if not future.done():
                del self._workers.worker


class _Worker:
    """Makes one call after the other in a thread, until no reference to this object is left."""

    def __init__(self, name: str) -> None:
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        threading.Thread(target=_run_calls, args=(self._calls,), name=name, daemon=True).start()

    def start(self, function: Callable[[], T]) -> Future[T]:
        future: Future[T] = Future()
        self._calls.put((future, function))
        return future

    def __del__(self) -> None:
        self._calls.put(None)


_Call = tuple[Future[Any], Callable[[], Any]]


def _run_calls(calls: queue.SimpleQueue[_Call | None]) -> None:
    while (item := calls.get()) is not None:
        future, function = item
        try:
            future.set_result(function())
        except BaseException as error:
            future.set_exception(error)
        del item, future, function  # a page of records, say, must not stay until the next call


def result_of(future: Future[T], timeout: float | None, check: Callable[[], None]) -> T:
    """Awaits a result; ``timeout`` and ``check`` are those of :meth:`AbandonableCalls.call`."""
    end = None if timeout is None else time.monotonic() + timeout
    while True:
        check()
        left = _POLL_SECONDS if end is None else max(0.0, end - time.monotonic())
        try:
            return future.result(min(left, _POLL_SECONDS))
        except TimeoutError:
            if future.done():
                raise
            if left == 0:
                raise TimeoutError("no response in time") from None
