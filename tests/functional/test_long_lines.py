"""Lines beyond the limit: bad, reported, and never in memory as a whole."""

from __future__ import annotations

import contextlib
import gzip
import itertools
import os
import re
import socket
import subprocess
import sys
import threading
import zlib
from pathlib import Path

import orjson
import pytest

from buildhub import MAX_LINE
from buildhub.inventory.reader import InventoryReader
from buildhub.streams import blocks
from tests.support.raw_server import response, serving
from tests.support.records import make_record

pytestmark = pytest.mark.functional

BIN = Path(sys.executable).parent
ROW = (
    b'"b","pub/firefox/releases/54.0/mac/fr/Firefox+54.0.dmg","1","2017-06-13T12:00:00.000Z","e"\n'
)
MIB = 1 << 20


def pieces(data: bytes, size: int = MIB) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


@pytest.mark.parametrize("size", [MIB, 1000_003, 64 * MIB])
@pytest.mark.parametrize("end", [b"\n", b"\n" + ROW, b""])
def test_lines_around_one_that_is_too_long_are_whole(size: int, end: bytes) -> None:
    data = ROW * 3 + b"x" * (MAX_LINE + 5) + end
    lines = b"".join(blocks(pieces(data, size))).splitlines(keepends=True)
    if size < MAX_LINE:
        assert len(lines[3]) < 2000
    assert lines[:3] == [ROW] * 3
    assert lines[4:] == ([ROW] if end.endswith(ROW) else [])


def test_a_line_of_just_the_limit_is_whole() -> None:
    data = b"x" * MAX_LINE + b"\n" + ROW
    assert b"".join(blocks(pieces(data))) == data


@pytest.mark.parametrize(
    "line",
    [b"x" * (MAX_LINE + 9), ROW[:-2] + b"e" * (MAX_LINE + 9) + b'"', b"\0" * (MAX_LINE + 9)],
    ids=["text", "a long column", "zeros"],
)
def test_such_a_row_is_bad_and_named_and_the_rest_is_read(line: bytes) -> None:
    reported: list[str] = []
    reader = InventoryReader(re.compile(b"pub/firefox"), None, reported.append)
    rows = [row for found in reader.entries(blocks(pieces(ROW + line + b"\n" + ROW)), "file")
            for row in found]  # fmt: skip
    assert len(rows) == 2
    assert (reader.rows, reader.bad_rows) == (3, 1)
    assert reported == ["file, line 2: the row is longer than 16 MiB; the row is skipped."]


#: Runs argv[2:] with what comes out of ``head`` and reports its peak memory in MB.
PROGRAM = """
import resource, subprocess, sys
done = subprocess.run(sys.argv[1:], stdin=sys.stdin.buffer)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)
sys.exit(done.returncode)
"""


@pytest.mark.parametrize(
    ("command", "packed"),
    [
        pytest.param("inventory-to-records", True, id="inventory, packed"),
        pytest.param("inventory-to-records", False, id="inventory", marks=pytest.mark.slow),
        pytest.param("to-kinto", True, id="records, packed", marks=pytest.mark.slow),
        pytest.param("to-kinto", False, id="records", marks=pytest.mark.slow),
    ],
)
def test_a_line_without_end_is_exit_1_in_little_memory(
    tmp_path: Path, command: str, packed: bool
) -> None:
    path = tmp_path / "input"
    line = b"x" * MIB
    with path.open("wb") as file:
        file.writelines(itertools.repeat(gzip.compress(line) if packed else line, 400))
    environ = {**os.environ, "CACHE_FOLDER": str(tmp_path)}
    arguments = [str(BIN / command), str(path)]
    if command == "to-kinto":
        arguments += ["--dry-run"]

        def kinto(connection: socket.socket, request: bytes) -> bool:
            headers = ["Content-Type: application/json", "Total-Records: 0", 'ETag: "1"']
            body = b'{"settings": {}, "user": {}, "data": []}'
            connection.sendall(response(b"" if request.startswith(b"HEAD") else body, *headers))
            return True

        with serving(kinto) as server:
            environ |= {"SERVER_URL": f"{server.url}v1", "AUTH": "user:pass"}
            done = _measured(arguments, environ)
    else:
        done = _measured(arguments, environ)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert f"{path}, line 1: the " in done.stderr
    assert " is longer than 16 MiB" in done.stderr
    assert int(done.stdout.splitlines()[-1]) < 300


@pytest.mark.parametrize(
    ("command", "variable", "at_once"),
    [
        ("archive-to-inventory", "STORAGE_EMULATOR_HOST", 12),  # as many as there are sections
        ("inventory-to-records", "ARCHIVE_URL", 16),
    ],
)
def test_many_listings_without_end_at_once_are_an_error_in_little_memory(
    tmp_path: Path, command: str, variable: str, at_once: int
) -> None:
    packer = zlib.compressobj(wbits=zlib.MAX_WBITS + 16)
    first, other = (packer.compress(bytes(MIB)) + packer.flush(zlib.Z_FULL_FLUSH) for _ in "12")
    page = first + 199 * other  # without the end of gzip
    rows = b"".join(ROW.replace(b"54.0", b"%d.0" % version) for version in range(20, 36))
    (tmp_path / "input").write_bytes(rows)
    all_have_begun = threading.Barrier(at_once, timeout=5)

    def answer(connection: socket.socket, request: bytes) -> bool:
        content = response(page, "Content-Type: application/json", "Content-Encoding: gzip")
        begin = len(content) // 40
        connection.sendall(content[:begin])
        with contextlib.suppress(threading.BrokenBarrierError):
            all_have_begun.wait()
        connection.sendall(content[begin:])
        return False

    with serving(answer) as server:
        environ = {variable: server.url, "NB_RETRY_REQUEST": "0", "CACHE_FOLDER": str(tmp_path)}
        arguments = [str(tmp_path / "input")] if command == "inventory-to-records" else []
        done = _measured([str(BIN / command), "--jobs", "16", *arguments], os.environ | environ)
    assert done.returncode == 1
    assert "the response is larger than 8 MiB" in done.stderr
    # Sixteen times 8 MiB, which are copied as they grow, are 200 to 310 MB, with everything else;
    # where one was read without the limit, it was 1,100.
    assert int(done.stdout.splitlines()[-1]) < 600


def _measured(arguments: list[str], environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], env=environ, capture_output=True, text=True
    )


def test_such_a_record_is_bad_and_the_rest_is_stored(tmp_path: Path) -> None:
    long = orjson.dumps({"data": {"id": "x", "note": "x" * (MAX_LINE + 9)}})
    good = orjson.dumps(make_record(1))
    lines = b"".join(blocks(pieces(good + b"\n" + long + b"\n" + good))).splitlines()
    assert [lines[0], lines[2]] == [good, good]
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(lines[1])
