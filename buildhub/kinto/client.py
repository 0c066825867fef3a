"""The client of one Kinto collection: retries, pages of records, and errors that say what to do."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from ..errors import BuildhubError, Fatal, Unreachable
from ..retries import Retry, RetryableError, retry_after
from ..signals import CancellationToken
from .filters import quoted

if TYPE_CHECKING:
    import requests

    from .session import Response, Session

logger = logging.getLogger(__name__)

#: Where the package has it, for messages.
_INITIALIZATION = Path(__file__).parents[1] / "initialization.yml"

#: Kinto's own default, for a server that does not say what its limit is.
DEFAULT_BATCH_SIZE = 25

#: Records in one page: some 40 MB for a moment. Smaller pages are slower.
PAGE_SIZE = 10_000

#: Seconds of the longest pause after a conflict with another writer.
_LONGEST_PAUSE = 2.0

#: A record as Kinto returns it: with ``last_modified``, and ``schema`` if it was validated.
StoredData = dict[str, Any]


class ServerError(Unreachable):
    """The server responds with 500 or 503 to this request; to another one it may not."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class RequestRejected(BuildhubError):
    """Kinto responded with 4xx, and would do so again. ``request`` is ``GET /path``."""

    def __init__(self, request: str, status: int, body: Any) -> None:
        super().__init__(f"Kinto answered {status} to {request}: {reason_in(body)}.")
        self.reads = request.startswith(("GET", "HEAD"))
        self.status = status
        self.body = body


class Conflict(Exception):
    """Kinto responded with 409: another writer was faster. ``str()`` says to what."""

    status = 409


