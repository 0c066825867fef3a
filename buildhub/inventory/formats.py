"""How one line of an inventory is read: S3's CSV, Google's reports, and two ``ls`` outputs.

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
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple, Protocol, Self

from .. import MAX_LINE
from ..errors import BadInput
from ..streams import is_cut
from .values import parse_size, s3_date, s3_key, utc_date

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

_GCLOUD = re.compile(r"\s*(?P<size>\d+)\s+(?P<date>\S+)\s+gs://[^/]+/(?P<key>.+)", re.ASCII)
_AWS = re.compile(
    r"(?P<date>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)\s+(?P<size>\S+(?: [KMGTP]iB| Bytes)?) (?P<key>.+)",
    re.ASCII,
)


class InventoryRow(NamedTuple):
    """An object of the archive, as an inventory lists it."""

    key: str  #: raw (decoded): ``pub/firefox/releases/55.0/mac/ar/Firefox 55.0.dmg``
    size: int  #: bytes
    date: str  #: last modification in whole seconds, UTC: ``2017-07-13T23:37:23Z``


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
        """From a manifest's ``fileSchema``: ``Bucket, Key, Size, LastModifiedDate, ETag``.

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
        """The usual schema with so many columns; None if there is none.

        4 to 6 columns are an inventory of current versions, 7 to 9 one of all versions.
        """
        if not 4 <= columns <= 9:
            return None
        return cls.parse(",".join((_CURRENT if columns <= 6 else _ALL_VERSIONS)[:columns]))


class LineFormat(Protocol):
    """How the lines of one file are read."""

    def is_row(self, line: bytes) -> bool:
        """Whether the line stands for an object: not a header, a total or a folder."""

    def parse(self, line: bytes, *, wanted: bool) -> InventoryRow | None:
        """The row of a line; None if it is not ``wanted``, an old version or a delete marker.

        A line is validated in any case: raises :class:`BadInput` if it can't be read.
        """


class S3Csv:
    """S3's inventory: CSV without a header, form-encoded keys.

    Without a ``schema`` the first row that has the usual columns decides: all rows of a file
    have the same.
    """

    def __init__(self, schema: Schema | None = None) -> None:
        self.schema = schema

    def is_row(self, line: bytes) -> bool:
        """Every line is a row."""
        return True

    def parse(self, line: bytes, *, wanted: bool) -> InventoryRow | None:
        """See :class:`LineFormat`."""
        columns = csv_columns(line)
        schema = self.schema = self.schema or Schema.of_length(len(columns))
        if schema is None:
            raise BadInput(f"a row of {len(columns)} columns; name them with --schema")
        if len(columns) != schema.columns:
            raise BadInput(f"{len(columns)} columns where the schema has {schema.columns}")
        return _s3_row(columns, schema) if wanted else None


@lru_cache(maxsize=16)
def usual_row(schema: Schema) -> re.Pattern[bytes]:
    """A pattern of the row of a current version as nearly all are, up to the last column needed.

    For an ASCII row of which is known that it has all its columns and that these are quoted. A key
    with a percent sign, a size such as ``2E+10`` and a date with an offset are not usual.
    """
    columns = ['[^"]*+'] * schema.columns
    columns[schema.key] = '(?P<key>[^"%]*+)'
    columns[schema.size] = "(?P<size>[0-9]{1,18}+)"
    columns[schema.date] = r"(?P<date>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d++)?+Z"
    for flag, other in ((schema.is_latest, "false"), (schema.is_delete_marker, "true")):
        if flag is not None:
            columns[flag] = rf'(?!(?i:{other})")[^"]*+'
    needed = columns[: max(filter(None, schema[1:])) + 1]
    return re.compile('"{}"'.format('","'.join(needed)).encode())


def read_usual(match: re.Match[bytes]) -> InventoryRow | None:
    """The row that :func:`usual_row` has found; None if its date is not one."""
    key, size, date = match.group("key", "size", "date")
    text = date.decode("ascii")
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return None
    return InventoryRow(key.replace(b"+", b" ").decode("ascii"), int(size), text + "Z")


