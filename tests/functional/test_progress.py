"""Progress is shown on a terminal, and only there."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.kinto_server import Kinto
from tests.support.records import make_record, ndjson

pytestmark = pytest.mark.functional

BIN = Path(sys.executable).parent


def on_terminal(
    command: list[str], stdin: bytes, environ: dict[str, str], *, prints: bool = False
) -> str:
    """Returns what a command writes to a terminal that is its stderr, and stdout if it prints."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=follower if prints else subprocess.DEVNULL,
        stderr=follower,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100", **environ},
    )
    os.close(follower)
    assert process.stdin
    process.stdin.write(stdin)
    process.stdin.close()
    output = b""
    try:
        while piece := os.read(leader, 65536):
            output += piece
    except OSError:  # the terminal's other end was closed
        pass
    os.close(leader)
    assert process.wait(timeout=60) == 1
    # Less the codes that hide and show the cursor: they change no line.
    return output.decode().replace("\x1b[?25l", "").replace("\x1b[?25h", "")


def check(output: str, progress: str, message: str, summary: str) -> None:
    """``progress`` is displayed; ``message`` stands alone on its line; so does the summary."""
    assert progress in output
    lines = [line.rpartition("\x1b[2K")[2].rpartition("\r")[2] for line in output.split("\r\n")]
    assert [line for line in lines if message in line] == [message]
    assert lines[-2].startswith(summary)


def test_inventory_to_records_shows_rows_records_and_rate(tmp_path: Path) -> None:
    rows = b'"a"\n' + b'"bucket","pub/firefox/x","1","2017-06-13T12:00:00Z","etag"\n' * 1000
    environ = {"CACHE_FOLDER": str(tmp_path)}
    output = on_terminal([str(BIN / "inventory-to-records")], rows, environ)
    message = (
        "Error: standard input, line 1: a row of 1 columns; name them with --schema;"
        " the row is skipped."
    )
    check(output, " rows, 0 records, ", message, "inventory-to-records: 1,001 rows, ")
    output = on_terminal([str(BIN / "inventory-to-records"), "-q"], rows, environ)
    assert output == message + "\r\n"
    output = on_terminal([str(BIN / "inventory-to-records")], rows, environ, prints=True)
    assert output.startswith(message), "the records come here: no progress between them"
    assert " rows/s" not in output


def test_archive_to_inventory_shows_rows_unless_they_are_printed_on_the_terminal() -> None:
    environ = {"STORAGE_EMULATOR_HOST": "http://127.0.0.1:9", "NB_RETRY_REQUEST": "0"}
    command = [str(BIN / "archive-to-inventory"), "--product", "firefox"]
    assert "archive-to-inventory: 0 rows, 0 rows/s" in on_terminal(command, b"", environ)
    assert " rows/s" not in on_terminal(command, b"", environ, prints=True)


def test_to_kinto_shows_records_and_rate(kinto: Kinto, tmp_path: Path) -> None:
    kinto.make_collection()
    environ = {"CACHE_FOLDER": str(tmp_path), "SERVER_URL": kinto.url, "AUTH": "user:pass-word"}
    lines = ndjson(make_record(n) for n in range(50)) + b"?\n"
    output = on_terminal([str(BIN / "to-kinto")], lines, environ)
    message = (
        "Error: standard input, line 51: not valid JSON"
        " (unexpected character, expected a JSON value)."
    )
    check(output, " records, ", message, "to-kinto: 50 created, ")


@pytest.mark.parametrize("name", ["inventory_to_records", "to_kinto", "latest_inventory_to_kinto"])
def test_rich_is_not_imported_where_stderr_is_no_terminal(name: str, tmp_path: Path) -> None:
    """To its end, though it fails: there is no server."""
    code = f"""
import sys
from buildhub.commands.{name} import main
try:
    main([])
finally:
    print([module for module in sys.modules if module.split(".")[0] == "rich"])
"""
    environ = {
        "PATH": os.environ["PATH"],
        "CACHE_FOLDER": str(tmp_path),
        "SERVER_URL": "http://127.0.0.1:9/v1",
        "NB_RETRY_REQUEST": "0",
    }
    done = subprocess.run(
        [sys.executable, "-c", code], input=b"", capture_output=True, env=environ, timeout=60
    )
    assert done.stdout == b"[]\n", done.stderr
