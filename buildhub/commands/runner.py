"""What all commands have in common: options, settings, signals, exit status, summary.

Exit status: 0 all done; 1 something failed, was bad, rejected or not stored; 2 usage; 128 + N
stopped by signal N (130 Ctrl-C, 143 SIGTERM); 141 the reader of standard output has gone.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

import click

from .. import __version__, logs
from ..errors import BuildhubError, Interrupted
from ..settings import Settings
from ..signals import CancellationToken, cancel_on_signals

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}

FAILED = 1
BROKEN_PIPE = 128 + signal.SIGPIPE


def common_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """``-v``, ``--debug``, ``-q`` (one of them, as ``verbosity``) and ``--version``."""
    version = click.version_option(__version__, message="%(prog)s %(version)s")
    return version(verbosity_options(command))


def verbosity_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """``-v``, ``--debug`` and ``-q``, one of them, as ``verbosity``."""
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
    main: Callable[[Settings, CancellationToken], bool],
    given: dict[str, Any],
    verbosity: int,
    *,
    defaults: Mapping[str, str] | None = None,
) -> NoReturn:
    """Run ``main`` with the settings, and exit with the status of its result.

    ``given`` are the values of the options, ``defaults`` replace those of the settings. ``main``
    returns whether all went well; SIGINT, SIGTERM and SIGHUP cancel the :class:`CancellationToken`.
    """
    try:
        settings = Settings.from_environment(os.environ, defaults=defaults, given=given)
        logs.configure(verbosity, settings.sentry_dsn, secrets=[settings.auth])
    except BuildhubError as error:
        raise click.UsageError(str(error)) from None
    with cancel_on_signals() as cancellation:
        status = _status(main, settings, cancellation)
    sys.exit(status)


def _status(
    main: Callable[[Settings, CancellationToken], bool],
    settings: Settings,
    cancellation: CancellationToken,
) -> int:
    try:
        all_well = main(settings, cancellation)
        if cancellation.signum is not None:
            # The signal may also have ended the input: Ctrl-C stops every command of a pipe.
            return 128 + cancellation.signum
        return 0 if all_well else FAILED
    except Interrupted as interruption:
        return 128 + interruption.signum
    except BrokenPipeError:
        # At exit the interpreter flushes stdout, which would fail once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except BuildhubError as error:
        logs.log_error(error)
        return FAILED


def echo_summary(line: str, verbosity: int) -> None:
    """Print the summary to stderr, unless ``-q`` was given."""
    if verbosity > logs.QUIET:
        click.echo(line, err=True)
