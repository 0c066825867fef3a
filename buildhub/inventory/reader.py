"""Inventory files → the rows that may be builds.

Of a hundred rows of an S3 inventory, two to ten are builds. The others are rejected as raw bytes:
a pattern that ``builds`` makes from its tables finds what ends like the key of a build, another
tells whether the whole key may be one, and only the rows of those are split and decoded. Every
row is validated, whether it may be a build or not, and wherever a block of bytes ends: the fast
path proves that each row of a block has all its columns.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterable, Iterator

from ..errors import BadInput
from .row_formats import InventoryRow, LineFormat, S3Csv, Schema, detect, usual_row

#: Bytes of a file from which its kind is told.
_START = 1 << 14

_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class InventoryReader:
    """Reads blocks of whole lines; counts the rows; reports those that can't be read.

    ``pattern`` finds keys that may be builds in raw bytes, and ``ending``, which is faster, where
    such keys may end: in each row in which ``pattern`` finds one. ``schema`` names the columns of
    an S3 inventory; without it each file's first line tells its format. ``on_error`` is called
    with one sentence for each bad row; the rows after it are still read.
    """

    def __init__(
        self,
        pattern: re.Pattern[bytes],
        schema: Schema | None,
        on_error: Callable[[str], None],
        *,
        ending: re.Pattern[bytes] | None = None,
    ) -> None:
        self._pattern = pattern
        self._ending = ending or pattern
        self._schema = schema
        self._on_error = on_error
        self.rows = 0
        self.bad_rows = 0

    def entries(self, blocks: Iterable[bytes], name: str) -> Iterator[list[InventoryRow]]:
        """Yields the rows of each block that may be builds, in order. ``name`` is for messages.

        Raises :class:`BadInput` if the file can't be read at all.
        """
        line_format: LineFormat | None = S3Csv(self._schema) if self._schema else None
        line = 1
        for block in blocks:
            if line == 1:
                block = _without_byte_order_mark(block, name)
            if line_format is None and (first := block.lstrip()):
                # Blank lines before the first are not rows, in whichever block they are.
                start = block.rfind(b"\n", 0, len(block) - len(first)) + 1
                line += block.count(b"\n", 0, start)
                block = block[start:]
                line_format = _detect(block, name)
            if isinstance(line_format, S3Csv) and (rows := line_format.regular_rows(block)):
                self.rows += rows
                yield self._read_regular(block, line_format, name, line)
                line += rows
                continue
            if line_format is not None:
                yield self._read_lines(block, line_format, name, line)
            line += block.count(b"\n") + (not block.endswith(b"\n"))

    def _read_regular(
        self, block: bytes, line_format: S3Csv, name: str, line: int
    ) -> list[InventoryRow]:
        assert line_format.schema
        match_usual, match_key = usual_row(line_format.schema).match, self._pattern.match
        found = []
        past = 0  # where the row after the last one begins
        counted = 0  # where ``line`` is counted up to
        for ending in self._ending.finditer(block):
            position = ending.start()
            if position < past:
                continue  # a second match in the same row
            start = block.rfind(b"\n", past, position) + 1 or past
            end = block.find(b"\n", position)
            if end < 0:
                end = len(block)
            past = end + 1
            row = None
            usual = match_usual(block, start, end)
            if usual and match_key(block, usual.start("key"), end):
                row = InventoryRow.usual(*usual.group("key", "size", "date"))
            if row is None and self._pattern.search(block, start, end):
                line += block.count(b"\n", counted, start)
                counted = start
                row = self._parse(block[start:end], line_format, f"{name}, line {line}")
            if row is not None:
                found.append(row)
        return found

    def _read_lines(
        self, block: bytes, line_format: LineFormat, name: str, line: int
    ) -> list[InventoryRow]:
        found = []
        for number, raw in enumerate(block.split(b"\n"), line):
            raw = raw.rstrip(b"\r")
            if not raw or not line_format.is_row(raw):
                continue
            self.rows += 1
            wanted = self._pattern.search(raw) is not None
            row = self._parse(raw, line_format, f"{name}, line {number}", wanted=wanted)
            if row is not None:
                found.append(row)
        return found

    def _parse(
        self, raw: bytes, line_format: LineFormat, where: str, *, wanted: bool = True
    ) -> InventoryRow | None:
        """Returns the row of a line; None if it is none, or not wanted. Bad ones are reported."""
        try:
            return line_format.parse(raw, wanted=wanted)
        except BadInput as error:
            self.bad_rows += 1
            self._on_error(f"{where}: {error}; the row is skipped.")
            return None


def _detect(block: bytes, name: str) -> LineFormat:
    try:
        return detect(block.partition(b"\n")[0].rstrip(b"\r"))
    except BadInput as error:
        raise BadInput(f"{name}: {error}.") from None


#: Kinds of files that are given by mistake, by their first bytes, and what to do about each.
_OTHER_KINDS = [
    (rb"\x1f\x8b", "this is gzip in gzip: unpack it first, zcat FILE | inventory-to-records"),
    (
        rb'\s*\{(?s:.*?)"(?:sourceBucket|fileSchema)"\s*:',
        "this is the manifest of an inventory: give the CSV files that it names, or load all of"
        " them with latest-inventory-to-kinto",
    ),
    (rb'\{"data":', "these are records, not an inventory: pass them to to-kinto"),
    (
        rb'\s*[\[{]\s*(?:\{\s*)?"data":',
        "these are records, not an inventory, printed by jq: jq -c . (jq -c '.[]' after jq -s)"
        " makes lines of them for to-kinto",
    ),
    (rb"\s*(?:[\[{]|<!|<html|<\?xml)", "this is JSON, HTML or XML, not an inventory: give its CSV"),
    # Two lines without a comma; the first one alone may be damaged.
    (
        rb'\s*(?:(?!gs://|PRE |["\d])[^\s,][^,\n]*\n\s*){2}',
        "this is text, not an inventory: give its CSV",
    ),
]


def _without_byte_order_mark(block: bytes, name: str) -> bytes:
    """Returns the first block of a file. Raises :class:`BadInput` if it is of another kind."""
    is_gzip = block.startswith(b"\x1f\x8b")
    if block.startswith(_UTF16) or (b"\0" in block[: block.find(b"\n")][:100] and not is_gzip):
        raise BadInput(
            f"{name}: this is UTF-16 or binary data; convert it first: iconv -f UTF-16 -t UTF-8."
        )
    block = block.removeprefix(codecs.BOM_UTF8)
    for start, problem in _OTHER_KINDS:
        if re.match(start, block[:_START]):
            raise BadInput(f"{name}: {problem}.")
    return block
