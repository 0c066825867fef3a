"""Runs a command: settings, signals, exit status, and the command's own end of its streams.

Exit status: 0 all done; 1 something failed, was bad, rejected or not stored; 2 usage; 128 + N
stopped by signal N (130 Ctrl-C, 143 SIGTERM); 141 the reader of standard output has gone.
Standard output and error may be closed, full, or not read.
"""

from __future__ import annotations

import contextlib
import gc
import io
import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

import click

from .. import __version__, logs, streams
from ..errors import BuildhubError, Interrupted
from ..settings import SETTINGS, Settings
from ..signals import CancellationToken, cancel_on_signals

STDIN, STDOUT, STDERR = range(3)

FAILED = 1
UNKNOWN = 2  #: after an error, in commands that answer a question: as of grep
BROKEN_PIPE = 128 + signal.SIGPIPE


class _Command(click.Command):
    """Runs with the right exit status and without a traceback, wherever it writes."""

    def main(self, *args: Any, **extra: Any) -> Any:
        """Runs the command and exits, as click does."""
        _open_what_is_closed()
        try:
            return super().main(*args, **extra)
        finally:
            _discard_unwritten_output()

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        """Parses the arguments; ``--help`` and ``-V`` print here."""
        with _readable_errors():
            return super().make_context(*args, **extra)

    def invoke(self, context: click.Context) -> Any:
        """Calls the function of the command, with ``settings`` in place of their options."""
        others = {name: value for name, value in context.params.items() if name not in SETTINGS}
        context.params = {"settings": Settings.of(context), **others}
        with _readable_errors():
            return super().invoke(context)


def command(defaults: Mapping[str, str] | None = None) -> Callable[[Any], click.Command]:
    """Makes a command of a function; ``defaults`` replace those of the settings, by name."""
    help_names = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
    return click.command(cls=_Command, context_settings={**help_names, "default_map": defaults})


