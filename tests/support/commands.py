"""Runs commands without the time of their imports, which is most of what a short run takes.

They are forked from a process that has imported what they import. Each is a process of its own,
with its standard streams, variables, folder and exit status; but it is not started by its script,
and variables of Python have no effect. Tests of signals, pipes and the start itself start it.
"""

from __future__ import annotations

import atexit
import functools
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.metadata import entry_points
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).parents[2]

#: What commands import when they first need it.
_LAZY = ("aiohttp", "botocore.session", "kinto_http", "isal.igzip", "orjson", "sqlite3", "yaml")


def run(
    command: Sequence[object],
    *,
    env: Mapping[str, str],
    input: bytes | str = b"",
    text: bool = False,
    cwd: Path = ROOT,
    timeout: float = 120,
) -> subprocess.CompletedProcess[Any]:
    """Run a command of ours to its end, as :func:`subprocess.run` with ``capture_output`` does."""
    reader, writer = os.pipe()
    data = input if isinstance(input, bytes) else input.encode()
    feeder = threading.Thread(target=_feed, args=(writer, data))
    feeder.start()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        try:
            status = _server().run(
                list(map(str, command)), dict(env), str(cwd), (reader, out, err), timeout
            )
        finally:
            os.close(reader)
            feeder.join()
        outputs = [_content(file, text) for file in (out, err)]
    return subprocess.CompletedProcess(command, status, *outputs)


def _feed(writer: int, data: bytes) -> None:
    with suppress(BrokenPipeError), open(writer, "wb") as file:
        file.write(data)


def _content(file: IO[bytes], text: bool) -> bytes | str:
    file.seek(0)
    content = file.read()
    return content.decode() if text else content


class _Server:
    """The process that commands are forked from; one command at a time."""

    def __init__(self) -> None:
        self._socket, other = socket.socketpair(type=socket.SOCK_SEQPACKET)
        program = f"from {__name__} import serve; serve({other.fileno()})"
        self._process = subprocess.Popen(
            [sys.executable, "-c", program],
            pass_fds=[other.fileno()], stdin=subprocess.DEVNULL, cwd=ROOT, start_new_session=True,
            env=os.environ | _coverage(),
        )  # fmt: skip
        other.close()
        self._lock = threading.Lock()

    def run(
        self,
        command: list[str],
        env: dict[str, str],
        cwd: str,
        streams: tuple[int, IO[bytes], IO[bytes]],
        timeout: float,
    ) -> int:
        """Return the exit status, negative after a signal."""
        fds = [one if isinstance(one, int) else one.fileno() for one in streams]
        with self._lock:
            self._socket.settimeout(timeout)
            socket.send_fds(self._socket, [json.dumps([command, env, cwd]).encode()], fds)
            try:
                return int(self._socket.recv(100))
            except TimeoutError:
                os.killpg(self._process.pid, signal.SIGKILL)
                _server.cache_clear()
                raise subprocess.TimeoutExpired(command, timeout) from None

    def close(self) -> None:
        self._socket.close()
        self._process.wait()


def _coverage() -> dict[str, str]:
    """The variable that has a process measured, if this one is."""
    coverage = sys.modules.get("coverage")
    measured = coverage and coverage.Coverage.current()
    return {"COVERAGE_PROCESS_START": str(ROOT / "pyproject.toml")} if measured else {}


@functools.cache
def _server() -> _Server:
    server = _Server()
    atexit.register(server.close)
    return server


def serve(descriptor: int) -> None:
    """Fork a command for each request; in the new process, run it and exit."""
    commands = {
        entry.name: entry.load()
        for entry in entry_points(group="console_scripts")
        if entry.value.startswith("buildhub.")
    }
    for name in _LAZY:
        __import__(name)
    gc.freeze()
    connection = socket.socket(fileno=descriptor)
    while True:
        request, fds, _, _ = socket.recv_fds(connection, 1 << 20, 3)
        if not request:
            return
        pid = os.fork()
        if pid == 0:
            break
        for fd in fds:
            os.close(fd)
        _, status = os.waitpid(pid, 0)
        connection.send(str(os.waitstatus_to_exitcode(status)).encode())
    connection.close()
    for number, fd in enumerate(fds):
        os.dup2(fd, number)
        os.close(fd)
    sys.argv, environ, folder = json.loads(request)
    os.environ.clear()
    os.environ.update(environ)
    time.tzset()
    os.chdir(folder)
    sys.exit(commands[Path(sys.argv[0]).name]())
