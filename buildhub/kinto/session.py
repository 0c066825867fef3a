"""HTTP requests to Kinto: one deadline around all of each, and responses of bounded size."""

from __future__ import annotations

import functools
import logging
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urljoin, urlsplit

import kinto_http.exceptions
import kinto_http.session
import orjson
import requests
import requests.adapters

from .. import MAX_PAGE, USER_AGENT
from ..errors import Fatal, Unreachable
from ..retries import RetryableError
from ..signals import AbandonableCalls, CancellationToken

logger = logging.getLogger(__name__)

#: A running server accepts a connection within seconds, however long its responses take.
_CONNECT_SECONDS = 10

_CHUNK = 1 << 16

Response = tuple[Any, Mapping[str, str]]


class Session:
    """Sends requests with credentials, from as many threads as use it.

    A request takes at most ``timeout`` seconds, from the connection to the last byte. A stop of
    ``cancellation`` ends it, and a pause that the ``Backoff`` header asks for, within its grace.
    ``failure`` makes the error of a response with 4xx or 5xx.
    """

    def __init__(
        self,
        server_url: str,
        shown_url: str,
        auth: Any,
        timeout: float,
        cancellation: CancellationToken,
        failure: Callable[[str, requests.Response], Exception],
    ) -> None:
        self._new_session = functools.partial(
            kinto_http.session.create_session,
            server_url,
            auth,
            timeout=(min(_CONNECT_SECONDS, 0.9 * timeout), timeout),
            headers={"User-Agent": USER_AGENT},
        )
        self._shown_url = shown_url
        self._timeout = timeout
        self._cancellation = cancellation
        self._failure = failure
        self._calls = AbandonableCalls("kinto-request")
        self._workers = threading.local()
        self._reached = False

    def request(self, method: str, path: str, arguments: Mapping[str, Any]) -> Response:
        """Returns the decoded body and the headers; the body is None for HEAD and 304.

        Raises :class:`RetryableError`, :class:`RequestRejected` for a 4xx, :class:`Fatal` for
        an impossible URL, and :class:`Interrupted`.
        """
        try:
            response = self._when_allowed(method, path, arguments)
            self._reached = True
            return response
        except kinto_http.exceptions.KintoException as error:
            raise self._failure(f"{method} {path}", error.response) from None
        except TimeoutError:
            raise RetryableError("no response in time") from None
        except requests.exceptions.JSONDecodeError:
            raise RetryableError("its response is not JSON") from None
        except requests.RequestException as error:
            if isinstance(error, ValueError):  # InvalidURL and its like
                raise Fatal(
                    f"{self._shown_url} is not a URL: check --server or SERVER_URL."
                ) from None
            why = _why(error)
            if why.startswith("TLS failed") and not self._reached:  # no retry changes that
                raise Unreachable(f"Kinto at {self._shown_url}: {why}.") from None
            raise RetryableError(why) from None

    def _when_allowed(self, method: str, path: str, arguments: Mapping[str, Any]) -> Response:
        """Sends the request once the server's ``Backoff`` header allows it.

        It has a thread of its own, as ``requests`` limits the time of single reads only.
        """

        def send() -> Response:
            response: Response = self._session_of_thread().request(method, path, **arguments)
            return response

        while True:
            try:
                check = self._cancellation.raise_if_overdue
                return self._calls.call(send, self._timeout, check)
            except kinto_http.exceptions.BackoffException as error:
                if error.backoff > self._timeout:
                    raise Unreachable(
                        f"Kinto at {self._shown_url} asks for a pause of {error.backoff} s, which"
                        " is longer than TIMEOUT_SECONDS: try again later."
                    ) from None
                logger.info("Kinto asks for a pause of %d s.", error.backoff + 1)
                self._cancellation.sleep(error.backoff + 1)

    def _session_of_thread(self) -> kinto_http.session.Session:
        """Returns this thread's session: kinto_http's time of back-off is not safe to share."""
        session: kinto_http.session.Session | None = getattr(self._workers, "session", None)
        if session is None:
            session = self._workers.session = self._new_session()
            for scheme in ("http://", "https://"):
                session._session.mount(scheme, _BoundedAdapter())
        return session


class _Response(requests.Response):
    """Decodes JSON three times as fast as ``requests``."""

    def json(self, **kwargs: Any) -> Any:
        """Returns the decoded body; numbers of more than 64 bits become floats, as in Kinto."""
        try:
            return orjson.loads(self.content)
        except orjson.JSONDecodeError:  # NaN, another encoding: requests may know what to do
            pass
        try:
            return super().json(**kwargs)
        except (RecursionError, ValueError):  # nested too deep, a number of thousands of digits
            raise requests.exceptions.JSONDecodeError("not JSON", "", 0) from None


class _BoundedAdapter(requests.adapters.HTTPAdapter):
    """Reads a response whole, within bounds of time and size, and follows no other server."""

    def build_response(self, *args: Any) -> requests.Response:
        response = _Response()
        vars(response).update(vars(super().build_response(*args)))
        return response

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> Any:
        _, seconds = options["timeout"]
        deadline = time.monotonic() + seconds
        response = super().send(request, *args, **options | {"stream": True})
        try:
            _check_redirect(request, response)
            response._content = _body(response, deadline)
        except BaseException:
            response.close()  # its connection is not used again
            raise
        return response


def _check_redirect(request: requests.PreparedRequest, response: requests.Response) -> None:
    """Raises an error for a redirect to another server, which records must not be sent to."""
    if response.is_redirect:
        here = urlsplit(request.url or "")
        target = urlsplit(urljoin(here.geturl(), response.headers["Location"]))
        if (here.scheme, here.netloc) != (target.scheme, target.netloc):
            raise RetryableError(
                f"it redirects to {target.scheme}://{target.netloc}, which is not followed"
            )


def _body(response: requests.Response, deadline: float) -> bytes:
    chunks, size = [], 0
    for chunk in response.iter_content(_CHUNK):
        size += len(chunk)
        if size > MAX_PAGE:
            raise requests.exceptions.ContentDecodingError(
                f"its response is larger than {MAX_PAGE >> 20} MiB"
            )
        if time.monotonic() > deadline:
            raise requests.Timeout("no response in time")
        chunks.append(chunk)
    return b"".join(chunks)


def _why(error: BaseException) -> str:
    """Returns the innermost reason of a failed connection, such as ``Connection refused``."""
    if isinstance(error, requests.exceptions.ContentDecodingError):
        return str(error)
    timeout = isinstance(error, requests.Timeout)
    reason = "no response in time" if timeout else "the connection broke"
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, ssl.SSLCertVerificationError):
            return f"TLS failed: its certificate is not valid, {inner.verify_message}"
        if isinstance(inner, ssl.SSLError) or "handshake" in str(inner):
            return "TLS failed: if the server speaks plain HTTP, its address begins with http://"
        if isinstance(inner, OSError) and inner.strerror and not timeout:
            reason = str(inner.strerror)
        inner = inner.__cause__ or inner.__context__
    return reason
