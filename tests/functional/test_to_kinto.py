"""The real command ``to-kinto`` against a real Kinto: what it stores, reads and reports."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess

import pytest

from tests.support import s3_events
from tests.support.records import make_record, ndjson
from tests.support.to_kinto_command import (
    COLLECTION,
    COMMAND,
    RECORDS,
    SCHEMA,
    Command,
    data_of,
    stored,
    summary,
    wait_for,
)

pytestmark = pytest.mark.functional
slow = pytest.mark.slow  # the same promise, once more


# What is stored


def test_every_record_is_stored_and_equal(to_kinto):
    records = [make_record(n) for n in range(60)]
    done = to_kinto(ndjson(records))
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", summary(created=60))
    assert stored(to_kinto.kinto) == data_of(*records)


def test_without_skip_every_record_is_written_again(to_kinto):
    records = [make_record(n) for n in range(30)]
    to_kinto(ndjson(records))
    before = to_kinto.kinto.records()
    assert to_kinto(ndjson(records)).stderr == summary(updated=30)
    after = to_kinto.kinto.records()
    assert all(after[id]["last_modified"] > before[id]["last_modified"] for id in before)


def test_without_skip_nothing_is_kept_of_the_server(to_kinto):
    to_kinto(ndjson([make_record(1)]))
    assert list(to_kinto.folder.iterdir()) == []


@pytest.mark.parametrize(
    "again", [False, pytest.param(True, marks=slow)], ids=["the same cache", "a new cache"]
)
def test_with_skip_another_date_and_fewer_tools_are_no_change(to_kinto, tmp_path, again):
    """Two sources date one object differently; a candidate's .json, which names ``ld``, expires."""
    records = [make_record(n) for n in range(30)]
    to_kinto(ndjson(records), "--skip")
    before = to_kinto.kinto.records()
    for record in records:
        record["data"]["download"]["date"] = "2024-05-06T07:08:09Z"
        del record["data"]["build"]["ld"]
    cache = str(tmp_path / "new") if again else str(tmp_path)
    assert to_kinto(ndjson(records), "--skip", CACHE_FOLDER=cache).stderr == summary(unchanged=30)
    assert to_kinto.kinto.records() == before
    records[7]["data"]["download"]["size"] += 1
    done = to_kinto(ndjson(records), "--skip", CACHE_FOLDER=cache)
    assert done.stderr == summary(updated=1, unchanged=29)


@pytest.mark.parametrize("first", [(), pytest.param(("--skip",), marks=slow)])
def test_with_skip_unchanged_records_stay_as_they_are(to_kinto, first):
    records = [make_record(n) for n in range(60)]
    to_kinto(ndjson(records), *first)
    before = to_kinto.kinto.records()
    done = to_kinto(ndjson(records), "--skip")
    assert (done.returncode, done.stderr) == (0, summary(unchanged=60))
    assert to_kinto.kinto.records() == before


def test_a_changed_size_updates_that_one_record(to_kinto):
    records = [make_record(n) for n in range(60)]
    to_kinto(ndjson(records), "--skip")
    before = to_kinto.kinto.records()
    records[30]["data"]["download"]["size"] += 1
    assert to_kinto(ndjson(records), "--skip").stderr == summary(updated=1, unchanged=59)
    after = to_kinto.kinto.records()
    changed = records[30]["data"]["id"]
    assert [id for id in before if after[id] != before[id]] == [changed]
    assert after[changed]["download"] == records[30]["data"]["download"]


def test_the_order_of_fields_makes_no_difference(to_kinto):
    record = make_record(1)
    to_kinto(ndjson([record]))
    turned = {"data": dict(reversed(record["data"].items()))}
    assert to_kinto(ndjson([turned]), "--skip").stderr == summary(unchanged=1)


def test_records_as_the_server_gives_them_are_unchanged(to_kinto):
    to_kinto(ndjson([make_record(1)]))
    before = to_kinto.kinto.records()
    dump = ndjson([{"data": record} for record in before.values()])
    assert to_kinto(dump, "--skip").stderr == summary(unchanged=1)
    assert to_kinto(dump).stderr == summary(updated=1)
    (after,) = to_kinto.kinto.records().values()
    (record,) = before.values()
    assert after["last_modified"] > record["last_modified"]


