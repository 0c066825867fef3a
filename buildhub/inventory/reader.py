"""S3 inventory CSV → entries that may be builds.

Of a hundred rows, two to ten are builds. The others are passed over as raw bytes: a pattern that
``builds`` makes from its own tables finds keys that may be builds, and only their rows are split
and decoded. Every row is looked at closely only where a block is not perfectly regular, so that
a row with a missing column is told wherever it lies.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple
from urllib.parse import unquote_plus

from ..errors import BadInput, Fatal

_SIZE = re.compile(r"[0-9]+(?:\.[0-9]+)?(?:[eE]\+?[0-9]{1,2})?")
_DATE = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?(?:Z|\+00:00)?", re.ASCII)

#: The columns that matter, as ``fileSchema`` of a manifest calls them.
_NEEDED = ("Key", "Size", "LastModifiedDate")
_VERSIONED = ("IsLatest", "IsDeleteMarker")

#: Number of columns → their names, for inventories that come without a manifest.
_CURRENT = ("Bucket", "Key", "Size", "LastModifiedDate", "ETag", "StorageClass")
_ALL_VERSIONS = (
    *("Bucket", "Key", "VersionId", "IsLatest", "IsDeleteMarker"),
    *("Size", "LastModifiedDate", "ETag", "StorageClass"),
)


class InventoryRow(NamedTuple):
    """A row of the inventory whose key may be a build's."""

    key: str  #: raw: decoded once, here
    size: int  #: bytes
    date: str  #: last modification in whole seconds, ``2017-07-13T23:37:23Z``


class Schema(NamedTuple):
    """Where in a row the columns are that matter."""

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
    def by_number(cls, columns: int) -> Schema | None:
        """The usual schema with so many columns; None if there is none.

        4 to 6 columns are an inventory of current versions, 7 to 9 one of all versions.
        """
        if not 4 <= columns <= 9:
            return None
        return cls.parse(",".join((_CURRENT if columns <= 6 else _ALL_VERSIONS)[:columns]))


_BY_NUMBER = {number: Schema.by_number(number) for number in range(1, 10)}


class InventoryReader:
    """Reads blocks of whole lines; counts the rows; reports those that are wrong.

    ``pattern`` finds keys that may be builds in raw bytes. ``on_error`` is called with one
    sentence for each bad row; the rows after it are still read.
    """

    def __init__(
        self, pattern: re.Pattern[bytes], schema: Schema | None, on_error: Callable[[str], None]
    ) -> None:
        self._pattern = pattern
        self._schema = schema
        self._on_error = on_error
        self.rows = 0
        self.bad_rows = 0

    def entries(self, blocks: Iterable[bytes], name: str) -> Iterator[list[InventoryRow]]:
        """The entries of each block, in order. ``name`` is the file's, for messages."""
        line = 1
        for block in blocks:
            rows = block.count(b"\n") + (not block.endswith(b"\n"))
            schema = self._regular(block, rows)
            if schema is not None:
                self.rows += rows
                yield self._from_regular(block, schema, name, line)
            else:
                yield self._from_any(block, name, line)
            line += rows

    def _regular(self, block: bytes, rows: int) -> Schema | None:
        """The schema, if every row of the block is ASCII, quoted, and has all its columns."""
        first = block.count(b'","', 0, block.find(b"\n")) + 1
        schema = self._schema or _BY_NUMBER.get(first)
        # Any row of another form changes the number of separators, or has a byte that is no ASCII.
        regular = (
            schema is not None
            and block.startswith(b'"')
            and block.endswith((b'"\n', b'"'))
            and block.count(b'","') == rows * (schema.columns - 1)
            and b"\r" not in block
            and block.isascii()
        )
        return schema if regular else None

    def _from_regular(
        self, block: bytes, schema: Schema, name: str, line: int
    ) -> list[InventoryRow]:
        entries = []
        past = 0  # where the row after the last entry's begins
        for match in self._pattern.finditer(block):
            if match.start() < past:
                continue  # a second match in the same row
            start = block.rfind(b"\n", max(past - 1, 0), match.start()) + 1
            end = block.find(b"\n", match.end())
            row = block[start + 1 : (end if end >= 0 else len(block)) - 1]
            past = start + len(row) + 3
            try:
                entry = _entry(row.decode("ascii").split('","'), schema)
            except BadInput as error:
                self._bad(name, line + block.count(b"\n", 0, start), error)
            else:
                if entry:
                    entries.append(entry)
        return entries

    def _from_any(self, block: bytes, name: str, line: int) -> list[InventoryRow]:
        entries = []
        for number, raw in enumerate(block.split(b"\n"), line):
            if not (raw := raw.rstrip(b"\r")):
                continue
            self.rows += 1
            try:
                columns, schema = self._columns(raw)
                entry = _entry(columns, schema) if self._pattern.search(raw) else None
            except BadInput as error:
                self._bad(name, number, error)
            else:
                if entry:
                    entries.append(entry)
        return entries

    def _columns(self, raw: bytes) -> tuple[list[str], Schema]:
        try:
            (columns,) = csv.reader([raw.decode("utf-8")], strict=True)
        except UnicodeDecodeError:
            raise BadInput("the row is not UTF-8") from None
        except (csv.Error, ValueError) as error:
            raise BadInput(f"the row is no CSV ({error})") from None
        schema = self._schema or _BY_NUMBER.get(len(columns))
        if schema is None:
            raise BadInput(f"a row of {len(columns)} columns; name them with --schema")
        if len(columns) != schema.columns:
            raise BadInput(f"{len(columns)} columns where the schema has {schema.columns}")
        return columns, schema

    def _bad(self, name: str, line: int, error: BadInput) -> None:
        self.bad_rows += 1
        self._on_error(f"{name}, line {line}: {error}; the row is skipped.")


def _entry(columns: list[str], schema: Schema) -> InventoryRow | None:
    """None for an old version and for a delete marker. Raises :class:`BadInput`."""
    if schema.is_latest is not None and columns[schema.is_latest].lower() == "false":
        return None
    if schema.is_delete_marker is not None and columns[schema.is_delete_marker].lower() == "true":
        return None
    try:
        key = unquote_plus(columns[schema.key], errors="strict")
    except UnicodeDecodeError:
        raise BadInput(f"the key {columns[schema.key]!r} is not UTF-8") from None
    return InventoryRow(key, _size(columns[schema.size]), _date(columns[schema.date]))


def _size(text: str) -> int:
    """Bytes; ``2E+10`` occurs."""
    if text.isdecimal() and text.isascii():
        return int(text)
    size = Decimal(text) if _SIZE.fullmatch(text) else None
    if size is None or size != int(size):
        raise BadInput(f"the size {text!r} is no number of bytes")
    return int(size)


def _date(text: str) -> str:
    """Whole seconds; dates have any number of decimals, or none."""
    found = _DATE.fullmatch(text)
    try:
        if found is None:
            raise ValueError
        datetime.fromisoformat(found[1])
    except ValueError:
        raise BadInput(f"the date {text!r} is no time such as 2017-07-13T23:37:23.000Z") from None
    return found[1] + "Z"


def schema_option(text: str) -> Schema:
    """``--schema`` → :class:`Schema`. Raises :class:`Fatal`."""
    try:
        return Schema.parse(text)
    except ValueError as error:
        raise Fatal(f"--schema: {error}.") from None
