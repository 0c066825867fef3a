"""Answers of the archive: in memory, and in a SQLite file in ``CACHE_FOLDER``."""

from __future__ import annotations

import functools
import logging
import math
import sqlite3
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

from ..storage import open_database
from .formats import Metadata

logger = logging.getLogger(__name__)

CACHE_FILE = "buildhub-archive.sqlite3"
#: Entries kept in memory as well: of neighbouring builds, some 90 need the same one.
IN_MEMORY = 1_000

HOUR = 3600.0
DAY = 24 * HOUR
YOUNG_BUILD = 7 * DAY
ABSENT_YOUNG = HOUR
ABSENT_OLD = 30 * DAY
VERSION_SETTLED = 90 * DAY

#: Seconds by which a clock may be wrong. An answer from the future does not count.
CLOCK_ERROR = 60.0

_TABLES = """
CREATE TABLE answers (
    place TEXT PRIMARY KEY,
    answer BLOB,
    newest TEXT NOT NULL,
    learned REAL NOT NULL
) WITHOUT ROWID
"""


class CacheEntry(NamedTuple):
    """The answer for a location, and when it was given."""

    value: Any  #: Metadata; or the number of the highest build; None: there is none
    newest: str  #: date of the newest file that was seen there or asked for
    fetched: float  #: seconds since the epoch


class NotCached:
    """There is no entry yet, or none that is still valid."""


NOT_CACHED: Final = NotCached()


class LookupCache:
    """Entries by location: in memory, and in ``folder`` if there is one."""

    def __init__(self, folder: Path | None, archive_url: str) -> None:
        self._archive_url = archive_url
        self._memory: dict[str, CacheEntry | None] = {}
        self._database: sqlite3.Connection | None = None
        if folder is not None:
            self._database = open_database(folder / CACHE_FILE, version=1, tables=_TABLES)

    def get(self, location: str) -> CacheEntry | None:
        """The entry of a location, however old."""
        try:
            return self._memory[location]
        except KeyError:
            entry = self._read(location)
            self._remember(location, entry)
            return entry

    def put(self, location: str, entry: CacheEntry) -> None:
        """Keep an entry, on disk at once."""
        self._remember(location, entry)
        if self._database is None:
            return
        value = list(entry.value) if isinstance(entry.value, Metadata) else entry.value
        row = (self._archive_url + location, orjson.dumps(value), entry.newest, entry.fetched)
        try:
            self._database.execute("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?)", row)
        except sqlite3.Error as error:
            self._give_up(error)

    def close(self) -> None:
        """Close the file."""
        if self._database is not None:
            self._database.close()

    def _remember(self, location: str, entry: CacheEntry | None) -> None:
        if len(self._memory) >= IN_MEMORY:
            del self._memory[next(iter(self._memory))]
        self._memory[location] = entry

    def _read(self, location: str) -> CacheEntry | None:
        if self._database is None:
            return None
        try:
            row = self._database.execute(
                "SELECT answer, newest, learned FROM answers WHERE place = ?",
                (self._archive_url + location,),
            ).fetchone()
        except sqlite3.Error as error:
            self._give_up(error)
            return None
        return _entry(row) if row else None

    def _give_up(self, error: sqlite3.Error) -> None:
        """The run continues without the file, which stays as it is."""
        logger.warning(
            "The cache of the archive in CACHE_FOLDER can't be used any more (%s): free space"
            " there, or delete %s.",
            error,
            CACHE_FILE,
        )
        if self._database is not None:
            self._database.close()
        self._database = None


def _entry(row: tuple[Any, Any, Any]) -> CacheEntry | None:
    """The entry in a row of the table; None for values that were never written there."""
    try:
        value, newest, fetched = orjson.loads(row[0]), row[1], float(row[2])
        date_in_seconds(newest)
    except (ValueError, TypeError):
        return None
    if not math.isfinite(fetched):
        return None
    if isinstance(value, list):
        value = _metadata(value)
    elif not (value is None or type(value) is int):
        return None
    return CacheEntry(value, newest, fetched)


def _metadata(parts: list[Any]) -> Metadata | NotCached:
    build, source = parts[:2] if len(parts) in (3, 4) else (None, None)
    provisional = parts[3:] == [True]
    if isinstance(build, dict) and isinstance(source, dict) and ("id" in build or provisional):
        return Metadata(*parts)
    return NOT_CACHED