def test_a_record_that_was_deleted_on_the_server_is_created_again(to_kinto):
    records = [make_record(n) for n in range(5)]
    to_kinto(ndjson(records), "--skip")
    to_kinto.kinto.call("DELETE", f"{RECORDS}/{records[3]['data']['id']}")
    assert to_kinto(ndjson(records), "--skip").stderr == summary(created=1, unchanged=4)
    assert stored(to_kinto.kinto) == data_of(*records)


def test_a_record_that_another_client_changed_is_corrected(to_kinto):
    record = make_record(1)
    to_kinto(ndjson([record]), "--skip")
    path = f"{RECORDS}/{record['data']['id']}"
    to_kinto.kinto.call("PATCH", path, json={"data": {"note": "by hand"}})
    assert to_kinto(ndjson([record]), "--skip").stderr == summary(updated=1)
    assert stored(to_kinto.kinto) == data_of(record)


def test_a_flushed_server_is_noticed(to_kinto):
    records = [make_record(n) for n in range(30)]
    to_kinto(ndjson(records), "--skip")
    to_kinto.kinto.flush()
    to_kinto.kinto.make_collection(schema=SCHEMA)
    assert to_kinto(ndjson(records), "--skip").stderr == summary(created=30)
    assert stored(to_kinto.kinto) == data_of(*records)


@pytest.mark.slow
def test_a_collection_made_anew_is_noticed_though_it_has_as_many_records(to_kinto):
    records = [make_record(n) for n in range(3)]
    to_kinto(ndjson(records), "--skip")
    to_kinto.kinto.call("DELETE", COLLECTION)
    to_kinto.kinto.make_collection(schema=SCHEMA)
    others = [make_record(n) for n in range(2, 5)]
    to_kinto(ndjson(others))
    assert to_kinto(ndjson(records), "--skip").stderr == summary(created=2, unchanged=1)
    assert stored(to_kinto.kinto) == data_of(*records, *others[1:])


@pytest.mark.slow
def test_each_server_bucket_and_collection_is_known_for_itself(to_kinto):
    record = ndjson([make_record(1)])
    to_kinto.kinto.make_collection(collection="copies")
    assert to_kinto(record, "--skip").stderr == summary(created=1)
    assert to_kinto(record, "--skip", "-c", "copies").stderr == summary(created=1)
    assert to_kinto(record, "--skip").stderr == summary(unchanged=1)
    assert to_kinto(record, "--skip", "-c", "copies").stderr == summary(unchanged=1)
    assert len(list(to_kinto.folder.glob("*.sqlite3"))) == 2


def test_a_record_without_id_is_added(to_kinto):
    record = make_record(1)
    del record["data"]["id"]
    assert to_kinto(ndjson([record, record]), "--skip").stderr == summary(created=2)
    assert all(data | {"id": ""} == record["data"] | {"id": ""} for data in stored(to_kinto.kinto))


@pytest.mark.parametrize("options", [("--skip",), pytest.param((), marks=slow)])
def test_of_one_id_the_last_record_counts(to_kinto, options):
    """Also where the server has the last one already: it is not taken for unchanged."""
    versions = [make_record(7, build={"number": n % 7}) for n in range(100)]
    to_kinto(ndjson([versions[-1]]))
    others = [make_record(n) for n in range(100, 200)]
    mixed = [record for pair in zip(versions, others, strict=True) for record in pair]
    assert to_kinto(ndjson(mixed), *options, BATCH_MAX_REQUESTS="7").returncode == 0
    assert stored(to_kinto.kinto) == data_of(versions[-1], *others)


def test_dry_run_stores_nothing_and_reports_what_would_be_stored(to_kinto):
    records = [make_record(n) for n in range(5)]
    to_kinto(ndjson(records[:3]))
    before = to_kinto.kinto.records()
    records[0]["data"]["download"]["size"] += 1
    dry = b"to-kinto (dry run)" + summary(created=2, updated=1, unchanged=2)[len("to-kinto") :]
    assert to_kinto(ndjson(records), "--skip", "--dry-run").stderr == dry
    dry = b"to-kinto (dry run)" + summary(created=2, updated=3)[len("to-kinto") :]
    assert to_kinto(ndjson(records), "--dry-run").stderr == dry
    assert to_kinto.kinto.records() == before


def test_more_records_in_a_batch_than_the_server_takes_are_not_sent(to_kinto):
    done = to_kinto(ndjson(make_record(n) for n in range(60)), "--batch-max-requests", 1000)
    assert done.stderr == summary(created=60)


# What is read


