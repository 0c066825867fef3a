"""The one door to Kinto: a client with time limits, retries, and sentences for the operator."""

from __future__ import annotations

import email.utils
import logging
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode, urlsplit

import backoff
import kinto_http.exceptions
import kinto_http.session
import requests

from .. import USER_AGENT
from ..errors import BuildhubError, Fatal, Unreachable
from ..settings import Settings

logger = logging.getLogger(__name__)

#: Kinto's own default, for a server that does not tell its limit.
DEFAULT_BATCH_SIZE = 25

#: A server that lives takes a connection within seconds, however long its answer takes.
_CONNECT_SECONDS = 10


class Again(Exception):
    """A request that is worth asking again: ``str()`` says why, ``wait`` when (in seconds)."""

    def __init__(self, reason: str, wait: float = 0) -> None:
        super().__init__(reason)
        self.wait = wait


class Refused(BuildhubError):
    """Kinto answered 4xx, and would answer the same if it were asked again."""

    def __init__(self, request: str, status: int, body: Mapping[str, Any]) -> None:
        super().__init__(f"Kinto answered {status} to {request}: {reason_in(body)}.")
        self.status = status
        self.body = body


class Client:
    """One collection on one Kinto server. Threads may share it.

    ``retries`` is how often a failed request is tried again, ``timeout`` how many seconds one
    may take, and also the longest wait that a server may ask for. The n-th wait is
    ``first_wait`` · 2ⁿ seconds or what ``Retry-After`` says, whichever is longer.
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
        first_wait: float = 1,
    ) -> None:
        parts = urlsplit(server_url)
        #: The server's address as it may be shown: without credentials.
        self.url = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        self.bucket = bucket
        self.collection = collection
        self.bucket_path = f"/buckets/{bucket}"
        self.collection_path = f"{self.bucket_path}/collections/{collection}"
        self.records_path = f"{self.collection_path}/records"
        self.timeout = timeout
        self._server_url = server_url
        self._auth = _credentials(auth)
        self._batch_size = batch_size
        self._threads = threading.local()
        self._retrying = backoff.on_exception(
            lambda: _waits(first_wait, longest=timeout),
            Again,
            max_tries=retries + 1,
            jitter=lambda seconds: backoff.random_jitter(seconds) if first_wait >= 1 else seconds,
            on_backoff=self._log_wait,
            logger=None,
        )

    @classmethod
    def from_settings(cls, settings: Settings) -> Client:
        """The client that the settings describe."""
        return cls(
            settings.server_url,
            settings.auth,
            settings.bucket,
            settings.collection,
            retries=settings.nb_retry_request,
            timeout=settings.timeout_seconds,
            batch_size=settings.batch_max_requests,
        )

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
        check: Callable[[Any], None] | None = None,
        anonymous: bool = False,
    ) -> tuple[Any, Mapping[str, str]]:
        """The decoded answer and its headers; the body is None for HEAD and 304.

        ``check`` may look at the answer and raise :class:`Again`. Raises :class:`Refused` for
        a 4xx, and :class:`Unreachable` (or what ``check`` raised, if it is a subclass of Again)
        where all retries failed.
        """
        arguments: dict[str, Any] = {"headers": headers}
        if body is not None:
            arguments["payload"] = dict(body)
        if anonymous:
            arguments["auth"] = _no_auth

        def once() -> tuple[Any, Mapping[str, str]]:
            answer = self._once(method, path, arguments)
            if check:
                check(answer[0])
            return answer

        try:
            result: tuple[Any, Mapping[str, str]] = self._retrying(once)()
        except Again as error:
            if type(error) is not Again:
                raise
            raise Unreachable(
                f"Kinto at {self.url} gives no proper answer ({error}): check that it is running,"
                " and --server or SERVER_URL."
            ) from None
        return result

    def pages(self, path: str, params: Mapping[str, Any]) -> Iterator[list[dict[str, Any]]]:
        """The objects of a list, a page at a time, for as long as the server has more."""
        query = urlencode(params)
        while True:
            answer, headers = self.request("GET", f"{path}?{query}", check=_check_list)
            yield answer["data"]
            if not (following := headers.get("Next-Page")):
                return
            # Behind a proxy the server may not know its own address: only the query is taken.
            query = urlsplit(following).query

    def batch_size(self) -> int:
        """Requests in one batch: what was asked for, but no more than the server takes."""
        info, _ = self.request("GET", "/", check=_check_root)
        limit = info["settings"].get("batch_max_requests") or DEFAULT_BATCH_SIZE
        return min(limit, self._batch_size or limit)

    def no_access(self, status: int) -> Fatal:
        """The sentence for a 401 or 403."""
        problem = (
            "does not accept these credentials"
            if status == 401
            else f"does not let these credentials write to {self.bucket}/{self.collection}"
        )
        return Fatal(f"Kinto at {self.url} {problem} ({status}): give others with --auth or AUTH.")

    def no_collection(self) -> Fatal:
        """The sentence for a 404."""
        return Fatal(
            f"Kinto at {self.url} has no collection {self.bucket}/{self.collection}: run"
            " latest-inventory-to-kinto, or kinto-wizard load --server"
            f" {self.url} --auth … jobs/initialization.yml."
        )

    def fatal(self, refusal: Refused) -> Fatal:
        """The sentence for a refusal that concerns the whole collection, not one record."""
        if refusal.status in (401, 403):
            return self.no_access(refusal.status)
        if refusal.status == 404:
            return self.no_collection()
        return Fatal(f"{str(refusal).rstrip('.')} (at {self.url}).")

    def _once(
        self, method: str, path: str, arguments: Mapping[str, Any]
    ) -> tuple[Any, Mapping[str, str]]:
        try:
            answer: tuple[Any, Mapping[str, str]] = self._when_allowed(method, path, arguments)
        except kinto_http.exceptions.KintoException as error:
            raise _failure(f"{method} {path}", error.response) from None
        except requests.exceptions.JSONDecodeError:
            raise Again("its answer is no JSON") from None
        except (requests.ConnectionError, requests.Timeout) as error:
            raise Again(_why(error)) from None
        except requests.RequestException as error:
            if isinstance(error, ValueError):  # InvalidURL and its like
                raise Fatal(f"{self.url} is no address of a Kinto: check --server.") from None
            raise Again(_why(error)) from None
        return answer

    def _when_allowed(self, method: str, path: str, arguments: Mapping[str, Any]) -> Any:
        """Send the request once the server's ``Backoff`` header allows it."""
        session = self._session()
        while True:
            try:
                return session.request(method, path, **arguments)
            except kinto_http.exceptions.BackoffException as error:
                if error.backoff > self.timeout:
                    raise Unreachable(
                        f"Kinto at {self.url} asks to be left alone for {error.backoff} s, which"
                        " is longer than TIMEOUT_SECONDS: try again later."
                    ) from None
                logger.info("Kinto asks to wait %d s before the next request.", error.backoff + 1)
                time.sleep(error.backoff + 1)

    def _session(self) -> kinto_http.session.Session:
        """This thread's session: kinto_http's moment of back-off is not safe to share."""
        session: kinto_http.session.Session | None = getattr(self._threads, "session", None)
        if session is None:
            session = self._threads.session = kinto_http.session.create_session(
                self._server_url,
                self._auth,
                timeout=(min(_CONNECT_SECONDS, self.timeout), self.timeout),
                headers={"User-Agent": USER_AGENT},
            )
        return session

    def _log_wait(self, details: Any) -> None:
        logger.info(
            "Kinto at %s: %s; asking again in %.1f s.",
            self.url, details["exception"], details["wait"],
        )  # fmt: skip


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


def _waits(first: float, longest: float) -> Generator[float, Any, None]:
    """backoff's protocol: it sends the exception and gets the seconds to wait."""
    error = yield 0
    while True:
        error = yield min(max(first, getattr(error, "wait", 0)), longest)
        first *= 2


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


def _failure(request: str, response: requests.Response) -> Again | Refused:
    """What an answer of 4xx or 5xx means."""
    status = response.status_code
    if status >= 500 or status in (409, 429):
        return Again(f"it answered {status}", retry_after(response.headers))
    try:
        body = response.json()
    except ValueError:
        body = {"message": response.reason}
    return Refused(request, status, body)


def _why(error: BaseException) -> str:
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


def _check_root(answer: Any) -> None:
    if not isinstance(answer, dict) or not isinstance(answer.get("settings"), dict):
        raise Again("what answers there is no Kinto")


def _check_list(answer: Any) -> None:
    if not isinstance(answer, dict) or not isinstance(answer.get("data"), list):
        raise Again("its answer is no list")
