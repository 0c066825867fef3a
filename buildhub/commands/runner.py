"""What all commands have in common: options, settings, signals, exit status, summary.

Exit status: 0 all done; 1 something failed, was bad, rejected or not stored; 2 usage; 128 + N
stopped by signal N (130 Ctrl-C, 143 SIGTERM); 141 the reader of standard output has gone.
"""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

import click

from .. import __version__, logs
from ..errors import BuildhubError, Interrupted
from ..settings import Settings
from ..signals import CancellationToken, cancel_on_signals
from .standard_streams import BROKEN_PIPE, stopped_by

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}

FAILED = 1
UNKNOWN = 2  #: after an error, in commands that answer a question: as of grep


def common_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """``-v``, ``--debug``, ``-q`` (one of them, as ``verbosity``) and ``--version``."""
    return version_option("--version")(verbosity_options(command))


def version_option(*flags: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The option that prints the version of buildhub."""
    return click.version_option(__version__, *flags, message="%(prog)s %(version)s")


def verbosity_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """``-v``, ``--debug`` and ``-q``: one of them, as ``verbosity``."""
    levels = [
        (("-v", "--verbose"), logs.VERBOSE, "Log more details."),
        (("--debug",), logs.DEBUG, "Log everything, including requests."),
        (("-q", "--quiet"), logs.QUIET, "Log errors only; no progress, no summary."),
    ]
    for flags, level, text in reversed(levels):
        command = click.option(
            *flags, "verbosity", flag_value=level, type=int, default=logs.NORMAL, help=text
        )(command)
    return command


def files_or_stdin(context: click.Context, files: Sequence[str]) -> Sequence[str]:
    """``files``, or ``-`` for standard input; help and exit 2 if that is a terminal."""
    files = files or ("-",)
    if "-" in files and sys.stdin is None:  # ``<&-``
        raise click.UsageError("Standard input is closed: pipe data in, or name files.")
    if "-" in files and sys.stdin.isatty():
        click.echo(context.get_help(), err=True)
        context.exit(2)
    return files


def run(
    main: Callable[[Settings, CancellationToken], bool | int],
    given: dict[str, Any],
    verbosity: int,
    *,
    defaults: Mapping[str, str] | None = None,
    on_error: int = FAILED,
) -> NoReturn:
    """Run ``main`` with the settings, and exit with the status of its result.

    ``given`` are the values of the options, ``defaults`` replace those of the settings. ``main``
    returns whether all went well, or the exit status; SIGINT, SIGTERM and SIGHUP cancel the
    :class:`CancellationToken`. An error ends the program with the status ``on_error``.
    """
    try:
        settings = Settings.from_environment(os.environ, defaults=defaults, given=given)
        logs.configure(verbosity, settings.sentry_dsn, secrets=[settings.auth])
    except BuildhubError as error:
        raise click.UsageError(str(error)) from None
    with cancel_on_signals() as cancellation, stopped_by(cancellation):
        status = _status(main, settings, cancellation, on_error)
    gc.freeze()  # at exit the interpreter searches all that is left for cycles: 15 ms or more
    sys.exit(status)


def _status(
    main: Callable[[Settings, CancellationToken], bool | int],
    settings: Settings,
    cancellation: CancellationToken,
    on_error: int,
) -> int:
    try:
        result = main(settings, cancellation)
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


@contextlib.contextmanager
def stop_reported(line: str, verbosity: int) -> Iterator[None]:
    """Print this summary if a signal ends the block, before there are counts."""
    try:
        yield
    except Interrupted:
        echo_summary(line, verbosity)
        raise


def echo_summary(line: str, verbosity: int) -> None:
    """Print the summary to stderr, unless ``-q`` was given."""
    if verbosity > logs.QUIET:
        click.echo(line, err=True)
