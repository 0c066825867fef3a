"""The HTTP client of the archive and of its bucket: one session, retries, limits on everything.

aiohttp is imported with the first request: what finds all in its cache never needs it (0.1 s).
"""

from __future__ import annotations

import asyncio
import functools
import logging
import select
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeVar
from urllib.parse import quote

from . import MAX_BODY, USER_AGENT
from .errors import Fatal, Unreachable
from .retries import Retry, RetryableError, retry_after

if TYPE_CHECKING:
    import aiohttp
    from yarl import URL

#: After so many requests in a row that failed for good, the server counts as down.
GIVE_UP_AFTER = 12

#: Redirects that are followed one after the other.
MAX_REDIRECTS = 5

#: Seconds to get a connection; TIMEOUT_SECONDS is for the whole request.
CONNECT_SECONDS = 30

#: Statuses after which a request is retried, besides 5xx.
_TRANSIENT = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)

_REDIRECTS = (301, 302, 303, 307, 308)

T = TypeVar("T")

logger = logging.getLogger(__name__)


class InvalidContent(RetryableError):
    """The server responds, but not with what a response to this request contains."""


class Unreadable(Unreachable):
    """No attempt brought content that can be used, although the server responds."""


class _NotConnected(RetryableError):
    """There is no connection, so that the server knows nothing of the request."""


class Response(NamedTuple):
    """A response with its whole body."""

    status: int
    headers: Mapping[str, str]
    body: bytes  #: unpacked


