"""Objects of a bucket as rows of an S3 inventory: a thousand at a time, as fast as possible.

What can be done to all keys of a page at once is done so, in C: a key at a time, the encoding
and the checksum alone would take longer than all else.
"""

from __future__ import annotations

from binascii import a2b_base64
from collections.abc import Mapping, Sequence
from urllib.parse import quote_plus, unquote_plus

from .formats import Schema

#: The columns of a row.
SCHEMA = Schema.parse("Bucket, Key, Size, LastModifiedDate, ETag")

#: The bytes that ``quote_plus(key, safe="/")`` leaves alone.
_SAFE = bytes(byte for byte in range(128) if quote_plus(chr(byte), safe="/") == chr(byte))

#: A base64 MD5 is 22 characters and this; as two zero digits it becomes 18 bytes instead of 16.
_PADDING = b"=="
_BASE64_MD5 = 24

Item = Mapping[str, str]


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


def last_key(lines: bytes) -> str:
    """The raw key of the last of some rows.

    >>> last_key(b'"b","pub/a","1","",""\\n"b","pub/b+c","1","",""\\n')
    'pub/b c'
    """
    last = lines[lines.rfind(b"\n", 0, -1) + 1 :]
    return unquote_plus(last.split(b'","', 2)[1].decode())


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
