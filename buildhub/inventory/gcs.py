"""The archive's own bucket in Google Cloud Storage: one page a request, and a page's rows.

aiohttp and orjson rather than google-cloud-storage: that one makes an object of each item, at
70,000 rows per second of a core, its listings block, and importing it takes half a second.
For the same reason all values of a page are checked, encoded and decoded at once, in C.
"""

from __future__ import annotations

from binascii import a2b_base64
from collections.abc import Mapping, Sequence
from functools import partial
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import quote, quote_plus

import orjson

from .. import USER_AGENT
from ..errors import Fatal
from ..http import HttpClient, Response
from ..retries import RetryableError
from .row_formats import Schema

#: Where Google Cloud Storage is, unless STORAGE_EMULATOR_HOST says otherwise.
GOOGLE = "https://storage.googleapis.com"

#: The columns of the rows that are made of objects.
SCHEMA = Schema.parse("Bucket, Key, Size, LastModifiedDate, ETag")

#: The fields of a page that are requested.
_FIELDS = "nextPageToken,prefixes,items(name,size,timeCreated,md5Hash)"

#: Google compresses only for clients that have "gzip" in their name as well.
_HEADERS = {"User-Agent": f"{USER_AGENT} (gzip)"}

#: All that sizes and dates are made of.
_NUMERIC = b"0123456789-T:.Z"

#: The bytes that ``quote_plus(key, safe="/")`` leaves alone.
_SAFE = bytes(byte for byte in range(128) if quote_plus(chr(byte), safe="/") == chr(byte))

#: A base64 MD5 is 22 characters and this; as two zero digits it becomes 18 bytes instead of 16.
_PADDING = b"=="
_BASE64_MD5 = 24

Item = Mapping[str, str]


class Page(NamedTuple):
    """One page of a listing, in the order of the names' bytes."""

    items: list[Item]  #: with ``name``, ``size``, ``timeCreated`` and ``md5Hash``
    folders: list[str]  #: whole names, each ending in the delimiter
    token: str | None  #: what asks for the next page; None on the last


class Bucket(HttpClient):
    """The client of the bucket ``name`` of the service at ``host``."""

    def __init__(
        self, name: str, *, host: str = GOOGLE, parallel: int = 16, retries: int = 3,
        timeout: float = 300,
    ) -> None:  # fmt: skip
        self.name = name
        super().__init__(
            f"{host}/storage/v1/b/{quote(name, safe='')}/o",
            down=f"The bucket {name} cannot be listed", setting="STORAGE_EMULATOR_HOST",
            parallel=parallel, retries=retries, timeout=timeout,
        )  # fmt: skip

    async def objects(
        self, prefix: str, start: str, end: str, token: str | None = None, at_most: int = 1000
    ) -> Page:
        """A page of the objects below ``prefix`` from ``start`` (inclusive) to ``end`` (exclusive).

        Raises :class:`Unreachable` if the page stays unreadable however often it is tried,
        :class:`Fatal` if the bucket can't be listed at all.
        """
        query = {"prefix": prefix, "startOffset": start, "endOffset": end}
        return await self._page(query | {"maxResults": str(at_most)}, token)

    async def folders(
        self, prefix: str, start: str = "", end: str = "", token: str | None = None,
        delimiter: str = "/",
    ) -> Page:  # fmt: skip
        """A page of the folders in the folder ``prefix``; raises as :meth:`objects` does."""
        query = {"prefix": prefix, "delimiter": delimiter, "maxResults": "1000"}
        offsets = {"startOffset": start, "endOffset": end}
        return await self._page(query | {k: v for k, v in offsets.items() if v}, token)

    async def _page(self, query: Mapping[str, str], token: str | None) -> Page:
        query = {**query, "fields": _FIELDS, **({"pageToken": token} if token else {})}
        parse = partial(_parsed, query)
        return await self.request("GET", "", parse, query=query, headers=_HEADERS)


def rows(bucket: str, names: Sequence[str], items: Sequence[Item]) -> bytes:
    """The rows of ``items``, whose ``names`` are given as well, each with its newline.

    >>> item = {"size": "5", "timeCreated": "2017-07-13T23:37:23.000Z", "md5Hash": ""}
    >>> rows("bucket", ["pub/Firefox 55.0.dmg"], [item]).decode()
    '"bucket","pub/Firefox+55.0.dmg","5","2017-07-13T23:37:23.000Z",""\\n'

    Raises ``ValueError`` or ``TypeError`` for an invalid checksum.
    """
    head = f'"{bucket}","'
    return "".join(
        [
            f'{head}{key}","{item["size"]}","{item["timeCreated"]}","{md5:.32}"\n'
            for key, item, md5 in zip(_encoded(names), items, _md5s(items), strict=True)
        ]
    ).encode()


def _encoded(names: Sequence[str]) -> list[str]:
    """Each name form-encoded. Google's names have no line feeds, so they separate the names."""
    joined = "\n".join(names).encode()
    unsafe = set(joined.translate(None, _SAFE)) - {0x0A}
    # The percent sign first, and then the plus: both are what others become.
    for byte in sorted(unsafe, key=b"+%".find, reverse=True):
        joined = joined.replace(bytes((byte,)), quote_plus(bytes((byte,))).encode())
    return joined.decode().split("\n")


def _md5s(items: Sequence[Item]) -> Sequence[str]:
    """The hexadecimal MD5 of each item, in the first 32 characters; "" where there is none."""
    encoded = [item.get("md5Hash", "") for item in items]
    joined = "".join(encoded).encode()
    if len(joined) != _BASE64_MD5 * len(items) or joined.count(_PADDING) != len(items):
        return [a2b_base64(md5).hex() for md5 in encoded]
    return a2b_base64(joined.replace(_PADDING, b"AA")).hex("\n", 18).split("\n")


def _parsed(query: Mapping[str, str], response: Response) -> Page:
    """Raises :class:`RetryableError` unless it is the response to ``query``, or :class:`Fatal`."""
    if response.status != HTTPStatus.OK:
        raise Fatal(
            f"The bucket can't be listed: HTTP {response.status}: {_message(response.body)}."
            " Check ARCHIVE_BUCKET and STORAGE_EMULATOR_HOST."
        )
    try:
        content = orjson.loads(response.body)
        page = Page(
            content.get("items", []), content.get("prefixes", []), content.get("nextPageToken")
        )
        names = [item["name"] for item in page.items]
        sound = _is_sound(page, names)
    except (ValueError, TypeError, KeyError, AttributeError):
        sound = False
    if not sound:
        raise RetryableError("the response is not a listing")
    if not _is_asked_for(page, names, query):
        raise RetryableError("the response is that to another request")
    return page


def _is_sound(page: Page, names: list[str]) -> bool:
    """Return True if rows can be made of all values; other types may raise TypeError.

    They are looked at in bulk: a page has a thousand objects. Checksums are decoded later.
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


def _is_asked_for(page: Page, names: list[str], query: Mapping[str, str]) -> bool:
    """Return True for a page in order and in the range of the request, that leads further."""
    start, end = query.get("startOffset", ""), query.get("endOffset", "")
    return (
        names == sorted(names)
        and (not names or (start <= names[0] and (not end or names[-1] < end)))
        and all(name.startswith(query["prefix"]) for name in (*names[-1:], *page.folders))
        and (not page.token or page.token != query.get("pageToken"))
    )


def _message(body: bytes) -> str:
    """The service's description of an error; its first characters where that isn't JSON."""
    try:
        return str(orjson.loads(body)["error"]["message"]).rstrip(".")
    except (ValueError, KeyError, TypeError):
        return body[:100].decode(errors="replace")
