"""The cache of the archive: in memory, and in a SQLite file in ``CACHE_FOLDER``."""

from __future__ import annotations

import functools
import logging
import math
import re
import sqlite3
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, Self

import orjson

from ..builds.recognise import Build
from ..storage import open_database
from .checksums import sum_of, sums_file
from .locations import (
    CandidateLocation,
    FileLocation,
    MetadataLocation,
    NightlyLocation,
    NoLocation,
    ReleaseLocation,
    SamePushLocation,
)
from .metadata_formats import Metadata, without_build_id

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

#: Seconds by which a clock may be wrong. An entry from the future does not count.
CLOCK_ERROR = 60.0

_TABLES = """
CREATE TABLE answers (
    place TEXT PRIMARY KEY,
    answer BLOB,
    newest TEXT NOT NULL,
    learned REAL NOT NULL
) WITHOUT ROWID
"""
_BUILD_FOLDER = re.compile(r"(?P<candidates>pub/[^/]+/candidates/[^/]+/)build(?P<number>\d{1,9})/")


_NOTHING = None, None, ""


class CacheEntry(NamedTuple):
    """An answer of the archive about a location, and its time."""

    value: Any  #: Metadata, the number of the highest build, or sums; None: there is none
    newest: str  #: date of the newest file that was seen there or asked for
    fetched: float  #: seconds since the epoch


class NotCached(NamedTuple):
    """There is no entry yet, or none that is still valid."""

    location: FileLocation | ReleaseLocation  #: what is to be asked next: of a release, its builds


