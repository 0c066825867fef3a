"""The archive's own bucket in Google Cloud Storage: one page a request, and a page's rows.

aiohttp and orjson rather than google-cloud-storage: that one makes an object of each item, at
70,000 rows per second of a core, its listings block, and importing it takes half a second.
For the same reason all values of a page are checked, encoded and decoded at once, in C.
"""

from __future__ import annotations

import asyncio
from binascii import a2b_base64
from collections.abc import Mapping, Sequence
from functools import partial
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import quote, quote_plus

import orjson

from .. import USER_AGENT
from ..errors import Fatal, Unreachable
from ..http import HttpClient, Response
from ..retries import Retry, RetryableError, retry_after
from .row_formats import Schema
from .selection import LOWEST, successor

#: Where Google Cloud Storage is, unless STORAGE_EMULATOR_HOST says otherwise.
GOOGLE = "https://storage.googleapis.com"

#: The columns of the rows that are made of objects.
SCHEMA = Schema.parse("Bucket, Key, Size, LastModifiedDate, ETag")

#: The fields of a page that are requested.
_FIELDS = "nextPageToken,prefixes,items(name,size,timeCreated,md5Hash)"

#: Google compresses only for clients that have "gzip" in their name as well.
_HEADERS = {"User-Agent": f"{USER_AGENT} (gzip)"}

#: A page is a thousand rows: so often it is tried as often as the settings say.
ROUNDS = 3

#: So many pages without a name follow each other: the listing has no end.
EMPTY_PAGES = 1000

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
    next: str  #: where the next page starts; empty on the last
    bad: Sequence[str] = ()  #: names of objects whose size, date or checksum is none


class Bucket(HttpClient):
    """The client of the bucket ``name`` of the service at ``host``."""

    def __init__(
        self, name: str, *, host: str = GOOGLE, parallel: int = 16, retries: int = 3,
        timeout: float = 300,
    ) -> None:  # fmt: skip
        self.name = name
        self._slots = asyncio.Semaphore(parallel)
        self._rounds = Retry(ROUNDS, errors=Unreachable, first_pause=0)
        super().__init__(
            f"{host}/storage/v1/b/{quote(name, safe='')}/o",
            down=f"The bucket {name} cannot be listed", setting="STORAGE_EMULATOR_HOST",
            parallel=parallel, retries=retries, timeout=timeout,
        )  # fmt: skip

    async def page(
        self, prefix: str, start: str = "", end: str = "", *, delimiter: str = "",
        at_most: int = 1000,
    ) -> Page:  # fmt: skip
        """Returns a page of the objects below ``prefix`` from ``start`` to before ``end``.

        With a delimiter: of those whose names do not have it behind the prefix, and the folders.
        Empty pages are passed over. Raises :class:`Unreachable` if the page stays unreadable
        however often it is tried, :class:`Fatal` if the bucket can't be listed at all.
        """
        query = {"prefix": prefix, "startOffset": start, "endOffset": end, "delimiter": delimiter}
        query |= {"maxResults": str(at_most), "fields": _FIELDS}
        query = {name: value for name, value in query.items() if value}
        for _ in range(EMPTY_PAGES):
            async with self._slots:  # also while it waits to be tried again
                page, token = await self._rounds.call_async(partial(self._page, query))
            if page.next or not token:
                return page
            query = query | {"pageToken": token}
        raise Fatal(
            f"The bucket {self.name} cannot be listed: {EMPTY_PAGES} pages in a row below"
            f" {prefix} are empty. Check STORAGE_EMULATOR_HOST, or run again later."
        )

    async def _page(self, query: Mapping[str, str]) -> tuple[Page, str]:
        parse = partial(_parsed, query)
        return await self.request("GET", "", parse, query=query, headers=_HEADERS)


def rows(bucket: str, items: Sequence[Item]) -> bytes:
    """Returns the rows of ``items``, each with its newline.

    >>> item = {"name": "pub/Firefox 55.0.dmg", "size": "5"}
    >>> rows("bucket", [item | {"timeCreated": "2017-07-13T23:37:23.000Z"}]).decode()
    '"bucket","pub/Firefox+55.0.dmg","5","2017-07-13T23:37:23.000Z",""\\n'
    """
    if not items:
        return b""
    head, keys = f'"{bucket}","', _encoded([item["name"] for item in items])
    return "".join(
        [
            f'{head}{key}","{item["size"]}","{item["timeCreated"]}","{md5:.32}"\n'
            for key, item, md5 in zip(keys, items, _md5s(items), strict=True)
        ]
    ).encode()