class Client:
    """One collection on one Kinto server. Threads may share it.

    ``auth`` is ``user:password`` or ``Bearer`` and a token; None: anonymous. A request takes at
    most ``timeout`` seconds; one that fails is tried ``retries`` times more, one that meets other
    writers for as long as these may take, after short pauses. ``timeout`` is also the longest pause
    that the server may ask for. After a stop, requests and pauses end within the grace of
    ``cancellation``, in :class:`Interrupted`.
    """

    def __init__(
        self,
        server_url: str,
        auth: str | None,
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
        self.failed_batches = 0  #: in a row, of all its publishers
        self._wanted_batch_size = batch_size
        self._anonymous = auth is None
        self._cancellation = cancellation = cancellation or CancellationToken()
        self._session_of = (server_url, self.url, _credentials(auth), timeout, cancellation)
        common: dict[str, Any] = {
            "deadline": (retries + 1) * timeout,
            "sleep": cancellation.sleep,
            "on_pause": self._log_pause,
        }
        self._retry = Retry(retries + 1, first_pause=first_pause, longest_pause=timeout, **common)
        self._retry_conflicts = Retry(
            1_000_000 if retries else 1,  # until the deadline
            errors=Conflict,
            first_pause=first_pause / 4,
            longest_pause=_LONGEST_PAUSE,
            **common,
        )

    @functools.cached_property
    def _session(self) -> Session:
        # kinto_http and requests take 0.1 s to import, which a client without requests does not
        # need: most events of the archive's bucket are about files that are not builds.
        from .session import Session

        return Session(*self._session_of, _failure)

    @property
    def target(self) -> str:
        """Returns the address of the collection, which no other has."""
        return self.url + self.collection_path

    def request(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        validate: Callable[[Any], object] | None = None,
        anonymous: bool = False,
        retry: bool = True,
    ) -> Response:
        """Returns the decoded body of the response and its headers; no body for HEAD and 304.

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
            if not retry:
                return attempt()
            return self._retry_conflicts.call(lambda: self._retry.call(attempt))
        except (RetryableError, Conflict) as error:
            if type(error) not in (RetryableError, Conflict):
                raise
            raise self.unreachable(error) from None

    def read(self, method: str, path: str, **options: Any) -> Response:
        """Requests what concerns the whole collection: raises :class:`Fatal` for a rejection."""
        try:
            return self.request(method, path, **options)
        except RequestRejected as error:
            raise self.fatal(error) from None

    def pages(
        self, params: Mapping[str, str], *, after: str = "", page_size: int = PAGE_SIZE
    ) -> Iterator[list[StoredData]]:
        """Yields the collection's records that ``params`` choose, a page at a time, by their ids.

        An id never changes, unlike ``last_modified``: a record that exists from the beginning to
        the end of the reading comes exactly once, whatever is written meanwhile. The first id is
        that behind ``after``. To hold only one page in memory, drop it before asking for the next.
        Raises :class:`Fatal` where the collection can't be read, :class:`Unreachable`, and after a
        stop :class:`Interrupted` in place of a further page.
        """
        query = {"_sort": "id", "_limit": str(page_size), **params}
        more = True
        while more:
            if after:
                query["gt_id"] = quoted(after)
            path = f"{self.records_path}?{urlencode(query)}"
            body, headers = self.read("GET", path, validate=validate_page)
            more = "Next-Page" in headers
            previous, after = after, body["data"][-1]["id"] if body["data"] else after
            if more and after <= previous:
                raise Fatal(
                    f"Kinto at {self.url} sends the same page of records again: a cache in front of"
                    " it seems to ignore the query of an address; make it keep each query apart, or"
                    " give the server's own address with --server or SERVER_URL."
                )
            yield body.pop("data")
            if more:
                self._cancellation.raise_if_cancelled()

    @functools.cached_property
    def batch_size(self) -> int:
        """Requests in one batch: what was asked for, but not more than the server accepts."""
        limit = int(self._root["settings"].get("batch_max_requests") or DEFAULT_BATCH_SIZE)
        return min(limit, self._wanted_batch_size or limit)

    def check_credentials(self) -> None:
        """Raises :class:`Fatal` if the server is no Kinto, or does not know the user."""
        if "user" not in self._root:
            raise self._not_accepted(401)

    @functools.cached_property
    def _root(self) -> dict[str, Any]:
        """Returns what the server says of itself to all; ``user`` if it accepts the credentials."""
        try:
            return self.request("GET", "/", validate=_validate_root)[0]  # type: ignore[no-any-return]
        except RequestRejected as error:
            if error.status in (401, 403):
                # Kinto shows its root to everybody, so a proxy may have rejected it.
                raise self._not_accepted(error.status) from None
            raise Fatal(
                f"{self.url} is not a Kinto, or a proxy denies access to it (it answered"
                f" {error.status}): check --server or SERVER_URL."
            ) from None

    def without_unknown(self, data: Mapping[str, Any]) -> Mapping[str, Any]:
        """Returns a record without the file's sum if the server's schema does not know that."""
        download = data.get("download")
        if not isinstance(download, dict) or "sha256" not in download or self._knows_sums:
            return data
        return {**data, "download": {k: v for k, v in download.items() if k != "sha256"}}

    @functools.cached_property
    def _knows_sums(self) -> bool:
        try:
            schema = self.request("GET", self.collection_path)[0]["data"]["schema"]
            download = schema["properties"]["download"]
        except (RequestRejected, KeyError, TypeError):  # no schema, which is to allow everything
            return True
        if "sha256" in download["properties"] or download.get("additionalProperties") is not False:
            return True
        logger.warning(
            "The schema of %s/%s at %s does not know download.sha256 yet: sums are left out. Run"
            " latest-inventory-to-kinto, or kinto-wizard load, to update it.",
            self.bucket, self.collection, self.url,
        )  # fmt: skip
        return False

    def fatal(self, rejection: RequestRejected) -> Fatal:
        """Returns the error for a rejection that concerns the whole collection."""
        collection = f"{self.bucket}/{self.collection}"
        who, other = ("anonymous users", "") if self._anonymous else ("these credentials", "other ")
        match rejection.status:
            case 401 if not self._anonymous:
                return self._not_accepted(401)
            case 401 | 403 if rejection.reads:
                # Kinto answers the same whether a bucket is private or does not exist.
                problem = (
                    f"does not let {who} read {collection}, if that exists ({rejection.status}):"
                    f" check --server, --bucket and --collection, or give {other}credentials with"
                    " --auth or AUTH"
                )
            case 403:
                problem = (
                    f"does not let these credentials write to {collection} (403): give others with"
                    " --auth or AUTH"
                )
            case 404:
                _ = self._root  # raises a better error if this is no Kinto at all
                problem = (
                    f"has no collection {collection}: run latest-inventory-to-kinto, or"
                    f" kinto-wizard load --server {self.url} --auth … {_INITIALIZATION}, or"
                    " check --server, --bucket and --collection"
                )
            case _:
                return Fatal(f"{str(rejection).rstrip('.')} (at {self.url}).")
        return Fatal(f"Kinto at {self.url} {problem}.")

    def _not_accepted(self, status: int) -> Fatal:
        return Fatal(
            f"Kinto at {self.url} does not accept these credentials ({status}): give others with"
            " --auth or AUTH."
        )

    def unreachable(self, error: RetryableError | Conflict) -> Unreachable:
        """Returns the error for a request of which no attempt had a proper answer."""
        cure = "check that it is running, and --server or SERVER_URL"
        if error.status:
            cure = "try again later"
        message = f"Kinto at {self.url} gives no proper answer ({error}): {cure}."
        # PostgreSQL accepts no NUL in a text: Kinto answers 503 to the whole batch with it.
        if error.status in (500, 503):
            return ServerError(message, error.status)
        return Unreachable(message)

    def _log_pause(self, error: Exception, seconds: float) -> None:
        logger.info("Kinto at %s: %s; trying again in %.1f s.", self.url, error, seconds)


def reason_in(body: Any) -> str:
    """Returns the server's own message in a rejection: one line of at most 300 characters."""
    words = ""
    if isinstance(body, Mapping):
        words = str(body.get("message") or body.get("error") or "")
    words = " ".join(words.split()) or "no reason given"
    return words if len(words) <= 300 else words[:297] + "…"


def _failure(request: str, response: requests.Response) -> Exception:
    status = response.status_code
    if status == 409:
        return Conflict("it answered 409")
    if status >= 500 or status == 429:
        return RetryableError(f"it answered {status}", retry_after(response.headers), status)
    try:
        body = response.json()
    except ValueError:
        body = {"message": response.reason}
    return RequestRejected(request, status, body)


def _credentials(auth: str | None) -> Any:
    """Returns what kinto_http takes as ``auth``; bytes, so that any password can be sent."""
    if auth is None:
        return _no_auth
    user, colon, password = auth.partition(":")
    return (user.encode(), password.encode()) if colon else auth


def _no_auth(request: Any) -> Any:
    """Adds nothing: without any ``auth``, requests would send what ~/.netrc has."""
    return request


def _validate_root(body: Any) -> None:
    if not isinstance(body, dict) or not isinstance(body.get("settings"), dict):
        raise RetryableError("this server is not a Kinto")


def validate_page(body: Any) -> None:
    """Raises :class:`RetryableError` unless a response's body is a list of records."""
    try:
        valid = all(
            isinstance(one["id"], str) and isinstance(one["last_modified"], int)
            for one in body["data"]
        )
    except (KeyError, TypeError):
        valid = False
    if not valid:
        raise RetryableError("its response is not a list of records")
