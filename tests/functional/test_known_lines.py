"""``to-kinto --skip`` on lines that it found equal before: the same result, without decoding them.

Each test begins with a server that has the records, and an index that knows their lines.
"""

from __future__ import annotations

import signal

import pytest

from tests.support.records import make_record, ndjson, ndjson_compact
from tests.support.to_kinto_command import (
    RECORDS,
    Command,
    data_of,
    known_lines,
    stored,
    summary,
    wait_for,
)

pytestmark = pytest.mark.functional
slow = pytest.mark.slow  # the same promise, once more

RECORD_COUNT = 130  # more than are compared together


@pytest.fixture
def records(to_kinto) -> list[dict]:
    records = [make_record(number) for number in range(RECORD_COUNT)]
    to_kinto(ndjson_compact(records))
    done = to_kinto(ndjson_compact(records), "--skip")
    assert done.stderr == summary(unchanged=RECORD_COUNT)
    assert known_lines(to_kinto.folder) == RECORD_COUNT
    return records


def labelled(label: str, line: bytes) -> bytes:
    return line.replace(b"to-kinto", f"to-kinto ({label})".encode())


@pytest.mark.parametrize(
    ("options", "label", "counts"),
    [
        (["--skip"], "", {"unchanged": RECORD_COUNT}),
        (["--skip", "--dry-run"], "dry run", {"unchanged": RECORD_COUNT}),
        (["--check"], "check", {"unchanged": RECORD_COUNT}),
        (["--dry-run"], "dry run", {"updated": RECORD_COUNT}),
        ([], "", {"updated": RECORD_COUNT}),
    ],
    ids=["skip", "skip, dry run", "check", "dry run", "all"],
)
def test_what_is_known_is_unchanged_where_that_is_asked_for(
    to_kinto, records, options, label, counts
):
    before = to_kinto.kinto.records()
    done = to_kinto(ndjson_compact(records), *options)
    expected = summary(**counts)
    assert done.returncode == 0
    assert done.stderr == (labelled(label, expected) if label else expected)
    assert (to_kinto.kinto.records() == before) is bool(options)


@pytest.mark.parametrize("number", [pytest.param(0, marks=slow), 99, pytest.param(129, marks=slow)])
def test_one_record_that_differs_is_found_among_those_that_are_known(to_kinto, records, number):
    records[number]["data"]["download"]["size"] += 1
    check = to_kinto(ndjson_compact(records), "--check")
    assert (check.returncode, records[number]["data"]["id"].encode() in check.stdout) == (1, True)
    done = to_kinto(ndjson_compact(records), "--skip")
    assert done.stderr == summary(updated=1, unchanged=RECORD_COUNT - 1)
    assert stored(to_kinto.kinto) == data_of(*records)
    assert to_kinto(ndjson_compact(records), "--skip").stderr == summary(unchanged=RECORD_COUNT)


def test_what_others_changed_or_deleted_is_stored_again(to_kinto, records):
    paths = [f"{RECORDS}/{record['data']['id']}" for record in records]
    to_kinto.kinto.call("PATCH", paths[7], json={"data": {"note": "by hand"}})
    to_kinto.kinto.call("DELETE", paths[120])
    done = to_kinto(ndjson_compact(records), "--skip")
    assert done.stderr == summary(created=1, updated=1, unchanged=RECORD_COUNT - 2)
    assert stored(to_kinto.kinto) == data_of(*records)


def test_what_changes_and_changes_back_is_stored_each_time(to_kinto, records):
    before = ndjson_compact(records)
    records[3]["data"]["build"]["number"] = 6
    for lines in (ndjson_compact(records), before, ndjson_compact(records), before):
        done = to_kinto(lines, "--skip")
        assert done.stderr == summary(updated=1, unchanged=RECORD_COUNT - 1)
    assert stored(to_kinto.kinto) == data_of(*map(make_record, range(RECORD_COUNT)))
    assert to_kinto(before, "--skip").stderr == summary(unchanged=RECORD_COUNT)


@pytest.mark.parametrize("size", [pytest.param(1, marks=slow), 7, pytest.param(1000, marks=slow)])
@pytest.mark.parametrize("distance", [1, 100], ids=["together", "apart"])
def test_of_one_id_the_last_counts_though_its_line_is_known(to_kinto, records, size, distance):
    """``distance``: whether the two are compared with the server together."""
    changed = make_record(5, build={"number": 6})
    mixed = [changed, *records[10 : 10 + distance], records[5]]
    done = to_kinto(ndjson_compact(mixed), "--skip", BATCH_MAX_REQUESTS=str(size))
    assert done.stderr == summary(updated=2, unchanged=distance)
    assert stored(to_kinto.kinto) == data_of(*records)


def test_blank_and_bad_lines_among_known_ones_have_their_numbers(to_kinto, records):
    lines = ndjson_compact(records).splitlines(keepends=True)
    lines[10:10] = [b"\n", b"  \n", b"\r\n"]
    assert to_kinto(b"".join(lines), "--skip").stderr == summary(unchanged=RECORD_COUNT)
    lines[105:105] = [b'{"data":{"id":"a\n']
    lines[125:125] = [b'{"data":{"id":"a/b"}}\n']
    done = to_kinto(b"".join(lines), "--skip")
    first, second, last = done.stderr.splitlines(keepends=True)
    assert done.returncode == 1
    assert b" standard input, line 106: not valid JSON (" in first
    assert b" standard input, line 126: 'a/b' is not a valid record id: " in second
    assert last == summary(unchanged=RECORD_COUNT, refused=1).replace(
        b" failed.", b" failed, 1 bad lines."
    )


def test_other_spellings_of_known_records_are_unchanged_too(to_kinto, records):
    for lines in (ndjson(records), ndjson_compact(records)) * 2:
        assert to_kinto(lines, "--skip").stderr == summary(unchanged=RECORD_COUNT)
    assert known_lines(to_kinto.folder) == RECORD_COUNT


@pytest.mark.slow
def test_a_flushed_server_knows_no_line(to_kinto, records):
    to_kinto.kinto.flush()
    to_kinto.kinto.make_collection()
    done = to_kinto(ndjson_compact(records), "--skip")
    assert done.stderr == summary(created=RECORD_COUNT)


def test_a_stopped_run_has_counted_what_it_read_and_remembers_it(to_kinto: Command) -> None:
    records = [make_record(number) for number in range(150)]
    to_kinto(ndjson_compact(records))
    for run in range(2):  # the lines are not known, then they are
        new = make_record(1000 + run)
        with to_kinto.start("--skip") as process:
            process.stdin.write(ndjson_compact([*records, new]))
            process.stdin.flush()
            wait_for(lambda new=new: new["data"]["id"] in to_kinto.kinto.records())
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 130
            messages = process.stderr.read()
        assert b"up to standard input, line %d.\n" % (len(records) + 1) in messages
        assert messages.endswith(summary(created=1, unchanged=len(records)))
        assert known_lines(to_kinto.folder) == len(records)
