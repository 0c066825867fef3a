"""The formats of an inventory's lines: S3's CSV, Google's reports, and two ``ls`` outputs.

==========================  ====================  ============  ===============================
first line                  keys                  sizes         dates
==========================  ====================  ============  ===============================
quoted CSV without header   form-encoded          bytes         UTC
CSV with a header           raw                   bytes         UTC, or with their offset
``gcloud storage ls -l``    raw, ``gs://bucket``  bytes         UTC, or with their offset
``aws s3 ls --recursive``   raw                   bytes         local time: run it with ``TZ=UTC``
==========================  ====================  ============  ===============================
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple, Self
from urllib.parse import unquote_plus

from .. import MAX_LINE
from ..errors import BadInput
from ..streams import is_cut

#: How the first line of an inventory begins, for commands that take something else.
BEGINNING = rb'"[^"]*","|\s*(\d+ +)?\d{4}-\d\d-\d\d|\w[\w.-]*(,[\w./-]*){2}|(gs|s3)://'

#: The columns that are needed, as ``fileSchema`` of an S3 manifest calls them.
_NEEDED = ("Key", "Size", "LastModifiedDate")
_VERSIONED = ("IsLatest", "IsDeleteMarker")

#: The columns of S3 inventories that come without a manifest, as far as there are columns.
_CURRENT = ("Bucket", "Key", "Size", "LastModifiedDate", "ETag", "StorageClass")
_ALL_VERSIONS = (
    *("Bucket", "Key", "VersionId", "IsLatest", "IsDeleteMarker"),
    *("Size", "LastModifiedDate", "ETag", "StorageClass"),
)

#: The columns of a Google report, lower case; ``timeCreated`` is preferred.
_REPORT_DATES = ("timecreated", "updated")

#: The column of a Google report that is filled for an old version.
_DELETED = "timedeleted"

_GCLOUD = re.compile(
    r"\s*(?P<size>\d+)\s+(?P<date>\S+)\s+gs://[^/]+/(?P<key>.+?)"
    r"(?:#\d+\s+metageneration=\d+)?(?:\s+etag=\S+)?",  # of -a and -e
    re.ASCII,
)
_AWS = re.compile(
    r"(?P<date>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)\s+(?P<size>\S+(?: [KMGTP]iB| Bytes)?) (?P<key>.+)",
    re.ASCII,
)

#: For ``bytes.translate``: removes all but quotes, commas, ends of lines and what is not ASCII.
_NOT_STRUCTURE = bytes(byte for byte in range(128) if byte not in b'",\r\n')

#: A record's size has to fit the 64 bits of a JSON parser; S3's largest object has 5 TB.
MAX_SIZE = 2**63 - 1

# 2E+10 occurs. More digits than MAX_SIZE has are not worth computing.
_SIZE = re.compile(r"[0-9]{1,19}(?:\.[0-9]{1,19})?(?:[eE]\+?[0-9]{1,2})?")
_DATE = re.compile(
    r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:\.\d+)?\ ?(Z|UTC|[+-]\d\d:?\d\d)?", re.ASCII
)


class InventoryRow(NamedTuple):
    """An object of the archive, as an inventory lists it."""

    key: str  #: raw (decoded): ``pub/firefox/releases/55.0/mac/ar/Firefox 55.0.dmg``
    size: int  #: bytes
    date: str  #: last modification in whole seconds, UTC: ``2017-07-13T23:37:23Z``

    @classmethod
    def usual(cls, key: bytes, size: bytes, date: bytes) -> Self | None:
        """Makes a row of what :func:`usual_row` has found; None if the date is not one."""
        text = date.decode("ascii")
        try:
            datetime.fromisoformat(text)
        except ValueError:
            return None
        return cls(key.replace(b"+", b" ").decode("ascii"), int(size), text + "Z")


class Schema(NamedTuple):
    """The positions of the columns of an S3 inventory that are needed."""

    columns: int
    key: int
    size: int
    date: int
    is_latest: int | None
    is_delete_marker: int | None

    @classmethod
    def parse(cls, text: str) -> Schema:
        """Parses a manifest's ``fileSchema``: ``Bucket, Key, Size, LastModifiedDate, ETag``.

        Raises ValueError if a column that is needed is missing.
        """
        names = [name.strip() for name in text.split(",")]
        for needed in _NEEDED:
            if needed not in names:
                raise ValueError(f"there is no column {needed} in {text!r}")
        flags = (names.index(name) if name in names else None for name in _VERSIONED)
        return cls(len(names), *(names.index(name) for name in _NEEDED), *flags)

    @classmethod
    @lru_cache(maxsize=16)
    def of_length(cls, columns: int) -> Schema | None:
        """Returns the usual schema with so many columns; None if there is none.

        4 to 6 columns are an inventory of current versions, 7 to 9 one of all versions.
        """
        if not 4 <= columns <= 9:
            return None
        return cls.parse(",".join((_CURRENT if columns <= 6 else _ALL_VERSIONS)[:columns]))


class LineFormat:
    """The format of one file."""

    #: Lines that stand for no object: headings, totals, folders.
    other_lines = re.compile(rb"(?!)")

    def is_row(self, line: bytes) -> bool:
        """Tells if the line stands for an object."""
        return not self.other_lines.fullmatch(line)

    def parse(self, line: bytes, *, wanted: bool) -> InventoryRow | None:
        """Parses a line; None if it is not ``wanted``, an old version or a delete marker.

        A line is validated in any case: raises :class:`BadInput` if it can't be read.
        """
        raise NotImplementedError


class S3Csv(LineFormat):
    """S3's inventory: CSV without a header, form-encoded keys.

    Without a ``schema`` the first row that has the usual columns decides: all rows of a file
    have the same.
    """

    def __init__(self, schema: Schema | None = None) -> None:
        self.schema = schema

    def regular_rows(self, block: bytes) -> int:
        """Counts a block's rows, if each is ASCII, quoted, and has all its columns; else returns 0.

        What is left of a row of three columns without all but its structure is ``"","",""``: S3
        encodes commas and quotes in keys. ``translate`` does it at more than 1 GB/s.
        """
        columns = block.count(b'","', 0, block.find(b"\n")) + 1
        schema = self.schema or Schema.of_length(columns)
        if schema is None:
            return 0
        structure = block.translate(None, _NOT_STRUCTURE)
        if not structure.endswith(b"\n"):
            structure += b"\n"
        row = b'"",' * (schema.columns - 1) + b'""\n'
        rows = len(structure) // len(row)
        if structure != row * rows:
            return 0
        self.schema = schema
        return rows

    def parse(self, line: bytes, *, wanted: bool) -> InventoryRow | None:
        columns = csv_columns(line)
        schema = self.schema = self.schema or Schema.of_length(len(columns))
        if schema is None:
            raise BadInput(f"a row of {len(columns)} columns; name them with --schema")
        if len(columns) != schema.columns:
            raise BadInput(f"{len(columns)} columns where the schema has {schema.columns}")
        if not wanted:
            return None
        _, key, size, date, is_latest, is_delete_marker = schema
        if is_latest is not None and columns[is_latest].lower() == "false":
            return None
        if is_delete_marker is not None and columns[is_delete_marker].lower() == "true":
            return None
        return InventoryRow(_s3_key(columns[key]), _size(columns[size]), _utc_date(columns[date]))


@lru_cache(maxsize=16)
def usual_row(schema: Schema) -> re.Pattern[bytes]:
    """Returns a pattern of nearly all rows of a current version, up to the last column needed.

    For the rows of which :meth:`S3Csv.regular_rows` says that they are regular. A key with a
    percent sign, a size such as ``2E+10`` and a date with an offset are not usual.
    """
    columns = ['[^"]*+'] * schema.columns
    columns[schema.key] = '(?P<key>[^"%]*+)'
    columns[schema.size] = "(?P<size>[0-9]{1,18}+)"
    columns[schema.date] = r"(?P<date>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d++)?Z"
    for flag, other in ((schema.is_latest, "false"), (schema.is_delete_marker, "true")):
        if flag is not None:
            columns[flag] = rf'(?!(?i:{other})")[^"]*+'
    needed = columns[: max(filter(None, schema[1:])) + 1]
    # Text behind the last quote would belong to the column.
    return re.compile('"{}"(?=[,\\n]|\\Z)'.format('","'.join(needed)).encode())


class HeaderCsv(LineFormat):
    """CSV whose header names the columns: Google's inventory reports. Keys are raw."""

    def __init__(self, names: Sequence[str]) -> None:
        """Raises :class:`BadInput` if a column is missing that is needed."""
        date = next((name for name in _REPORT_DATES if name in names), None)
        if date is None:
            raise BadInput("the report has neither timeCreated nor updated: add one to its fields")
        self._names = names
        self._positions = [names.index(name) for name in ("name", "size", date)]
        self._deleted = names.index(_DELETED) if _DELETED in names else None

    def is_row(self, line: bytes) -> bool:
        """Tells a row from a header, which may occur again: ``zcat *.csv.gz``."""
        return b"size" not in line.lower() or _lower_names(line) != self._names

    def parse(self, line: bytes, *, wanted: bool) -> InventoryRow | None:
        columns = csv_columns(line)
        if len(columns) != len(self._names):
            raise BadInput(f"{len(columns)} columns where the header has {len(self._names)}")
        if not wanted or (self._deleted is not None and columns[self._deleted]):
            return None
        key, size, date = (columns[position] for position in self._positions)
        return InventoryRow(key, _size(size), _utc_date(date))