def test_files_plain_and_packed_and_standard_input_are_read_in_their_order(to_kinto):
    plain, packed = to_kinto.folder / "plain.ndjson", to_kinto.folder / "packed.ndjson.gz"
    plain.write_bytes(ndjson(make_record(1, build={"number": n}) for n in (1, 2)))
    packed.write_bytes(gzip.compress(ndjson([make_record(1, build={"number": 4})])))
    done = to_kinto(ndjson([make_record(1, build={"number": 3})]), plain, "-", packed)
    assert done.stderr == summary(created=1, updated=3)
    assert stored(to_kinto.kinto)[0]["build"] == {"number": 4}


def test_packed_records_are_read_from_a_pipe(to_kinto):
    records = [make_record(n) for n in range(30)]
    assert to_kinto(gzip.compress(ndjson(records))).stderr == summary(created=30)


def test_a_file_that_is_missing_does_not_stop_the_others(to_kinto):
    file = to_kinto.folder / "there.ndjson"
    file.write_bytes(ndjson([make_record(1)]))
    done = to_kinto(b"", "absent.ndjson", file)
    assert done.returncode == 1
    assert b"Cannot read absent.ndjson: No such file or directory." in done.stderr
    assert done.stderr.endswith(summary(created=1))


def test_a_truncated_gzip_file_is_reported_and_what_came_before_is_stored(to_kinto):
    data = gzip.compress(ndjson(make_record(n) for n in range(250)))
    done = to_kinto(data[:-200])
    assert done.returncode == 1
    assert b"standard input: the gzip data ends in the middle; fetch the file again." in done.stderr
    assert len(to_kinto.kinto.records()) > 125


def test_a_line_without_newline_at_the_end_is_a_line(to_kinto):
    assert to_kinto(ndjson([make_record(1)]).rstrip()).stderr == summary(created=1)


def test_records_are_stored_while_more_are_awaited(to_kinto):
    """``tail -f records | to-kinto``: a batch that is not full does not wait for the end."""
    with to_kinto.start() as process:
        process.stdin.write(ndjson([make_record(1)]))
        process.stdin.flush()
        wait_for(lambda: to_kinto.kinto.records())
        assert process.poll() is None
        _, messages = process.communicate()
    assert messages == summary(created=1)


# What is wrong


def test_blank_lines_are_no_error(to_kinto):
    lines = b"\n".join(
        [b"", ndjson([make_record(1)]), b"  ", b"\r", b"\t", ndjson([make_record(2)])]
    )
    done = to_kinto(lines)
    assert (done.returncode, done.stderr) == (0, summary(created=2))


NO_JSON = [b"hello", b'{"data": {"id": "x"}', b'{"data": {"id": "\xff"}}', b"\x00", b"NaN"]

NO_RECORD = [
    b"null", b"1", b"[]", b"{}", b'"data"', b'{"data": null}', b'{"data": []}', b'{"data": "x"}',
    b'{"id": "x"}', b'[{"data": {"id": "x"}}]',
]  # fmt: skip

NO_ID = [
    b"null", b"7", b'""', b'"a b"', b'"a/b"', b'"-a"', b'"_a"', b'"../a"', b'"a\\n"', b'"\xc3\xa9"',
]  # fmt: skip


@pytest.mark.parametrize(
    ("bad_lines", "sentence", "refused"),
    [
        (NO_JSON, "not valid JSON (", 0),
        (NO_RECORD, 'this is not a record: it must look like {"data": {…}}.', len(NO_RECORD)),
        ([b'{"data": {"id": %s}}' % id for id in NO_ID], " is not a valid record id: ", len(NO_ID)),
    ],
    ids=["no JSON", "no record", "no id"],
)
def test_bad_lines_are_named_each_and_the_others_are_stored(to_kinto, bad_lines, sentence, refused):
    """Good and bad lines in turn: the bad ones have the even numbers."""
    good = [ndjson([make_record(n)]) for n in range(len(bad_lines))]
    lines = b"".join(pair for both in zip(good, bad_lines, strict=True) for pair in (*both, b"\n"))
    (to_kinto.folder / "some.ndjson").write_bytes(lines)
    done = to_kinto(b"", "some.ndjson", "--skip")
    *messages, last = done.stderr.decode().splitlines(keepends=True)
    assert done.returncode == 1
    counted = summary(created=len(good), refused=refused)
    if not refused:  # lines that are not JSON are not records
        counted = counted.replace(b" failed.", f" failed, {len(bad_lines)} bad lines.".encode())
    assert last.encode() == counted
    for number, message in enumerate(messages, 1):
        assert f"ERROR some.ndjson, line {2 * number}: " in message
        assert sentence in message
    assert len(messages) == len(bad_lines)


