"""Output that is closed, full, or not read: a sentence or nothing, and the right status."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.archive_server import ArchiveServer
from tests.support.archive_tree import release_tree
from tests.support.bucket_tree import Tree
from tests.support.gcs_server import BUCKET, GcsServer
from tests.support.kinto_server import Kinto
from tests.support.records import make_record, ndjson

pytestmark = pytest.mark.functional

BIN = Path(sys.executable).parent
KEY = "pub/firefox/releases/54.0/mac/fr/Firefox+54.0.dmg"
ROW = f'"b","{KEY}","1","2017-06-13T12:00:00.000Z","e"\n'

FULL, CLOSED, GONE = ">/dev/full", ">&-", "| true"
STDERR_FULL, STDERR_CLOSED = "2>/dev/full", "2>&-"
NOTHING = "<&- >&- 2>&-"

#: command → status if all is well, status if its output can't be written (None: it writes none)
COMMANDS = {
    "inventory-to-records rows": (0, 1),
    "inventory-to-records bad-rows": (1, 1),
    "inventory-to-records --explain pub/x": (0, 1),
    "inventory-to-records --help": (0, 1),
    "inventory-to-records --version": (0, 1),
    "inventory-to-records --unknown": (2, None),
    "to-kinto records": (0, None),
    "to-kinto bad-records": (1, None),
    "to-kinto --check records": (1, 2),
    "to-kinto --server http://127.0.0.1:9/v1 records": (1, None),
    "kinto-to-records": (0, 2),
    "kinto-to-records --build-id 20000101000000": (1, None),
    "archive-to-inventory": (0, 1),
    "archive-to-inventory -V": (0, 1),
    "missing-builds releases": (1, 2),
    "s3-event-to-kinto event": (0, None),
    "latest-inventory-to-kinto --source bucket": (0, None),
}
REDIRECTIONS = [FULL, CLOSED, GONE, STDERR_FULL, STDERR_CLOSED, f"{FULL} {STDERR_FULL}", NOTHING]
#: Each command with an output that is full, each redirection with a command of each kind.
CASES = {(command, FULL) for command in COMMANDS} | {
    (command, redirection)
    for command in ("inventory-to-records rows", "kinto-to-records", "to-kinto bad-records")
    for redirection in REDIRECTIONS
}
CASES |= {("inventory-to-records --help", GONE), ("inventory-to-records --unknown", NOTHING)}
#: What ``make test`` runs of the table.
QUICK = {
    ("inventory-to-records rows", FULL),
    ("inventory-to-records rows", CLOSED),
    ("inventory-to-records rows", STDERR_FULL),
    ("inventory-to-records --help", GONE),
    ("inventory-to-records --unknown", NOTHING),
}


@pytest.fixture(scope="module")
def archive() -> Iterator[ArchiveServer]:
    with ArchiveServer(release_tree("firefox", "54.0", builds=(1,), platforms=("mac",))) as archive:
        yield archive


@pytest.fixture(scope="module")
def bucket() -> Iterator[GcsServer]:
    with GcsServer(Tree(versions=1, days=1).objects) as bucket:
        yield bucket


@pytest.fixture
def environ(
    kinto: Kinto, archive: ArchiveServer, bucket: GcsServer, tmp_path: Path
) -> dict[str, str]:
    kinto.make_collection()
    (tmp_path / "rows").write_text(ROW * 3)
    (tmp_path / "bad-rows").write_text(ROW * 3 + '"b","x"\n')
    (tmp_path / "records").write_bytes(ndjson([make_record(1), make_record(2)]))
    (tmp_path / "bad-records").write_bytes(b"{\n" + ndjson([make_record(1)]))
    release = {"product": "firefox", "version": "55.0", "date": "2017-08-08"}
    (tmp_path / "releases").write_text(json.dumps({"releases": {"firefox-55.0": release}}))
    (tmp_path / "event").write_text(json.dumps({"s3": {"object": {"key": "favicon.ico"}}}))
    return {
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "AUTH": "user:pass",
        "SERVER_URL": kinto.url,
        "ARCHIVE_URL": archive.url,
        "ARCHIVE_BUCKET": BUCKET,
        "STORAGE_EMULATOR_HOST": bucket.url,
        "CACHE_FOLDER": str(tmp_path),
        "INITIALIZE_SERVER": "false",
        "NB_RETRY_REQUEST": "0",
        "SINCE": "1h",
    }


@pytest.mark.parametrize(
    ("command", "redirection"),
    [pytest.param(*c, marks=() if c in QUICK else pytest.mark.slow) for c in sorted(CASES)],
)
def test_the_status_is_that_of_the_work_and_there_is_no_traceback(
    environ: dict[str, str], tmp_path: Path, kinto: Kinto, command: str, redirection: str
) -> None:
    if command.startswith(("inventory-to-records", "archive-to-inventory")):
        del environ["SINCE"]
    if command.startswith("kinto-to-records"):
        kinto.call("PUT", "/buckets/build-hub/collections/releases/records/a", json={"data": {}})
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command} {redirection}"],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
    )
    well, unwritable = COMMANDS[command]
    writes = unwritable is not None
    if redirection in (STDERR_FULL, STDERR_CLOSED) or not writes:
        assert done.returncode == well
    else:
        assert done.returncode == (128 + signal.SIGPIPE if redirection == GONE else unwritable)
    if redirection in (FULL, CLOSED):
        assert ("Cannot write standard output" in done.stderr) == writes
    for trace in ("Traceback", "Exception ignored", "Logging error"):
        assert trace not in done.stderr


@pytest.mark.slow
def test_no_file_becomes_standard_output(environ: dict[str, str], tmp_path: Path) -> None:
    """Where 0, 1 and 2 are closed, the next files that are opened would get these numbers."""
    script = "inventory-to-records --debug - < rows >&- 2>&-; to-kinto records <&- >&- 2>&-"
    subprocess.run(["bash", "-c", script], cwd=tmp_path, env=environ, timeout=60, check=True)
    for database in tmp_path.glob("*.sqlite3"):
        assert database.read_bytes().startswith(b"SQLite format 3\0")


@pytest.mark.slow
def test_a_stop_is_heeded_while_nobody_reads_the_messages(
    environ: dict[str, str], tmp_path: Path
) -> None:
    """The pipe of stderr is full; what can't be written in the time of a stop is lost."""
    (tmp_path / "bad-rows").write_text('"b","x"\n' * 10_000)
    process = subprocess.Popen(
        ["inventory-to-records", "-v", "bad-rows"],
        cwd=tmp_path, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr
    process.stderr.read(1)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(2)
    process.terminate()
    assert process.wait(60) == 143
    process.stderr.close()