def common_options(*version: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Adds ``-v``, ``--debug``, ``-q`` (one of them, as ``verbosity``) and ``-V``.

    ``version`` are further names of the last, which prints the version.
    """
    levels = (
        (("-q", "--quiet"), logs.QUIET, "Log errors only; no progress, no summary."),
        (("--debug",), logs.DEBUG, "Log everything, including requests."),
        (("-v", "--verbose"), logs.VERBOSE, "Log more details."),
    )

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for flags, level, text in levels:  # the last one is shown first
            function = click.option(
                *flags, "verbosity", flag_value=level, type=int, default=logs.NORMAL, help=text
            )(function)
        text = "%(prog)s %(version)s"
        return click.version_option(__version__, "-V", *version, message=text)(function)

    return decorate


def files_or_stdin(files: Sequence[str]) -> Sequence[str]:
    """Returns ``files``, or ``-`` for standard input; help and exit 2 if that is a terminal."""
    files = files or ("-",)
    if "-" in files and sys.stdin is None:  # ``<&-``
        raise click.UsageError("Standard input is closed: pipe data in, or name files.")
    if "-" in files and sys.stdin.isatty():
        context = click.get_current_context()
        click.echo(context.get_help(), err=True)
        context.exit(2)
    return files


class Summary:
    """Collects what ``--summary`` writes to a file; ``figures`` returns those of the run."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.figures: Callable[[], dict[str, Any]] = dict
        self._began = datetime.now(UTC)

    def content(self, status: int) -> bytes:
        """Returns the content of the file."""
        content: dict[str, Any] = {
            "command": click.get_current_context().info_name,
            "version": __version__,
            "began": f"{self._began:%Y-%m-%dT%H:%M:%SZ}",
            "seconds": round((datetime.now(UTC) - self._began).total_seconds(), 1),
            "exit_status": status,
            "newest_build": None,
            "counts": {},
            "sections": [],
        }
        return json.dumps(content | self.figures(), indent=2).encode() + b"\n"


#: The option of the commands that load builds.
summary_option: Callable[[Any], Any] = click.option(
    "--summary",
    type=click.Path(dir_okay=False, path_type=Path),
    callback=lambda _context, _option, path: Summary(path),
    metavar="FILE",
    help="Write counts, duration, newest build and exit status to this file when the command ends,"
    " as JSON, for monitoring.",
)


def run(
    work: Callable[[CancellationToken], bool | int],
    settings: Settings,
    verbosity: int,
    *,
    on_error: int = FAILED,
    summary: Summary | None = None,
) -> NoReturn:
    """Does the ``work`` of a command, and exits with the status of its result.

    ``work`` returns whether all went well, or the exit status; SIGINT, SIGTERM and SIGHUP cancel
    its :class:`CancellationToken`. An error ends the program with the status ``on_error``.
    ``summary`` is written at the end in either case.
    """
    with contextlib.ExitStack() as stack:
        try:
            logs.configure(verbosity, settings.sentry_dsn, secrets=settings.secrets)
            if summary and summary.path:
                from ..storage import written_aside  # imports sqlite3

                write = stack.enter_context(written_aside(summary.path, "--summary"))
                stack.callback(lambda: write(summary.content(status)))
        except BuildhubError as error:
            raise click.UsageError(str(error)) from None
        with cancel_on_signals() as cancellation:
            _StandardError.cancellation = cancellation
            try:
                status = _status(work, cancellation, on_error)
            finally:
                _StandardError.cancellation = None
    gc.freeze()  # at exit the interpreter searches all that is left for cycles: 15 ms or more
    sys.exit(status)


def _status(
    work: Callable[[CancellationToken], bool | int], cancellation: CancellationToken, on_error: int
) -> int:
    try:
        result = work(cancellation)
        if cancellation.signum is not None:
            # The signal may also have ended the input: Ctrl-C stops every command of a pipe.
            return 128 + cancellation.signum
        return int(not result) if isinstance(result, bool) else result
    except Interrupted as interruption:
        return 128 + interruption.signum
    except BrokenPipeError:
        return BROKEN_PIPE
    except Exception as error:
        logs.log_error(error)  # with its traceback if it is not one of ours
        return on_error


def is_quiet() -> bool:
    """Tells if ``-q`` was given."""
    return not logs.logger.isEnabledFor(logging.WARNING)


def echo_summary(line: str) -> None:
    """Prints the summary to stderr, unless ``-q`` was given."""
    if not is_quiet():
        echo(line)


def echo(line: str) -> None:
    """Prints a line to stderr, without secrets and control characters."""
    click.echo(logs.printable(line), err=True)


@contextlib.contextmanager
def _readable_errors() -> Iterator[None]:
    """Reports errors of printing as sentences; those of a command's work :func:`run` reports."""
    try:
        yield
    except BrokenPipeError:
        raise click.exceptions.Exit(BROKEN_PIPE) from None  # click's own status is 1
    except OSError as error:
        raise click.ClickException(str(streams.output_error(error))) from None
    except BuildhubError as error:
        raise click.ClickException(logs.printable(str(error))) from None
    except click.ClickException as error:
        error.message = logs.printable(error.message)  # type: ignore[misc]
        raise


class _StandardError(io.FileIO):
    """Loses messages that can't be written: the status has to be that of the work."""

    cancellation: CancellationToken | None = None  #: ends writing to what nobody reads

    def write(self, data: Any) -> int:
        with contextlib.suppress(OSError, Interrupted):
            streams.write_to(STDERR, bytes(data), self.cancellation)
        return len(data)


def _open_what_is_closed() -> None:
    """Opens closed ones of 0 to 2: nothing else may get these numbers, and writing has to fail.

    Without this a database would become standard output.
    """
    modes = {STDIN: os.O_WRONLY, STDOUT: os.O_RDONLY, STDERR: os.O_WRONLY}
    for descriptor, mode in modes.items():
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, mode)  # gets the lowest number that is free
    if sys.stdout is None:
        sys.stdout = io.TextIOWrapper(io.FileIO(STDOUT, "w", closefd=False), "utf-8")
    if sys.stderr is sys.__stderr__:  # not where a test replaces it
        encoding = sys.stderr.encoding if sys.stderr else "utf-8"
        buffer = io.BufferedWriter(_StandardError(STDERR, "w", closefd=False))
        sys.stderr = io.TextIOWrapper(buffer, encoding, "backslashreplace", line_buffering=True)


def _discard_unwritten_output() -> None:
    """Drops what failed once: the interpreter flushes standard output at exit, and would fail."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), STDOUT)
