"""Logging: levels, handlers, and messages without secrets or control characters.

Modules log through ``logging.getLogger(__name__)``; a command or a Lambda handler calls
:func:`configure` once. Errors also go to Sentry if there is a DSN: ``sentry`` and its
dependencies are imported only then (0.1 s).
"""

from __future__ import annotations

import base64
import contextlib
import json
import logging
import re
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import quote, unquote

from .errors import BuildhubError

QUIET, NORMAL, VERBOSE, DEBUG = -1, 0, 1, 2

#: Errors of one kind that are logged as such.
MAX_ERRORS = 10

#: Libraries that log too much; ``--debug`` shows all of it. Each failure they log also comes back
#: to us as an exception or a status, which we report.
_LIBRARY_LEVELS = {
    "kinto_http": logging.CRITICAL,  # WARNING for each success in a batch, ERROR for each 4xx
    "backoff": logging.CRITICAL,  # ERROR when it gives up, and raises
    "urllib3": logging.ERROR,  # WARNING for each retry
    "botocore": logging.ERROR,
}

_MASK = "***"
_SECRET_NAME = r"\w*(?:auth|passw(?:or)?d|secret|token|api_?key|dsn)"
_QUOTED = r"""b?"[^"]*"|b?'[^']*'"""
_SECRETS = (
    # https://user:password@host, also where the password has an @; not the <key> of our help
    (r"(?<=://)[^/\s'\"<>]*@", _MASK + "@"),
    # Authorization: Basic dTpw; {"Authorization": "Basic dTpw"}; ('X-Sentry-Auth', b'Sentry ...')
    (
        r"""((?:authorization|x-sentry-auth)"""
        r"""(?:\s*[:=]\s*(?:b?["'])?|["']\s*[:=,]\s*b?["']))[^"'\r\n]+""",
        rf"\1{_MASK}",
    ),
    # auth=('user', 'pass'); AUTH=user:pass; {"password": "x"}
    (
        rf"""(\b{_SECRET_NAME}\s*=\s*|["']{_SECRET_NAME}["']\s*[:,]\s*)"""
        rf"""(?:\([^)]*\)|{_QUOTED}|[^\s,;&)}}]+)""",
        rf"\1{_MASK}",
    ),
)


#: What a terminal or a log collector may act upon: C0 and C1 controls, line separators, and marks
#: that change the direction of text. Keys come from events and manifests, which anyone may write.
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")

logger = logging.getLogger(__name__)
_known: re.Pattern[str] | None = None
_handlers: list[logging.Handler] = []


def configure(
    verbosity: int, dsn: str | None = None, *, secrets: Iterable[str] = (), in_lambda: bool = False
) -> None:
    """Sets up logging, and Sentry if there is a ``dsn``; what an earlier call set up is undone.

    ``verbosity`` is :data:`QUIET` (errors), :data:`NORMAL` (and warnings), :data:`VERBOSE` (and
    information) or :data:`DEBUG` (all, of libraries too). ``secrets`` are values that must never be
    seen, such as AUTH; the DSN is added to them. Messages go to stderr, but ``in_lambda`` to the
    handlers of the runtime. Unhandled errors are logged as well. Raises :class:`Fatal` for an
    invalid DSN.
    """
    known_secrets([*secrets, dsn or ""])
    root = logging.getLogger()
    for handler in _handlers:
        root.removeHandler(handler)
        handler.close()
    _handlers.clear()
    _set_levels(verbosity)
    if in_lambda:
        for handler in root.handlers:
            if not isinstance(handler.formatter, _SafeFormatter):  # of an earlier invocation
                handler.setFormatter(_SafeFormatter(handler.formatter or logging.Formatter()))
    else:
        _add(_to_stderr())
        sys.excepthook = _log_unhandled
        threading.excepthook = lambda args: _log_unhandled(*args[:3])
    if dsn:
        from . import sentry

        _add(sentry.handler(dsn, mask))


