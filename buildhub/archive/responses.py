"""What responses of the archive say: a listing, the content of a file, or its size and date."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import MAX_BODY
from ..retries import RetryableError

if TYPE_CHECKING:
    import aiohttp

_CHUNK = 1 << 16

_DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)


class File(NamedTuple):
    """A file as the archive describes it."""

    size: int  #: bytes; exact only from :meth:`Archive.head`
    date: str  #: last modification, in whole seconds: ``2017-03-07T12:07:51Z``


class FolderContents(NamedTuple):
    """A folder of the archive."""

    folders: tuple[str, ...]  #: names without the slash
    files: dict[str, str]  #: name → date of last modification, empty if unknown
    complete: bool = True  #: whether every entry could be read


class IncompleteListing(RetryableError):
    """A listing with entries that can't be used; ``listing`` has the others."""

    def __init__(self, listing: FolderContents, unusable: int) -> None:
        super().__init__(f"the listing has {unusable} entries without a name")
        self.listing = listing


class InvalidContent(RetryableError):
    """The content of a file is not what a file of its name contains."""


async def read_content(response: aiohttp.ClientResponse) -> bytes:
    """The body, unpacked. Raises :class:`RetryableError` if it is too large."""
    body = bytearray()
    async for chunk in response.content.iter_chunked(_CHUNK):
        body += chunk
        if len(body) > MAX_BODY:
            response.close()
            raise RetryableError(f"the response is larger than {MAX_BODY >> 20} MiB")
    return bytes(body)


async def read_file(response: aiohttp.ClientResponse) -> File:
    """The headers of a file. Raises :class:`RetryableError` if they lack its size or date."""
    from email.utils import parsedate_to_datetime  # takes 3 ms, and only events need it

    try:
        size = int(response.headers["Content-Length"])
        moment = parsedate_to_datetime(response.headers["Last-Modified"])
    except (KeyError, ValueError, TypeError, OverflowError):
        raise RetryableError("the response has no Content-Length or no Last-Modified") from None
    return File(size, moment.strftime("%Y-%m-%dT%H:%M:%SZ"))


async def read_listing(response: aiohttp.ClientResponse) -> FolderContents:
    """A folder.

    Raises :class:`IncompleteListing` if entries have no name, and :class:`RetryableError` if the
    response is not a listing.
    """
    body = await read_content(response)
    try:
        content = json.loads(body)
        folders, files = content["prefixes"], content["files"]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise RetryableError("the response is not a listing") from None
    if not isinstance(folders, list) or not isinstance(files, list):
        raise RetryableError("the response is not a listing")
    named = [file for file in files if isinstance(file, dict) and _is_text(file.get("name"))]
    listing = FolderContents(
        tuple(name.rstrip("/") for name in folders if _is_text(name)),
        {file["name"]: _date(file.get("last_modified")) for file in named},
    )
    unusable = len(folders) - len(listing.folders) + len(files) - len(named)
    if unusable:
        raise IncompleteListing(listing._replace(complete=False), unusable)
    return listing


def _date(value: Any) -> str:
    """A date as the archive writes it, or empty: ``2017-03-07T12:07:51Z``."""
    return value if isinstance(value, str) and _DATE.fullmatch(value) else ""


def _is_text(value: Any) -> bool:
    """Whether it is text that can be sent and stored: no lone surrogates."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
