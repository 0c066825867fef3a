"""The parsers of the settings: text → value, or a ValueError whose message is a sentence's end."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from ..builds.products import folder_named, product_folders

#: The archive's folders that are read by default.
PRODUCT_FOLDERS = product_folders(default=True)

#: What the whole run can read.
SOURCES = ("inventory", "bucket")

_AGE_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

_BOOLEANS = {
    **dict.fromkeys(("true", "yes", "1", "on"), True),
    **dict.fromkeys(("false", "no", "0", "off"), False),
}


def text(value: str) -> str:
    """The text itself. Raises ValueError if its bytes in the environment are not UTF-8."""
    try:
        value.encode()
    except UnicodeEncodeError:  # os.environ and sys.argv: surrogates stand for such bytes
        raise ValueError("the value is not valid UTF-8") from None
    return value


def credentials(value: str) -> str:
    """``user:password``, of any characters, or ``Bearer`` and a token of ASCII characters."""
    value = text(value)
    if ":" not in value and not (value.isascii() and value.isprintable()):
        raise ValueError("a token must consist of printable ASCII characters")
    return value


def words(value: str) -> tuple[str, ...]:
    """A list of words, separated by spaces or commas."""
    return tuple(word for word in re.split(r"[\s,]+", text(value)) if word)


def products(value: str) -> tuple[str, ...]:
    """Names of products or folders → their folders in the archive."""
    folders = [_product_folder(word) for word in words(value.lower())]
    return tuple(dict.fromkeys(folders)) or PRODUCT_FOLDERS


def _product_folder(word: str) -> str:
    folder = folder_named(word)
    if folder is None:
        choices = ", ".join(product_folders())
        raise ValueError(f"{word!r} is not a known product: choose from {choices}")
    return folder


def since(value: str) -> datetime:
    """A date, a time or an age (2026-11-01, 2026-11-01T12:00+02:00, 36h, 7d), as a time in UTC.

    A date or time without an offset is in UTC.
    """
    value = value.strip()
    try:
        if age := re.fullmatch(r"(\d+)\s*([mhdw])", value):
            return datetime.now(UTC) - timedelta(**{_AGE_UNITS[age[2]]: int(age[1])})
        moment = datetime.fromisoformat(value)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except OverflowError:
        raise ValueError(f"{value!r} is before the year 1 or after the year 9999") from None
    except ValueError:
        raise ValueError(
            f"{value!r} is not a valid date (2026-11-01), time (2026-11-01T12:00Z) or age (36h, 7d)"
        ) from None


def source(value: str) -> str:
    """``inventory`` or ``bucket``, in any case."""
    word = value.strip().lower()
    if word not in SOURCES:
        raise ValueError(f"{value!r} is not a known source: use {' or '.join(SOURCES)}")
    return word


def boolean(value: str) -> bool:
    """``true``, ``yes``, ``1`` or ``on``, and their opposites, in any case."""
    try:
        return _BOOLEANS[value.strip().lower()]
    except KeyError:
        raise ValueError(f"{value!r} is not a valid boolean: use true or false") from None


def at_least(minimum: int) -> Callable[[str], int]:
    """A parser of integers that rejects those below ``minimum`` and above a billion."""

    def number(value: str) -> int:
        if not re.fullmatch(r"\s*[-+]?[0-9]{1,10}\s*", value):
            raise ValueError(f"{value[:40]!r} is not a valid integer")
        if not minimum <= int(value) <= 1_000_000_000:
            limit = f"less than {minimum}" if int(value) < minimum else "too large"
            raise ValueError(f"{int(value)} is {limit}")
        return int(value)

    return number


def hours(value: str) -> float:
    """A number of hours, 0 or more, fractions allowed."""
    try:
        number = float(value)
    except ValueError:
        raise ValueError(f"{value!r} is not a valid number of hours") from None
    if not 0 <= number < 1e7:  # the limit must be a date after the year 1
        raise ValueError(f"{value!r} is not a valid number of hours: use 0 to 9999999")
    return number


def url(value: str) -> str:
    """An http(s) URL, without surrounding whitespace. The message never shows a password."""
    value = text(value).strip()
    shown = re.sub(r"//[^/]*@", "//***@", value)
    try:
        parts = urlsplit(value)
        valid = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # such as http://[::1 and http://localhost:99999
        valid = False
    if not valid or re.search(r"\s", value):
        raise ValueError(
            f"{shown!r} is not a valid URL: it must look like http://host or https://host:port"
        )
    return value


def archive_url(value: str) -> str:
    """The URL of the archive. It ends with a slash: keys are appended to it."""
    address = url(value)
    if "@" in urlsplit(address).netloc:
        raise ValueError(
            "a user or password in the URL is not allowed: it would be published in the"
            " download.url of every record"
        )
    return address.rstrip("/") + "/"


def storage_host(value: str) -> str:
    """The URL of the storage service; Google's tools accept it without ``http://`` too."""
    address = value.strip().rstrip("/")
    return url(address if "://" in address else f"http://{address}")


def server_url(value: str) -> str:
    """The URL of Kinto with its version: ``http://localhost:8888/v1``.

    A URL without a version, such as the ``https://kinto/`` of jobs.rst, gets ``/v1``.
    """
    address = url(value).rstrip("/")
    return address if re.search(r"/v\d+$", address) else address + "/v1"


def folder(value: str) -> Path:
    """The path of a folder; ``~`` is the home directory."""
    return Path(value).expanduser()
