"""A signal ends a command within seconds, whatever it waits for, and its summary is printed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import orjson
import pytest

from tests.support.archive_server import ArchiveServer
from tests.support.archive_tree import release_tree
from tests.support.raw_server import Answer, RawServer, path_of, response, serving
from tests.support.records import make_record

pytestmark = pytest.mark.functional

BIN = Path(sys.executable).parent
slow = pytest.mark.slow  # most stops take five seconds: one of each kind is in `make test`

#: Far more than the five seconds that a stop may take, far less than any wait that it ends.
SECONDS = 60


def silent(connection: socket.socket, request: bytes) -> bool:
    """Takes a request, and says nothing for ever."""
    time.sleep(86_400)
    return False


def busy(connection: socket.socket, request: bytes) -> bool:
    """Asks for two minutes, again and again."""
    connection.sendall(response(b"{}", "Retry-After: 120", status="503 Service Unavailable"))
    return True


def trickling(connection: socket.socket, request: bytes) -> bool:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n")
    connection.sendall(b"Content-Length: 1000000\r\n\r\n")
    with contextlib.suppress(OSError):
        while True:
            connection.sendall(b" ")
            time.sleep(0.5)
    return False


def after_the_root(then: Answer) -> Answer:
    """A Kinto that starts well."""

    def answer(connection: socket.socket, request: bytes) -> bool:
        if path_of(request).rstrip("/") == "/v1":
            body = b'{"settings": {"batch_max_requests": 25}, "user": {}}'
            connection.sendall(response(body, "Content-Type: application/json"))
            return True
        if "/records?" in path_of(request):
            connection.sendall(response(b'{"data": []}', "Content-Type: application/json"))
            return True
        return then(connection, request)

    return answer


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {
        **{name: value for name, value in os.environ.items() if "proxy" not in name.lower()},
        "CACHE_FOLDER": str(tmp_path),
        "CSV_DOWNLOAD_DIRECTORY": str(tmp_path),
        "AUTH": "user:pass",
        "TIMEOUT_SECONDS": "300",
        "NB_RETRY_REQUEST": "5",
    }


@contextlib.contextmanager
def started(command: str, *arguments: str, **options: object) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [BIN / command, *arguments],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **{"stdout": subprocess.PIPE, **options},  # type: ignore[call-overload]
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def stop(process: subprocess.Popen[bytes], signum: signal.Signals) -> str:
    """Returns its stderr after the signal; its status must be that of the signal."""
    process.send_signal(signum)
    assert process.stderr
    try:
        process.wait(SECONDS)
    except subprocess.TimeoutExpired:
        pytest.fail("the signal did not end it")
    messages = process.stderr.read().decode()
    assert process.returncode == 128 + signum, messages
    assert "Traceback" not in messages
    return messages


def wait_for(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def requests_to(server: RawServer, part: str) -> list[str]:
    return [path for path in map(path_of, server.requests) if part in path]


LINES = b"".join(orjson.dumps(make_record(n), option=orjson.OPT_APPEND_NEWLINE) for n in range(60))


@pytest.mark.parametrize(
    ("answer", "signum"),
    [
        (silent, signal.SIGTERM),
        (busy, signal.SIGINT),
        (trickling, signal.SIGHUP),
        pytest.param(silent, signal.SIGINT, marks=slow),
        pytest.param(silent, signal.SIGHUP, marks=slow),
        pytest.param(busy, signal.SIGTERM, marks=slow),
        pytest.param(busy, signal.SIGHUP, marks=slow),
        pytest.param(trickling, signal.SIGTERM, marks=slow),
        pytest.param(trickling, signal.SIGINT, marks=slow),
    ],
)
def test_to_kinto_while_kinto_takes_no_records(
    environ: dict[str, str], answer: Answer, signum: signal.Signals
) -> None:
    with serving(after_the_root(answer)) as server:
        with started("to-kinto", "--server", f"{server.url}v1", env=environ) as process:
            assert process.stdin
            process.stdin.write(LINES)
            process.stdin.flush()
            wait_for(lambda: requests_to(server, "/batch"))
            messages = stop(process, signum)
    assert "to-kinto: 0 created, 0 updated, 0 unchanged, 0 refused, " in messages
    assert " 60 failed." in messages or " failed." in messages


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("to-kinto", silent),
        ("latest-inventory-to-kinto", busy),
        pytest.param("to-kinto", busy, marks=slow),
        pytest.param("to-kinto", trickling, marks=slow),
        pytest.param("latest-inventory-to-kinto", silent, marks=slow),
        pytest.param("latest-inventory-to-kinto", trickling, marks=slow),
    ],
)
def test_while_the_server_is_asked_what_it_is_or_initialised(
    environ: dict[str, str], command: str, answer: Answer
) -> None:
    with serving(answer) as server:
        environ["SERVER_URL"] = f"{server.url}v1"
        with started(command, env=environ) as process:
            wait_for(lambda: server.requests)
            stop(process, signal.SIGTERM)


@pytest.mark.parametrize(
    ("command", "summary"),
    [
        ("to-kinto --skip", "to-kinto: stopped before the first record."),
        pytest.param("kinto-to-records", "kinto-to-records: 0 records, not complete.", marks=slow),
    ],
)
@pytest.mark.parametrize("answer", [busy, pytest.param(silent, marks=slow)])
def test_while_the_records_of_the_server_are_read(
    environ: dict[str, str], command: str, summary: str, answer: Answer
) -> None:
    with serving(answer) as server:
        environ["SERVER_URL"] = f"{server.url}v1"
        with started(*command.split(), env=environ) as process:
            wait_for(lambda: server.requests)
            assert summary in stop(process, signal.SIGTERM)


@pytest.mark.parametrize(
    "answer", [busy, pytest.param(silent, marks=slow), pytest.param(trickling, marks=slow)]
)
def test_while_s3_is_silent_or_busy(environ: dict[str, str], answer: Answer) -> None:
    def kinto(connection: socket.socket, request: bytes) -> bool:
        headers = ["Content-Type: application/json", "Total-Records: 0", 'ETag: "1"']
        head = request.startswith(b"HEAD")
        connection.sendall(response(b"" if head else b'{"data": []}', *headers))
        return True

    with serving(after_the_root(kinto)) as server, serving(answer) as s3:
        environ |= {"SERVER_URL": f"{server.url}v1", "AWS_ENDPOINT_URL": s3.url.rstrip("/")}
        environ["INITIALIZE_SERVER"] = "false"
        with started("latest-inventory-to-kinto", env=environ) as process:
            wait_for(lambda: s3.requests)
            messages = stop(process, signal.SIGTERM)
    assert "\nfirefox, archive are not complete: the run ended before all of it" in messages


@pytest.mark.parametrize(
    "signum",
    [
        signal.SIGTERM,
        pytest.param(signal.SIGINT, marks=slow),
        pytest.param(signal.SIGHUP, marks=slow),
    ],
)
def test_inventory_to_records_while_nobody_reads_its_output(
    environ: dict[str, str], signum: signal.Signals
) -> None:
    tree = release_tree("firefox", "54.0", builds=(1,), platforms=("mac",))
    key = "pub/firefox/releases/54.0/mac/fr/Firefox+54.0.dmg"
    row = f'"b","{key}","1","2017-06-13T12:00:00.000Z","e"\n'.encode()
    with ArchiveServer(tree) as archive:
        environ["ARCHIVE_URL"] = archive.url
        with started("inventory-to-records", env=environ) as process:
            assert process.stdin
            assert process.stdout
            feeder = threading.Thread(target=_feed, args=(process.stdin, row * 2000), daemon=True)
            feeder.start()
            wait_for(lambda: archive.total)
            wait_for(lambda: waiting_in(process.stdout) > 40_000)  # of 64 KiB: it is nearly full
            messages = stop(process, signum)
            output = process.stdout.read()
    assert "inventory-to-records: " in messages
    assert output.endswith(b"\n")
    assert all(orjson.loads(line) for line in output.splitlines())


def waiting_in(pipe: IO[bytes] | None) -> int:
    """Returns how many bytes nobody has read yet."""
    assert pipe
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)


def _feed(pipe: object, data: bytes) -> None:
    with contextlib.suppress(OSError, ValueError):
        pipe.write(data)  # type: ignore[attr-defined]
        pipe.flush()  # type: ignore[attr-defined]


def test_an_ignored_hangup_stays_ignored(environ: dict[str, str]) -> None:
    """As ``nohup`` asks for."""
    with serving(after_the_root(silent)) as server:
        with started(
            "to-kinto",
            "--server",
            f"{server.url}v1",
            env=environ,
            preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
        ) as process:
            wait_for(lambda: server.requests)
            process.send_signal(signal.SIGHUP)
            time.sleep(0.5)
            assert process.poll() is None
            stop(process, signal.SIGTERM)


# ---- more than one signal ----


@contextlib.contextmanager
def waiting_for_kinto(
    environ: dict[str, str], *arguments: str, answer: Answer = silent
) -> Iterator[subprocess.Popen[bytes]]:
    """A ``to-kinto`` whose first batch is in flight."""
    with serving(after_the_root(answer)) as server:
        environ["SERVER_URL"] = f"{server.url}v1"
        with started("to-kinto", *arguments, env=environ) as process:
            assert process.stdin
            process.stdin.write(LINES)
            process.stdin.flush()
            wait_for(lambda: requests_to(server, "/batch"))
            yield process


@pytest.mark.parametrize(
    ("seconds", "second"),
    [
        (0.01, signal.SIGTERM),
        pytest.param(0, signal.SIGTERM, marks=slow),
        pytest.param(0.01, signal.SIGHUP, marks=slow),
    ],
)
def test_two_signals_in_a_row_are_one_request_to_stop(
    environ: dict[str, str], seconds: float, second: signal.Signals
) -> None:
    """GNU ``timeout`` sends two: to its child, and to the process group."""
    with waiting_for_kinto(environ) as process:
        process.send_signal(signal.SIGTERM)
        time.sleep(seconds)
        process.send_signal(second)
        assert process.stderr
        messages = process.stderr.read().decode()
        assert process.wait(SECONDS) == 128 + signal.SIGTERM
    assert "to-kinto: 0 created, " in messages


def test_a_second_signal_while_the_command_exits_changes_nothing(
    environ: dict[str, str], tmp_path: Path
) -> None:
    """A server that is ``busy`` does not delay that; a signal may come as late."""
    file = tmp_path / "summary.json"
    with waiting_for_kinto(environ, "--summary", str(file), answer=busy) as process:
        process.send_signal(signal.SIGINT)
        while not file.exists() and process.poll() is None:
            pass
        while process.poll() is None:
            process.send_signal(signal.SIGINT)
        assert process.returncode == 128 + signal.SIGINT
    assert orjson.loads(file.read_bytes())["exit_status"] == 128 + signal.SIGINT


@pytest.mark.parametrize("second", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=slow)])
def test_a_signal_half_a_second_after_the_first_ends_it_at_once(
    environ: dict[str, str], second: signal.Signals
) -> None:
    with waiting_for_kinto(environ) as process:
        process.send_signal(signal.SIGTERM)
        while process.poll() is None:
            time.sleep(0.1)
            process.send_signal(second)
        assert process.returncode == -second
        assert process.stderr
        assert b"to-kinto: " not in process.stderr.read()
