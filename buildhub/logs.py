"""Logging: what is said, how loud, where to, and never with a secret in it.

Rooms log through ``logging.getLogger(__name__)``. Whoever runs them, a command or a Lambda,
calls :func:`configure` once. Errors also go to Sentry if there is a DSN; ``sentry`` and all it
needs are imported only then (0.1 s).
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
from types import TracebackType
from typing import Any
from urllib.parse import quote, unquote

from .errors import BuildhubError

QUIET, NORMAL, VERBOSE, DEBUG = -1, 0, 1, 2

_LEVELS = {
    QUIET: logging.ERROR,
    NORMAL: logging.WARNING,
    VERBOSE: logging.INFO,
    DEBUG: logging.DEBUG,
}

#: Libraries that are louder than what they have to say deserves; ``--debug`` shows it all.
#: Each failure they log comes back to us as an exception or a status, and we report that.
_TAMED = {
    "kinto_http": logging.CRITICAL,  # WARNING for each success in a batch, ERROR for each 4xx
    "backoff": logging.CRITICAL,  # ERROR when it gives up, and raises
    "urllib3": logging.ERROR,  # WARNING for each retry
    "botocore": logging.ERROR,
}

_STARS = "***"
_SECRET_NAME = r"\w*(?:auth|passw(?:or)?d|secret|token|api_?key|dsn)"
_QUOTED = r"""b?"[^"]*"|b?'[^']*'"""
_GIVEAWAYS = (
    # https://user:password@host, also where the password has an @; not the <key> of our help
    (r"(?<=://)[^/\s'\"<>]*@", _STARS + "@"),
    # Authorization: Basic dTpw; {"Authorization": "Basic dTpw"}; ('X-Sentry-Auth', b'Sentry ...')
    (
        r"""((?:authorization|x-sentry-auth)"""
        r"""(?:\s*[:=]\s*(?:b?["'])?|["']\s*[:=,]\s*b?["']))[^"'\r\n]+""",
        rf"\1{_STARS}",
    ),
    # auth=('user', 'pass'); AUTH=user:pass; {"password": "x"}
    (
        rf"""(\b{_SECRET_NAME}\s*=\s*|["']{_SECRET_NAME}["']\s*[:,]\s*)"""
        rf"""(?:\([^)]*\)|{_QUOTED}|[^\s,;&)}}]+)""",
        rf"\1{_STARS}",
    ),
)
_PATTERNS = [(re.compile(pattern, re.IGNORECASE), to) for pattern, to in _GIVEAWAYS]

logger = logging.getLogger(__name__)
_known: re.Pattern[str] | None = None
_handlers: list[logging.Handler] = []


def configure(
    verbosity: int, dsn: str | None = None, *, secrets: Iterable[str] = (), in_lambda: bool = False
) -> None:
    """Set up logging, and Sentry if there is a ``dsn``; what an earlier call set up is undone.

    ``verbosity`` is -1 (errors), 0 (and warnings), 1 (and information) or 2 (all, of libraries
    too); what lies outside counts as the nearest. ``secrets`` are values that must never be
    seen, such as AUTH; the DSN is one by itself. Messages go to stderr, but ``in_lambda`` to
    the handlers which the runtime has put up. Unhandled errors are logged as well.
    Raises :class:`Fatal` for a DSN that is none.
    """
    known_secrets([*secrets, dsn or ""])
    root = logging.getLogger()
    for handler in _handlers:
        root.removeHandler(handler)
        handler.close()
    _handlers.clear()
    _set_levels(min(max(verbosity, QUIET), DEBUG))
    if in_lambda:
        _mask_output_of(root.handlers)
    else:
        _add(_to_stderr())
        sys.excepthook = _log_unhandled
        threading.excepthook = _log_unhandled_in_thread
    if dsn:
        from . import sentry

        _add(sentry.handler(dsn, mask))


def log_error(error: BaseException) -> None:
    """Log what ended a run: an error of ours as its sentence, any other, a bug, with traceback."""
    if isinstance(error, BuildhubError):
        logger.error("%s", error)
    else:
        logger.critical("%s: %s", type(error).__name__, error, exc_info=error)


