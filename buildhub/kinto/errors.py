"""What a response of Kinto that can't be used means: try again, or report why it was rejected."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..errors import BuildhubError, Fatal, Unreachable
from ..retries import RetryableError, retry_after

if TYPE_CHECKING:
    import requests


class ServerError(Unreachable):
    """The server responds with 5xx to this request; to another one it may not."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class RequestRejected(BuildhubError):
    """Kinto responded with 4xx, and would do so again."""

    def __init__(self, request: str, status: int, body: Mapping[str, Any]) -> None:
        super().__init__(f"Kinto answered {status} to {request}: {reason_in(body)}.")
        self.status = status
        self.body = body


class CollectionFlushed(Fatal):
    """Records that were stored are gone, and were not deleted one by one."""


def failure(request: str, response: requests.Response) -> RetryableError | RequestRejected:
    """What a response with 4xx or 5xx means."""
    status = response.status_code
    if status >= 500 or status in (409, 429):
        return RetryableError(f"it answered {status}", retry_after(response.headers), status)
    try:
        body = response.json()
    except ValueError:
        body = {"message": response.reason}
    return RequestRejected(request, status, body)


def fatal_error(rejection: RequestRejected, url: str, collection: str) -> Fatal:
    """What to do about a rejection that concerns all of a collection (``bucket/collection``)."""
    status = rejection.status
    if status == 401:
        return Fatal(
            f"Kinto at {url} does not accept these credentials (401): give others with --auth or"
            " AUTH."
        )
    if status == 403:
        return Fatal(
            f"Kinto at {url} does not let these credentials write to {collection} (403): give"
            " others with --auth or AUTH."
        )
    if status == 404:
        return Fatal(
            f"Kinto at {url} has no collection {collection}: run latest-inventory-to-kinto, or"
            f" kinto-wizard load --server {url} --auth … jobs/initialization.yml."
        )
    return Fatal(f"{str(rejection).rstrip('.')} (at {url}).")


def reason_in(body: Any) -> str:
    """The server's own message in a rejection: one line of at most 300 characters."""
    words = ""
    if isinstance(body, Mapping):
        words = str(body.get("message") or body.get("error") or "")
    words = " ".join(words.split()) or "no reason given"
    return words if len(words) <= 300 else words[:297] + "…"
