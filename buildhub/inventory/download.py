"""An inventory's files in a folder: each fetched once, whole and right, ahead of its use."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import logging
import os
import re
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Generator, Iterator
from pathlib import Path
from typing import IO

import backoff

from ..errors import BuildhubError, Fatal, Unreachable
from .manifest import InventoryFile, Manifest
from .prefetch import prefetch
from .s3 import ConnectionBroken, Inventories, RangeNotSupported

#: Our folder in CSV_DOWNLOAD_DIRECTORY; of what is in there we touch the names below only.
FOLDER = "buildhub"
_SUFFIX = ".csv.gz"
_OURS = re.compile(r"(?P<md5>[0-9a-f]{32})(?:\.csv\.gz|\.\w+\.part)")
_KEPT_SECONDS = 2 * 24 * 3600

#: Files that may be there before they are asked for.
_AHEAD = 2

logger = logging.getLogger(__name__)


def download(
    inventories: Inventories,
    manifest: Manifest,
    directory: Path | None,
    *,
    retries: int,
    raise_if_cancelled: Callable[[], None] = lambda: None,
) -> Generator[Path]:
    """The manifest's files, in its order, each as the path of a gzip file that is right.

    They lie in ``buildhub/`` below ``directory`` (default: the system's temporary folder),
    named by their MD5: what is there and right is not fetched again. While the caller works on
    one, a thread fetches the next; it ends when the iterator does or is closed.
    ``raise_if_cancelled`` is called several times a second while a file is waited for.

    Our own files there that were last used more than two days ago are removed first.
    A connection that breaks is taken up again where it broke, ``retries`` times. Raises, where
    the file's turn comes, :class:`Unreachable` if it can't be had and :class:`Fatal` if the
    folder can't be written; the files before it have been given out.
    """
    folder = (directory or Path(tempfile.gettempdir())) / FOLDER
    with _sentences(folder):
        folder.mkdir(parents=True, exist_ok=True)
        _tidy(folder, keep={file.md5 for file in manifest.files})
    fetch = functools.partial(_fetched, inventories, folder, retries)
    return prefetch(
        fetch, manifest.files, depth=_AHEAD, raise_if_cancelled=raise_if_cancelled, name="download"
    )


def _fetched(
    inventories: Inventories, folder: Path, retries: int, file: InventoryFile, stop: threading.Event
) -> Path:
    """The path of ``file`` in ``folder``, where it is whole under its name or not at all."""
    path = folder / f"{file.md5}{_SUFFIX}"
    with _sentences(path):
        if _is_right(path, file.md5):
            os.utime(path)  # it is in use: nobody may tidy it away
            return path
        with _written_aside(path) as part:
            _fill(part, inventories, file, retries, stop)
    return path


@contextlib.contextmanager
def _written_aside(path: Path) -> Iterator[_Part]:
    """A file that takes the name ``path`` if the block succeeds and vanishes if it fails.

    Its own name is unique: another process may be at the same file.
    """
    number, part = tempfile.mkstemp(
        prefix=path.name.removesuffix(_SUFFIX) + ".", suffix=".part", dir=path.parent
    )
    try:
        with open(number, "wb") as file:
            yield _Part(file)
        os.replace(part, path)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise


class _WrongSum(BuildhubError):
    """What came is not what the manifest promises."""


class _Part:
    """A file in the making and the MD5 of what is in it."""

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
    """Put the object's bytes into ``part``, taking them up again where a connection broke."""
    problem: BuildhubError | None = None
    for attempt in range(retries + 1):
        if attempt and stop.wait(backoff.full_jitter(min(2 ** (attempt - 1), 30))):
            break
        try:
            _append_rest(part, inventories, file, stop)
            return
        except ConnectionBroken as error:
            logger.info("%s Going on at byte %d.", error, part.size)
            problem = error
        except (RangeNotSupported, _WrongSum) as error:
            logger.info("%s Starting this file again.", error)
            problem = error
            part.restart()
    raise Unreachable(
        f"{str(problem).rstrip('.')}, after {retries + 1} attempts: run again later,"
        " or with a higher NB_RETRY_REQUEST."
    )


def _append_rest(
    part: _Part, inventories: Inventories, file: InventoryFile, stop: threading.Event
) -> None:
    """Append what ``part`` lacks and check the whole; a set ``stop`` ends it in an error."""
    try:
        for chunk in inventories.read(file.key, start=part.size):
            part.append(chunk)
            if stop.is_set():
                raise BuildhubError(f"The download of {inventories.url(file.key)} was stopped.")
    except ConnectionBroken:
        # Also botocore's own checksum, compared after the last byte: then ours decides.
        if part.size < file.size:
            raise
    if part.md5 != file.md5:
        raise _WrongSum(
            f"{inventories.url(file.key)} has the MD5 {part.md5}, but its manifest says {file.md5}."
        )


def _is_right(path: Path, md5: str) -> bool:
    try:
        with path.open("rb") as file:
            right = hashlib.file_digest(file, _md5).hexdigest() == md5
    except FileNotFoundError:
        return False
    if not right:
        logger.info("%s is damaged: fetching it again.", path)
    return right


def _md5() -> hashlib._Hash:
    return hashlib.md5(usedforsecurity=False)


def _tidy(folder: Path, keep: Collection[str]) -> None:
    """Remove our own files that nobody used for two days, also those of runs that were killed."""
    oldest = time.time() - _KEPT_SECONDS
    for entry in folder.iterdir():
        name = _OURS.fullmatch(entry.name)
        if not name or (name["md5"] in keep and entry.name.endswith(_SUFFIX)):
            continue
        # Another run may remove it first, or another user own it: neither is our problem.
        with contextlib.suppress(OSError):
            if entry.lstat().st_mtime < oldest:
                entry.unlink()


@contextlib.contextmanager
def _sentences(path: Path) -> Iterator[None]:
    """What the file system refuses, as an error of ours."""
    try:
        yield
    except OSError as error:
        raise Fatal(
            f"Cannot write {path}: {error.strerror or error}; make room or give rights there,"
            " or set CSV_DOWNLOAD_DIRECTORY to another folder."
        ) from None
