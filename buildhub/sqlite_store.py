"""Small SQLite files in ``CACHE_FOLDER`` that survive whatever happens to a run.

SQLite commits as it goes, so that a killed run loses nothing, and lets two runs share a file. A
file that is damaged, or was made by another version of buildhub, is set aside: what it held can
be learned again.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from pathlib import Path

from .errors import Fatal

logger = logging.getLogger(__name__)

#: Seconds to wait for another run that is writing into the same file.
BUSY_SECONDS = 30


def open_database(path: Path, *, version: int, tables: str) -> sqlite3.Connection:
    """A connection to the file at ``path``, made anew from the script ``tables`` if need be.

    ``version`` is that of the tables. Raises :class:`Fatal` if the folder can't be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(sqlite3.DatabaseError):
            if (connection := _connect(path, version, tables)) is not None:
                return connection
        _set_aside(path)
        connection = _connect(path, version, tables)
    except (OSError, sqlite3.Error) as error:
        raise Fatal(
            f"Cannot write {path}: {error}; set CACHE_FOLDER to a folder that can be written."
        ) from None
    assert connection is not None
    return connection


def _connect(path: Path, version: int, tables: str) -> sqlite3.Connection | None:
    """None if the file is of another version; DatabaseError if it is damaged."""
    connection = sqlite3.connect(
        path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    try:
        # Another run that opens the file at the same moment must not see it half made.
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("BEGIN IMMEDIATE")
        (found,) = connection.execute("PRAGMA user_version").fetchone()
        empty = connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
        if empty:
            for statement in filter(str.strip, tables.split(";")):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version={version}")
        connection.execute("COMMIT")
        if empty or found == version:
            (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if verdict != "ok":
                raise sqlite3.DatabaseError(verdict)
            return connection
    except sqlite3.DatabaseError as error:
        connection.close()
        if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
            raise Fatal(f"Cannot use {path}: another program keeps it locked.") from None
        raise
    connection.close()
    return None


def _set_aside(path: Path) -> None:
    if not path.exists():
        return
    aside = path.with_name(path.name + ".damaged")
    path.replace(aside)
    for companion in ("-wal", "-shm"):
        path.with_name(path.name + companion).unlink(missing_ok=True)
    logger.warning(
        "%s is damaged or of another version of buildhub: it is set aside as %s.", path, aside.name
    )
