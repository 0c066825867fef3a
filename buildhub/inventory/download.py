"""The files of an inventory in a folder: each fetched once, complete and verified."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import logging
import os
import re
import stat
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from pathlib import Path
from typing import IO, NamedTuple

from ..errors import BuildhubError, Fatal, Unreachable
from ..retries import Retry
from ..storage import create_part, is_abandoned
from .manifest import InventoryFile, Manifest
from .prefetch import prefetch
from .s3 import ConnectionBroken, Inventories, RangeNotSupported

#: Our folder in CSV_DOWNLOAD_DIRECTORY; only files with the names below are touched there.
FOLDER = "buildhub"
_SUFFIX = ".csv.gz"
_OURS = re.compile(r"(?P<md5>[0-9a-f]{32})(?:\.csv\.gz|\.\w+\.part)")
_KEPT_SECONDS = 2 * 24 * 3600

#: Files that may be there before they are asked for.
_AHEAD = 2

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH

logger = logging.getLogger(__name__)


class Download(NamedTuple):
    """A file of an inventory that is complete and verified."""

    path: Path
    fd: int  #: of the open file, at its start


def download(
    inventories: Inventories,
    manifest: Manifest,
    directory: Path | None,
    *,
    retries: int,
    raise_if_cancelled: Callable[[], None] = lambda: None,
) -> Generator[Download]:
    """The manifest's files, in its order, each verified and open until the next is asked for.

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
        _remove_old(folder, keep={file.md5 for file in manifest.files})
    fetch = functools.partial(_fetched, inventories, folder, retries)
    paths = prefetch(
        fetch, manifest.files, depth=_AHEAD, raise_if_cancelled=raise_if_cancelled, name="download"
    )
    return _verified(paths, manifest.files)


def _check_folder(folder: Path) -> None:
    """In a folder that others can write, such as /tmp, they could have prepared ours."""
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


def _fetched(
    inventories: Inventories, folder: Path, retries: int, file: InventoryFile, stop: threading.Event
) -> Path:
    """The path of ``file`` in ``folder``, where it is complete under its name or not at all."""
    path = folder / f"{file.md5}{_SUFFIX}"
    with _readable_errors(path):
        if _is_right(path, file.md5):
            os.utime(path)  # it is in use: no other run may remove it as old
            return path
        with _written_aside(path) as part:
            _fill(part, inventories, file, retries, stop)
    return path


@contextlib.contextmanager
def _written_aside(path: Path) -> Iterator[_Part]:
    """A file that gets the name ``path`` if the block succeeds and is removed if it fails.

    Its own name is unique, as another process may fetch the same file. It is locked, so that
    other runs can tell it from one that a killed run has left.
    """
    file, part = create_part(path.parent, path.name.removesuffix(_SUFFIX))
    try:
        with file:
            yield _Part(file)
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


class _WrongSum(BuildhubError):
    """What was received is not what the manifest promises."""


class _Part:
    """A file that is being written, and the MD5 of what is in it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._digest = _md5()
        self.size = 0  #: bytes

    def append(self, data: bytes) -> None:
        self._file.write(data)
        self._digest.update(data)
        self.size += len(data)

    def restart(self) -> None:
        self._file.seek(0)
        self._file.truncate()
        self._digest = _md5()
        self.size = 0

    @property
    def md5(self) -> str:
        return self._digest.hexdigest()


def _fill(
    part: _Part, inventories: Inventories, file: InventoryFile, retries: int, stop: threading.Event
) -> None:
    """Put the object's bytes into ``part``, continuing where a connection broke."""

    def sleep(seconds: float) -> None:
        if stop.wait(seconds):
            raise _stopped(inventories, file)

    def attempt() -> None:
        try:
            _append_rest(part, inventories, file, stop)
        except (RangeNotSupported, _WrongSum):
            part.restart()
            raise

    errors = (ConnectionBroken, RangeNotSupported, _WrongSum)
    retry = Retry(
        retries + 1,
        errors=errors,
        sleep=sleep,
        on_pause=lambda error, seconds: logger.info(
            "%s. Continuing at byte %d in %.1f s.", str(error).rstrip("."), part.size, seconds
        ),
    )
    try:
        retry.call(attempt)
    except errors as error:
        raise Unreachable(
            f"{str(error).rstrip('.')}, after {retries + 1} attempts: run again later,"
            " or with a higher NB_RETRY_REQUEST."
        ) from None


