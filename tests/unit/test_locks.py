"""A lock on a file: one holder, who is named; nothing else on the disk is touched."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from buildhub.errors import Fatal
from buildhub.storage.locks import LockHeld, locked


def test_the_second_holder_is_refused_and_told_the_process_of_the_first(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from buildhub.storage.locks import locked\n"
        "with locked(Path(sys.argv[1])): print(flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, tmp_path / "lock"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout
        holder.stdout.readline()
        with pytest.raises(LockHeld) as caught, locked(tmp_path / "lock"):
            pass
        assert caught.value.pid == str(holder.pid)
        holder.kill()
    with locked(tmp_path / "lock"):
        assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"


def test_a_lock_is_free_again_after_its_block(tmp_path: Path) -> None:
    for _ in range(2):
        with locked(tmp_path / "folder" / "lock"):
            pass


def a_link(lock: Path) -> None:
    (lock.parent / "precious").write_text("precious")
    lock.symlink_to(lock.parent / "precious")


@pytest.mark.parametrize("occupy", [a_link, os.mkfifo, os.mkdir], ids=["link", "FIFO", "folder"])
def test_what_is_not_a_lock_file_is_refused_and_left_alone(
    tmp_path: Path, occupy: Callable[[Path], None]
) -> None:
    occupy(tmp_path / "lock")
    with pytest.raises(Fatal, match=r"Cannot write .*lock \(.*\): set CACHE_FOLDER"):
        with locked(tmp_path / "lock"):
            pass
    precious = tmp_path / "precious"
    assert not precious.exists() or precious.read_text() == "precious"


def test_a_folder_that_can_not_be_made_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Fatal, match="set CACHE_FOLDER"), locked(tmp_path / "file" / "lock"):
        pass
