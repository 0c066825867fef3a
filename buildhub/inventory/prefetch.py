"""Results that a thread makes before they are needed."""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

#: Seconds between two calls of ``raise_if_cancelled``.
_POLL_SECONDS = 0.2


def prefetch(
    function: Callable[[_Item, threading.Event], _Result],
    items: Sequence[_Item],
    *,
    depth: int,
    raise_if_cancelled: Callable[[], None],
    name: str,
) -> Generator[_Result]:
    """``function(item, stop)`` of each of ``items``, in their order, called by one thread.

    At most ``depth`` results exist before they are asked for. An error is raised at the turn of
    its item, and ends the iterator. ``raise_if_cancelled`` is called several times a second while
    a result is awaited; what it raises ends the iterator.

    When the iterator ends or is closed, ``stop`` is set and the thread, called ``name_0``, is
    awaited: ``function`` must return or raise soon then, also if a server is silent.
    """
    stop = threading.Event()
    rest = iter(items)
    with ThreadPoolExecutor(1, thread_name_prefix=name) as thread:
        pending: deque[Future[_Result]] = deque()

        def submit(count: int) -> None:
            for item in itertools.islice(rest, count):
                pending.append(thread.submit(_unless_stopped, function, item, stop))

        try:
            submit(depth)
            while pending:
                result = _result(pending.popleft(), raise_if_cancelled)
                submit(1)
                yield result
        finally:
            stop.set()
            thread.shutdown(wait=False, cancel_futures=True)


def _unless_stopped(
    function: Callable[[_Item, threading.Event], _Result], item: _Item, stop: threading.Event
) -> _Result:
    """An error ends the iterator, so nothing is begun after one."""
    if stop.is_set():
        raise CancelledError
    try:
        return function(item, stop)
    except BaseException:
        stop.set()
        raise


def _result(future: Future[_Result], raise_if_cancelled: Callable[[], None]) -> _Result:
    while True:
        raise_if_cancelled()
        try:
            return future.result(_POLL_SECONDS)
        except TimeoutError:
            if future.done():
                raise
