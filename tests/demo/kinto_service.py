"""A real Kinto on this machine, that keeps running until it is stopped.

It holds a lock on its pid file for as long as it lives. So whether it still runs, and whether
the process of that number is ours, is never a guess.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import requests

from tests.support.kinto_server import start_kinto

#: Seconds that Kinto may take to answer, and to end.
PATIENCE = 30


class Problem(Exception):
    """What keeps us from having a Kinto, in one sentence."""


def ensure(server_url: str, folder: Path) -> bool:
    """See to it that a Kinto answers at ``server_url`` (``http://localhost:8888/v1``).

    One that answers already is used, and False returned. Otherwise one is started, with its
    configuration, pid file and log in ``folder``. Raises :class:`Problem` if something else
    answers there, or nothing does and the address is another machine's.
    """
    if _answers(server_url):
        return False
    address = urlsplit(server_url)
    if address.scheme != "http" or address.hostname not in ("localhost", "127.0.0.1", "::1"):
        raise Problem(
            f"No Kinto answers at {server_url}, and one can only be started on this machine:"
            " check SERVER_URL, or leave it out."
        )
    _start(server_url, folder, address.hostname, address.port or 80)
    return True


def stop_all(folder: Path) -> list[str]:
    """Stop each Kinto that was started with this ``folder``; one sentence for each."""
    return [_stop(pid_file) for pid_file in sorted(folder.glob("kinto-*.pid"))]


def is_ours(server_url: str, folder: Path) -> bool:
    """Whether the Kinto at ``server_url`` is one that :func:`ensure` has started."""
    pid_file = folder / f"kinto-{urlsplit(server_url).port or 80}.pid"
    return pid_file.exists() and _runs(pid_file)


def _answers(server_url: str) -> bool:
    """Whether a Kinto answers; False if nothing listens there."""
    address = urlsplit(server_url)
    port = address.port or (443 if address.scheme == "https" else 80)
    try:
        socket.create_connection((address.hostname or "", port), timeout=5).close()
    except OSError:
        return False
    where = f"What listens at {address.hostname}:{port} is no Kinto"
    advice = "stop it, or choose another port: SERVER_URL=http://localhost:8889/v1 make run"
    try:
        answer = requests.get(f"{server_url}/", timeout=5)
        body = answer.json()
    except requests.exceptions.JSONDecodeError:
        raise Problem(f"{where} (it answers with HTTP {answer.status_code}): {advice}.") from None
    except requests.exceptions.RequestException as error:
        raise Problem(f"{where} ({type(error).__name__}): {advice}.") from None
    if not (isinstance(body, dict) and "http_api_version" in body):
        raise Problem(f"{where} (it answers with HTTP {answer.status_code}): {advice}.")
    return True


def _start(server_url: str, folder: Path, host: str, port: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder / f"kinto-{port}.pid") as fd:
        if fd is None:
            log = folder / f"kinto-{port}.log"
            raise Problem(f"The Kinto on port {port} doesn't answer: see {log}, or make stop.")
        process, log = start_kinto(
            folder,
            port,
            host="127.0.0.1" if host == "localhost" else host,
            start_new_session=True,  # Ctrl-C in this terminal is not meant for it
            pass_fds=[fd],  # and with it the lock
        )
        os.ftruncate(fd, 0)
        os.write(fd, f"{process.pid}\n".encode())
    deadline = time.monotonic() + PATIENCE
    while not _answers(server_url):
        if process.poll() is not None or time.monotonic() > deadline:
            raise Problem(f"Kinto did not start: {_last_line(log)}; see {log}.")
        time.sleep(0.1)


def _stop(pid_file: Path) -> str:
    port = pid_file.stem.partition("-")[2]
    if not _runs(pid_file):
        pid_file.unlink()
        return f"Kinto on port {port} had ended already."
    pid = int(pid_file.read_text())
    deadline = time.monotonic() + PATIENCE
    os.kill(pid, signal.SIGTERM)
    while _runs(pid_file):
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
    pid_file.unlink()
    return f"Kinto on port {port} is stopped."


@contextlib.contextmanager
def _locked(pid_file: Path) -> Iterator[int | None]:
    """The pid file, open and locked; None if the Kinto that holds the lock still runs."""
    fd: int = os.open(pid_file, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        free = True
    except BlockingIOError:
        free = False
    try:
        yield fd if free else None
    finally:
        os.close(fd)  # a child that has inherited it keeps the lock


def _runs(pid_file: Path) -> bool:
    with _locked(pid_file) as fd:
        return fd is None


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1].strip() if lines else "it said nothing"
