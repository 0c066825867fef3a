"""The client of archive.mozilla.org: listings, files and sizes, each asked for once at a time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Generator
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from urllib.parse import quote

import backoff

from .. import USER_AGENT
from ..errors import Fatal, Unreachable

if TYPE_CHECKING:
    import aiohttp

#: Seconds to get a connection; TIMEOUT_SECONDS is for the whole request.
CONNECT_SECONDS = 30

#: So many requests in a row without an answer, each tried again as often as allowed: it is down.
GIVE_UP_AFTER = 12

#: Seconds of the longest pause between two tries, unless the server asks for more.
LONGEST_PAUSE = 30

T = TypeVar("T")


class File(NamedTuple):
    """A file as the archive knows it."""

    size: int  #: bytes; exact only from :meth:`Archive.head`
    date: str  #: last modification, in whole seconds: ``2017-03-07T12:07:51Z``


class Listing(NamedTuple):
    """A folder of the archive."""

    folders: tuple[str, ...]  #: names without the slash
    files: dict[str, str]  #: name → date of last modification


class _TryAgain(Exception):
    """An answer, or none, after which another try is worth it."""

    def __init__(self, reason: str, wait: float = 0) -> None:
        super().__init__(reason)
        self.wait = wait


class Archive:
    """An async context manager around one session.

    ``parallel`` requests run at the same time; each is tried ``retries`` times more after
    connection errors, 429 and 5xx; ``timeout`` is in seconds, for one request.
    """

    def __init__(self, url: str, *, parallel: int = 8, retries: int = 3, timeout: float = 300):
        self.url = url
        self._limit = asyncio.Semaphore(parallel)
        self._parallel = parallel
        self._retries = retries
        self._timeout = timeout
        self._flights: dict[tuple[str, str], asyncio.Task[Any]] = {}
        self._failures_in_a_row = 0
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Archive:
        return self

    def _connected(self) -> aiohttp.ClientSession:
        """The session. A run whose cache knows all never imports aiohttp: it takes 0.1 s."""
        import aiohttp

        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._parallel),
                timeout=aiohttp.ClientTimeout(
                    total=self._timeout, sock_connect=min(CONNECT_SECONDS, self._timeout)
                ),
                headers={"User-Agent": USER_AGENT},
            )
        return self._session

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
        """Give up requests that nobody waits for any more, so that nobody later joins them."""
        flights = list(self._flights.values())
        for flight in flights:
            flight.cancel()
        await asyncio.gather(*flights, return_exceptions=True)

    async def listing(self, folder: str) -> Listing | None:
        """The folder (raw key, ending in a slash), or None where there is none.

        Raises :class:`Unreachable` if the archive gives no proper listing, however often asked.
        """
        return await self._once("LIST", folder, _as_listing)

    async def document(self, key: str) -> bytes | None:
        """The content of a file, or None where there is none. Raises :class:`Unreachable`."""
        return await self._once("GET", key, _as_content)

    async def head(self, key: str) -> File | None:
        """Exact size and date of a file, or None where there is none.

        Raises :class:`Unreachable`.
        """
        return await self._once("HEAD", key, _as_file)

    async def _once(
        self, method: str, path: str, read: Callable[[aiohttp.ClientResponse], Awaitable[T]]
    ) -> T | None:
        """One flight a URL: whoever asks while it is in the air waits for the same answer."""
        name = (method, path)
        flight = self._flights.get(name)
        if flight is None:
            flight = asyncio.ensure_future(self._persistently(method, path, read))
            self._flights[name] = flight
            flight.add_done_callback(lambda _: self._flights.pop(name, None))
        answer: T | None = await asyncio.shield(flight)
        return answer

    async def _persistently(
        self, method: str, path: str, read: Callable[[aiohttp.ClientResponse], Awaitable[T]]
    ) -> T | None:
        attempt = backoff.on_exception(
            _pauses, _TryAgain, max_tries=self._retries + 1, jitter=None, logger=None
        )(self._request)
        try:
            answer: T | None = await attempt(method, path, read)
        except _TryAgain as error:
            self._failures_in_a_row += 1
            tries = f"asked {self._retries + 1} times" if self._retries else "asked once"
            message = f"{self.url}{path}: {error} ({tries})."
            if self._failures_in_a_row >= GIVE_UP_AFTER:
                raise Fatal(
                    f"The archive does not answer; check ARCHIVE_URL and the network. {message}"
                ) from None
            raise Unreachable(message) from None
        self._failures_in_a_row = 0
        return answer

    async def _request(
        self, method: str, path: str, read: Callable[[aiohttp.ClientResponse], Awaitable[T]]
    ) -> T | None:
        import aiohttp
        from yarl import URL

        url = URL(self.url + quote(path, safe="/"), encoded=True)
        # Exactly this: with any other the archive answers a folder with a page for people.
        headers = {"Accept": "application/json"} if method == "LIST" else {}
        if method == "HEAD":
            # The length of the object itself is wanted, not that of a compressed transfer.
            headers["Accept-Encoding"] = "identity"
        verb = "GET" if method == "LIST" else method
        try:
            async with self._limit:
                async with self._connected().request(verb, url, headers=headers) as response:
                    if response.status in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE):
                        return None
                    if response.status == HTTPStatus.TOO_MANY_REQUESTS or response.status >= 500:
                        raise _TryAgain(f"HTTP {response.status}", _retry_after(response))
                    if response.status != HTTPStatus.OK:
                        raise Unreachable(f"{self.url}{path}: HTTP {response.status}.")
                    return await read(response)
        except TimeoutError:
            raise _TryAgain(f"no answer in {self._timeout:g} seconds") from None
        except aiohttp.ClientError as error:
            raise _TryAgain(str(error) or type(error).__name__) from None


def _pauses() -> Generator[float, Any, None]:
    """Wait 0.5, 1, 2, … seconds between tries, or as long as the server asked for."""
    error = yield 0  # backoff primes its generators
    pause = 0.5
    while True:
        error = yield max(pause, error.wait)
        pause = min(pause * 2, LONGEST_PAUSE)


def _retry_after(response: aiohttp.ClientResponse) -> float:
    """Seconds of ``Retry-After``, at most five minutes; 0 where it is absent or a date."""
    text = response.headers.get("Retry-After", "")
    return min(float(text), 300) if text.isdecimal() else 0


async def _as_content(response: aiohttp.ClientResponse) -> bytes:
    return await response.read()


async def _as_file(response: aiohttp.ClientResponse) -> File:
    try:
        size = int(response.headers["Content-Length"])
        moment = parsedate_to_datetime(response.headers["Last-Modified"])
    except (KeyError, ValueError):
        raise _TryAgain("the answer has no Content-Length or no Last-Modified") from None
    return File(size, moment.strftime("%Y-%m-%dT%H:%M:%SZ"))


async def _as_listing(response: aiohttp.ClientResponse) -> Listing:
    try:
        content = json.loads(await response.read())
        return Listing(
            tuple(name.rstrip("/") for name in content["prefixes"]),
            {file["name"]: file["last_modified"] for file in content["files"]},
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise _TryAgain("the answer is no listing") from None
