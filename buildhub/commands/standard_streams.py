"""The command's own end of standard output and error: they may be closed, full, or not read."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
from collections.abc import Iterator
from typing import Any

import click

from .. import streams
from ..errors import BuildhubError, Interrupted
from ..signals import CancellationToken

STDIN, STDOUT, STDERR = range(3)

BROKEN_PIPE = 128 + signal.SIGPIPE


class Command(click.Command):
    """A command whose exit status is right and which shows no traceback, wherever it writes."""

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run the command and exit, as click does."""
        _open_what_is_closed()
        try:
            return super().main(*args, **extra)
        finally:
            _discard_unwritten_output()

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        """Parse the arguments; ``--help`` and ``--version`` print here."""
        with _readable_errors():
            return super().make_context(*args, **extra)

    def invoke(self, context: click.Context) -> Any:
        """Call the function of the command."""
        with _readable_errors():
            return super().invoke(context)


@contextlib.contextmanager
def _readable_errors() -> Iterator[None]:
    """Of printing: what a command does later, ``runner.run`` reports."""
    try:
        yield
    except BrokenPipeError:
        raise click.exceptions.Exit(BROKEN_PIPE) from None  # click's own status is 1
    except OSError as error:
        raise click.ClickException(str(streams.output_error(error))) from None
    except BuildhubError as error:
        raise click.ClickException(str(error)) from None


@contextlib.contextmanager
def stopped_by(cancellation: CancellationToken) -> Iterator[None]:
    """During the block, a stop also ends writing to a stderr that nobody reads."""
    raw = getattr(getattr(sys.stderr, "buffer", None), "raw", None)
    if not isinstance(raw, _StandardError):
        yield
        return
    raw.cancellation = cancellation
    try:
        yield
    finally:
        raw.cancellation = None


class _StandardError(io.FileIO):
    """Messages that can't be written are lost: the status has to be that of the work."""

    cancellation: CancellationToken | None = None

    def write(self, data: Any) -> int:
        with contextlib.suppress(OSError, Interrupted):
            streams.write_to(STDERR, bytes(data), self.cancellation)
        return len(data)


def _open_what_is_closed() -> None:
    """Nothing else may get the numbers 0 to 2, and what is written there has to fail.

    Without this a database would become standard output.
    """
    modes = {STDIN: os.O_WRONLY, STDOUT: os.O_RDONLY, STDERR: os.O_WRONLY}
    for number, mode in modes.items():
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, mode)  # gets the lowest number that is free
    if sys.stdout is None:
        sys.stdout = io.TextIOWrapper(io.FileIO(STDOUT, "w", closefd=False), "utf-8")
    if sys.stderr is sys.__stderr__:  # not where a test replaces it
        encoding = sys.stderr.encoding if sys.stderr else "utf-8"
        buffer = io.BufferedWriter(_StandardError(STDERR, "w", closefd=False))
        sys.stderr = io.TextIOWrapper(buffer, encoding, "backslashreplace", line_buffering=True)


def _discard_unwritten_output() -> None:
    """The interpreter flushes standard output at exit: what failed once would fail once more."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), STDOUT)
