"""Files that survive a run that is killed: locks, files that are written aside, SQLite stores.

SQLite commits as it goes, so a killed run loses nothing, and two runs can share a file. A file
that is corrupt, or was made by another version of buildhub, is set aside: what it held can be
learned again. Any other problem (a full disk, no rights, too many open files) is reported, and
the file stays as it is.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import itertools
import logging
import os
import re
import sqlite3
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from .errors import Fatal

logger = logging.getLogger(__name__)

#: Seconds to wait for another run that is writing into the same database.
BUSY_SECONDS = 30

#: The primary result codes (the lowest byte) of a file that SQLite can't make sense of.
_CORRUPT = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_LOCKED = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}

_PART = ".part"


class LockHeld(Fatal):
    """Reports that another process holds the lock; ``pid`` is its number as text, or ``?``."""

    def __init__(self, path: Path, pid: str) -> None:
        super().__init__(
            f"Another run is in progress (process {pid}, lock {path}): wait for it to end."
        )
        self.pid = pid


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds the lock ``path`` during the block; the system frees it when the process ends.

    The file keeps the process id of its last holder: filelock does not, and messages name it.
    Neither filelock nor this follows a symbolic link, and a file that is there is not truncated
    before the lock is held. Raises :class:`LockHeld`, or :class:`Fatal` if the file can't be
    written.
    """
    from filelock import FileLock, Timeout  # takes 10 ms, which few runs need

    lock = FileLock(path, blocking=False, fallback_to_soft=False)
    with contextlib.ExitStack() as stack:
        try:
            make_folder(path.parent)
            stack.enter_context(lock)
            with opened(path, os.O_WRONLY) as file:
                os.truncate(file, 0)
                os.write(file, f"{os.getpid()}\n".encode())
        except Timeout:
            raise LockHeld(path, _read_pid(path)) from None
        except OSError as error:
            raise Fatal(
                f"Cannot write {path} ({error.strerror or error}): set CACHE_FOLDER to a folder"
                " of your own that can be written, and remove what is not a lock file."
            ) from None
        yield


def _read_pid(path: Path) -> str:
    with contextlib.suppress(OSError), opened(path, os.O_RDONLY) as file:
        return os.read(file, 20).decode("ascii", "replace").strip() or "?"
    return "?"


@contextlib.contextmanager
def opened(path: Path, flags: int, forbidden: int = stat.S_IWOTH) -> Iterator[int]:
    """Opens a regular file of ours without ``forbidden`` rights, else raises ``OSError``."""
    file = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)  # a FIFO would make us wait
    try:
        _refuse_foreign(path, os.fstat(file), forbidden)
        yield file
    finally:
        os.close(file)


def make_folder(folder: Path) -> None:
    """Creates a folder for files of ours, but not the one it is in, whose name may be misspelt.

    Raises ``OSError`` where other users may replace our files: ``/tmp`` has the sticky bit.
    """
    try:
        folder.mkdir(mode=0o755, exist_ok=True)
    except FileExistsError:
        raise OSError(errno.ENOTDIR, "it is a file, not a folder", str(folder)) from None
    except FileNotFoundError as error:
        if folder.parent.exists():  # such as /proc, in which there can be no others
            raise
        raise OSError(errno.ENOENT, f"{folder.parent} does not exist") from error
    mode = folder.stat().st_mode
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        raise OSError(errno.EPERM, f"other users may replace files in {folder}")


def _refuse_foreign(path: Path, found: os.stat_result, forbidden: int = stat.S_IWOTH) -> None:
    """Raises ``OSError`` unless it is a regular file of ours that other users can't write."""
    if not stat.S_ISREG(found.st_mode):
        problem = "it is not a regular file"
    elif found.st_uid != os.geteuid():
        problem = "it belongs to another user"
    elif found.st_mode & forbidden:
        problem = "other users may write to it"
    else:
        return
    raise OSError(errno.EPERM, problem, str(path))


