"""Small SQLite files in ``CACHE_FOLDER`` that survive whatever happens to a run.

SQLite commits as it goes, so a killed run loses nothing, and two runs can share a file. A file
that is corrupt, or was made by another version of buildhub, is set aside: what it held can be
learned again. Any other problem (a full disk, no rights, too many open files) is reported, and
the file stays as it is.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from ..errors import Fatal

logger = logging.getLogger(__name__)

#: Seconds to wait for another run that is writing into the same file.
BUSY_SECONDS = 30

#: The primary result codes (the lowest byte) of a file that SQLite can't make sense of.
_CORRUPT = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_LOCKED = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


class _NotUsable(Exception):
    """The file is corrupt or of another version; ``str()`` says which."""


def open_database(path: Path, *, version: int, tables: str) -> sqlite3.Connection:
    """A connection to the file at ``path``, made anew from the script ``tables`` if need be.

    ``version`` is that of the tables. Raises :class:`Fatal` if the file can't be used although
    it is not corrupt.
    """
    with _readable_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return _connect(path, version, tables)
        except _NotUsable as problem:
            _set_aside(path, str(problem))
        try:
            return _connect(path, version, tables)
        except _NotUsable as problem:  # another version of buildhub uses the folder right now
            raise Fatal(
                f"Cannot use {path}: it is {problem}; give each version its own CACHE_FOLDER."
            ) from None


def _is_not_locked(error: Exception) -> bool:
    return not isinstance(error, sqlite3.Error) or _code(error) not in _LOCKED


def _connect(path: Path, version: int, tables: str) -> sqlite3.Connection:
    """The same as :func:`_connect_once`, later if the file is locked.

    SQLite does not apply its timeout to the change of journal_mode: of two runs that make the file
    at the same moment, one would find it locked.
    """
    try:
        return _connect_once(path, version, tables)
    except sqlite3.Error as error:
        if _is_not_locked(error):
            raise
    import backoff  # imports asyncio, which takes 25 ms

    retrying = backoff.on_exception(
        backoff.constant,
        sqlite3.Error,
        interval=0.1,
        max_time=BUSY_SECONDS,
        giveup=_is_not_locked,
        logger=None,
    )
    return retrying(_connect_once)(path, version, tables)


def _connect_once(path: Path, version: int, tables: str) -> sqlite3.Connection:
    """Raises :class:`_NotUsable`, ``sqlite3.Error`` and ``OSError``."""
    if path.exists():
        # SQLite calls a file without rights "unable to open", as it does a missing folder.
        os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK))
    connection = sqlite3.connect(
        path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    try:
        _prepare(connection, version, tables)
    except sqlite3.DatabaseError as error:
        connection.close()
        if _code(error) in _CORRUPT:
            raise _NotUsable("damaged") from None
        raise
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, version: int, tables: str) -> None:
    connection.execute("PRAGMA journal_mode=WAL")
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
    if not empty and found != version:
        raise _NotUsable("of another version of buildhub")
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise _NotUsable("damaged")


def _set_aside(path: Path, problem: str) -> None:
    """Rename the file; what was set aside before is kept."""
    for number in itertools.count(1):
        aside = path.with_name(f"{path.name}.damaged-{number}")
        with contextlib.suppress(FileExistsError):
            os.link(path, aside, follow_symlinks=False)
            break
    path.unlink()
    for companion in ("-wal", "-shm"):
        path.with_name(path.name + companion).unlink(missing_ok=True)
    logger.warning("%s is %s: it is set aside as %s.", path, problem, aside.name)


@contextlib.contextmanager
def _readable_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        if _code(error) in _LOCKED:
            raise Fatal(f"Cannot use {path}: another program keeps it locked.") from None
        raise Fatal(_advice(path, str(error))) from None
    except OSError as error:
        raise Fatal(_advice(path, error.strerror or str(error))) from None


def _advice(path: Path, problem: str) -> str:
    return (
        f"Cannot use {path} ({problem}): free space or give rights there, or set CACHE_FOLDER to"
        " a folder that can be written. The file was left as it is."
    )


def _code(error: sqlite3.Error) -> int:
    """SQLite's primary result code; 0 for errors of Python's module."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF
