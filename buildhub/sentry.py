"""Sends errors to Sentry, through raven; ``logs`` imports this only if there is a DSN."""

from __future__ import annotations

import functools
import logging
from collections import Counter
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import raven
import requests
from raven.handlers.logging import SentryHandler
from raven.transport.requests import RequestsHTTPTransport
from raven.utils import varmap

from . import __version__
from .errors import Fatal

#: The most errors of one logger that are sent in a run. A broken server fails every record, and
#: each event is a request. What ended the run is logged by another logger and is still sent.
MAX_EVENTS = 100

logger = logging.getLogger(__name__)


def handler(dsn: str, mask: Callable[[str], str]) -> logging.Handler:
    """Makes a logging handler that sends each logged error before the call returns.

    ``mask`` replaces the secrets in a text; it is applied to every text of an event. Raises
    :class:`Fatal`, without the DSN in it, if ``dsn`` is malformed.
    """
    try:
        url = urlsplit(dsn.strip())
        if url.scheme not in ("http", "https") or url.port == 0:
            raise ValueError(dsn)
        client = _client(dsn, mask)
    except (ValueError, TypeError):  # most are of raven, and have the DSN in them
        raise Fatal(
            "SENTRY_DSN is not a valid DSN: copy it from the settings of the Sentry project;"
            " it looks like https://<key>:<secret>@sentry.io/<project>."
        ) from None
    client.sent.clear()
    return SentryHandler(client, level=logging.ERROR)  # type: ignore[no-any-return]


@functools.lru_cache(maxsize=1)
def _client(dsn: str, mask: Callable[[str], str]) -> _Client:
    """Makes the client of the process: raven keeps each that was ever made."""
    return _Client(
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


class _Transport(RequestsHTTPTransport):  # type: ignore[misc]
    """Sends events; raven's own trusts its own certificates only, and takes 4xx for success."""

    def send(self, url: str, data: bytes, headers: dict[str, str]) -> None:
        response = requests.post(
            url,
            data=data,
            headers=headers,
            verify=bool(self.verify_ssl),
            timeout=self.timeout,
            allow_redirects=False,  # the key and the event are for this host alone
            auth=lambda request: request,  # instead of what ~/.netrc has
        )
        response.raise_for_status()
        if response.status_code >= 300:
            raise requests.HTTPError(f"it answers with a redirect, {response.status_code}")


class _Client(raven.Client):  # type: ignore[misc]
    """Masks what it sends; a failure is one warning instead of raven's own traceback."""

    def __init__(self, dsn: str, *, mask: Callable[[str], str], **options: Any) -> None:
        super().__init__(dsn, **options)
        self._mask = mask
        self.sent: Counter[str] = Counter()

    def send(self, auth_header: str | None = None, **data: Any) -> None:
        source = data.get("logger", "")
        self.sent[source] += 1
        if self.sent[source] <= MAX_EVENTS:
            super().send(auth_header, **varmap(self._masked, data))
        elif self.sent[source] == MAX_EVENTS + 1:
            logger.warning(
                "%d errors of %s were sent to Sentry: further ones are not.", MAX_EVENTS, source
            )

    def _masked(self, _name: str | None, value: Any) -> Any:
        return self._mask(value) if isinstance(value, str) else value

    def _failed_send(self, exc: Exception, url: str, data: Any) -> None:
        reason = exc if isinstance(exc, requests.HTTPError) else type(exc).__name__
        logger.warning(
            "An error could not be sent to Sentry at %s (%s): check SENTRY_DSN.", url, reason
        )
        self.state.set_fail()

    def _log_failed_submission(self, data: Any) -> None:
        """Does nothing: the error is on stderr already."""
