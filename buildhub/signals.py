"""Signals: a request to stop that everything that waits can notice."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from types import FrameType

from .errors import Interrupted

#: Seconds that requests under way are given to end after a signal.
GRACE = 5.0


class CancellationToken:
    """Knows whether a signal asked the program to stop, and wakes whoever waits for input."""

    def __init__(self) -> None:
        self.signum: int | None = None
        self._cancelled = False
        self.grace = GRACE  #: seconds that what is under way is given to end
        self._reader, self._writer = os.pipe()

    def on_signal(self, signum: int, _frame: FrameType | None = None) -> None:
        """Ask to stop. The second signal finds Python's own handling: it ends the program."""
        self.signum = signum
        os.write(self._writer, b"!")
        signal.signal(signum, signal.SIG_DFL)

    def fileno(self) -> int:
        """Readable once a signal has come: for ``select``."""
        return self._reader

    def raise_if_cancelled(self) -> None:
        """Raise :class:`Interrupted` if a signal has come, or all was abandoned."""
        if self.signum is not None or self._cancelled:
            raise Interrupted(self.signum or 0)

    def cancel(self) -> None:
        """Wake a thread that waits for input which nobody wants any more."""
        self._cancelled = True
        os.write(self._writer, b"!")

    def close(self) -> None:
        os.close(self._reader)
        os.close(self._writer)


@contextlib.contextmanager
def cancel_on_signals(*signals: int) -> Iterator[CancellationToken]:
    """SIGINT and SIGTERM (or ``signals``) set the :class:`Stop` that is given out."""
    cancellation = CancellationToken()
    previous = {
        number: signal.signal(number, cancellation.on_signal)
        for number in signals or (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield cancellation
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        cancellation.close()