def _lower_names(line: bytes) -> list[str]:
    try:
        return [name.strip().lower() for name in csv_columns(line)]
    except BadInput:
        return []


class ListOutput(LineFormat):
    """The output of ``gcloud storage ls -l`` or ``aws s3 ls --recursive``; keys are raw."""

    def __init__(self, pattern: re.Pattern[str], other_lines: re.Pattern[bytes]) -> None:
        self._pattern = pattern
        self.other_lines = other_lines

    def parse(self, line: bytes, *, wanted: bool) -> InventoryRow | None:
        match = self._pattern.fullmatch(decode(line))
        if match is None:
            raise BadInput("the line is not size, date and key")
        if not wanted:
            return None
        return InventoryRow(match["key"], _size(match["size"]), _utc_date(match["date"]))


_GCLOUD_OTHERS = re.compile(rb"\s*gs://\S.*[:/]|TOTAL: .*|\s*")
_AWS_OTHERS = re.compile(rb"\s*PRE .*|\s*Total (?:Objects|Size): .*|\s*")


def detect(first_line: bytes) -> LineFormat:
    """Returns the format of a file, from its first line that is not blank.

    Raises :class:`BadInput` for a report without the columns that are needed.
    """
    names = _lower_names(first_line)
    if {"name", "size"} <= set(names):
        return HeaderCsv(names)
    text = first_line.decode("utf-8", "replace")
    if _GCLOUD.fullmatch(text) or text.lstrip().startswith("gs://"):
        return ListOutput(_GCLOUD, _GCLOUD_OTHERS)
    if (listed := _AWS.fullmatch(text)) and "/" not in listed["key"]:
        raise BadInput("these names have no folders: run aws s3 ls with --recursive")
    if listed or text.lstrip().startswith("PRE "):
        return ListOutput(_AWS, _AWS_OTHERS)
    return S3Csv()


