"""``--summary FILE`` of the commands that load builds: written whatever became of the run."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import buildhub
from tests.support import commands
from tests.support.archive_server import ArchiveServer
from tests.support.archive_tree import nightly_tree, release_tree
from tests.support.gcs_server import BUCKET, GcsServer, Object
from tests.support.kinto_server import Kinto
from tests.support.records import make_record, ndjson
from tests.support.s3_events import created

pytestmark = pytest.mark.functional

BIN = Path(sys.executable).parent
TREE = release_tree("firefox", "54.0", builds=(1,), platforms=("mac",))
KEY = "pub/firefox/releases/54.0/mac/fr/Firefox+54.0.dmg"
ROW = f'"b","{KEY}","1","2017-06-13T12:00:00.000Z","e"\n'
NOWHERE = "http://127.0.0.1:9/v1"


class Command:
    """Runs commands with ``--summary``, and reads what that writes."""

    def __init__(self, kinto: Kinto, folder: Path) -> None:
        self.file = folder / "summary.json"
        self.variables = {
            "PATH": os.environ["PATH"],
            "SERVER_URL": kinto.url,
            "AUTH": "user:pass",
            "CACHE_FOLDER": str(folder),
            "NB_RETRY_REQUEST": "0",
        }

    def __call__(self, command: str, stdin: bytes = b"", **variables: str) -> dict[str, Any]:
        name, *arguments = command.split()
        arguments = [name, "--summary", self.file, *arguments]
        done = commands.run(arguments, input=stdin, env=self.variables | variables)
        summary: dict[str, Any] = json.loads(self.file.read_text())
        assert summary["exit_status"] == done.returncode, done.stderr
        assert (summary["command"], summary["version"]) == (name, buildhub.__version__)
        assert summary["began"].startswith("20")
        assert summary["seconds"] >= 0
        assert not list(self.file.parent.glob("*.part"))
        return summary


@pytest.fixture
def command(kinto: Kinto, tmp_path: Path) -> Command:
    kinto.make_collection()
    return Command(kinto, tmp_path)


RECORDS = [make_record(1), make_record(2)]
NEWEST = max(record["data"]["build"]["date"] for record in RECORDS)


@pytest.mark.parametrize("repeated", [False, True], ids=["new", "known"])
def test_to_kinto(command: Command, repeated: bool) -> None:
    for _ in range(3 if repeated else 1):  # then the lines are known, and not decoded
        summary = command("to-kinto --skip", ndjson(RECORDS))
    outcome = "unchanged" if repeated else "created"
    assert summary["counts"] == {
        **dict.fromkeys(("created", "updated", "unchanged", "refused", "failed", "bad_lines"), 0),
        outcome: 2,
    }
    assert (summary["exit_status"], summary["newest_build"]) == (0, NEWEST)


def test_to_kinto_with_a_bad_line(command: Command) -> None:
    summary = command("to-kinto", ndjson(RECORDS) + b"{\n")
    assert (summary["exit_status"], summary["counts"]["bad_lines"]) == (1, 1)


def test_a_server_that_does_not_answer(command: Command) -> None:
    summary = command("to-kinto", ndjson(RECORDS), SERVER_URL=NOWHERE)
    assert summary["exit_status"] == 1


def handles_sigterm(process: subprocess.Popen[bytes]) -> bool:
    status = Path(f"/proc/{process.pid}/status").read_text()
    (caught,) = re.findall(r"^SigCgt:\s*(\w+)$", status, re.MULTILINE)
    return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)


def test_a_stop(command: Command) -> None:
    process = subprocess.Popen(
        [BIN / "to-kinto", "--summary", command.file],
        stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=command.variables,
    )  # fmt: skip
    assert process.stdin
    process.stdin.write(ndjson(RECORDS))
    process.stdin.flush()
    while not (list(command.file.parent.glob("summary.json.*.part")) and handles_sigterm(process)):
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    process.communicate()
    assert process.returncode == 143
    assert json.loads(command.file.read_text())["exit_status"] == 143


def test_inventory_to_records(command: Command) -> None:
    with ArchiveServer(TREE) as archive:
        rows = (ROW * 2 + '"b","x"\n').encode()
        summary = command("inventory-to-records", rows, ARCHIVE_URL=archive.url)
    counts = summary["counts"]
    assert (counts["rows"], counts["records"], counts["bad_rows"]) == (3, 2, 1)
    assert summary["newest_build"].startswith("2017-0")


def test_latest_inventory_to_kinto(command: Command) -> None:
    tree = TREE | nightly_tree("firefox", platforms=("linux-x86_64",), locales=("en-US",))
    objects = [Object(key, file.size, f"{file.date[:-1]}.000Z", "") for key, file in tree.items()]
    with ArchiveServer(tree) as archive, GcsServer(objects) as bucket:
        summary = command(
            "latest-inventory-to-kinto --source bucket --product firefox",
            ARCHIVE_URL=archive.url,
            ARCHIVE_BUCKET=BUCKET,
            STORAGE_EMULATOR_HOST=bucket.url,
        )
    sections = {one["section"]: one for one in summary["sections"]}
    assert set(sections) == {"firefox/nightly", "firefox/candidates", "firefox/releases"}
    assert sections["firefox/nightly"]["created"] > 0
    created = sum(one["created"] for one in sections.values())
    assert summary["counts"]["created"] == created
    assert summary["newest_build"] == max(one["newest_build"] or "" for one in sections.values())


def test_latest_inventory_to_kinto_without_a_server(command: Command) -> None:
    assert command("latest-inventory-to-kinto", SERVER_URL=NOWHERE)["exit_status"] == 1


def test_s3_event_to_kinto(command: Command) -> None:
    key = "pub/firefox/releases/54.0/mac/fr/Firefox 54.0.dmg"
    events = [json.dumps(created(one)).encode() for one in ("favicon.ico", key)]
    with ArchiveServer(TREE) as archive:
        lines = b"\n".join([*events, b"{", b""])
        summary = command("s3-event-to-kinto", lines, ARCHIVE_URL=archive.url)
    counts = {"ignored": 1, "malformed": 1, "handled": 1, "created": 1}
    assert counts.items() <= summary["counts"].items()
    assert summary["newest_build"].startswith("2017-0")


def test_the_summary_replaces_the_one_before_and_others_may_read_it(command: Command) -> None:
    command.file.write_text("before")
    command("to-kinto", ndjson(RECORDS))
    os.umask(umask := os.umask(0))
    assert command.file.stat().st_mode & 0o777 == 0o666 & ~umask


def test_a_file_that_can_not_be_written_is_said_before_anything_is_done(command: Command) -> None:
    done = subprocess.run(
        [BIN / "to-kinto", "--summary", command.file / "absent" / "x"],
        input=ndjson(RECORDS), capture_output=True, env=command.variables, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2
    assert b"choose another file with --summary" in done.stderr