@contextlib.contextmanager
def unhandled_errors_logged() -> Iterator[None]:
    """For a Lambda's handler: an error that leaves the block is logged, and goes on its way.

    The runtime writes the error's text to its own log, so one that holds a secret is replaced.
    Commands do not need this: Python calls the hook that :func:`configure` put up.
    """
    try:
        yield
    except Exception as error:
        log_error(error)
        if mask(str(error)) == str(error):
            raise
        raise BuildhubError(mask(f"{type(error).__name__}: {error}")) from None


def mask(text: str) -> str:
    """``text`` with stars for secrets: the known ones, and what looks like one by its place.

    >>> mask("POST http://user:pass@localhost/v1 Authorization: Basic dXNlcjpwYXNz")
    'POST http://***@localhost/v1 Authorization: ***'
    """
    if _known:
        text = _known.sub(_STARS, text)
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def known_secrets(secrets: Iterable[str]) -> None:
    """From now on these values, and the passwords in them, are masked wherever they occur."""
    global _known
    forms = {form for secret in secrets for form in _spellings(secret)}
    longest_first = sorted(forms, key=len, reverse=True)
    _known = re.compile("|".join(map(_as_word, longest_first))) if forms else None


def _spellings(secret: str) -> Iterator[str]:
    """The secret as it may turn up: plain, quoted for a URL, Python or JSON, as Basic auth."""
    if not (secret := secret.strip()):
        return
    _, scheme_end, userinfo = secret.partition("://")
    userinfo = userinfo.rpartition("@")[0] if scheme_end else secret
    password = userinfo.partition(":")[2]
    parts = [secret, unquote(secret), userinfo, password, unquote(password)]
    for part in parts:
        # A word such as "pass" is too common to be taken out of sentences.
        if len(part) >= 6:
            yield from (part, quote(part, safe=""), repr(part)[1:-1], json.dumps(part)[1:-1])
            yield base64.b64encode(part.encode()).decode()


def _as_word(secret: str) -> str:
    """A pattern for it; a short secret must stand alone, not be a piece of a longer word."""
    return re.escape(secret) if len(secret) > 8 else rf"(?<!\w){re.escape(secret)}(?!\w)"


def _add(handler: logging.Handler) -> None:
    logging.getLogger().addHandler(handler)
    _handlers.append(handler)


class _Masked(logging.Formatter):
    """Another formatter whose output, tracebacks included, is masked."""

    def __init__(self, formatter: logging.Formatter) -> None:
        super().__init__()
        self._formatter = formatter

    def format(self, record: logging.LogRecord) -> str:
        return mask(self._formatter.format(record))


class _Terminal(logging.Formatter):
    """What a person reads who has just typed the command: ``Warning: ...``."""

    def format(self, record: logging.LogRecord) -> str:
        level = f"{record.levelname.capitalize()}: " if record.levelno != logging.INFO else ""
        return level + super().format(record)


def _to_stderr() -> logging.Handler:
    handler = logging.StreamHandler(sys.stderr)
    formatter: logging.Formatter = _Terminal()
    if not sys.stderr.isatty():
        # cron mails it, or a log file keeps it: there the time matters.
        formatter = logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%SZ")
        formatter.converter = time.gmtime
    handler.setFormatter(_Masked(formatter))
    return handler


def _mask_output_of(handlers: Iterable[logging.Handler]) -> None:
    """The runtime's handlers stay; a warm container comes here again and finds them wrapped."""
    for handler in handlers:
        if not isinstance(handler.formatter, _Masked):
            handler.setFormatter(_Masked(handler.formatter or logging.Formatter()))


def _set_levels(verbosity: int) -> None:
    logging.getLogger("buildhub").setLevel(_LEVELS[verbosity])
    others = _LEVELS[verbosity] if verbosity != VERBOSE else logging.WARNING
    logging.getLogger().setLevel(others)
    for name, level in _TAMED.items():
        logging.getLogger(name).setLevel(logging.NOTSET if verbosity == DEBUG else level)


def _log_unhandled(
    kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    if isinstance(error, Exception):
        log_error(error)
    else:
        sys.__excepthook__(kind, error, traceback)


def _log_unhandled_in_thread(args: Any) -> None:
    if args.exc_value is not None:
        _log_unhandled(args.exc_type, args.exc_value, args.exc_traceback)