class HeaderCsv:
    """CSV whose header names the columns: Google's inventory reports. Keys are raw."""

    def __init__(self, names: Sequence[str]) -> None:
        """Raises :class:`BadInput` if a column is missing that is needed."""
        columns = [name.strip().lower() for name in names]
        date = next((name for name in _REPORT_DATES if name in columns), None)
        if date is None:
            raise BadInput("the report has neither timeCreated nor updated: add one to its fields")
        self._names = columns
        self._positions = [columns.index(name) for name in ("name", "size", date)]

    @classmethod
    def detect(cls, line: bytes) -> Self | None:
        """The format whose header is ``line``; None if it is not such a header."""
        try:
            names = csv_columns(line)
        except BadInput:
            return None
        return cls(names) if {"name", "size"} <= {name.strip().lower() for name in names} else None

    def is_row(self, line: bytes) -> bool:
        """A header may occur again: ``zcat *.csv.gz``."""
        if b"size" not in line.lower():
            return True
        try:
            return [name.strip().lower() for name in csv_columns(line)] != self._names
        except BadInput:
            return True

    def parse(self, line: bytes, *, wanted: bool) -> InventoryRow | None:
        """See :class:`LineFormat`."""
        columns = csv_columns(line)
        if len(columns) != len(self._names):
            raise BadInput(f"{len(columns)} columns where the header has {len(self._names)}")
        if not wanted:
            return None
        key, size, date = (columns[position] for position in self._positions)
        return InventoryRow(key, parse_size(size), utc_date(date))


class ListOutput:
    """What ``gcloud storage ls -l`` or ``aws s3 ls --recursive`` prints; keys are raw."""

    def __init__(self, pattern: re.Pattern[str], other_lines: re.Pattern[bytes]) -> None:
        self._pattern = pattern
        self._other_lines = other_lines

    def is_row(self, line: bytes) -> bool:
        """Folders, totals and the headings of folders are not rows."""
        return not self._other_lines.fullmatch(line)

    def parse(self, line: bytes, *, wanted: bool) -> InventoryRow | None:
        """See :class:`LineFormat`."""
        match = self._pattern.fullmatch(decode(line))
        if match is None:
            raise BadInput("the line is not size, date and key")
        if not wanted:
            return None
        return InventoryRow(match["key"], parse_size(match["size"]), utc_date(match["date"]))


_GCLOUD_OTHERS = re.compile(rb"\s*gs://\S.*[:/]|TOTAL: .*|\s*")
_AWS_OTHERS = re.compile(rb"\s*PRE .*|\s*Total (?:Objects|Size): .*|\s*")


def detect(first_line: bytes) -> LineFormat:
    """The format of a file, from its first line that is not blank.

    Raises :class:`BadInput` for a report without the columns that are needed.
    """
    if report := HeaderCsv.detect(first_line):
        return report
    text = first_line.decode("utf-8", "replace")
    if _GCLOUD.fullmatch(text) or text.lstrip().startswith("gs://"):
        return ListOutput(_GCLOUD, _GCLOUD_OTHERS)
    if _AWS.fullmatch(text) or text.lstrip().startswith("PRE "):
        return ListOutput(_AWS, _AWS_OTHERS)
    return S3Csv()


def csv_columns(line: bytes) -> list[str]:
    """The values of a line of CSV. Raises :class:`BadInput`."""
    text = decode(line)
    if text.count('"') % 2:
        raise BadInput("the row is not valid CSV (a quote is not closed)")
    try:
        (columns,) = csv.reader([text])
    except (csv.Error, ValueError) as error:
        raise BadInput(f"the row is not valid CSV ({error})") from None
    return columns


def decode(line: bytes) -> str:
    """UTF-8 to text. Raises :class:`BadInput`."""
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError:
        if is_cut(line):
            raise BadInput(f"the row is longer than {MAX_LINE >> 20} MiB") from None
        raise BadInput("the row is not UTF-8") from None


def _s3_row(columns: Sequence[str], schema: Schema) -> InventoryRow | None:
    """A row of S3's; None for an old version and for a delete marker. Raises BadInput."""
    _, key, size, date, is_latest, is_delete_marker = schema
    if is_latest is not None and columns[is_latest].lower() == "false":
        return None
    if is_delete_marker is not None and columns[is_delete_marker].lower() == "true":
        return None
    return InventoryRow(s3_key(columns[key]), parse_size(columns[size]), s3_date(columns[date]))
