"""Errors to Sentry, through raven. Only ``reporting`` imports this, and only if there is a DSN."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import raven
import requests
from raven.handlers.logging import SentryHandler
from raven.transport.requests import RequestsHTTPTransport

from . import __version__
from .errors import Fatal

#: Errors of one logger that are sent in a run. A broken server fails every record, and each
#: event is a request; what ended the run is logged by another logger, and still gets through.
MOST_EVENTS = 100

logger = logging.getLogger(__name__)


def handler(dsn: str, mask: Callable[[str], str]) -> logging.Handler:
    """A logging handler that sends what is logged as an error, before the call returns.

    ``mask`` takes secrets out of a text; every text of an event goes through it. Raises
    :class:`Fatal`, without the DSN in it, if ``dsn`` is malformed.
    """
    _check(dsn)
    client = _Client(
        dsn,
        mask=mask,
        transport=_Transport,
        release=__version__,
        # Local variables hold credentials under any name, and so does the command line.
        capture_locals=False,
        context={},
        include_versions=False,
        install_sys_hook=False,
        install_logging_hook=False,
        enable_breadcrumbs=False,
        hook_libraries=[],
    )
    return SentryHandler(client, level=logging.ERROR)  # type: ignore[no-any-return]


def _check(dsn: str) -> None:
    try:
        url = urlsplit(dsn.strip())
        sound = url.scheme in ("http", "https") and url.hostname and url.username
        sound = sound and url.port != 0 and url.path.rstrip("/").rpartition("/")[2]
    except ValueError:
        sound = False
    if not sound:
        raise Fatal(
            "SENTRY_DSN is no DSN: copy it from the Sentry project's settings;"
            " it looks like https://<key>:<secret>@sentry.io/<project>."
        )


class _Transport(RequestsHTTPTransport):  # type: ignore[misc]
    """raven's trusts no authorities but its own bundle's and takes a refusal for success."""

    def send(self, url: str, data: bytes, headers: dict[str, str]) -> None:
        response = requests.post(
            url, data=data, headers=headers, verify=bool(self.verify_ssl), timeout=self.timeout
        )
        response.raise_for_status()


class _Client(raven.Client):  # type: ignore[misc]
    """Masks what it sends, and fails with one warning instead of a traceback of its own."""

    def __init__(self, dsn: str, *, mask: Callable[[str], str], **options: Any) -> None:
        super().__init__(dsn, **options)
        self._mask = mask
        self._sent: Counter[str] = Counter()

    def send(self, auth_header: str | None = None, **data: Any) -> None:
        source = data.get("logger", "")
        self._sent[source] += 1
        if self._sent[source] <= MOST_EVENTS:
            super().send(auth_header, **self._masked(data))
        elif self._sent[source] == MOST_EVENTS + 1:
            logger.warning("Sentry has had %d errors of %s: no more are sent.", MOST_EVENTS, source)

    def _masked(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._mask(value)
        if isinstance(value, dict):
            return {key: self._masked(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._masked(item) for item in value]
        return value

    def _failed_send(self, exc: Exception, url: str, data: Any) -> None:
        reason = exc if isinstance(exc, requests.HTTPError) else type(exc).__name__
        logger.warning(
            "Sentry was not told of an error, at %s (%s): check SENTRY_DSN.", url, reason
        )
        self.state.set_fail()

    def _log_failed_submission(self, data: Any) -> None:
        """Nothing: stderr has the error already."""
