"""The HTTP client of the archive: listings, files and sizes, each requested once at a time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from ..errors import Fatal, Unreachable
from ..retries import Retry, RetryableError, retry_after
from .connections import open_session
from .responses import (
    File,
    FolderContents,
    IncompleteListing,
    InvalidContent,
    read_content,
    read_file,
    read_listing,
)

if TYPE_CHECKING:
    import aiohttp
    from yarl import URL

__all__ = ["Archive", "File", "FolderContents", "InvalidContent", "Unreadable"]

logger = logging.getLogger(__name__)

#: After so many requests in a row that failed for good, the archive counts as down.
GIVE_UP_AFTER = 12

#: Redirects that are followed one after the other.
MAX_REDIRECTS = 5

#: Seconds of the longest pause between two attempts, unless the server asks for more.
LONGEST_PAUSE = 30

T = TypeVar("T")

_Read = Callable[["aiohttp.ClientResponse"], Awaitable[T]]


class Unreadable(Unreachable):
    """There is a file, but no attempt brought its content."""


class Archive:
    """An async context manager around one session.

    ``parallel`` requests run at the same time; each is tried ``retries`` times more after
    connection errors, unreadable responses, 429 and 5xx; ``timeout`` is in seconds, for one
    attempt from the connection to the last byte, and for the longest pause that the server may
    ask for. Proxies are taken from the environment.
    """

    def __init__(self, url: str, *, parallel: int = 8, retries: int = 3, timeout: float = 300):
        self.url = url
        self._limit = asyncio.Semaphore(parallel)
        self._parallel = parallel
        self._timeout = timeout
        self._retry = Retry(
            retries + 1,
            longest_pause=timeout,
            deadline=(retries + 1) * timeout,
            on_pause=lambda error, seconds: logger.debug(
                "Archive: %s; trying again in %.1f s.", error, seconds
            ),
        )
        self._requests: dict[tuple[str, str], asyncio.Task[Any]] = {}
        self._failures_in_a_row = 0
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Archive:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.abandon()
        if self._session is not None:
            await self._session.close()

    async def abandon(self) -> None:
        """Cancel the requests that are not awaited any more, so that no later call joins them."""
        requests = list(self._requests.values())
        for request in requests:
            request.cancel()
        await asyncio.gather(*requests, return_exceptions=True)

    async def listing(self, folder: str) -> FolderContents | None:
        """The folder (raw key, ending in a slash), or None if there is none.

        If no attempt brought a complete listing, an incomplete one is returned. Raises
        :class:`Unreachable` if there was none either.
        """
        return await self._shared("LIST", folder, read_listing)

    async def document(
        self, key: str, check: Callable[[bytes], object] = lambda content: None
    ) -> bytes | None:
        """The content of a file, or None if there is none.

        ``check`` may raise :class:`InvalidContent`, for another attempt. Raises
        :class:`Unreadable` if the last attempt brought such content, else :class:`Unreachable`.
        """

        async def read(response: aiohttp.ClientResponse) -> bytes:
            content = await read_content(response)
            check(content)
            return content

        return await self._shared("GET", key, read)

    async def head(self, key: str) -> File | None:
        """Exact size and date of a file, or None if there is none. Raises :class:`Unreachable`."""
        return await self._shared("HEAD", key, read_file)

    async def _shared(self, method: str, path: str, read: _Read[T]) -> T | None:
        """One request per URL: calls that ask for it while it runs share the response."""
        name = (method, path)
        request = self._requests.get(name)
        if request is None:
            request = asyncio.ensure_future(self._with_retries(method, path, read))
            self._requests[name] = request
            request.add_done_callback(lambda _: self._requests.pop(name, None))
        result: T | None = await asyncio.shield(request)
        return result

    async def _with_retries(self, method: str, path: str, read: _Read[T]) -> T | None:
        attempts = 0

        async def attempt() -> T | None:
            nonlocal attempts
            attempts += 1
            return await self._attempt(method, path, read)

        result: Any
        try:
            result = await self._retry.call_async(attempt)
        except IncompleteListing as error:
            result = error.listing
        except InvalidContent as error:
            raise Unreadable(f"{self.url}{path}: {error} ({_times(attempts)}).") from None
        except RetryableError as error:
            raise self._failure(f"{self.url}{path}: {error} ({_times(attempts)}).") from None
        except Unreachable as error:
            raise self._failure(str(error)) from None
        self._failures_in_a_row = 0
        done: T | None = result
        return done

    def _failure(self, message: str) -> Unreachable | Fatal:
        """The error of a request that failed for good; that of the archive if all do."""
        self._failures_in_a_row += 1
        if self._failures_in_a_row < GIVE_UP_AFTER:
            return Unreachable(message)
        return Fatal(f"The archive does not answer; check ARCHIVE_URL and the network. {message}")

    async def _attempt(self, method: str, path: str, read: _Read[T]) -> T | None:
        import aiohttp

        try:
            async with self._limit, asyncio.timeout(self._timeout):
                return await self._send(method, path, read)
        except TimeoutError:
            raise RetryableError(f"no response in {self._timeout:g} seconds") from None
        except aiohttp.ClientError as error:
            raise RetryableError(str(error) or type(error).__name__) from None

    async def _send(self, method: str, path: str, read: _Read[T]) -> T | None:
        from yarl import URL

        url = URL(self.url + quote(path, safe="/"), encoded=True)
        for _ in range(MAX_REDIRECTS + 1):
            async with self._connected().request(
                "GET" if method == "LIST" else method,
                url,
                headers=_HEADERS.get(method),
                allow_redirects=False,
            ) as response:
                if response.status in _REDIRECTS:
                    url = _redirected(url, response)
                    continue
                return await read(response) if _is_there(f"{self.url}{path}", response) else None
        raise Unreachable(f"{self.url}{path}: more than {MAX_REDIRECTS} redirects.")

    def _connected(self) -> aiohttp.ClientSession:
        """The session, opened with the first request."""
        if self._session is None:
            self._session = open_session(self._parallel, self._timeout)
        return self._session


_REDIRECTS = (301, 302, 303, 307, 308)

_HEADERS = {
    # Exactly this: with any other the archive answers a folder with an HTML page.
    "LIST": {"Accept": "application/json"},
    # The length of the object itself is wanted, not that of a compressed transfer.
    "HEAD": {"Accept-Encoding": "identity"},
}


def _times(attempts: int) -> str:
    return "1 attempt" if attempts == 1 else f"{attempts} attempts"


def _redirected(url: URL, response: aiohttp.ClientResponse) -> URL:
    """Where a redirect leads. Only the archive itself is trusted with what it says."""
    from yarl import URL

    try:
        target = url.join(URL(response.headers.get("Location", "")))
    except ValueError:
        raise RetryableError("a redirect to an invalid URL") from None
    if target.origin() != url.origin():
        raise Unreachable(
            f"{url}: redirects to {target.origin()}, which is not followed: set ARCHIVE_URL"
            " to the address where the archive is."
        )
    return target


def _is_there(url: str, response: aiohttp.ClientResponse) -> bool:
    """False for 404; raises unless the response is the file or folder itself."""
    status = response.status
    if status in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE):
        return False
    if status == HTTPStatus.TOO_MANY_REQUESTS or status >= 500:
        raise RetryableError(f"HTTP {status}", retry_after(response.headers), status)
    if status != HTTPStatus.OK:
        raise Unreachable(f"{url}: HTTP {status}.")
    return True
