"""The files of an inventory in a folder: each fetched once, complete and verified."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import itertools
import logging
import os
import re
import stat
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import IO

from ..errors import BuildhubError, Fatal, Unreachable
from ..retries import Retry, RetryableError
from ..signals import result_of
from ..storage import create_part, opened, readable_write_errors, remove_abandoned
from .s3_inventories import ConnectionBroken, Inventories, InventoryFile, Manifest

#: Our folder in CSV_DOWNLOAD_DIRECTORY; only files with the names below are touched there.
FOLDER = "buildhub"
_SUFFIX = ".csv.gz"
_FILES = r"[0-9a-f]{32}\.csv\.gz"
_PARTS = r"[0-9a-f]{32}\.\w+\.part"
_KEPT_SECONDS = 2 * 24 * 3600

#: Files that may be there before they are asked for.
_AHEAD = 2

_readable_errors = functools.partial(
    readable_write_errors,
    cure="; free space or give rights there, or set CSV_DOWNLOAD_DIRECTORY to another folder",
)

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH

logger = logging.getLogger(__name__)


def download(
    inventories: Inventories,
    manifest: Manifest,
    directory: Path | None,
    *,
    retries: int,
    raise_if_cancelled: Callable[[], None] = lambda: None,
) -> Generator[tuple[Path, int]]:
    """Yields the path of each file of a manifest, in its order, and a descriptor at its start.

    What is read from that is what was verified, whatever has the name by then. Files are open
    until the next.

    They are in ``buildhub/`` below ``directory`` (default: the system's temporary folder),
    named by their MD5: a file that is there and right is not fetched again. While the caller
    works on one, a thread fetches the next; it ends when the iterator does or is closed.
    ``raise_if_cancelled`` is called several times a second while a file is awaited.

    Files of ours that were last used more than two days ago are removed first, and so are the
    parts that a killed run left. A transfer that breaks is continued where it broke, ``retries``
    times. Raises, at the turn of the file, :class:`Unreachable` if it can't be fetched and
    :class:`Fatal` if the folder can't be written or is not ours; the files before it have been
    given out.
    """
    folder = (directory or Path(tempfile.gettempdir())) / FOLDER
    with _readable_errors(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_folder(folder)
        _remove_old(folder, keep={f"{file.md5}{_SUFFIX}" for file in manifest.files})
    downloads = _Downloads(inventories, folder, retries)
    rest = iter(manifest.files)
    pending: deque[Future[Path]] = deque()
    with ThreadPoolExecutor(1, thread_name_prefix="download") as thread:
        try:
            for file in manifest.files:
                ahead = itertools.islice(rest, _AHEAD + 1 - len(pending))
                pending.extend(thread.submit(downloads.fetch, one) for one in ahead)
                path = result_of(pending.popleft(), None, raise_if_cancelled)
                with _readable_errors(path), opened(path, os.O_RDONLY, _OTHERS_WRITE) as fd:
                    if _md5_of(fd) != file.md5:
                        raise Unreachable(f"{path} was changed after it was downloaded: run again.")
                    os.lseek(fd, 0, os.SEEK_SET)
                    yield path, fd
        finally:
            downloads.stop.set()
            thread.shutdown(wait=False, cancel_futures=True)


def _check_folder(folder: Path) -> None:
    """Raises :class:`Fatal` for a folder that others prepared, where they can write (/tmp)."""
    found = folder.lstat()
    if stat.S_ISLNK(found.st_mode):
        problem = "it is a symbolic link"
    elif found.st_uid != os.geteuid():
        problem = "it belongs to another user"
    elif found.st_mode & _OTHERS_WRITE and not found.st_mode & stat.S_ISVTX:
        problem = "other users can write there"
    else:
        return
    raise Fatal(
        f"{folder} is not used, as {problem}: remove it, or set CSV_DOWNLOAD_DIRECTORY to a"
        " folder of your own."
    )


class _Downloads:
    """Fetches files in a thread; once ``stop`` is set, all that it does soon ends in an error."""

    def __init__(self, inventories: Inventories, folder: Path, retries: int) -> None:
        self.stop = threading.Event()
        self._inventories = inventories
        self._folder = folder
        self._retries = retries

    def fetch(self, file: InventoryFile) -> Path:
        """Returns the path of a complete ``file``; begins nothing after an error."""
        path = self._folder / f"{file.md5}{_SUFFIX}"
        try:
            self._check(file)
            with _readable_errors(path):
                if _is_right(path, file.md5):
                    os.utime(path)  # it is in use: no other run may remove it as old
                else:
                    self._fetch_to(path, file)
        except BaseException:
            self.stop.set()
            raise
        return path

    def _check(self, file: InventoryFile, seconds: float = 0) -> None:
        """Waits so long; raises if it was stopped."""
        if self.stop.wait(seconds):
            raise BuildhubError(f"The download of {self._inventories.url(file.key)} was stopped.")

    def _fetch_to(self, path: Path, file: InventoryFile) -> None:
        """Fetches into a part, which gets the name ``path`` once it is complete."""
        part, name = create_part(path.parent, file.md5)
        try:
            with part:
                self._fill(part, file)
            os.replace(name, path)
        except BaseException:
            name.unlink(missing_ok=True)
            raise

    def _fill(self, part: IO[bytes], file: InventoryFile) -> None:
        """Puts the object's bytes into ``part``, continuing where a connection broke."""

        def on_pause(error: Exception, seconds: float) -> None:
            if not isinstance(error, ConnectionBroken):
                part.seek(0)
                part.truncate()
            reason = str(error).rstrip(".")
            logger.info("%s. Continuing at byte %d in %.1f s.", reason, part.tell(), seconds)

        sleep = functools.partial(self._check, file)
        retry = Retry(self._retries + 1, sleep=sleep, on_pause=on_pause)
        try:
            retry.call(functools.partial(self._append_rest, part, file))
        except RetryableError as error:
            raise Unreachable(
                f"{str(error).rstrip('.')}, after {retry.attempts} attempts: run again later,"
                " or with a higher NB_RETRY_REQUEST."
            ) from None

    def _append_rest(self, part: IO[bytes], file: InventoryFile) -> None:
        """Appends what ``part`` lacks, and verifies the whole."""
        check = functools.partial(self._check, file)
        try:
            for chunk in self._inventories.read(file.key, start=part.tell(), check=check):
                part.write(chunk)
                if part.tell() > file.size:
                    break  # without end, perhaps
        except ConnectionBroken:
            # Also botocore's own checksum, compared after the last byte: then ours decides.
            if part.tell() < file.size:
                raise
        part.flush()
        if (md5 := _md5_of(part.fileno())) != file.md5:
            url = self._inventories.url(file.key)
            raise RetryableError(f"{url} has the MD5 {md5}, but its manifest says {file.md5}.")


def _is_right(path: Path, md5: str) -> bool:
    try:
        with opened(path, os.O_RDONLY, _OTHERS_WRITE) as fd:
            right = _md5_of(fd) == md5
    except FileNotFoundError:
        return False
    if not right:
        logger.info("%s is damaged: fetching it again.", path)
    return right


def _md5_of(fd: int) -> str:
    """Returns the hexadecimal MD5 of a whole file."""
    os.lseek(fd, 0, os.SEEK_SET)
    with open(fd, "rb", buffering=0, closefd=False) as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _remove_old(folder: Path, keep: Collection[str]) -> None:
    """Removes files of ours that were not used for two days, and parts that no process writes."""
    remove_abandoned(folder, _PARTS)
    oldest = time.time() - _KEPT_SECONDS
    for entry in folder.iterdir():
        if re.fullmatch(rf"{_FILES}|{_PARTS}", entry.name) and entry.name not in keep:
            # Another run may remove it first.
            with contextlib.suppress(OSError):
                if entry.lstat().st_mtime < oldest:
                    entry.unlink()
