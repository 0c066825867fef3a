"""Rows of an inventory → entries: any form of CSV, in any blocks; every bad row is reported."""

from __future__ import annotations

import csv
import gzip
import io
import re
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildhub.errors import BadInput
from buildhub.inventory.reader import InventoryReader
from buildhub.inventory.row_formats import InventoryRow, Schema
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
    errors: list[str] = []
    reader = InventoryReader(PATTERN, Schema.parse(schema) if schema else None, errors.append)
    entries = [e for batch in reader.entries(blocks(pieces), "a.csv") for e in batch]
    return entries, reader, errors


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
    entries, reader, errors = read([block])
    assert entries == [ENTRY]
    assert errors == []
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
        (b"37219504", b"", "the size '' is not a number of bytes"),
        (b"37219504", b"-1", "the size '-1' is not a number of bytes"),
        (b"37219504", b"1.5", "the size '1.5' is not a number of bytes"),
        (b"37219504", b"62M", "the size '62M' is not a number of bytes"),
        (b"37219504", b"1E+99999999", "the size '1E+99999999' is not a number of bytes"),
        (b"37219504", b"nan", "the size 'nan' is not a number of bytes"),
        (b"2017-07-13", b"2017-13-13", "the date '2017-13-13T23:37:23.000Z' is not a time"),
        (b"2017-07-13T23", b"yesterday ", "the date 'yesterday :37:23.000Z' is not a time"),
        (b"2017-07-13T23:37:23.000Z", b"", "the date '' is not a time"),
        (b"2017-07-13T23:37:23.000Z", b"9999-12-31T23:59:59-01:00", "59-01:00' is not a time"),
        (b"2017-07-13T23:37:23.000Z", b"0999-01-01T00:00:00+01:00", "00+01:00' is not a time"),
        (b"Firefox+", b"Firefox%FF+", "is not UTF-8"),
        (b"Firefox+", b"Firefox\xff+", "the row is not UTF-8"),
        (b',"ff391f7201575ab2ba518fce20d45596"', b"," * 9, "13 columns where the schema has 5"),
        (ROW.strip(), b'"net"', "1 columns where the schema has 5"),
        (ROW.strip(), b"rubbish", "1 columns where the schema has 5"),
        (ROW.strip(), b'"a"b,"c', "the row is not valid CSV"),
        (ROW.strip(), b"\xff\xfe\x00", "the row is not UTF-8"),
    ],
)
def test_a_bad_row_is_told_with_its_line_and_the_others_are_read(
    old: bytes, new: bytes, sentence: str
) -> None:
    bad = ROW.replace(old, new)
    assert bad != ROW
    entries, reader, (errors,) = read([OTHER + ROW + bad + ROW])
    assert entries == [ENTRY, ENTRY]
    assert reader.rows == 4
    assert reader.bad_rows == 1
    assert errors.startswith("a.csv, line 3: ")
    assert errors.endswith("; the row is skipped.")
    assert sentence in errors


def test_lines_are_counted_across_blocks() -> None:
    bad = ROW.replace(b"37219504", b"big")
    _, _, errors = read([ROW * 3, ROW + bad, b"\n" + bad])
    assert [t.partition(":")[0] for t in errors] == ["a.csv, line 5", "a.csv, line 7"]


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
    entries, reader, errors = read([block], schema)
    assert [e.size for e in entries] == [1]
    assert (reader.rows, errors) == (4, [])


def test_old_versions_are_no_builds_where_their_column_comes_last() -> None:
    row = b'"pub/a.exe","%s","2017-07-13T23:37:23Z","%s"\n'
    block = row % (b"1", b"true") + row % (b"2", b"false") + row % (b"3", b"FALSE")
    entries, _, _ = read([block], "Key, Size, LastModifiedDate, IsLatest")
    assert [e.size for e in entries] == [1]


def test_the_schema_names_the_columns() -> None:
    entries, _, _ = read(
        [b'"2017-07-13T23:37:23Z","12","x","pub/a.exe"\n'], "LastModifiedDate,Size, ETag ,Key"
    )
    assert entries == [InventoryRow("pub/a.exe", 12, "2017-07-13T23:37:23Z")]


def test_a_row_with_fewer_columns_than_the_schema_is_told() -> None:
    _, _, (errors,) = read([ROW], "Bucket, Key, Size, LastModifiedDate")
    assert "5 columns where the schema has 4" in errors


@pytest.mark.parametrize("text", ["", "Bucket, Key, Size", "Key; Size; LastModifiedDate"])
def test_a_schema_without_what_is_needed_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="there is no column"):
        Schema.parse(text)


