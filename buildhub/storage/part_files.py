"""Files that are written under another name until they are whole.

A part is locked while its process lives, so that the next run can tell it from one that a killed
run has left.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import tempfile
from pathlib import Path
from typing import IO

SUFFIX = ".part"

#: What ``tempfile`` puts between prefix and suffix.
RANDOM = r"[a-z0-9_]{8}"


def create(folder: Path, prefix: str) -> tuple[IO[bytes], Path]:
    """A new file in ``folder``, open and locked, and its path: ``<prefix>.k3v_0q9z.part``."""
    while True:
        number, name = tempfile.mkstemp(prefix=f"{prefix}.", suffix=SUFFIX, dir=folder)
        file = os.fdopen(number, "wb")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.stat(name), os.fstat(number)):
                return file, Path(name)
        except (BlockingIOError, FileNotFoundError):
            pass  # another run has found it without its lock, and removes it
        except BaseException:
            file.close()
            raise
        file.close()


def is_abandoned(part: Path) -> bool:
    """Whether no process holds the lock of a part: the one that made it was killed."""
    number = os.open(part, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(number)
    return True


def remove_abandoned(folder: Path, prefix: str) -> None:
    """Remove the parts with this prefix that no process writes."""
    ours = re.compile(rf"{re.escape(prefix)}\.{RANDOM}{re.escape(SUFFIX)}")
    for entry in folder.iterdir():
        if ours.fullmatch(entry.name):
            # Another run may remove it first, or another user own it: neither matters here.
            with contextlib.suppress(OSError):
                if is_abandoned(entry):
                    entry.unlink()