class HttpClient:
    """An async context manager around one session with the server at ``url``.

    ``parallel`` requests run at the same time; each is tried ``retries`` times more after
    connection errors, unusable responses, 408, 429 and 5xx; ``timeout`` is in seconds, for one
    attempt from the connection to the last byte, and for the longest pause that the server may
    ask for. Proxies are taken from the environment. For messages: ``down`` says that there is no
    such server, and ``setting`` is the variable that has its address.
    """

    def __init__(
        self, url: str, *, down: str, setting: str, parallel: int, retries: int, timeout: float,
    ) -> None:  # fmt: skip
        self.url = url
        self.requests = 0  #: attempts so far
        self._down = down
        self._setting = setting
        self._parallel = parallel
        self._limit = asyncio.Semaphore(parallel)
        self._timeout = timeout
        self._connect_seconds = min(CONNECT_SECONDS, timeout)
        self._attempts = retries + 1
        self._failures_in_a_row = 0
        self._reached = False
        self._session: aiohttp.ClientSession | None = None
        self._proxy: dict[str, Any] = {}

    @functools.cached_property
    def _retry(self) -> Retry:
        return Retry(
            self._attempts,
            longest_pause=self._timeout,
            deadline=self._attempts * self._timeout,
            on_pause=lambda error, seconds: logger.debug(
                "%s: %s; trying again in %.1f s.", self.url, error, seconds
            ),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the session."""
        if self._session is not None:
            await self._session.close()

    async def request(
        self, method: str, path: str, parse: Callable[[Response], T], *,
        query: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None,
    ) -> T:  # fmt: skip
        """Returns what ``parse`` makes of the response to ``path`` (raw, below the client's URL).

        ``parse`` gets responses of any status but those that are retried. It may raise
        :class:`RetryableError` for another attempt, and :class:`Unreachable` for none.

        Raises :class:`Unreadable` if the last attempt ended in :class:`InvalidContent`, else
        :class:`Unreachable`, and :class:`Fatal` if many requests in a row do or if there
        never was a connection.
        """
        attempts = 0

        async def attempt() -> T:
            nonlocal attempts
            attempts += 1
            return parse(await self._attempt(method, path, query, headers))

        try:
            result = await self._retry.call_async(attempt)
        except (RetryableError, Unreachable) as error:
            times = "1 attempt" if attempts == 1 else f"{attempts} attempts"
            message = f"{self.url}{path}: {error} ({times})."
            if isinstance(error, InvalidContent):
                raise Unreadable(message) from None
            raise self._failure(message, error) from None
        self._failures_in_a_row = 0
        return result

    def _failure(self, message: str, error: Exception) -> Unreachable | Fatal:
        """Returns the error of a request that failed for good; that of the server if all do.

        A server to which there never was a connection is not asked for anything else.
        """
        self._failures_in_a_row += 1
        never = isinstance(error, _NotConnected) and not self._reached
        if self._failures_in_a_row < GIVE_UP_AFTER and not never:
            return Unreachable(message)
        return Fatal(f"{self._down}; check {self._setting} and the network. {message}")

    async def _attempt(
        self, method: str, path: str, query: Mapping[str, str] | None,
        headers: Mapping[str, str] | None,
    ) -> Response:  # fmt: skip
        import aiohttp
        from yarl import URL

        url = URL(self.url + quote(path, safe="/"), encoded=True)
        if query:
            url = url.with_query(query)
        try:
            async with self._limit, asyncio.timeout(self._timeout):
                self.requests += 1
                return await self._send(method, url, headers)
        except aiohttp.ClientConnectorError as error:
            # The server speaks plain HTTP: no retry changes that.
            if getattr(error.os_error, "reason", None) == "WRONG_VERSION_NUMBER":
                raise Fatal(
                    f"{self._down}; check {self._setting}: TLS failed, as the server at {self.url}"
                    " speaks plain HTTP; its address begins with http://."
                ) from None
            raise _NotConnected(str(error)) from None
        except aiohttp.ConnectionTimeoutError:
            raise _NotConnected(f"no connection in {self._connect_seconds:g} seconds") from None
        except TimeoutError:
            raise RetryableError(f"no response in {self._timeout:g} seconds") from None
        except aiohttp.ClientError as error:
            raise RetryableError(str(error) or type(error).__name__) from None

    async def _send(self, method: str, url: URL, headers: Mapping[str, str] | None) -> Response:
        for _ in range(MAX_REDIRECTS + 1):
            async with self._connected().request(
                method, url, headers=headers, allow_redirects=False, **self._proxy
            ) as response:
                self._reached = True
                status = response.status
                if status in _REDIRECTS:
                    url = self._redirected(url, response)
                    continue
                if status in _TRANSIENT or status >= 500:
                    raise RetryableError(f"HTTP {status}", retry_after(response.headers), status)
                return Response(status, response.headers, await self._body(response))
        raise Unreachable(f"more than {MAX_REDIRECTS} redirects")

    def _redirected(self, url: URL, response: aiohttp.ClientResponse) -> URL:
        """Returns where a redirect leads. Only the server itself is trusted with what it says."""
        from yarl import URL

        try:
            target = url.join(URL(response.headers.get("Location", "")))
        except ValueError:
            raise RetryableError("a redirect to an invalid URL") from None
        if target.origin() != url.origin():
            raise RetryableError(
                f"redirects to {target.origin()}, which is not followed: set {self._setting} to"
                " the address where it is"
            )
        return target

    async def _body(self, response: aiohttp.ClientResponse) -> bytes:
        """Reads the body, unpacked. Raises :class:`RetryableError` if it is too large."""
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > MAX_BODY:
                response.close()
                raise RetryableError(f"the response is larger than {MAX_BODY >> 20} MiB")
        return bytes(body)

    def _connected(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._proxy = _proxy(self.url)
            self._session = _open_session(self._parallel, self._connect_seconds)
        return self._session


def _open_session(limit: int, connect_seconds: float) -> aiohttp.ClientSession:
    import aiohttp

    class Connector(aiohttp.TCPConnector):
        """Looks for unread bytes when it takes a connection out of the pool, too.

        A response too many, sent in between, would answer the next request. It may also have
        come while the event loop was busy, and wait in the socket.
        """

        async def _get(self, *arguments: Any) -> Any:
            while True:
                connection: Any = await super()._get(*arguments)
                if connection is None or _is_quiet(connection.protocol):
                    return connection
                connection.close()

    return aiohttp.ClientSession(
        connector=Connector(limit=limit),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect_seconds),
        headers={"User-Agent": USER_AGENT},
    )


def _proxy(url: str) -> dict[str, Any]:
    """Returns the arguments that send a request through the environment's proxy for ``url``.

    aiohttp's own way (``trust_env``) takes a thread and longer than the rest of a request, and
    sends passwords of ``~/.netrc`` to the server.
    """
    from urllib.request import getproxies, proxy_bypass

    from yarl import URL

    target = URL(url)
    address = getproxies().get(target.scheme)
    if not address or proxy_bypass(target.host or ""):
        return {}
    return {"proxy": URL(address if "://" in address else f"http://{address}")}


def _is_quiet(protocol: Any) -> bool:
    """Tells if an idle connection has nothing to read, neither bytes nor its end."""
    if protocol.should_close:
        return False
    poll = select.poll()
    poll.register(protocol.transport.get_extra_info("socket"), select.POLLIN)
    return not poll.poll(0)
