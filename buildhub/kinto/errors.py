"""What an answer that is none, or a refusal, means: ask again, when, or what to tell."""

from __future__ import annotations

import email.utils
from collections.abc import Generator, Mapping
from datetime import UTC, datetime
from typing import Any

import requests

from ..errors import BuildhubError, Unreachable


class RetryableError(Exception):
    """A request that is worth asking again: ``str()`` says why, ``wait`` when (in seconds).

    ``status`` is the answer's, if there was one.
    """

    def __init__(self, reason: str, wait: float = 0, status: int | None = None) -> None:
        super().__init__(reason)
        self.wait = wait
        self.status = status


class ServerError(Unreachable):
    """The server answers, but fails at this request: at another one it may not."""


class RequestRejected(BuildhubError):
    """Kinto answered 4xx, and would answer the same if it were asked again."""

    def __init__(self, request: str, status: int, body: Mapping[str, Any]) -> None:
        super().__init__(f"Kinto answered {status} to {request}: {reason_in(body)}.")
        self.status = status
        self.body = body


def failure(request: str, response: requests.Response) -> RetryableError | RequestRejected:
    """What an answer of 4xx or 5xx means."""
    status = response.status_code
    if status >= 500 or status in (409, 429):
        return RetryableError(f"it answered {status}", retry_after(response.headers), status)
    try:
        body = response.json()
    except ValueError:
        body = {"message": response.reason}
    return RequestRejected(request, status, body)


def why(error: BaseException) -> str:
    """The innermost reason of a failed connection, such as ``Connection refused``."""
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    reason = "the connection broke"
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, OSError) and inner.strerror:
            reason = inner.strerror
        inner = inner.__cause__ or inner.__context__
    return reason


def reason_in(body: Any) -> str:
    """The server's own words in an answer that refuses; one line, cut where it is endless."""
    words = ""
    if isinstance(body, Mapping):
        words = str(body.get("message") or body.get("error") or "")
    words = " ".join(words.split()) or "no reason given"
    return words if len(words) <= 300 else words[:297] + "…"


def retry_after(headers: Mapping[str, str]) -> float:
    """Seconds that a ``Retry-After`` header asks for, in either of its forms; else 0."""
    text = headers.get("Retry-After", "").strip()
    if text.isdecimal():
        return float(text)
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return 0
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0, (moment - datetime.now(UTC)).total_seconds())


def waits(first: float, longest: float) -> Generator[float, Any, None]:
    """backoff's protocol: it sends the exception and gets the seconds to wait."""
    error = yield 0
    while True:
        error = yield min(max(first, getattr(error, "wait", 0)), longest)
        first *= 2
