"""What the columns of an inventory say: keys, sizes and dates, as text → as values."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from urllib.parse import unquote_plus

from ..errors import BadInput

#: A record's size has to fit the 64 bits of a JSON parser; S3's largest object has 5 TB.
MAX_SIZE = 2**63 - 1

# 2E+10 occurs. More digits than MAX_SIZE has are not worth computing.
_SIZE = re.compile(r"[0-9]{1,19}(?:\.[0-9]{1,19})?(?:[eE]\+?[0-9]{1,2})?")
_UTC_DATE = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?(?:Z|\+00:00)?", re.ASCII)
_DATE = re.compile(
    r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:\.\d+)?\ ?(Z|UTC|[+-]\d\d:?\d\d)?", re.ASCII
)


def s3_key(encoded: str) -> str:
    """The raw key of a form-encoded one. Raises :class:`BadInput`."""
    if "%" not in encoded:
        return encoded.replace("+", " ")
    try:
        return unquote_plus(encoded, errors="strict")
    except UnicodeDecodeError:
        raise BadInput(f"the key {encoded!r} is not UTF-8") from None


def parse_size(text: str) -> int:
    """Bytes. Raises :class:`BadInput`."""
    if text.isdecimal() and text.isascii() and len(text) < len(str(MAX_SIZE)):
        return int(text)
    if _SIZE.fullmatch(text) and (size := _whole(text)) is not None and size <= MAX_SIZE:
        return size
    raise BadInput(f"the size {_shortened(text)!r} is not a number of bytes")


def _whole(text: str) -> int | None:
    """The value of ``2E+10``; None if it is not an integer."""
    from decimal import Decimal  # takes 2 ms, and sizes are hardly ever written like that

    size = Decimal(text)
    return int(size) if size == int(size) else None


def s3_date(text: str) -> str:
    """Whole seconds, from a UTC date with any number of decimals. Raises :class:`BadInput`."""
    found = _UTC_DATE.fullmatch(text)
    return _valid_date(found[1] if found else "", text)


def utc_date(text: str) -> str:
    """Whole seconds in UTC, from a date with a ``T`` or a blank, with an offset or without.

    Raises :class:`BadInput`.
    """
    found = _DATE.fullmatch(text)
    if found is None or found[3] in (None, "Z", "UTC"):
        return _valid_date(f"{found[1]}T{found[2]}" if found else "", text)
    try:
        moment = datetime.fromisoformat(f"{found[1]}T{found[2]}{found[3]}").astimezone(UTC)
    except (ValueError, OverflowError):
        moment = None
    return _valid_date(moment.strftime("%Y-%m-%dT%H:%M:%S") if moment else "", text)


def _valid_date(date: str, text: str) -> str:
    try:
        datetime.fromisoformat(date)
    except ValueError:
        raise BadInput(
            f"the date {_shortened(text)!r} is not a time such as 2017-07-13T23:37:23.000Z"
        ) from None
    return date + "Z"


def _shortened(text: str) -> str:
    """As much of a wrong value as belongs in a message."""
    return text if len(text) <= 100 else text[:100] + "…"
