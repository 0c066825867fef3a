"""The client of a Google Cloud Storage bucket that anybody may list: one page a request.

aiohttp and orjson rather than google-cloud-storage: that one makes an object of each item, at
70,000 rows per second of a core, its listings block, and importing it takes half a second.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from http import HTTPStatus
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote
from urllib.request import getproxies

import orjson

from .. import MAX_BODY, USER_AGENT
from ..errors import Fatal, Unreachable
from ..retries import Retry, RetryableError, retry_after

if TYPE_CHECKING:
    import aiohttp

#: Where Google Cloud Storage is, unless STORAGE_EMULATOR_HOST says otherwise.
GOOGLE = "https://storage.googleapis.com"

#: Seconds to get a connection; TIMEOUT_SECONDS is for the whole request.
CONNECT_SECONDS = 30

#: So many pages in a row that stay unreadable: the service is down.
GIVE_UP_AFTER = 12

#: The fields of a page that are requested.
_FIELDS = "nextPageToken,prefixes,items(name,size,timeCreated,md5Hash)"

#: All that sizes and dates are made of.
_NUMERIC = b"0123456789-T:.Z"

#: Statuses after which a request is retried, besides 5xx.
_PASSING = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)


class Page(NamedTuple):
    """One page of a listing, in the order of the names' bytes."""

    items: list[dict[str, str]]  #: with ``name``, ``size``, ``timeCreated`` and ``md5Hash``
    folders: list[str]  #: whole names, each ending in a slash
    token: str | None  #: what asks for the next page; None on the last


class Bucket:
    """An async context manager around one session.

    ``host`` is the service's URL, ``parallel`` the most connections; each request is tried
    ``retries`` times more after connection errors, unreadable answers, 429 and 5xx;
    ``timeout`` is in seconds, for one attempt.
    """

    def __init__(
        self, name: str, *, host: str = GOOGLE, parallel: int = 16, retries: int = 3,
        timeout: float = 300,
    ) -> None:  # fmt: skip
        self.name = name
        self.requests = 0  #: attempts so far
        self._url = f"{host}/storage/v1/b/{quote(name, safe='')}/o"
        self._parallel = parallel
        self._timeout = timeout
        self._failures_in_a_row = 0
        self._session: aiohttp.ClientSession | None = None
        self._retry = Retry(retries + 1)

    async def __aenter__(self) -> Bucket:
        import aiohttp  # takes 0.1 s, which ``--help`` does not need

        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._parallel),
            timeout=aiohttp.ClientTimeout(
                total=self._timeout, sock_connect=min(CONNECT_SECONDS, self._timeout)
            ),
            # Google compresses only for clients that have "gzip" in their name as well.
            headers={"User-Agent": f"{USER_AGENT} (gzip)"},
            # Looking the proxy up for each request costs as much as the request itself.
            trust_env=bool(getproxies()),
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def objects(
        self, prefix: str, start: str, end: str, token: str | None = None, at_most: int = 1000
    ) -> Page:
        """A page of the objects below ``prefix`` from ``start`` (inclusive) to ``end`` (exclusive).

        Raises :class:`Unreachable` if the page stays unreadable however often it is tried,
        :class:`Fatal` if the bucket can't be listed at all.
        """
        parameters = {"prefix": prefix, "startOffset": start, "endOffset": end}
        return await self._page(parameters | {"maxResults": str(at_most), "fields": _FIELDS}, token)

    async def folders(
        self, prefix: str, start: str = "", end: str = "", token: str | None = None
    ) -> Page:
        """A page of the folders in the folder ``prefix``; raises as :meth:`objects` does."""
        parameters = {"prefix": prefix, "delimiter": "/", "maxResults": "1000", "fields": _FIELDS}
        offsets = {"startOffset": start, "endOffset": end}
        return await self._page(parameters | {k: v for k, v in offsets.items() if v}, token)

    async def _page(self, parameters: Mapping[str, str], token: str | None) -> Page:
        request = {**parameters, "pageToken": token} if token else parameters
        try:
            page = await self._retry.call_async(partial(self._request, request))
        except RetryableError as error:
            self._failures_in_a_row += 1
            attempts = self._retry.attempts
            tries = f"{attempts} attempts" if attempts > 1 else "1 attempt"
            if self._failures_in_a_row >= GIVE_UP_AFTER:
                raise Fatal(
                    f"The bucket {self.name} cannot be listed; check the network and"
                    f" STORAGE_EMULATOR_HOST. {self._url}: {error} ({tries})."
                ) from None
            raise Unreachable(f"{error} ({tries})") from None
        self._failures_in_a_row = 0
        return page

    async def _request(self, parameters: Mapping[str, str]) -> Page:
        import aiohttp

        assert self._session is not None, "outside of its context"
        self.requests += 1
        try:
            async with self._session.get(
                self._url, params=parameters, allow_redirects=False
            ) as response:
                if response.status in _PASSING or response.status >= 500:
                    raise RetryableError(
                        f"HTTP {response.status}", retry_after(response.headers), response.status
                    )
                body = await _body(response)
                if response.status != HTTPStatus.OK:
                    raise Fatal(
                        f"{self._url}: HTTP {response.status}: {_message(body)}."
                        " Check ARCHIVE_BUCKET and STORAGE_EMULATOR_HOST."
                    )
        except TimeoutError:
            raise RetryableError(f"no answer in {self._timeout:g} seconds") from None
        except aiohttp.ClientError as error:
            raise RetryableError(str(error) or type(error).__name__) from None
        return _parsed(body, parameters)