def create_part(folder: Path, prefix: str) -> tuple[IO[bytes], Path]:
    """Opens a new, locked file in ``folder``; returns its path, too: ``<prefix>.k3v_0q9z.part``.

    It is locked while this process lives, so that the next run can tell it from one that a killed
    run has left.
    """
    import tempfile  # takes 3 ms, which a pipe does not need

    while True:
        number, name = tempfile.mkstemp(prefix=f"{prefix}.", suffix=_PART, dir=folder)
        with contextlib.ExitStack() as stack:
            file = stack.enter_context(os.fdopen(number, "wb"))
            # Otherwise another run has found it without its lock, and removes it.
            with contextlib.suppress(BlockingIOError, FileNotFoundError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.path.samestat(os.stat(name), os.fstat(number)):
                    stack.pop_all()
                    return file, Path(name)


def remove_abandoned(folder: Path, names: str) -> None:
    """Removes the parts whose names match ``names`` and that killed runs have left."""
    for entry in folder.iterdir():
        if re.fullmatch(names, entry.name):
            # Another run may write it or remove it first, or another user own it.
            with contextlib.suppress(OSError), opened(entry, os.O_RDONLY) as number:
                fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
                entry.unlink()


@contextlib.contextmanager
def written_aside(
    path: Path, option: str, keep_old: Callable[[], bool] = lambda: False
) -> Iterator[Callable[[bytes], None]]:
    """Yields what writes to a new file, which takes the name ``path`` at the end of the block.

    That is so after an error as well, unless ``keep_old`` returns True then. What killed runs left
    beside it is removed. Raises :class:`Fatal`, which names the ``option``, if it cannot be
    written.
    """
    cure = f": choose another file with {option}"
    with readable_write_errors(path, cure):
        target = path.resolve()  # of a link the target is replaced
        if target.exists() and not target.is_file():
            raise OSError(None, "it is not a file")
        ours = rf"{re.escape(target.name)}\.[a-z0-9_]{{8}}{re.escape(_PART)}"
        remove_abandoned(target.parent, ours)
        file, part = create_part(target.parent, target.name)
    with file:

        def write(data: bytes) -> None:
            with readable_write_errors(path, cure):
                file.write(data)

        try:
            yield write
        finally:
            with readable_write_errors(path, cure):
                file.flush()
                os.umask(umask := os.umask(0))
                os.fchmod(file.fileno(), 0o666 & ~umask)  # others may read it, as any output
                if keep_old():
                    part.unlink()
                else:
                    os.replace(part, target)


@contextlib.contextmanager
def readable_write_errors(path: Path, cure: str) -> Iterator[None]:
    """Makes a sentence of an ``OSError`` of the block, which ends in ``cure``."""
    try:
        yield
    except OSError as error:
        raise Fatal(f"Cannot write {path}: {error.strerror or error}{cure}.") from None


class _NotUsable(Exception):
    """Says that a database is corrupt or of another version."""


def open_database(path: Path, *, version: int, tables: str) -> sqlite3.Connection:
    """Opens the database at ``path``, created from the script ``tables`` if need be.

    Raises :class:`Fatal` if the file can't be used although it is not corrupt.
    """
    with _readable_errors(path):
        make_folder(path.parent)
        try:
            return _connect(path, version, tables)
        except _NotUsable as problem:
            set_aside(path, str(problem))
        try:
            return _connect(path, version, tables)
        except _NotUsable as problem:  # another version of buildhub uses the folder right now
            raise Fatal(
                f"Cannot use {path}: it is {problem}; give each version its own CACHE_FOLDER."
            ) from None


def _connect(path: Path, version: int, tables: str) -> sqlite3.Connection:
    """Opens it. Raises :class:`_NotUsable`, ``sqlite3.Error``, ``OSError``."""
    _refuse_foreign_database(path)
    if path.exists():
        # SQLite calls a file without rights "unable to open", as it does a missing folder.
        os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK))
    connection = sqlite3.connect(
        path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    try:
        _prepare(connection, version, tables)
        _refuse_foreign_database(path)  # SQLite has opened what may have been made meanwhile
    except BaseException as error:
        connection.close()
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _CORRUPT:
            raise _NotUsable("damaged") from None
        raise
    return connection


def _refuse_foreign_database(path: Path) -> None:
    """Raises ``OSError`` if others may have written the database or what SQLite has beside it."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        with contextlib.suppress(FileNotFoundError):
            part = path.with_name(path.name + suffix)
            _refuse_foreign(part, part.lstat())


def _prepare(connection: sqlite3.Connection, version: int, tables: str) -> None:
    connection.execute("PRAGMA synchronous=NORMAL")
    # Another run that opens the file at the same moment must not see it half made.
    connection.execute("BEGIN IMMEDIATE")
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    empty = connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    if empty:
        for statement in filter(str.strip, tables.split(";")):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version={version}")
    connection.execute("COMMIT")
    # SQLite does not wait here for other runs that make the file: the last one changes its mode.
    with contextlib.suppress(sqlite3.OperationalError):
        connection.execute("PRAGMA journal_mode=WAL")
    if not empty and found != version:
        raise _NotUsable("of another version of buildhub")
    there = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    if not there.issuperset(re.findall(r"CREATE TABLE (\w+)", tables)):
        raise _NotUsable("damaged")
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise _NotUsable("damaged")


def set_aside(path: Path, problem: str) -> None:
    """Renames the file; what was set aside before is kept."""
    for number in itertools.count(1):
        aside = path.with_name(f"{path.name}.damaged-{number}")
        with contextlib.suppress(FileExistsError):
            os.link(path, aside, follow_symlinks=False)
            break
    path.unlink()
    for companion in ("-wal", "-shm", ".wal"):  # the last is DuckDB's
        path.with_name(path.name + companion).unlink(missing_ok=True)
    logger.warning("%s is %s: it is set aside as %s.", path, problem, aside.name)


@contextlib.contextmanager
def _readable_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _LOCKED:
            raise Fatal(f"Cannot use {path}: another program keeps it locked.") from None
        problem = getattr(error, "strerror", None) or str(error)
        found = getattr(error, "filename", None) or path
        rights = ": free space or give rights there, or"
        cure = ":" if isinstance(error, NotADirectoryError) else rights
        raise Fatal(
            f"Cannot use {found} ({problem}){cure} set CACHE_FOLDER to a folder of your own that"
            " can be written. The file was left as it is."
        ) from None
