"""A lock on a file that one process holds at a time, and that names its holder."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from ..errors import BuildhubError, Fatal


class LockHeld(BuildhubError):
    """Another process holds the lock; ``pid`` is its number as text, or ``?``."""

    def __init__(self, path: Path, pid: str) -> None:
        super().__init__(f"process {pid} holds the lock {path}")
        self.pid = pid


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock ``path`` during the block; the system frees it when the process ends.

    The file keeps the process id of its last holder: filelock does not, and messages name it.
    Neither filelock nor this follows a symbolic link, and a file that is there is not truncated
    before the lock is held. Raises :class:`LockHeld`, or :class:`Fatal` if the file can't be
    written.
    """
    from filelock import FileLock, Timeout  # takes 10 ms, which few runs need

    lock = FileLock(path, blocking=False, fallback_to_soft=False)
    with contextlib.ExitStack() as stack:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(lock)
            _write_pid(path)
        except Timeout:
            raise LockHeld(path, _read_pid(path)) from None
        except OSError as error:
            raise Fatal(
                f"Cannot write {path} ({error.strerror or error}): set CACHE_FOLDER to a folder"
                " that can be written, and remove what is not a lock file."
            ) from None
        yield


def _write_pid(path: Path) -> None:
    with _opened(path, os.O_WRONLY) as file:
        os.truncate(file, 0)
        os.write(file, f"{os.getpid()}\n".encode())


def _read_pid(path: Path) -> str:
    with contextlib.suppress(OSError), _opened(path, os.O_RDONLY) as file:
        return os.read(file, 20).decode("ascii", "replace").strip() or "?"
    return "?"


@contextlib.contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    """The descriptor of a regular file; a FIFO would make us wait for its other end."""
    file = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise OSError("not a regular file")
        yield file
    finally:
        os.close(file)