PRETTY = json.dumps(make_record(1), indent=2).encode()
INVENTORY = (
    b'"net-mozaws-prod-delivery-firefox","pub/firefox/a.exe","1","2017-06-14T00:41:56.000Z"\n'
)
OTHER_KINDS = {
    "inventory": (INVENTORY, "| inventory-to-records | to-kinto"),
    "gcloud": (
        b"  65  2017-06-13T12:00:00Z  gs://x/pub/a.exe\n",
        "| inventory-to-records | to-kinto",
    ),
    "aws": (b"2017-06-13 12:00:00  65 pub/firefox/a.exe\n", "| inventory-to-records | to-kinto"),
    "Google's report": (b"bucket,name,size\n", "| inventory-to-records | to-kinto"),
    "jq .": (PRETTY, "jq -c ."),
    "jq -s .": (json.dumps([make_record(1)], indent=2).encode(), "jq -c '.[]'"),
    "jq -c -s .": (ndjson([[make_record(1)]]), "jq -c '.[]'"),
    "a page of Kinto": (
        ndjson([{"data": [make_record(1)["data"]]}]),
        "jq -c '.data[] | {data: .}'",
    ),
    "no data": (ndjson([make_record(1)["data"]]), "jq -c '{data: .}'"),
    "UTF-16": (ndjson([make_record(1)]).decode().encode("utf-16"), "iconv -f UTF-16 -t UTF-8"),
    "UTF-16 without a mark": (ndjson([make_record(1)]).decode().encode("utf-16-be"), "iconv"),
    "gzip in gzip": (gzip.compress(gzip.compress(ndjson([make_record(1)]))), "zcat"),
    "HTML": (b"<!DOCTYPE html>\n<p>\n", "fetch the file again"),
    "an event": (ndjson([s3_events.created("pub/firefox/a.exe")]), "s3-event-to-kinto"),
    "an event in a queue": (
        ndjson([s3_events.in_sqs(s3_events.created("pub/a.exe"))]),
        "s3-event-to-kinto",
    ),
}


@pytest.mark.parametrize(("content", "cure"), OTHER_KINDS.values(), ids=OTHER_KINDS)
def test_input_of_another_kind_is_reported_once_with_the_cure(to_kinto, content, cure):
    (to_kinto.folder / "wrong").write_bytes(b"\n" + content if content[0] != 31 else content)
    (to_kinto.folder / "right").write_bytes(ndjson([make_record(2)]))
    done = to_kinto(b"", "wrong", "right")
    sentence, counts = done.stderr.decode().splitlines()
    assert done.returncode == 1
    assert "ERROR wrong: this is " in sentence
    assert cure in sentence
    assert f"{counts}\n".encode() == summary(created=1)


def test_of_many_errors_the_first_ten_are_logged_and_the_others_counted(to_kinto):
    lines = ndjson([make_record(1)]) + b"hello\n" * 30
    *messages, last = to_kinto(lines).stderr.decode().splitlines()
    assert len(messages) == 11
    assert "Further errors of this kind are only counted; -v shows them." in messages[-1]
    assert "30 bad lines" in last
    assert to_kinto(lines, "-v").stderr.count(b"not valid JSON") == 30


def test_a_record_that_is_nested_deeply_is_a_record_like_any_other(to_kinto):
    """300 levels are more than some libraries write: only whether it is equal is not known."""
    nested = make_record(1, note=json.loads("[" * 300 + "]" * 300))
    records = [make_record(0), nested, make_record(2)]
    for options, counts in (
        ([], {"created": 3}),
        (["--skip"], {"updated": 1, "unchanged": 2}),
        (["--skip"], {"updated": 1, "unchanged": 2}),
    ):
        done = to_kinto(ndjson(records), *options)
        assert (done.returncode, done.stderr) == (0, summary(**counts))
    assert stored(to_kinto.kinto) == data_of(*records)


