"""The client of one Kinto collection: retries, pages, and messages that say what to do."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from ..errors import Fatal, Unreachable
from ..retries import Retry, RetryableError
from ..signals import CancellationToken
from .errors import RequestRejected, ServerError, fatal_error

if TYPE_CHECKING:
    from .session import Response, Session

logger = logging.getLogger(__name__)

#: Kinto's own default, for a server that does not say what its limit is.
DEFAULT_BATCH_SIZE = 25


class Client:
    """One collection on one Kinto server. Threads may share it.

    A request takes at most ``timeout`` seconds; one that fails is tried ``retries`` times more.
    ``timeout`` is also the longest pause that the server may ask for. ``first_pause`` is that
    of :class:`Retry`. After a stop, requests and pauses end within the grace of
    ``cancellation``, in :class:`Interrupted`.
    """

    def __init__(
        self,
        server_url: str,
        auth: str,
        bucket: str,
        collection: str,
        *,
        retries: int = 3,
        timeout: float = 300,
        batch_size: int | None = None,
        first_pause: float = 1,
        cancellation: CancellationToken | None = None,
    ) -> None:
        parts = urlsplit(server_url)
        #: The server's address as it may be shown: without credentials.
        self.url = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        self.bucket = bucket
        self.collection = collection
        self.bucket_path = f"/buckets/{bucket}"
        self.collection_path = f"{self.bucket_path}/collections/{collection}"
        self.records_path = f"{self.collection_path}/records"
        self._wanted_batch_size = batch_size
        cancellation = cancellation or CancellationToken()
        self._session_options: dict[str, Any] = {
            "server_url": server_url,
            "shown_url": self.url,
            "auth": _credentials(auth),
            "timeout": timeout,
            "cancellation": cancellation,
        }
        self._retry = Retry(
            retries + 1,
            first_pause=first_pause,
            longest_pause=timeout,
            deadline=(retries + 1) * timeout,
            sleep=cancellation.sleep,
            on_pause=self._log_pause,
        )

    @functools.cached_property
    def _session(self) -> Session:
        # kinto_http and requests take 0.1 s to import, which a client without requests does not
        # need: most events of the archive's bucket are about files that are not builds.
        from .session import Session

        return Session(**self._session_options)

    @property
    def target(self) -> str:
        """What tells this collection from every other, anywhere."""
        return self.url + self.collection_path

    def request(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        validate: Callable[[Any], None] | None = None,
        anonymous: bool = False,
        retry: bool = True,
    ) -> Response:
        """The decoded body of the response and its headers; the body is None for HEAD and 304.

        ``validate`` may look at the body and raise :class:`RetryableError`. Raises
        :class:`RequestRejected` for a 4xx, and :class:`Unreachable` if no attempt succeeded (or
        what ``validate`` raised, if it is a subclass of RetryableError).
        """
        arguments: dict[str, Any] = {"headers": headers}
        if body is not None:
            arguments["payload"] = dict(body)
        if anonymous:
            arguments["auth"] = _no_auth

        def attempt() -> Response:
            response = self._session.request(method, path, arguments)
            if validate:
                validate(response[0])
            return response

        try:
            return self._retry.call(attempt) if retry else attempt()
        except RetryableError as error:
            if type(error) is not RetryableError:
                raise
            raise self._unreachable(error) from None

    def pages(self, path: str, params: Mapping[str, Any]) -> Iterator[list[dict[str, Any]]]:
        """The objects of a list, one page at a time, for as long as the server has more.

        To hold only one page in memory, drop it before asking for the next.
        """
        query = urlencode(params)
        while True:
            body, headers = self.request("GET", f"{path}?{query}", validate=validate_list)
            yield body.pop("data")
            if not (next_page := headers.get("Next-Page")):
                return
            # Behind a proxy the server may not know its own address: only the query is taken.
            query = urlsplit(next_page).query

    @functools.cached_property
    def batch_size(self) -> int:
        """Requests in one batch: what was asked for, but not more than the server accepts."""
        try:
            info, _ = self.request("GET", "/", validate=_validate_root)
        except RequestRejected as error:
            raise self._root_rejected(error) from None
        limit = int(info["settings"].get("batch_max_requests") or DEFAULT_BATCH_SIZE)
        return min(limit, self._wanted_batch_size or limit)

    def fatal(self, rejection: RequestRejected) -> Fatal:
        """The error for a rejection that concerns the whole collection, not one record."""
        return fatal_error(rejection, self.url, f"{self.bucket}/{self.collection}")

    def _root_rejected(self, rejection: RequestRejected) -> Fatal:
        """Kinto shows its root to everybody: who rejects the request may be a proxy."""
        if rejection.status in (401, 403):
            return self.fatal(rejection)
        return Fatal(
            f"{self.url} is not a Kinto, or a proxy denies access to it (it answered"
            f" {rejection.status}): check --server or SERVER_URL."
        )

    def _unreachable(self, error: RetryableError) -> Unreachable:
        message = (
            f"Kinto at {self.url} gives no proper answer ({error}): check that it is running,"
            " and --server or SERVER_URL."
        )
        # PostgreSQL accepts no NUL in a text: Kinto answers 503 to the whole batch with it.
        return (
            ServerError(message, error.status)
            if error.status in (500, 503)
            else Unreachable(message)
        )

    def _log_pause(self, error: Exception, seconds: float) -> None:
        logger.info("Kinto at %s: %s; trying again in %.1f s.", self.url, error, seconds)


def _credentials(auth: str) -> Any:
    """What kinto_http takes as ``auth``; bytes, so that any password can be sent."""
    if ":" in auth:
        user, password = auth.split(":", 1)
        return user.encode(), password.encode()
    if auth.lower().startswith(("bearer ", "basic ")):
        return auth
    raise Fatal("AUTH must be user:password (or Bearer and a token): check --auth or AUTH.")


def _no_auth(request: Any) -> Any:
    return request


def _validate_root(body: Any) -> None:
    if not isinstance(body, dict) or not isinstance(body.get("settings"), dict):
        raise RetryableError("this server is not a Kinto")


def validate_list(body: Any) -> None:
    """Raise :class:`RetryableError` unless a response's body is a list of records."""
    try:
        valid = all(
            isinstance(one["id"], str) and isinstance(one["last_modified"], int)
            for one in body["data"]
        )
    except (KeyError, TypeError):
        valid = False
    if not valid:
        raise RetryableError("its response is not a list of records")