async def _body(response: aiohttp.ClientResponse) -> bytes:
    """The body, unpacked. Raises :class:`RetryableError` if it is too large."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > MAX_BODY:
            response.close()
            raise RetryableError(f"the answer is larger than {MAX_BODY >> 20} MiB")
    return bytes(body)


def _parsed(body: bytes, parameters: Mapping[str, str]) -> Page:
    """Raises :class:`RetryableError` unless it is an answer to a request with ``parameters``."""
    try:
        content = orjson.loads(body)
        page = Page(
            content.get("items", []), content.get("prefixes", []), content.get("nextPageToken")
        )
        names = [item["name"] for item in page.items]
        sound = _is_sound(page, names)
    except (ValueError, TypeError, KeyError, AttributeError):
        sound = False
    if not sound:
        raise RetryableError("the answer is not a listing")
    if not _is_asked_for(page, names, parameters):
        raise RetryableError("the answer is that to another request")
    return page


def _is_sound(page: Page, names: list[str]) -> bool:
    """Whether all values are what rows can be made of; other types may raise TypeError.

    They are looked at in bulk, in C: a page has a thousand objects. Checksums are decoded later.
    """
    checksums = [item.get("md5Hash", "") for item in page.items]
    numbers = [item[field] for field in ("size", "timeCreated") for item in page.items]
    return (
        isinstance(page.items, list)
        and isinstance(page.folders, list)
        and all(names)
        and all(numbers)
        and "\n" not in "".join([*names, *page.folders, *checksums, page.token or ""])
        and not "".join(numbers).encode().translate(None, _NUMERIC)
    )


def _is_asked_for(page: Page, names: list[str], parameters: Mapping[str, str]) -> bool:
    """Whether a page is in order and in the range of the request, and leads further."""
    start, end = parameters.get("startOffset", ""), parameters.get("endOffset", "")
    return (
        names == sorted(names)
        and (not names or (start <= names[0] and (not end or names[-1] < end)))
        and all(name.startswith(parameters["prefix"]) for name in (*names[-1:], *page.folders))
        and (not page.token or page.token != parameters.get("pageToken"))
    )


def _message(body: bytes) -> str:
    """What the service says of an error; its first characters where that isn't JSON."""
    try:
        return str(orjson.loads(body)["error"]["message"]).rstrip(".")
    except (ValueError, KeyError, TypeError):
        return body[:100].decode(errors="replace")
