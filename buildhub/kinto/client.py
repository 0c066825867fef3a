"""The one door to Kinto: a client with time limits, retries, and sentences for the operator."""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

import backoff
import kinto_http.exceptions
import kinto_http.session
import requests

from .. import USER_AGENT
from ..errors import Fatal, Unreachable
from .errors import RequestRejected, RetryableError, ServerError, failure, waits, why

logger = logging.getLogger(__name__)

#: Kinto's own default, for a server that does not tell its limit.
DEFAULT_BATCH_SIZE = 25

#: A server that lives takes a connection within seconds, however long its answer takes.
_CONNECT_SECONDS = 10


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
        self._wanted_batch_size = batch_size
        self._threads = threading.local()
        self._retrying = backoff.on_exception(
            lambda: waits(first_wait, longest=timeout),
            RetryableError,
            max_tries=retries + 1,
            jitter=lambda seconds: backoff.random_jitter(seconds) if first_wait >= 1 else seconds,
            on_backoff=self._log_wait,
            logger=None,
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
        validate: Callable[[Any], None] | None = None,
        anonymous: bool = False,
        retry: bool = True,
    ) -> tuple[Any, Mapping[str, str]]:
        """The decoded answer and its headers; the body is None for HEAD and 304.

        ``validate`` may look at the answer and raise :class:`Again`. Raises :class:`Refused` for
        a 4xx, and :class:`Unreachable` (or what ``validate`` raised, if it is a subclass of Again)
        where all retries failed.
        """
        arguments: dict[str, Any] = {"headers": headers}
        if body is not None:
            arguments["payload"] = dict(body)
        if anonymous:
            arguments["auth"] = _no_auth

        def once() -> tuple[Any, Mapping[str, str]]:
            answer = self._once(method, path, arguments)
            if validate:
                validate(answer[0])
            return answer

        try:
            result: tuple[Any, Mapping[str, str]] = (self._retrying(once) if retry else once)()
        except RetryableError as error:
            if type(error) is not RetryableError:
                raise
            # PostgreSQL takes no NUL in a text: Kinto answers 503 to the whole batch with it.
            kind = ServerError if error.status in (500, 503) else Unreachable
            raise kind(
                f"Kinto at {self.url} gives no proper answer ({error}): check that it is running,"
                " and --server or SERVER_URL."
            ) from None
        return result

    def pages(self, path: str, params: Mapping[str, Any]) -> Iterator[list[dict[str, Any]]]:
        """The objects of a list, a page at a time, for as long as the server has more.

        Whoever lets go of a page before asking for the next has only one in memory.
        """
        query = urlencode(params)
        while True:
            answer, headers = self.request("GET", f"{path}?{query}", validate=_validate_list)
            yield answer.pop("data")
            if not (following := headers.get("Next-Page")):
                return
            # Behind a proxy the server may not know its own address: only the query is taken.
            query = urlsplit(following).query

    @functools.cached_property
    def batch_size(self) -> int:
        """Requests in one batch: what was asked for, but no more than the server takes."""
        info, _ = self.request("GET", "/", validate=_validate_root)
        limit = int(info["settings"].get("batch_max_requests") or DEFAULT_BATCH_SIZE)
        return min(limit, self._wanted_batch_size or limit)

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

    def fatal(self, refusal: RequestRejected) -> Fatal:
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
            raise failure(f"{method} {path}", error.response) from None
        except (requests.exceptions.JSONDecodeError, RecursionError):
            raise RetryableError("its answer is not JSON") from None
        except (requests.ConnectionError, requests.Timeout) as error:
            raise RetryableError(why(error)) from None
        except requests.RequestException as error:
            if isinstance(error, ValueError):  # InvalidURL and its like
                raise Fatal(f"{self.url} is not a URL: check --server or SERVER_URL.") from None
            raise RetryableError(why(error)) from None
        except ValueError:  # a number of thousands of digits is no JSONDecodeError
            raise RetryableError("its answer is not JSON") from None
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


def _validate_root(answer: Any) -> None:
    if not isinstance(answer, dict) or not isinstance(answer.get("settings"), dict):
        raise RetryableError("what answers there is no Kinto")


def _validate_list(answer: Any) -> None:
    try:
        sound = all("id" in one and "last_modified" in one for one in answer["data"])
    except (KeyError, TypeError):
        sound = False
    if not sound:
        raise RetryableError("its answer is no list of records")