def test_a_record_that_the_schema_refuses_is_reported_and_its_batch_is_stored(to_kinto):
    records = [make_record(n) for n in range(10)]
    records[4]["data"]["target"] = {"os": "windows"}
    done = to_kinto(ndjson(records), "--skip")
    assert done.returncode == 1
    assert (
        b" standard input, line 5: Kinto refuses firefox_beta_4-0b1_win64_fr: os in body:"
        b" 'windows' is not one of ['win', 'mac'].\n"
    ) in done.stderr
    assert done.stderr.endswith(summary(created=9, refused=1))
    assert stored(to_kinto.kinto) == data_of(*records[:4], *records[5:])


def test_a_refused_record_is_not_taken_for_stored_the_next_time(to_kinto):
    record = make_record(1)
    record["data"]["target"] = {"os": "windows"}
    for _ in range(2):
        assert to_kinto(ndjson([record]), "--skip").stderr.endswith(summary(refused=1))


def test_the_reason_for_a_refusal_is_cut_where_it_is_endless(kinto, tmp_path):
    kinto.make_collection(schema={"properties": {"note": {"maxLength": 1000}}})
    records = [make_record(1), make_record(2, note="x" * 5_000_000), make_record(3)]
    done = Command(kinto, tmp_path)(ndjson(records))
    assert done.stderr.endswith(summary(created=2, refused=1))
    assert len(done.stderr) < 1000


# How it is stopped, and asked


@pytest.mark.parametrize(
    ("signum", "status"),
    [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=slow)],
    ids=["Ctrl-C", "SIGTERM"],
)
def test_a_signal_stops_it_after_what_was_read_is_stored(to_kinto, signum, status):
    records = [make_record(n) for n in range(40)]
    with to_kinto.start("--skip") as process:
        process.stdin.write(ndjson(records))
        process.stdin.flush()
        wait_for(lambda: to_kinto.kinto.records())
        process.send_signal(signum)
        assert process.wait(30) == status
        messages = process.stderr.read()
    created = len(to_kinto.kinto.records())
    *_, how_to_continue, last = messages.splitlines(keepends=True)
    assert how_to_continue == (
        b"Not complete. To continue, run the same command again with --skip, which does not send"
        b" again what is stored: the input was read up to standard input, line %d.\n" % created
    )
    assert last == summary(created=created)
    again = to_kinto(ndjson(records), "--skip")
    assert again.returncode == 0
    assert stored(to_kinto.kinto) == data_of(*records)


@pytest.mark.slow
def test_a_killed_run_loses_nothing_and_breaks_nothing(to_kinto):
    records = [make_record(n) for n in range(400)]
    with to_kinto.start("--skip") as process:
        process.stdin.write(ndjson(records))
        process.stdin.flush()
        wait_for(lambda: len(to_kinto.kinto.records()) > 50)
        process.kill()
    assert to_kinto(ndjson(records), "--skip").returncode == 0
    assert stored(to_kinto.kinto) == data_of(*records)
    assert to_kinto(ndjson(records), "--skip").stderr == summary(unchanged=400)


def test_a_closed_standard_input_is_reported(to_kinto):
    line = f"{COMMAND} --skip <&-"
    done = subprocess.run(
        ["/bin/sh", "-c", line], env=to_kinto.environment, capture_output=True, timeout=60
    )
    assert done.returncode == 2
    assert b"Error: Standard input is closed: pipe data in, or name files.\n" in done.stderr


def test_help_opens_with_a_pipeline_to_copy(to_kinto):
    for option in ("-h", "--help"):
        text = to_kinto(b"", option).stdout.decode()
        pipeline = text.index("zcat *.csv.gz | inventory-to-records | to-kinto")
        assert text.index("set -o pipefail") < pipeline < text.index("Options:")


def test_a_terminal_as_standard_input_shows_the_help(to_kinto):
    leader, follower = os.openpty()
    done = subprocess.run(
        [COMMAND], stdin=follower, capture_output=True, timeout=60, env=to_kinto.environment
    )
    os.close(leader)
    os.close(follower)
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"Usage: to-kinto" in done.stderr


@pytest.mark.parametrize(
    ("options", "status"),
    [
        (("--server", "ftp:"), 2),
        pytest.param(("--nonsense",), 2, marks=slow),
        pytest.param(("--jobs", "4"), 2, marks=slow),
    ],
)
def test_wrong_usage(to_kinto, options, status):
    assert to_kinto(b"", *options).returncode == status


def test_quiet_prints_no_summary(to_kinto):
    assert to_kinto(ndjson([make_record(1)]), "-q").stderr == b""
