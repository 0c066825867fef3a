"""What was learned about the archive: in memory, and in a SQLite file in ``CACHE_FOLDER``."""

from __future__ import annotations

import logging
import sqlite3
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from ..sqlite_store import open_database
from .formats import Metadata

logger = logging.getLogger(__name__)

CACHE_FILE = "buildhub-archive.sqlite3"
#: Answers kept in memory as well: a million records need a few thousand different ones.
IN_MEMORY = 20_000

_TABLES = """
CREATE TABLE answers (
    place TEXT PRIMARY KEY,
    answer BLOB,
    newest TEXT NOT NULL,
    learned REAL NOT NULL
) WITHOUT ROWID
"""


class CacheEntry(NamedTuple):
    """What was learned about a place, and when."""

    value: Any  #: Metadata; or the number of the highest build; None: there is none
    newest: str  #: date of the newest file that was seen there or asked for
    learned: float  #: seconds since the epoch


class LookupCache:
    """What was learned about the archive: in memory, and in ``CACHE_FOLDER`` if there is one."""

    def __init__(self, folder: Path | None, archive_url: str) -> None:
        self._archive_url = archive_url
        self._memory: dict[str, CacheEntry | None] = {}
        self._database: sqlite3.Connection | None = None
        if folder is not None:
            self._database = open_database(folder / CACHE_FILE, version=1, tables=_TABLES)

    def get(self, location: str) -> CacheEntry | None:
        """The answer for a place, however old."""
        try:
            return self._memory[location]
        except KeyError:
            answer = self._read(location)
            self._remember(location, answer)
            return answer

    def put(self, location: str, answer: CacheEntry) -> None:
        """Keep an answer, on disk at once."""
        self._remember(location, answer)
        if self._database is None:
            return
        value = list(answer.value) if isinstance(answer.value, Metadata) else answer.value
        row = (self._archive_url + location, orjson.dumps(value), answer.newest, answer.learned)
        try:
            self._database.execute("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?)", row)
        except sqlite3.Error as error:
            logger.warning(
                "What is learned of the archive can't be kept in CACHE_FOLDER any more: %s.", error
            )
            self._database = None

    def close(self) -> None:
        """Close the file."""
        if self._database is not None:
            self._database.close()

    def _remember(self, location: str, answer: CacheEntry | None) -> None:
        if len(self._memory) >= IN_MEMORY:
            del self._memory[next(iter(self._memory))]
        self._memory[location] = answer

    def _read(self, location: str) -> CacheEntry | None:
        if self._database is None:
            return None
        row = self._database.execute(
            "SELECT answer, newest, learned FROM answers WHERE place = ?",
            (self._archive_url + location,),
        ).fetchone()
        if row is None:
            return None
        value = orjson.loads(row[0])
        return CacheEntry(Metadata(*value) if isinstance(value, list) else value, row[1], row[2])
