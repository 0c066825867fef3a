"""Work that a thread does ahead of its use."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Generator, Sequence
from typing import TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

#: Who waits for a result looks up so often.
_LOOK_UP_SECONDS = 0.2

#: A closed iterator waits so long for its thread, which may hang on a silent server.
_PATIENCE_SECONDS = 1


def prefetch(
    function: Callable[[_Item, threading.Event], _Result],
    items: Sequence[_Item],
    *,
    depth: int,
    raise_if_cancelled: Callable[[], None],
    name: str,
) -> Generator[_Result]:
    """``function(item, stop)`` of each of ``items``, in their order, made by one thread.

    At most ``depth`` results are there before they are asked for. An error surfaces where its
    item's turn is, and is the last. ``raise_if_cancelled`` is called several times a second while
    a result is waited for: what it raises ends the wait.

    The thread, called ``name``, ends with the iterator, or when it is closed: ``stop`` is then
    set, and ``function`` should soon return or raise.
    """
    stop = threading.Event()
    room = threading.Semaphore(depth)
    outcomes: queue.SimpleQueue[tuple[_Result] | BaseException] = queue.SimpleQueue()

    def work() -> None:
        for item in items:
            room.acquire()
            if stop.is_set():
                return
            try:
                outcomes.put((function(item, stop),))
            except BaseException as error:
                outcomes.put(error)
                return

    # A daemon: Ctrl-C need not wait for a server that has fallen silent.
    thread = threading.Thread(target=work, name=name, daemon=True)
    thread.start()
    try:
        for _ in items:
            outcome = _next(outcomes, raise_if_cancelled)
            if isinstance(outcome, BaseException):
                raise outcome
            room.release()
            yield outcome[0]
    finally:
        stop.set()
        room.release()
        thread.join(_PATIENCE_SECONDS)


def _next(outcomes: queue.SimpleQueue[_Result], raise_if_cancelled: Callable[[], None]) -> _Result:
    while True:
        raise_if_cancelled()
        with contextlib.suppress(queue.Empty):
            return outcomes.get(timeout=_LOOK_UP_SECONDS)
