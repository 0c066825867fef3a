"""Processes that keep running after the command that started them, until they are stopped.

Each holds a lock on its pid file for as long as it lives. So whether it still runs, and whether
the process of that number is ours, is never a guess.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

#: Seconds that a process may take to answer, and to end.
PATIENCE = 30


Process = subprocess.Popen[bytes]


def start(pid_file: Path, launch: Callable[[dict[str, Any]], Process]) -> Process | None:
    """Launch a process in the background; None if the process of ``pid_file`` still runs.

    ``launch`` gets the options with which it has to call :class:`subprocess.Popen`.
    """
    with locked(pid_file) as fd:
        if fd is None:
            return None
        # Ctrl-C in this terminal is not meant for the process; and with the file it has the lock.
        process = launch({"start_new_session": True, "pass_fds": [fd]})
        os.ftruncate(fd, 0)
        os.write(fd, f"{process.pid}\n".encode())
    return process


def stop(pid_file: Path) -> bool:
    """Stop the process of ``pid_file``, which is removed; False if it had ended already."""
    was_running = runs(pid_file)
    if was_running:
        _terminate(pid_file)
    pid_file.unlink()
    return was_running


def _terminate(pid_file: Path) -> None:
    pid = int(pid_file.read_text())
    deadline = time.monotonic() + PATIENCE
    os.kill(pid, signal.SIGTERM)
    while runs(pid_file):
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)


@contextlib.contextmanager
def locked(pid_file: Path) -> Iterator[int | None]:
    """The pid file, open and locked; None if the process that holds the lock still runs."""
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


def port_of(pid_file: Path) -> int:
    """The port in the name of a pid file: ``page-8880.pid``."""
    return int(pid_file.stem.partition("-")[2])


def running_port(folder: Path, name: str) -> int | None:
    """The port of the service of this name that runs; None if none does."""
    running = (path for path in sorted(folder.glob(f"{name}-*.pid")) if runs(path))
    return next(map(port_of, running), None)


def stop_all(folder: Path, name: str, title: str) -> list[str]:
    """Stop each service of this name that was started with this folder; a sentence for each."""
    sentences = []
    for pid_file in sorted(folder.glob(f"{name}-*.pid")):
        state = "is stopped" if stop(pid_file) else "had ended already"
        sentences.append(f"{title} on port {port_of(pid_file)} {state}.")
    return sentences


def runs(pid_file: Path) -> bool:
    """Tells if the process of ``pid_file`` still runs."""
    with locked(pid_file) as fd:
        return fd is None


def last_line(log: Path) -> str:
    """The last line of a log, for a message."""
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1].strip() if lines else "it said nothing"