def columns(number: int) -> bytes:
    """A row with so many columns, its first ones those of a build."""
    values = [b"bucket", b"pub/a.exe", b"12", b"2017-07-13T23:37:23.000Z", b"etag", b"STANDARD"]
    values += [b"more"] * number
    return b",".join(b'"%s"' % value for value in values[:number]) + b"\n"


ODD_ROWS = {
    "three columns": columns(3),
    "four columns": columns(4),
    "six columns": columns(6),
    "seven columns": columns(7),
    "an escaped quote instead of a separator": ROW.replace(b'","3', b'""3'),
    "a size of 1E99": ROW.replace(b"37219504", b"1E99"),
    "a size of 5,000 digits": ROW.replace(b"37219504", b"9" * 5000),
    "a size beyond 64 bits": ROW.replace(b"37219504", b"9223372036854775808"),
    "a year that does not exist": ROW.replace(b"2017-", b"0000-"),
    "a quote that is not closed": ROW.replace(b'"\n', b"\n"),
    "not UTF-8": ROW.replace(b"Firefox+", b"Firefox\xff"),
    "a surrogate in the key": ROW.replace(b"Firefox+", b"Firefox%ED%A0%80"),
}


#: Read as Python's csv module does, on the fast path as on the other.
FINE_ROWS = [
    ROW,
    OTHER,
    ROW.replace(b"/win32/", b'/win""32/'),
    ROW.replace(b'"372', b'x"372'),
    OTHER.replace(b'4"', b'4"x'),
    b"x" + ROW,
    ROW.replace(b"ff391", b"a,b"),
]


@pytest.mark.parametrize("name", ODD_ROWS)
def test_an_odd_row_is_reported_and_never_ends_the_run(name: str) -> None:
    rows, reader, errors = read([ROW + ODD_ROWS[name] + ROW])
    assert rows == [ENTRY, ENTRY]
    assert (reader.rows, reader.bad_rows, len(errors)) == (3, 1, 1)


@given(
    st.lists(st.sampled_from([*FINE_ROWS, *ODD_ROWS.values(), b"\n", b"rubbish\n"]), max_size=12),
    st.data(),
)
def test_any_chunking_gives_the_same_rows_and_reports(
    rows: list[bytes], data: st.DataObject
) -> None:
    """A row is bad because of its own content, wherever a chunk ends."""
    whole = ROW + b"".join(rows)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6)))
    pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    one, other = read(pieces), read([whole])
    assert (one[0], one[2]) == (other[0], other[2])
    assert (one[1].rows, one[1].bad_rows) == (other[1].rows, other[1].bad_rows)
    assert one[1].rows == 1 + sum(row != b"\n" for row in rows)


def test_the_first_row_with_the_usual_columns_decides_for_its_file() -> None:
    _, reader, errors = read([columns(4) + columns(6) + columns(4)])
    assert errors == ["a.csv, line 2: 6 columns where the schema has 4; the row is skipped."]
    assert reader.rows == 3


@pytest.mark.parametrize(
    "content",
    [ROW.decode().encode("utf-16"), ROW.decode().encode("utf-16-le"), ROW[:40] + b"\0" * 200],
)
def test_utf_16_and_binary_data_are_refused(content: bytes) -> None:
    with pytest.raises(BadInput, match=r"a\.csv: this is UTF-16 or binary data; convert it"):
        read([content])


def test_a_nul_in_a_later_row_is_a_bad_row_wherever_a_chunk_ends() -> None:
    whole = b"rubbish\n\0" + ROW
    assert read([whole])[2] == read([whole[:8], whole[8:]])[2]


def test_a_byte_order_mark_of_utf_8_is_no_part_of_the_first_row() -> None:
    assert read([b"\xef\xbb\xbf" + ROW])[0] == [ENTRY]


# Inventories of other makers

KEY = "pub/firefox/releases/55.0/win32/fr/Firefox Setup 55.0.exe"
PLUS = "pub/firefox/releases/55.0/win32/fr/a+b%20c.exe"
BUILDS = [ENTRY, InventoryRow(PLUS, 7, "2017-07-14T00:00:00Z")]

