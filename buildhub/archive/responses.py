"""What responses of the archive say: a listing, the content of a file, or its size and date."""

from __future__ import annotations

import json
import logging
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from ..retries import RetryableError

if TYPE_CHECKING:
    import aiohttp

logger = logging.getLogger(__name__)

#: Bytes of the largest listing or metadata file, unpacked. The largest listings have some 2 MB.
MAX_BODY = 64 << 20

_CHUNK = 1 << 16


class File(NamedTuple):
    """A file as the archive describes it."""

    size: int  #: bytes; exact only from :meth:`Archive.head`
    date: str  #: last modification, in whole seconds: ``2017-03-07T12:07:51Z``


class Listing(NamedTuple):
    """A folder of the archive."""

    folders: tuple[str, ...]  #: names without the slash
    files: dict[str, str]  #: name → date of last modification


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
    try:
        size = int(response.headers["Content-Length"])
        moment = parsedate_to_datetime(response.headers["Last-Modified"])
    except (KeyError, ValueError, TypeError, OverflowError):
        raise RetryableError("the response has no Content-Length or no Last-Modified") from None
    return File(size, moment.strftime("%Y-%m-%dT%H:%M:%SZ"))


async def read_listing(response: aiohttp.ClientResponse) -> Listing:
    """A folder. Entries without a name are left out, as are dates that are not text.

    Raises :class:`RetryableError` if the response is not a listing.
    """
    body = await read_content(response)
    try:
        content = json.loads(body)
        folders, files = content["prefixes"], content["files"]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise RetryableError("the response is not a listing") from None
    if not isinstance(folders, list) or not isinstance(files, list):
        raise RetryableError("the response is not a listing")
    listing = Listing(
        tuple(name.rstrip("/") for name in folders if _is_name(name)),
        {
            file["name"]: file["last_modified"]
            for file in files
            if isinstance(file, dict)
            and _is_name(file.get("name"))
            and _is_name(file.get("last_modified"))
        },
    )
    if ignored := len(folders) + len(files) - len(listing.folders) - len(listing.files):
        logger.warning("%s: %d entries without a name or date are ignored.", response.url, ignored)
    return listing


def _is_name(value: Any) -> bool:
    """Whether it is text that can be sent and stored: no lone surrogates."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