class LookupCache:
    """Keeps metadata by its location, and the highest build folder of each version.

    Metadata that was found never changes, unless it is provisional. That there is none, or only
    such, is valid for an hour while the build is younger than a week, for 30 days otherwise;
    with ``keep_absent`` false (Lambdas), only during the same run. The highest build of a version
    is valid during the same run, and for good once the newest file of the version is 90 days old.

    Without a ``folder``, all is in memory. ``clock`` gives seconds since the epoch. Dates are
    those of the builds whose metadata is wanted.
    """

    def __init__(
        self,
        folder: Path | None,
        archive_url: str,
        *,
        keep_absent: bool = True,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._archive_url = archive_url
        self._keep_absent = keep_absent
        self._clock = clock
        self._started = clock()
        self._entries: dict[str, CacheEntry | None] = {}
        self._highest_seen: dict[str, tuple[int, str]] = {}  # by version, with the newest date
        self._names_seen: dict[str, set[str]] = {}
        self._folders_seen: set[str] = set()
        #: What was found last, and until which date it is the same: adjacent rows ask for the same.
        self._last: tuple[MetadataLocation | None, Metadata | None, str] = _NOTHING
        self._database: sqlite3.Connection | None = None
        if folder is not None:
            self._database = open_database(folder / CACHE_FILE, version=1, tables=_TABLES)

    def renewed(self) -> Self:
        """Returns a cache in memory that knows which files exist, and nothing else."""
        other = type(self)(
            None, self._archive_url, keep_absent=self._keep_absent, clock=self._clock
        )
        other._highest_seen, other._names_seen = self._highest_seen, self._names_seen
        return other

    def close(self) -> None:
        """Closes the file."""
        if self._database is not None:
            self._database.close()

    # ---- metadata ----

    def find(self, location: MetadataLocation, date: str) -> Metadata | NotCached | None:
        """Returns the metadata, None if there is none, or what the archive is to be asked."""
        if location is self._last[0] and date <= self._last[2]:
            return self._last[1]
        if isinstance(location, NoLocation):
            return without_build_id(location.product, location.number)
        files = self._files_of(location, date)
        if files is None or isinstance(files, NotCached):
            return files
        entry = self._entry(address(files), Metadata)
        if entry is None:
            return NotCached(files)
        found: Metadata | None = entry.value
        if found is None or found.provisional:
            return found if self._still_absent(entry, date) else NotCached(files)
        until = "9999"
        if isinstance(location, ReleaseLocation):
            version = self._entries.get(location.candidates)
            until = version.newest if version else date
        self._last = location, found, until
        return found

    def _files_of(
        self, location: FileLocation | ReleaseLocation, date: str
    ) -> FileLocation | NotCached | None:
        """Returns where the files are: those of a release in its highest build, if it has any."""
        if isinstance(location, ReleaseLocation):
            number = self.highest_build(location.candidates, date)
            if number is None:
                return NotCached(location)
            return location.in_build(number) if number else None
        if isinstance(location, CandidateLocation) and location.folder not in self._folders_seen:
            self._folders_seen.add(location.folder)
            self.file_seen(location.folder, date)
        return location

    def find_sum(self, build: Build, size: int, date: str) -> str | None:
        """Returns the SHA-256 of a build, empty if the archive has none, None if not known.

        A sum that was fetched before its file was published is another file's.
        """
        entry = self._entry(sums_file(build), dict)
        if entry is None or entry.fetched < min(self._started, date_in_seconds(date)):
            return None
        found = sum_of(build, size, entry.value or {})
        return found if found or self._still_absent(entry, date) else None

    def put(self, place: str, found: Metadata | dict[str, str] | None, date: str) -> None:
        """Keeps the metadata at an :func:`address`, the sums in a file, or that there is none."""
        self._put(place, CacheEntry(found, date, self._now()))

    # ---- the highest build of a version ----

    def highest_build(self, candidates: str, date: str) -> int | None:
        """Returns the number of a version's highest build, 0 without any, None if not known."""
        entry = self._entry(candidates, int)
        if entry is None:
            return None
        if entry.value is None:
            return 0 if self._still_absent(entry, date) else None
        if date > entry.newest:
            entry = entry._replace(newest=date)
            self._put(candidates, entry)
        settled = entry.fetched - date_in_seconds(entry.newest) >= VERSION_SETTLED
        number: int = entry.value
        return number if settled or entry.fetched >= self._started else None

    def put_highest_build(self, candidates: str, number: int | None, date: str) -> None:
        """Keeps the number that a listing showed, or that of a higher build that was seen."""
        seen, newest = self._highest_seen.get(candidates, (None, ""))
        highest = max((n for n in (number, seen) if n is not None), default=None)
        self._put(candidates, CacheEntry(highest, max(date, newest), self._now()))

    # ---- files that exist although a listing may not show them ----

    def file_seen(self, key: str, date: str) -> None:
        """Notes that a file, or a folder with a file of this date, exists.

        A listing that does not show it yet, or its build folder, is completed. If the file is
        newer than all others, the version may not be settled yet.
        """
        folder, _, name = key.rpartition("/")
        if name:
            self._names_seen.setdefault(f"{folder}/", set()).add(name)
        if not (found := _BUILD_FOLDER.match(key)):
            return
        candidates, number = found["candidates"], int(found["number"])
        highest, newest = self._highest_seen.get(candidates, (number, date))
        self._highest_seen[candidates] = max(highest, number), max(newest, date)
        entry = self._entry(candidates, int)
        if entry is None:
            return
        value = number if entry.value is None else max(entry.value, number)
        better = entry._replace(value=value, newest=max(entry.newest, date))
        if better != entry:
            self._put(candidates, better)

    def highest_seen(self, candidates: str) -> int | None:
        """Returns the number of the highest build of which a file was seen."""
        return self._highest_seen.get(candidates, (None, ""))[0]

    def names_seen(self, folder: str) -> set[str]:
        """Returns the names of the files that were seen in a folder."""
        return self._names_seen.get(folder, set())

    # ---- entries ----

    def _now(self) -> float:
        """Returns the time; not before the start, or what was just kept would not count."""
        return max(self._clock(), self._started)

    def _still_absent(self, entry: CacheEntry, date: str) -> bool:
        if not self._keep_absent:
            return entry.fetched >= self._started
        now = self._clock()
        young = now - date_in_seconds(date) < YOUNG_BUILD
        return now - entry.fetched < (ABSENT_YOUNG if young else ABSENT_OLD)

    def _entry(self, place: str, kind: type) -> CacheEntry | None:
        """Returns what is kept of a place; None without, or with a value of another kind."""
        try:
            entry = self._entries[place]
        except KeyError:
            entry = self._remember(place, self._read(place))
        if entry is None or (entry.value is not None and not isinstance(entry.value, kind)):
            return None
        return entry

    def _put(self, place: str, entry: CacheEntry) -> None:
        """Keeps an entry, on disk at once."""
        self._remember(place, entry)
        if self._database is None:
            return
        value = entry.value
        if isinstance(value, Metadata):
            value = list(value[:4])  # without the sum, which is of one build
        row = (self._archive_url + place, orjson.dumps(value), entry.newest, entry.fetched)
        try:
            self._database.execute("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?)", row)
        except sqlite3.Error as error:
            self._give_up(error)

    def _remember(self, place: str, entry: CacheEntry | None) -> CacheEntry | None:
        if len(self._entries) >= IN_MEMORY:
            del self._entries[next(iter(self._entries))]
        self._entries[place] = entry
        self._last = _NOTHING
        return entry

    def _read(self, place: str) -> CacheEntry | None:
        if self._database is None:
            return None
        try:
            row = self._database.execute(
                "SELECT answer, newest, learned FROM answers WHERE place = ?",
                (self._archive_url + place,),
            ).fetchone()
        except sqlite3.Error as error:
            self._give_up(error)
            return None
        entry = _entry_in(row) if row else None
        if entry and entry.fetched > self._clock() + CLOCK_ERROR:
            return None  # it was made by a clock that was ahead
        return entry

    def _give_up(self, error: sqlite3.Error) -> None:
        """Continues without the file, which stays as it is."""
        logger.warning(
            "The cache of the archive in CACHE_FOLDER can't be used any more (%s): free space"
            " there, or delete %s.",
            error,
            CACHE_FILE,
        )
        self.close()
        self._database = None


@functools.lru_cache(maxsize=1024)  # all locales of a platform have the same location
def address(location: FileLocation) -> str:
    """Returns the name under which the cache keeps the metadata of a location."""
    if isinstance(location, NightlyLocation):
        return location.stem
    if isinstance(location, SamePushLocation):
        return f"{location.folder} {location.product}"
    return f"{location.folder}{location.versions[0]} {location.file_platform}".rstrip()


def _entry_in(row: tuple[Any, Any, Any]) -> CacheEntry | None:
    """Returns the entry in a row of the table, None for values that were never written there."""
    try:
        value, newest, fetched = orjson.loads(row[0]), row[1], float(row[2])
        date_in_seconds(newest)
    except (ValueError, TypeError):
        return None
    if not math.isfinite(fetched):
        return None
    if isinstance(value, list):
        value = _metadata_in(value)
    elif isinstance(value, dict):
        value = value if all(isinstance(one, str) for one in value.values()) else "of no use"
    elif not (value is None or type(value) is int):
        return None
    return CacheEntry(value, newest, fetched)


def _metadata_in(parts: list[Any]) -> Metadata | str:
    build, source = parts[:2] if len(parts) in (3, 4) else (None, None)
    provisional = parts[3:] == [True]
    if isinstance(build, dict) and isinstance(source, dict) and ("id" in build or provisional):
        return Metadata(*parts)
    return "of no use"


@functools.lru_cache(maxsize=1024)
def date_in_seconds(date: str) -> float:
    """Returns seconds since the epoch of ``2017-03-07T12:07:51Z``; 0 if empty or impossible."""
    if not isinstance(date, str):
        raise TypeError(f"{date!r} is not a date")
    try:
        return datetime.fromisoformat(date).replace(tzinfo=UTC).timestamp() if date else 0.0
    except ValueError:
        return 0.0