REPORT = f"""\
project,bucket,name,size,timeCreated,updated,md5Hash
1,b,{KEY},37219504,2017-07-13T23:37:23.482Z,2024-01-01T00:00:00Z,x
1,b,pub/firefox/releases/55.0/SHA256SUMS,5,2017-07-13T23:37:23.482Z,2024-01-01T00:00:00Z,x
1,b,{PLUS},7,2017-07-14T00:00:00Z,2024-01-01T00:00:00Z,x
"""
OTHER_MAKERS = {
    "a report of Google": REPORT,
    "a report, quoted": "".join(
        ",".join(f'"{value}"' for value in line.split(",")) + "\n" for line in REPORT.splitlines()
    ),
    "a report, columns in another order": f"""\
timeCreated,name,size
2017-07-13T23:37:23Z,{KEY},37219504
2017-07-14 02:00:00+02:00,{PLUS},7
""",
    "a report without timeCreated": f"""\
updated,name,size
2017-07-13 23:37:23.000 UTC,{KEY},37219504
2017-07-14 00:00:00 UTC,{PLUS},7
""",
    "gcloud storage ls -l": f"""\
                                 gs://moz/pub/firefox/releases/55.0/win32/
  37219504  2017-07-13T23:37:23Z  gs://moz/{KEY}
         5  2017-07-13T23:37:23Z  gs://moz/pub/firefox/releases/55.0/SHA256SUMS
         7  2017-07-14T00:00:00Z  gs://moz/{PLUS}
TOTAL: 3 objects, 37219516 bytes (35.5MiB)
""",
    "gcloud storage ls -l -r": f"""\
gs://moz/pub/firefox/releases/55.0/win32/fr/:
  37219504  2017-07-13T23:37:23Z  gs://moz/{KEY}

gs://moz/pub/firefox/releases/55.0/:
         5  2017-07-13T23:37:23Z  gs://moz/pub/firefox/releases/55.0/SHA256SUMS
         7  2017-07-14T00:00:00Z  gs://moz/{PLUS}
TOTAL: 3 objects, 37219516 bytes (35.5MiB)
""",
    "aws s3 ls --recursive": f"""\
2017-07-13 23:37:23   37219504 {KEY}
2017-07-13 23:37:23          5 pub/firefox/releases/55.0/SHA256SUMS
2017-07-14 00:00:00          7 {PLUS}

Total Objects: 3
   Total Size: 37219516
""",
}


@pytest.mark.parametrize("maker", OTHER_MAKERS)
@pytest.mark.parametrize("times", [1, 3])
def test_inventories_of_other_makers_are_recognised_by_their_first_line(
    maker: str, times: int
) -> None:
    """Keys are raw there; headers and totals may recur (``zcat *``) and are not rows."""
    rows, reader, errors = read([OTHER_MAKERS[maker].encode() * times])
    assert rows == BUILDS * times
    assert errors == []
    assert reader.rows == (2 if "SHA256" not in OTHER_MAKERS[maker] else 3) * times


@pytest.mark.parametrize(
    ("maker", "line", "sentence"),
    [
        ("a report of Google", "1,b,pub/a.exe,7", "4 columns where the header has 7"),
        ("a report of Google", REPORT.splitlines()[1].replace("372", "x"), "is not a number of"),
        ("gcloud storage ls -l", "gcloud crashed", "the line is not size, date and key"),
        ("aws s3 ls --recursive", "2017-07-13 23:37:23 35.5 MiB pub/a.exe", "'35.5 MiB' is not a"),
        ("aws s3 ls --recursive", "2017-99-13 23:37:23 35 pub/a.exe", "'2017-99-13 23:37:23' is"),
    ],
)
def test_bad_lines_of_other_makers_are_reported(maker: str, line: str, sentence: str) -> None:
    text = OTHER_MAKERS[maker] + line + "\n" + OTHER_MAKERS[maker]
    rows, reader, (errors,) = read([text.encode()])
    assert sentence in errors
    assert (rows, reader.bad_rows) == (BUILDS * 2, 1)


def test_a_report_without_dates_is_refused() -> None:
    with pytest.raises(BadInput, match=r"a\.csv: the report has neither timeCreated nor updated"):
        read([b"name,size\npub/a.exe,1\n"])


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
    entries, reader, errors = read([text.getvalue().encode()])
    assert reader.rows == len(rows)
    assert [e.key for e in entries] == [
        key for _, key, size in rows if size != "x" and key in ("pub/a.exe",)
    ]
    assert len(errors) == sum(size == "x" and key == "pub/a.exe" for _, key, size in rows)


@pytest.mark.parametrize(
    "pieces",
    [[b" \n\n" + ROW + b"x\n"], [b" \n", b"\n" + ROW, b"x\n"], [b" ", b"\n", b"\n", ROW, b"x\n"]],
)
def test_blank_lines_before_the_first_row_are_not_rows(pieces: list[bytes]) -> None:
    """Wherever a block ends: they may be one by themselves. They count as lines."""
    entries, reader, errors = read(pieces)
    assert (entries, reader.rows) == ([ENTRY], 2)
    assert [line.partition(":")[0] for line in errors] == ["a.csv, line 4"]