def _append_rest(
    part: _Part, inventories: Inventories, file: InventoryFile, stop: threading.Event
) -> None:
    """Append what ``part`` lacks and verify the whole; a set ``stop`` ends it in an error."""

    def check() -> None:
        if stop.is_set():
            raise _stopped(inventories, file)

    try:
        for chunk in inventories.read(file.key, start=part.size, check=check):
            part.append(chunk)
            if part.size > file.size:
                break  # without end, perhaps
    except ConnectionBroken:
        # Also botocore's own checksum, compared after the last byte: then ours decides.
        if part.size < file.size:
            raise
    if part.md5 != file.md5:
        raise _WrongSum(
            f"{inventories.url(file.key)} has the MD5 {part.md5}, but its manifest says {file.md5}."
        )


def _stopped(inventories: Inventories, file: InventoryFile) -> BuildhubError:
    return BuildhubError(f"The download of {inventories.url(file.key)} was stopped.")


def _verified(paths: Generator[Path], files: Sequence[InventoryFile]) -> Generator[Download]:
    """Each file, open; what is read from it is what was verified, whatever its name means then."""
    with contextlib.closing(paths):
        for path, file in zip(paths, files, strict=True):
            with _readable_errors(path), _open(path) as opened:
                if not _has_md5(opened, file.md5):
                    raise Unreachable(f"{path} was changed after it was downloaded: run again.")
                os.lseek(opened.fileno(), 0, os.SEEK_SET)
                yield Download(path, opened.fileno())


def _is_right(path: Path, md5: str) -> bool:
    """Whether the file is there and complete."""
    try:
        with _open(path) as file:
            right = _has_md5(file, md5)
    except FileNotFoundError:
        return False
    if not right:
        logger.info("%s is damaged: fetching it again.", path)
    return right


def _open(path: Path) -> IO[bytes]:
    """The file, if it is one of ours that nobody else can write. Raises ``OSError``."""
    number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    file = os.fdopen(number, "rb", buffering=0)
    found = os.fstat(file.fileno())
    own = found.st_uid == os.geteuid() and not found.st_mode & _OTHERS_WRITE
    if not (stat.S_ISREG(found.st_mode) and own):
        file.close()
        raise OSError(None, "there is something else than a file of ours")
    return file


def _has_md5(file: IO[bytes], md5: str) -> bool:
    return hashlib.file_digest(file, _md5).hexdigest() == md5  # type: ignore[arg-type]


def _md5() -> hashlib._Hash:
    return hashlib.md5(usedforsecurity=False)


def _remove_old(folder: Path, keep: Collection[str]) -> None:
    """Remove files of ours that were not used for two days, and parts that no process writes."""
    oldest = time.time() - _KEPT_SECONDS
    for entry in folder.iterdir():
        name = _OURS.fullmatch(entry.name)
        if not name or (name["md5"] in keep and entry.name.endswith(_SUFFIX)):
            continue
        # Another run may remove it first, or another user own it: neither matters here.
        with contextlib.suppress(OSError):
            is_part = entry.name.endswith(".part")
            if entry.lstat().st_mtime < oldest or (is_part and is_abandoned(entry)):
                entry.unlink()


@contextlib.contextmanager
def _readable_errors(path: Path) -> Iterator[None]:
    """What the file system refuses, as an error of ours."""
    try:
        yield
    except OSError as error:
        raise Fatal(
            f"Cannot write {path}: {error.strerror or error}; free space or give rights there,"
            " or set CSV_DOWNLOAD_DIRECTORY to another folder."
        ) from None