class FirstErrors:
    """Logs the first ten errors of a kind; ``-v`` shows the others, too.

    A wrong input has an error in each of millions of lines, and each error would go to Sentry.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self.count = 0  #: of all

    def __call__(self, sentence: str) -> None:
        """Logs an error."""
        self.count += 1
        self._logger.log(
            logging.ERROR if self.count <= MAX_ERRORS else logging.INFO, "%s", sentence
        )
        if self.count == MAX_ERRORS + 1 and not self._logger.isEnabledFor(logging.INFO):
            self._logger.error("Further errors of this kind are only counted; -v shows them.")


def log_error(error: BaseException) -> None:
    """Logs what ended a run: our own errors as a sentence, any other (a bug) with its traceback."""
    if isinstance(error, BuildhubError):
        logger.error("%s", error)
    else:
        logger.critical("%s: %s", type(error).__name__, error, exc_info=error)


@contextlib.contextmanager
def unhandled_errors_logged() -> Iterator[None]:
    """Logs an error that leaves the block, and raises it again: for a Lambda's handler.

    The runtime writes the error's text to its own log, so an error that contains a secret is
    replaced. Commands do not need this: :func:`configure` sets Python's exception hook.
    """
    try:
        yield
    except Exception as error:
        log_error(error)
        if mask(str(error)) == str(error):
            raise
        raise BuildhubError(mask(f"{type(error).__name__}: {error}")) from None


@contextlib.contextmanager
def output_to(stream: Any) -> Iterator[None]:
    """Writes the messages for stderr to ``stream`` while the block runs."""
    handlers = [handler for handler in _handlers if isinstance(handler, logging.StreamHandler)]
    previous = [handler.setStream(stream) for handler in handlers]
    try:
        yield
    finally:
        for handler, before in zip(handlers, previous, strict=True):
            handler.setStream(before)


def mask(text: str) -> str:
    """Replaces secrets in ``text``: the known ones, and what looks like one from its context.

    >>> mask("POST http://user:pass@localhost/v1 Authorization: Basic dXNlcjpwYXNz")
    'POST http://***@localhost/v1 Authorization: ***'
    """
    if _known:
        text = _known.sub(_MASK, text)
    for pattern, replacement in _SECRETS:
        text = re.sub(pattern, replacement, text, flags=re.IGNORECASE)
    return text


def escape_controls(text: str, *, keep: str = "") -> str:
    """Escapes control characters in ``text`` as Python does; those in ``keep`` stay.

    >>> escape_controls("pub/a\\r\\n\\x1b[31mCRITICAL")
    'pub/a\\\\r\\\\n\\\\x1b[31mCRITICAL'
    """

    def escaped(match: re.Match[str]) -> str:
        return match[0] if match[0] in keep else ascii(match[0])[1:-1]

    return _CONTROLS.sub(escaped, text)


def printable(text: str, *, keep: str = "") -> str:
    """Masks secrets in ``text`` and escapes its control characters but those in ``keep``."""
    return escape_controls(mask(text), keep=keep)


def known_secrets(secrets: Iterable[str]) -> None:
    """Masks these values, and the passwords in them, from now on."""
    global _known
    forms = {form for secret in secrets for form in _spellings(secret)}
    longest_first = sorted(forms, key=len, reverse=True)
    _known = re.compile("|".join(map(_as_word, longest_first))) if forms else None


def _spellings(secret: str) -> Iterator[str]:
    """Yields the secret as it may occur: plain, quoted for a URL, Python or JSON, as Basic auth."""
    if not (secret := secret.strip()):
        return
    _, scheme_end, userinfo = secret.partition("://")
    userinfo = userinfo.rpartition("@")[0] if scheme_end else secret
    password = userinfo.partition(":")[2]
    parts = [secret, unquote(secret), userinfo, password, unquote(password)]
    for part in parts:
        # A word such as "pass" is too common to be masked in sentences.
        if len(part) >= 6:
            yield from (part, quote(part, safe=""), repr(part)[1:-1], json.dumps(part)[1:-1])
            yield base64.b64encode(part.encode()).decode()


def _as_word(secret: str) -> str:
    """Makes a pattern; a short secret must be a word of its own, not part of a longer one."""
    return re.escape(secret) if len(secret) > 8 else rf"(?<!\w){re.escape(secret)}(?!\w)"


def _add(handler: logging.Handler) -> None:
    logging.getLogger().addHandler(handler)
    _handlers.append(handler)


class _SafeFormatter(logging.Formatter):
    """Removes secrets and control characters from the output of another formatter.

    Only a traceback may have several lines: a message with a line feed in it could imitate
    another log line.
    """

    def __init__(self, formatter: logging.Formatter) -> None:
        super().__init__()
        self._formatter = formatter

    def format(self, record: logging.LogRecord) -> str:
        safe = logging.makeLogRecord(record.__dict__)
        safe.msg, safe.args = printable(record.getMessage()), None
        return printable(self._formatter.format(safe), keep="\n\t")


class _TerminalFormatter(logging.Formatter):
    """Formats for a person at a terminal: ``Warning: ...``."""

    def format(self, record: logging.LogRecord) -> str:
        level = f"{record.levelname.capitalize()}: " if record.levelno != logging.INFO else ""
        return level + super().format(record)


def _to_stderr() -> logging.Handler:
    handler = logging.StreamHandler(sys.stderr)
    formatter: logging.Formatter = _TerminalFormatter()
    if not sys.stderr.isatty():
        # In a log file or a mail from cron the time matters.
        formatter = logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%SZ")
        formatter.converter = time.gmtime
    handler.setFormatter(_SafeFormatter(formatter))
    return handler


def _set_levels(verbosity: int) -> None:
    level = logging.WARNING - 10 * verbosity  # ERROR, WARNING, INFO or DEBUG
    logging.getLogger("buildhub").setLevel(level)
    logging.getLogger().setLevel(level if verbosity != VERBOSE else logging.WARNING)
    for name, level in _LIBRARY_LEVELS.items():
        logging.getLogger(name).setLevel(logging.NOTSET if verbosity == DEBUG else level)


def _log_unhandled(kind: Any, error: Any, traceback: Any) -> None:
    if isinstance(error, Exception):
        log_error(error)
    else:
        sys.__excepthook__(kind, error, traceback)
