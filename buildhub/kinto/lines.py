"""Lines of input that need not be decoded: the id with which one begins, and its hash."""

from __future__ import annotations

import hashlib
import re

#: How the lines of ``inventory-to-records`` begin.
_BEGINNING = re.compile(rb'\{"data":\{"id":"([\w-]+)"')


def id_in(line: bytes) -> str:
    """The id with which a record begins; ``""`` if it begins differently.

    It may be another than the decoded one, which comes last if there are two: ``{"data":{"id":"a",
    "id":"b"}}``. A hash is therefore remembered only where both are the same.
    """
    match = _BEGINNING.match(line)
    return match[1].decode() if match else ""


def hash_of(line: bytes) -> bytes:
    """16 bytes that no other line has."""
    return hashlib.blake2b(line, digest_size=16).digest()
