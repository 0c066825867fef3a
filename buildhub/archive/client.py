"""The client of the archive: listings, files and sizes, each requested once at a time."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Coroutine, Mapping
from http import HTTPStatus
from typing import Any, NamedTuple, TypeVar

from ..errors import Unreachable
from ..http import HttpClient, InvalidContent, Response, Unreadable
from ..retries import RetryableError
from .checksums import sums_in

__all__ = ["Archive", "File", "FolderContents", "InvalidContent", "Unreadable"]

_SURROGATE = re.compile(r"[\ud800-\udfff]")
_DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)

T = TypeVar("T")


class File(NamedTuple):
    """A file as the archive describes it."""

    size: int  #: bytes; exact only from :meth:`Archive.head`
    date: str  #: last modification, in whole seconds: ``2017-03-07T12:07:51Z``


class FolderContents(NamedTuple):
    """A folder of the archive."""

    folders: tuple[str, ...]  #: names without the slash
    files: dict[str, str]  #: name → date of last modification, empty if unknown
    complete: bool = True  #: whether every entry could be read


class Archive(HttpClient):
    """The client of the archive at ``url``."""

    def __init__(self, url: str, *, parallel: int = 8, retries: int = 3, timeout: float = 300):
        super().__init__(
            url, down="The archive does not answer", setting="ARCHIVE_URL",
            parallel=parallel, retries=retries, timeout=timeout,
        )  # fmt: skip
        self._shared: dict[tuple[str, str], asyncio.Task[Any]] = {}

    async def close(self) -> None:
        """Cancels all requests and closes the session."""
        await self.abandon()
        await super().close()

    async def abandon(self) -> None:
        """Cancels the requests that are not awaited any more, so that no later call joins them."""
        requests = list(self._shared.values())
        for request in requests:
            request.cancel()
        await asyncio.gather(*requests, return_exceptions=True)

    async def listing(self, folder: str) -> FolderContents | None:
        """Returns the folder (raw key, ending in a slash), or None if there is none.

        If no attempt brought a complete listing, an incomplete one is returned. Raises
        :class:`Unreachable` if there was none either.
        """
        return await self._once("LIST", folder, lambda: self._listing(folder))

    async def document(
        self, key: str, check: Callable[[bytes], object] = lambda content: None
    ) -> bytes | None:
        """Returns the content of a file, or None if there is none.

        ``check`` may raise :class:`InvalidContent`, for another attempt. Raises
        :class:`Unreadable` if the last attempt brought such content, else :class:`Unreachable`.
        """

        def parse(response: Response) -> bytes:
            check(response.body)
            return response.body

        return await self._once("GET", key, lambda: self._if_there("GET", key, parse))

    async def sums(self, key: str) -> dict[str, str] | None:
        """Returns the sums in a file, or None if there is none; raises as :meth:`document` does."""

        def parse(response: Response) -> dict[str, str]:
            if (sums := sums_in(response.body, key)) is None:
                raise InvalidContent("the content is not a list of sums")
            return sums

        return await self._once("SUMS", key, lambda: self._if_there("GET", key, parse))

    async def head(self, key: str) -> File | None:
        """Returns a file's exact size and date, or None; raises :class:`Unreachable`."""
        # The length of the object itself is wanted, not that of a compressed transfer.
        headers = {"Accept-Encoding": "identity"}
        return await self._once("HEAD", key, lambda: self._if_there("HEAD", key, _file, headers))

    async def _once(self, method: str, path: str, send: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Makes one request per URL: calls that ask for it while it runs share the response."""
        name = (method, path)
        request = self._shared.get(name)
        if request is None:
            request = self._shared[name] = asyncio.create_task(send())
            request.add_done_callback(lambda _: self._shared.pop(name, None))
        result: T = await asyncio.shield(request)
        return result

    async def _listing(self, folder: str) -> FolderContents | None:
        incomplete: FolderContents | None = None

        def parse(response: Response) -> FolderContents:
            nonlocal incomplete
            listing, unusable = _contents(response.body)
            if unusable:
                incomplete = listing
                raise InvalidContent(f"the listing has {unusable} entries without a name")
            return listing

        # Exactly this: with any other the archive answers a folder with an HTML page.
        headers = {"Accept": "application/json"}
        try:
            return await self._if_there("GET", folder, parse, headers)
        except Unreachable:
            if incomplete is None:
                raise
            return incomplete

    async def _if_there(
        self, method: str, path: str, parse: Callable[[Response], T],
        headers: Mapping[str, str] | None = None,
    ) -> T | None:  # fmt: skip
        """Returns what ``parse`` makes of the file or folder itself; None for 404."""

        def parse_success(response: Response) -> T | None:
            if response.status in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE):
                return None
            if response.status != HTTPStatus.OK:
                raise Unreachable(f"HTTP {response.status}")
            return parse(response)

        return await self.request(method, path, parse_success, headers=headers)


def _file(response: Response) -> File:
    """Reads a file's headers; raises :class:`RetryableError` if they lack its size or date."""
    from email.utils import parsedate_to_datetime  # takes 3 ms, and only events need it

    try:
        size = int(response.headers["Content-Length"])
        moment = parsedate_to_datetime(response.headers["Last-Modified"])
    except (KeyError, ValueError, TypeError, OverflowError):
        raise RetryableError("the response has no Content-Length or no Last-Modified") from None
    return File(size, moment.strftime("%Y-%m-%dT%H:%M:%SZ"))


def _contents(body: bytes) -> tuple[FolderContents, int]:
    """Parses a listing; counts its entries without a name. Raises :class:`RetryableError`."""
    try:
        content = json.loads(body)
        folders, files = content["prefixes"], content["files"]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise RetryableError("the response is not a listing") from None
    if not isinstance(folders, list) or not isinstance(files, list):
        raise RetryableError("the response is not a listing")
    named = [file for file in files if isinstance(file, dict) and _is_text(file.get("name"))]
    names = tuple(name.rstrip("/") for name in folders if _is_text(name))
    unusable = len(folders) - len(names) + len(files) - len(named)
    dates = {file["name"]: _date(file.get("last_modified")) for file in named}
    return FolderContents(names, dates, complete=not unusable), unusable


def _date(value: Any) -> str:
    """Returns a date as the archive writes it, or empty: ``2017-03-07T12:07:51Z``."""
    return value if isinstance(value, str) and _DATE.fullmatch(value) else ""


def _is_text(value: Any) -> bool:
    """Tells if a text can be sent and stored: it has no lone surrogates."""
    return isinstance(value, str) and not _SURROGATE.search(value)
