"""``to-kinto --check``, which writes nothing, and ``--failed``, which keeps what was not stored."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.ports import free_port
from tests.support.records import make_record, ndjson
from tests.support.to_kinto_command import (
    COLLECTION,
    COMMAND,
    SCHEMA,
    Command,
    data_of,
    stored,
    summary,
)

pytestmark = pytest.mark.functional
slow = pytest.mark.slow  # the same promise, once more


# --check


def checked(done: subprocess.CompletedProcess[bytes]) -> tuple[int, list[str]]:
    """The exit status, and the differences that were printed."""
    return done.returncode, done.stdout.decode().splitlines()


def test_check_names_what_would_be_created_or_updated_and_writes_nothing(to_kinto):
    records = [make_record(n) for n in range(4)]
    assert to_kinto(ndjson(records[:3])).returncode == 0
    before = to_kinto.kinto.records()
    assert checked(to_kinto(ndjson(records[:3]), "--check")) == (0, [])
    records[1]["data"]["download"]["size"] += 1
    done = to_kinto(ndjson(records), "--check")
    ids = [record["data"]["id"] for record in records]
    assert checked(done) == (1, [f"updated\t{ids[1]}", f"created\t{ids[3]}"])
    expected = summary(created=1, updated=1, unchanged=2)[len("to-kinto") :]
    assert done.stderr == b"to-kinto (check)" + expected
    assert to_kinto.kinto.records() == before


def test_check_prints_the_first_hundred(to_kinto):
    done = to_kinto(ndjson(make_record(n) for n in range(103)), "--check")
    status, lines = checked(done)
    assert (status, len(lines)) == (1, 100)
    assert lines[-1] == f"created\t{make_record(99)['data']['id']}"
    assert "and 3 more." in done.stderr.decode()


@pytest.mark.parametrize(
    "options",
    [["--check"], pytest.param(["--check", "--skip"], marks=slow), ["--dry-run"]],
)
@pytest.mark.parametrize("server", ["kinto", pytest.param("strict_kinto", marks=slow)])
def test_on_a_server_that_was_never_initialized_everything_is_missing(
    server, options, request, tmp_path
):
    kinto = request.getfixturevalue(server)
    done = Command(kinto, tmp_path)(ndjson([make_record(1)]), *options)
    assert done.returncode == (1 if "--check" in options else 0)
    assert b": 1 created" in done.stderr
    assert kinto.call("GET", "/buckets").json()["data"] == []


def test_check_does_not_know_what_it_cannot_read(to_kinto):
    """Status 2, unless a record is known to be missing."""
    bad = b"not JSON\n"
    assert to_kinto(ndjson([make_record(1)])).returncode == 0
    assert checked(to_kinto(bad + ndjson([make_record(1)]), "--check")) == (2, [])
    status, lines = checked(to_kinto(bad + ndjson([make_record(2)]), "--check"))
    assert (status, len(lines)) == (1, 1)
    unreachable = {"SERVER_URL": f"http://127.0.0.1:{free_port()}/v1", "NB_RETRY_REQUEST": "0"}
    assert checked(to_kinto(ndjson([make_record(1)]), "--check", **unreachable)) == (2, [])


def test_check_with_wrong_credentials_is_not_an_answer(accounts_kinto, tmp_path):
    done = Command(accounts_kinto, tmp_path)(ndjson([make_record(1)]), "--check", AUTH="user:no")
    assert checked(done) == (2, [])


# --failed


def test_what_could_not_be_stored_is_kept_for_a_second_try(to_kinto, tmp_path):
    """Of a server without collection everything; the second try reads and rewrites the file."""
    records = [make_record(n) for n in range(30)]
    to_kinto.kinto.call("DELETE", COLLECTION)
    file = tmp_path / "failed.ndjson"
    assert to_kinto(ndjson(records), "--failed", file).returncode == 1
    kept = [json.loads(line) for line in file.read_text().splitlines()]
    assert data_of(*kept) == data_of(*records)
    to_kinto.kinto.make_collection(schema=SCHEMA)
    done = to_kinto(b"", "--failed", file, file)
    assert (done.returncode, done.stderr) == (0, summary(created=30))
    assert stored(to_kinto.kinto) == data_of(*records)
    assert file.read_bytes() == b""
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize("source", ["file", "standard input"])
def test_a_file_that_was_not_read_to_its_end_stays_as_it_is(to_kinto, tmp_path, source):
    """Its other records may be nowhere else."""
    file = tmp_path / "failed.ndjson"
    file.write_bytes(before := ndjson(make_record(n) for n in range(200)))
    to_kinto.kinto.call("DELETE", COLLECTION)
    command = [COMMAND, "--failed", file, "absent", file if source == "file" else "-"]
    with file.open() as stdin:
        done = subprocess.run(
            command, stdin=stdin, env=to_kinto.environment, capture_output=True, cwd=tmp_path
        )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-2].endswith(b" 75 failed.")
    assert file.read_bytes() == before
    assert not list(tmp_path.glob("*.part"))


def test_a_dry_run_takes_nothing_out_of_its_input(to_kinto, tmp_path):
    (file := tmp_path / "failed.ndjson").write_bytes(before := ndjson([make_record(1)]))
    assert to_kinto(b"", "--dry-run", "--failed", file, file).returncode == 0
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    "content",
    [b"bucket,name,size\n", gzip.compress(b"{}" * 99)[:-5]],
    ids=["an inventory", "half a gzip"],
)
def test_a_file_that_cannot_be_read_stays_as_it_is(to_kinto, tmp_path, content):
    (file := tmp_path / "failed.ndjson").write_bytes(content)
    assert to_kinto(b"", "--failed", file, file).returncode == 1
    assert file.read_bytes() == content


def test_a_run_that_fails_before_the_first_line_leaves_nothing_of_an_earlier_one(
    to_kinto, tmp_path
):
    (file := tmp_path / "failed.ndjson").write_bytes(before := ndjson([make_record(1)]))
    away = ("--server", f"http://127.0.0.1:{free_port()}/v1", "--nb-retry-request", 0)
    assert to_kinto(before, *away, "--failed", file, file).returncode == 1
    assert file.read_bytes() == before
    assert to_kinto(before, *away, "--failed", file).returncode == 1
    assert file.read_bytes() == b""


def test_refused_records_are_kept_and_stored_ones_are_not(to_kinto, tmp_path):
    file = tmp_path / "failed.ndjson"
    bad = make_record(1, target={"os": "atari"})
    odd = {"data": {"id": "not an id"}}
    done = to_kinto(ndjson([make_record(0), bad, odd, make_record(2)]), "--failed", file)
    assert done.stderr.endswith(summary(created=2, refused=2))
    assert [json.loads(line) for line in file.read_text().splitlines()] == [odd, bad]


def test_a_record_without_id_is_kept_with_the_id_under_which_it_was_sent(to_kinto, tmp_path):
    """It may have been stored: the second try must not store it twice."""
    file = tmp_path / "failed.ndjson"
    record = make_record(1)
    del record["data"]["id"]
    to_kinto.kinto.call("DELETE", COLLECTION)
    to_kinto(ndjson([record]), "--failed", file)
    (kept,) = map(json.loads, file.read_text().splitlines())
    assert kept["data"].pop("id")
    assert kept == record


def test_a_file_that_cannot_be_written_is_named_before_anything_is_stored(to_kinto, tmp_path):
    file = tmp_path / "absent" / "failed.ndjson"
    done = to_kinto(ndjson([make_record(1)]), "--failed", file)
    assert done.returncode == 1
    assert f"Cannot write {file}".encode() in done.stderr
    assert stored(to_kinto.kinto) == []


def test_what_a_killed_run_has_left_beside_the_file_is_removed_by_the_next(to_kinto, tmp_path):
    """Files that another run is writing stay, and so do those that only look similar."""
    file = tmp_path / "failed.ndjson"
    similar = tmp_path / "failed.ndjson.mine.part"
    similar.write_text("precious")
    killed, other = (to_kinto.start("--failed", file) for _ in range(2))
    while len(parts := list(tmp_path.glob("failed.ndjson.????????.part"))) < 2:
        time.sleep(0.01)
    killed.kill()
    killed.communicate()
    assert to_kinto(b"", "--failed", file).returncode == 0
    (left,) = tmp_path.glob("failed.ndjson.????????.part")
    assert left in parts
    other.communicate(b"")
    assert sorted(path.name for path in tmp_path.glob("failed*")) == [file.name, similar.name]


def test_a_link_stays_a_link_and_a_device_a_device(to_kinto, tmp_path):
    link = tmp_path / "link"
    link.symlink_to("failed.ndjson")
    to_kinto(b"not JSON\n" + ndjson([{"data": 7}]), "--failed", link)
    assert link.is_symlink()
    assert link.read_bytes() == ndjson([{"data": 7}]).replace(b" ", b"")
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", Path(os.devnull)):
        done = to_kinto(b"", "--failed", path)
        assert done.returncode == 1
        assert f"Cannot write {path}: it is not a file".encode() in done.stderr
        assert not path.is_file()