class CachedAnswers:
    """What the cache says about builds, as long as it is valid.

    Metadata that was found never changes, unless it is provisional. That there is none, or only
    such, is valid for an hour while the build is younger than a week, for 30 days otherwise;
    with ``keep_absent`` false (Lambdas), only during the same run. The highest build of a version
    is valid during the same run, and for good once the newest file of the version is 90 days old.
    ``clock`` gives seconds since the epoch.
    """

    def __init__(
        self,
        cache: LookupCache,
        *,
        keep_absent: bool = True,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._cache = cache
        self._keep_absent = keep_absent
        self._clock = clock
        self._started = clock()
        self._seen: dict[str, tuple[int, str]] = {}

    def metadata(self, address: str, date: str) -> Metadata | NotCached | None:
        """The metadata at ``address`` for a build that was last modified at ``date``."""
        entry = self._valid(address)
        if entry is None:
            return NOT_CACHED
        value = entry.value
        if not (value is None or isinstance(value, Metadata)):
            return NOT_CACHED
        expires = value is None or value.provisional
        return NOT_CACHED if expires and not self._still_absent(entry, date) else value

    def put_metadata(self, address: str, metadata: Metadata | None, date: str) -> None:
        """Keep what was found for a build of that date, or that there is none."""
        self._cache.put(address, CacheEntry(metadata, date, self._clock()))

    def highest_build(self, candidates: str, date: str) -> int | NotCached | None:
        """The number of the highest build of a version; ``date`` is that of one of its files."""
        entry = self._valid(candidates)
        if entry is None or not (entry.value is None or isinstance(entry.value, int)):
            return NOT_CACHED
        if entry.value is None:
            return None if self._still_absent(entry, date) else NOT_CACHED
        if date > entry.newest:
            entry = entry._replace(newest=date)
            self._cache.put(candidates, entry)
        settled = entry.fetched - date_in_seconds(entry.newest) >= VERSION_SETTLED
        return entry.value if settled or entry.fetched >= self._started else NOT_CACHED

    def put_highest_build(self, candidates: str, number: int | None, date: str) -> int | None:
        """Keep the number that a listing showed, or that of a higher build that was seen.

        Returns what was kept.
        """
        seen, newest = self._seen.get(candidates, (None, ""))
        highest = max((n for n in (number, seen) if n is not None), default=None)
        self._cache.put(candidates, CacheEntry(highest, max(date, newest), self._clock()))
        return highest

    def newest(self, location: str) -> str:
        """The date of the newest file of a location that was seen or asked for; empty if none."""
        entry = self._cache.get(location)
        return entry.newest if entry else ""

    def highest_seen(self, candidates: str) -> int | None:
        """The highest build of a version of which a file was seen."""
        return self._seen.get(candidates, (None, ""))[0]

    def build_seen(self, candidates: str, number: int, date: str) -> None:
        """A file of this build and date exists, whatever a listing showed.

        If it is newer than those seen before, the version may not be settled yet.
        """
        highest, newest = self._seen.get(candidates, (number, date))
        self._seen[candidates] = max(highest, number), max(newest, date)
        entry = self._cache.get(candidates)
        if entry is None or not (entry.value is None or isinstance(entry.value, int)):
            return
        value = number if entry.value is None else max(entry.value, number)
        better = entry._replace(value=value, newest=max(entry.newest, date))
        if better != entry:
            self._cache.put(candidates, better)

    def _valid(self, location: str) -> CacheEntry | None:
        """The entry, unless it was made by a clock that was ahead."""
        entry = self._cache.get(location)
        if entry is None or entry.fetched > self._clock() + CLOCK_ERROR:
            return None
        return entry

    def _still_absent(self, entry: CacheEntry, date: str) -> bool:
        if not self._keep_absent:
            return entry.fetched >= self._started
        now = self._clock()
        young = now - date_in_seconds(date) < YOUNG_BUILD
        return now - entry.fetched < (ABSENT_YOUNG if young else ABSENT_OLD)


@functools.lru_cache(maxsize=1024)
def date_in_seconds(date: str) -> float:
    """Seconds since the epoch of ``2017-03-07T12:07:51Z``; 0 if it is empty or impossible."""
    if not isinstance(date, str):
        raise TypeError(f"{date!r} is not a date")
    try:
        return datetime.fromisoformat(date).replace(tzinfo=UTC).timestamp() if date else 0.0
    except ValueError:
        return 0.0