def _encoded(names: Sequence[str]) -> list[str]:
    """Form-encodes each name. Google's have no line feeds, which separate them here."""
    joined = "\n".join(names).encode()
    unsafe = set(joined.translate(None, _SAFE)) - {0x0A}
    # The percent sign first, and then the plus: both are what others become.
    for byte in sorted(unsafe, key=b"+%".find, reverse=True):
        joined = joined.replace(bytes((byte,)), quote_plus(bytes((byte,))).encode())
    return joined.decode().split("\n")


def _md5s(items: Sequence[Item]) -> Sequence[str]:
    """Returns each item's MD5, hexadecimal, in the first 32 characters; "" if there is none."""
    encoded = [item.get("md5Hash", "") for item in items]
    joined = "".join(encoded).encode()
    if len(joined) != _BASE64_MD5 * len(items) or joined.count(_PADDING) != len(items):
        return [a2b_base64(md5).hex() for md5 in encoded]
    return a2b_base64(joined.replace(_PADDING, b"AA")).hex("\n", 18).split("\n")


def _parsed(query: Mapping[str, str], response: Response) -> tuple[Page, str]:
    """Returns a page and the token of the next; :class:`RetryableError` if it is another page."""
    if response.status != HTTPStatus.OK:
        raise _rejection(response)
    try:
        content = orjson.loads(response.body)
        items, folders = content.get("items", []), content.get("prefixes", [])
        token = content.get("nextPageToken") or ""
        names = [item["name"] for item in items]
        sound = isinstance(items, list) and isinstance(folders, list) and all([*names, *folders])
        sound = sound and "\n" not in "".join([*names, *folders, token])
    except (ValueError, TypeError, KeyError, AttributeError):
        sound = False
    if not sound:
        raise RetryableError("the response is not a listing")
    same_again = token and token == query.get("pageToken")
    if same_again or not _is_asked_for(names, folders, query):
        raise RetryableError("the response is that to another request")
    ends = [*(name + LOWEST for name in names[-1:]), *map(successor, folders[-1:])]
    following = max(ends, default="") if token else ""
    if _are_rows(items):
        return Page(items, folders, following), token
    good = [item for item in items if _are_rows([item])]
    bad = [item["name"] for item in items if not _are_rows([item])]
    return Page(good, folders, following, bad), token


def _are_rows(items: Sequence[Item]) -> bool:
    """Tells if rows can be made of all; looked at in bulk, as a page has a thousand."""
    try:
        numbers = [item[field] for field in ("size", "timeCreated") for item in items]
        _md5s(items)
        return all(numbers) and not "".join(numbers).encode().translate(None, _NUMERIC)
    except (ValueError, TypeError, KeyError):
        return False


def _is_asked_for(names: list[str], folders: list[str], query: Mapping[str, str]) -> bool:
    """Tells if a page is in order and in the range of the request.

    The first folder may start before that, and end in it.
    """
    start, end = query.get("startOffset", ""), query.get("endOffset", "")
    return (
        names == sorted(names)
        and folders == sorted(folders)
        and (not names or (start <= names[0] and (not end or names[-1] < end)))
        and all(folder.endswith(query.get("delimiter", "\n")) for folder in folders)
        and all(successor(folder) > start for folder in folders[:1])
        and all(name.startswith(query["prefix"]) for name in (*names[-1:], *folders))
    )


def _rejection(response: Response) -> Exception:
    message, reason = _message(response.body)
    problem = f"HTTP {response.status}: {message}"
    if response.status == HTTPStatus.FORBIDDEN and reason.lower().endswith("ratelimitexceeded"):
        return RetryableError(problem, retry_after(response.headers), response.status)
    return Fatal(
        f"The bucket can't be listed: {problem}. Check ARCHIVE_BUCKET and STORAGE_EMULATOR_HOST."
    )


def _message(body: bytes) -> tuple[str, str]:
    """Returns the service's description of an error and its reason, as far as it is JSON."""
    try:
        error = orjson.loads(body)["error"]
        reasons = [str(one["reason"]) for one in error.get("errors", ())]
        return str(error["message"]).rstrip("."), "".join(reasons[:1])
    except (ValueError, KeyError, TypeError, AttributeError):
        return body[:100].decode(errors="replace"), ""