def last_key(lines: bytes) -> str:
    """Returns the raw key of the last of some rows.

    >>> last_key(b'"b","pub/a","1","",""\\n"b","pub/b+c","1","",""\\n')
    'pub/b c'
    """
    last = lines[lines.rfind(b"\n", 0, -1) + 1 :]
    return unquote_plus(last.split(b'","', 2)[1].decode())


def csv_columns(line: bytes) -> list[str]:
    """Returns the values of a line of CSV. Raises :class:`BadInput`."""
    text = decode(line)
    if text.count('"') % 2:
        raise BadInput("the row is not valid CSV (a quote is not closed)")
    try:
        (columns,) = csv.reader([text])
    except (csv.Error, ValueError) as error:
        raise BadInput(f"the row is not valid CSV ({error})") from None
    return columns


def decode(line: bytes) -> str:
    """Decodes UTF-8. Raises :class:`BadInput`."""
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        if is_cut(line):
            raise BadInput(f"the row is longer than {MAX_LINE >> 20} MiB") from None
        raise BadInput("the row is not UTF-8") from None


def _s3_key(encoded: str) -> str:
    """Returns the raw key of a form-encoded one. Raises :class:`BadInput`."""
    if "%" not in encoded:
        return encoded.replace("+", " ")
    try:
        return unquote_plus(encoded, errors="strict")
    except UnicodeDecodeError:
        raise BadInput(f"the key {encoded!r} is not UTF-8") from None


def _size(text: str) -> int:
    """Reads a number of bytes. Raises :class:`BadInput`."""
    if text.isdecimal() and text.isascii() and len(text) < len(str(MAX_SIZE)):
        return int(text)
    if _SIZE.fullmatch(text):
        from decimal import Decimal  # takes 2 ms, and sizes are hardly ever written like that

        size = int(Decimal(text))
        if size == Decimal(text) and size <= MAX_SIZE:
            return size
    raise BadInput(f"the size {shortened(text)!r} is not a number of bytes")


def _utc_date(text: str) -> str:
    """Reads a date, with an offset or in UTC, as whole seconds in UTC, or raises BadInput."""
    found = _DATE.fullmatch(text)
    date, offset = (f"{found[1]}T{found[2]}", found[3]) if found else ("", None)
    try:
        if offset not in (None, "Z", "UTC"):
            moment = datetime.fromisoformat(date + offset).astimezone(UTC)
            date = moment.strftime("%Y-%m-%dT%H:%M:%S")
        datetime.fromisoformat(date)
    except (ValueError, OverflowError):
        raise BadInput(
            f"the date {shortened(text)!r} is not a time such as 2017-07-13T23:37:23.000Z"
        ) from None
    return date + "Z"


def shortened(text: str) -> str:
    """Cuts what others have written, for a message."""
    return text if len(text) <= 100 else text[:100] + "…"
