"""Rows of an inventory → entries: any form of CSV, any cutting into blocks, every bad row told."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildhub.errors import Fatal
from buildhub.inventory.reader import InventoryReader, InventoryRow, Schema, schema_option
from buildhub.streams import blocks

PATTERN = re.compile(rb"pub/[^\",\n]*\.(?:exe|dmg)")

ROW = (
    b'"net-mozaws-prod-delivery-firefox","pub/firefox/releases/55.0/win32/fr/'
    b'Firefox+Setup+55.0.exe","37219504","2017-07-13T23:37:23.000Z",'
    b'"ff391f7201575ab2ba518fce20d45596"\n'
)
OTHER = ROW.replace(b".exe", b".exe.asc").replace(b'"pub/', b'"pub/x').replace(b".exe", b".mar")
ENTRY = InventoryRow(
    "pub/firefox/releases/55.0/win32/fr/Firefox Setup 55.0.exe", 37219504, "2017-07-13T23:37:23Z"
)


def read(
    pieces: Iterable[bytes], schema: str | None = None
) -> tuple[list[InventoryRow], InventoryReader, list[str]]:
    told: list[str] = []
    reader = InventoryReader(PATTERN, Schema.parse(schema) if schema else None, told.append)
    entries = [e for batch in reader.entries(blocks(pieces), "a.csv") for e in batch]
    return entries, reader, told


@pytest.mark.parametrize(
    "block",
    [
        ROW,
        ROW.removesuffix(b"\n"),
        ROW.replace(b"\n", b"\r\n"),
        ROW.replace(b'"', b""),
        b"\n" + ROW,
        ROW + b"\n\n",
        OTHER + ROW,
        OTHER + ROW + OTHER,
        ROW.replace(b"+", b"%20"),
        ROW.replace(b".000Z", b"Z"),
        ROW.replace(b".000Z", b".123456789Z"),
        ROW.replace(b"37219504", b"3.7219504E+7"),
    ],
)
def test_a_row_is_read_in_any_of_its_forms(block: bytes) -> None:
    entries, reader, told = read([block])
    assert entries == [ENTRY]
    assert told == []
    assert reader.rows == block.count(b"net-mozaws")


@pytest.mark.parametrize(
    ("encoded", "raw"),
    [
        ("Firefox+Setup+55.0.exe", "Firefox Setup 55.0.exe"),
        ("Firefox%20Setup%2055.0.exe", "Firefox Setup 55.0.exe"),
        ("a%2Bb.exe", "a+b.exe"),
        ("Firefox+%281%29.exe", "Firefox (1).exe"),
        ("caf%C3%A9.exe", "café.exe"),
        ("a%2Cb%22c.exe", 'a,b"c.exe'),
        ("100%25.exe", "100%.exe"),
    ],
)
def test_keys_are_decoded_once(encoded: str, raw: str) -> None:
    entries, _, _ = read([ROW.replace(b"Firefox+Setup+55.0.exe", encoded.encode())])
    assert entries[0].key == f"pub/firefox/releases/55.0/win32/fr/{raw}"


@pytest.mark.parametrize(
    ("text", "size"), [("0", 0), ("2E+10", 20_000_000_000), ("1.5e3", 1500), ("53718907", 53718907)]
)
def test_sizes_are_whole_bytes(text: str, size: int) -> None:
    entries, _, _ = read([ROW.replace(b"37219504", text.encode())])
    assert entries[0].size == size


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (b"37219504", b"", "the size '' is no number of bytes"),
        (b"37219504", b"-1", "the size '-1' is no number of bytes"),
        (b"37219504", b"1.5", "the size '1.5' is no number of bytes"),
        (b"37219504", b"62M", "the size '62M' is no number of bytes"),
        (b"37219504", b"1E+99999999", "the size '1E+99999999' is no number of bytes"),
        (b"37219504", b"nan", "the size 'nan' is no number of bytes"),
        (b"2017-07-13", b"2017-13-13", "the date '2017-13-13T23:37:23.000Z' is no time"),
        (b"2017-07-13T23", b"yesterday ", "the date 'yesterday :37:23.000Z' is no time"),
        (b"2017-07-13T23:37:23.000Z", b"", "the date '' is no time"),
        (b"Firefox+", b"Firefox%FF+", "is not UTF-8"),
        (b"Firefox+", b"Firefox\xff+", "the row is not UTF-8"),
        (b',"ff391f7201575ab2ba518fce20d45596"', b"," * 9, "13 columns; name them with --schema"),
        (ROW.strip(), b'"net"', "a row of 1 columns; name them with --schema"),
        (ROW.strip(), b"rubbish", "a row of 1 columns; name them with --schema"),
        (ROW.strip(), b'"a"b,"c', "the row is no CSV"),
        (ROW.strip(), b"\xff\xfe\x00", "the row is not UTF-8"),
    ],
)
def test_a_bad_row_is_told_with_its_line_and_the_others_are_read(
    old: bytes, new: bytes, sentence: str
) -> None:
    bad = ROW.replace(old, new)
    assert bad != ROW
    entries, reader, (told,) = read([OTHER + ROW + bad + ROW])
    assert entries == [ENTRY, ENTRY]
    assert reader.rows == 4
    assert reader.bad_rows == 1
    assert told.startswith("a.csv, line 3: ")
    assert told.endswith("; the row is skipped.")
    assert sentence in told


def test_lines_are_counted_across_blocks() -> None:
    bad = ROW.replace(b"37219504", b"big")
    _, _, told = read([ROW * 3, ROW + bad, b"\n" + bad])
    assert [t.partition(":")[0] for t in told] == ["a.csv, line 5", "a.csv, line 7"]


ALL = b'"b","pub/a.exe","v1","%s","%s","%s","2017-07-13T23:37:23Z","etag"\n'


@pytest.mark.parametrize(
    "schema",
    [None, "Bucket, Key, VersionId, IsLatest, IsDeleteMarker, Size, LastModifiedDate, ETag"],
)
def test_old_versions_and_delete_markers_are_no_builds(schema: str | None) -> None:
    block = (
        ALL % (b"true", b"false", b"1")
        + ALL % (b"false", b"false", b"2")
        + ALL % (b"true", b"true", b"")
        + ALL % (b"false", b"true", b"")
    )
    entries, reader, told = read([block], schema)
    assert [e.size for e in entries] == [1]
    assert (reader.rows, told) == (4, [])


def test_the_schema_names_the_columns() -> None:
    entries, _, _ = read(
        [b'"2017-07-13T23:37:23Z","12","x","pub/a.exe"\n'], "LastModifiedDate,Size, ETag ,Key"
    )
    assert entries == [InventoryRow("pub/a.exe", 12, "2017-07-13T23:37:23Z")]


def test_a_row_with_fewer_columns_than_the_schema_is_told() -> None:
    _, _, (told,) = read([ROW], "Bucket, Key, Size, LastModifiedDate")
    assert "5 columns where the schema has 4" in told


@pytest.mark.parametrize("text", ["", "Bucket, Key, Size", "Key; Size; LastModifiedDate"])
def test_a_schema_without_what_is_needed_is_refused(text: str) -> None:
    with pytest.raises(Fatal, match="--schema: there is no column"):
        schema_option(text)


@given(st.lists(st.sampled_from([ROW, OTHER, ROW.replace(b"7", b"8")]), max_size=8), st.data())
def test_any_cutting_gives_the_same(rows: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(rows)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6)))
    pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert read(pieces)[0] == read([whole])[0]
    assert read(pieces)[1].rows == len(rows)


@given(
    st.lists(
        st.tuples(
            st.text(st.characters(codec="utf-8", exclude_characters="\n\r\0"), max_size=9),
            st.sampled_from(["pub/a.exe", "pub/b.txt", "c.dmg"]),
            st.sampled_from(["1", "2E+3", "x"]),
        ),
        max_size=6,
    )
)
def test_quoted_and_irregular_rows_are_read_like_the_csv_module_does(
    rows: list[tuple[str, str, str]],
) -> None:
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
    for bucket, key, size in rows:
        writer.writerow([bucket, key, size, "2017-07-13T23:37:23Z", "etag"])
    entries, reader, told = read([text.getvalue().encode()])
    assert reader.rows == len(rows)
    assert [e.key for e in entries] == [
        key for _, key, size in rows if size != "x" and key in ("pub/a.exe",)
    ]
    assert len(told) == sum(size == "x" and key == "pub/a.exe" for _, key, size in rows)