@pytest.mark.parametrize("place", [i for i, byte in enumerate(ROW) if byte in b'",'])
def test_text_beside_a_quote_is_read_the_same_wherever_a_block_ends(place: int) -> None:
    row = ROW[:place] + b"x" + ROW[place:]
    irregular = ROW.replace(b".exe", b",.exe")
    alone, together = (InventoryReader(PATTERN, None, lambda sentence: None) for _ in range(2))
    separate = [e for batch in alone.entries([ROW + row, irregular], "a") for e in batch]
    joined = [e for batch in together.entries([ROW + row + irregular], "a") for e in batch]
    assert (separate, alone.bad_rows) == (joined, together.bad_rows)


RECORD = b'{"data":{"id":"firefox_55-0_win32_fr","source":{"product":"firefox"}}}\n'
MANIFEST = b'{\n  "sourceBucket": "b",\n  "fileSchema": "Bucket, Key", "files": []\n}\n'


@pytest.mark.parametrize(
    ("content", "advice"),
    [
        (RECORD * 3, "these are records.*to-kinto"),
        (b'{\n  "data": {\n    "id": "a"\n  }\n}\n', "printed by jq.*jq -c"),
        (b'[\n  {\n    "data": {\n      "id": "a"\n    }\n  }\n]\n', "printed by jq.*jq -c"),
        (b'[{"data":{"id":"a"}}]', "printed by jq"),
        (gzip.compress(ROW, mtime=0), "gzip in gzip.*zcat"),
        (ROW.decode().encode("utf-16"), "iconv -f UTF-16"),
        (ROW.decode().encode("utf-16-le"), "iconv -f UTF-16"),
        (MANIFEST, "manifest of an inventory.*latest-inventory-to-kinto"),
        (b'{"files": [], "sourceBucket": "b"}', "manifest of an inventory"),
        (b"<!DOCTYPE html>\n<html>\n", "HTML"),
        (b"[]\n", "JSON"),
        (b"\nbuildhub\n########\n\nA catalogue, of builds, and more\n", "text, not an inventory"),
        (b"Hello world\r\n\r\nHow are you?\r\n", "text, not an inventory"),
    ],
    ids=range(13),
)
@pytest.mark.parametrize("schema", [None, "Bucket, Key, Size, LastModifiedDate, ETag"])
def test_a_file_of_another_kind_is_one_sentence_with_the_cure(
    content: bytes, advice: str, schema: str | None
) -> None:
    with pytest.raises(BadInput, match=f"(?s)^a.csv: .*{advice}"):
        read([content], schema)


LISTED = b"  37219504  2017-07-13T23:37:23Z  gs://b/pub/firefox/releases/55.0/win32/fr/"
LISTED += b"Firefox Setup 55.0.exe"


@pytest.mark.parametrize("first", [b"rubbish\n", b"a,b\n", b'"b","x"\n' * 2, b"gs://b/:\n" * 2])
def test_a_damaged_beginning_does_not_make_an_inventory_a_text(first: bytes) -> None:
    listed = LISTED + b"\n" if first.startswith(b"gs") else ROW
    assert read([first + listed])[0] == [ENTRY]


@pytest.mark.parametrize(
    "details",
    [
        b"",
        b"#1500000000000000  metageneration=1",
        b"  etag=CJDh8vXQ1ocDEAE=",
        b"#1500000000000000  metageneration=1  etag=CJDh8vXQ1ocDEAE=",
    ],
)
def test_a_listing_of_gcloud_may_have_versions_and_etags(details: bytes) -> None:
    assert read([LISTED + details + b"\nTOTAL: 1 objects, 37219504 bytes (35.5MiB)\n"])[0] == [
        ENTRY
    ]


def test_old_versions_in_a_google_report_are_no_rows() -> None:
    header = b"name,size,timeCreated,timeDeleted\n"
    row = ENTRY.key.encode() + b",37219504,2017-07-13T23:37:23Z,"
    entries, reader, errors = read([header + row + b"2018-01-01T00:00:00Z\n" + row + b"\n"])
    assert (entries, reader.rows, errors) == ([ENTRY], 2, [])


def test_a_listing_of_aws_without_folders_is_a_sentence() -> None:
    with pytest.raises(BadInput, match="--recursive"):
        read([b"2017-07-13 23:37:23   37219504 Firefox Setup 55.0.exe\n"])
