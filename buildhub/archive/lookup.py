"""Build → its metadata: fetched once, cached, fetched again only where it can change.

A metadata file is *absent* if the archive says so: by a 404, or by a listing. A file that is there
but can't be read (an empty body, an HTML page, half of a JSON, another build's) is *unreadable*:
it is requested again like after a 503, then the next source is tried. If none helps, the lookup
fails, and nothing is remembered.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import time
from collections.abc import Callable

from .build_folders import BuildFolders
from .cache import CachedAnswers, LookupCache, NotCached
from .formats import Metadata, without_build_id
from .locations import (
    CandidateLocation,
    FileLocation,
    MetadataLocation,
    NightlyLocation,
    NoLocation,
    ReleaseLocation,
    SamePushLocation,
)
from .reader import MetadataReader, Source
from .turns import Turns

__all__ = ["MetadataLookup", "NotCached"]


#: Locations whose metadata is at hand without asking the cache again.
SETTLED = 1_000

_NOT_SETTLED = (None, "")
_NO_LIMIT = "9999"


class MetadataLookup:
    """Finds the metadata of builds: from the cache at once, otherwise from the archive.

    ``keep_absent`` is that of :class:`CachedAnswers`. So many ``searches`` run at a time, in the
    order in which they were asked for, that the first records can be written soon; None does not
    limit them. ``clock`` gives seconds since the epoch.
    """

    def __init__(
        self,
        archive: Source,
        cache: LookupCache,
        *,
        keep_absent: bool = True,
        searches: int | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._archive = archive
        self._answers = CachedAnswers(cache, keep_absent=keep_absent, clock=clock)
        self._builds = BuildFolders(archive)
        self._reader = MetadataReader(archive)
        self._fetches: dict[MetadataLocation, asyncio.Task[Metadata | None]] = {}
        self._reads: dict[str, asyncio.Task[Metadata | None]] = {}
        self._lists: dict[str, asyncio.Task[int | None]] = {}
        self._folders_seen: set[str] = set()
        # With the date up to which the answer is the same. Builds that share it are adjacent rows.
        self._settled: dict[MetadataLocation, tuple[Metadata | None, str]] = {}
        self._turns = Turns(searches)
        self._numbers = itertools.count()

    def cached(self, location: MetadataLocation, date: str) -> Metadata | NotCached | None:
        """The metadata, None if there is none, or ``NOT_CACHED``; never uses the network.

        ``date`` is the last modification of the build whose metadata is wanted.
        """
        metadata, until = self._settled.get(location, _NOT_SETTLED)
        if date <= until:
            return metadata
        found = self._cached(location, date)
        if isinstance(found, Metadata) and not found.provisional:
            if len(self._settled) >= SETTLED:
                self._settled.clear()
            self._settled[location] = found, self._same_until(location)
        return found

    def _cached(self, location: MetadataLocation, date: str) -> Metadata | NotCached | None:
        if isinstance(location, NoLocation):
            return without_build_id(location.product, location.number)
        if isinstance(location, ReleaseLocation):
            number = self._answers.highest_build(location.candidates, date)
            if number is None or isinstance(number, NotCached):
                return number
            location = location.in_build(number)
        elif isinstance(location, CandidateLocation) and location.folder not in self._folders_seen:
            self._folders_seen.add(location.folder)
            self._settled.clear()
            self._answers.build_seen(location.candidates, location.number, date)
        return self._answers.metadata(_address(location), date)

    def _same_until(self, location: MetadataLocation) -> str:
        """The date of the newest build for which the cache's metadata is valid without a check."""
        if isinstance(location, ReleaseLocation):
            return self._answers.newest(location.candidates)
        return _NO_LIMIT

    def fetch(self, location: MetadataLocation, date: str) -> asyncio.Task[Metadata | None]:
        """Fetch the metadata at ``location``: one search, however many ask for it.

        The task's result is the metadata, or None if there is none. It raises
        :class:`Unreachable`, also for those who ask later in the same run: the archive was asked
        often enough.
        """
        fetch = self._fetches.get(location)
        if fetch is None:
            fetch = asyncio.ensure_future(self._fetch(location, date, next(self._numbers)))
            self._fetches[location] = fetch
            fetch.add_done_callback(lambda done: self._on_fetched(location, done))
        return fetch

    def _on_fetched(self, location: MetadataLocation, fetch: asyncio.Task[Metadata | None]) -> None:
        if fetch.cancelled() or fetch.exception() is None:
            del self._fetches[location]

    async def _fetch(self, location: MetadataLocation, date: str, turn: int) -> Metadata | None:
        if isinstance(location, NoLocation):
            return without_build_id(location.product, location.number)
        if isinstance(location, ReleaseLocation):
            number = self._answers.highest_build(location.candidates, date)
            if isinstance(number, NotCached):
                number = await self._shared_list(location.candidates, date, turn)
            if number is None:
                return None
            location = location.in_build(number)
        found = self._answers.metadata(_address(location), date)
        if isinstance(found, NotCached):
            found = await self._shared_read(location, date, turn)
        return found

    def _shared_read(
        self, location: FileLocation, date: str, turn: int
    ) -> asyncio.Task[Metadata | None]:
        """One reading of a location, also if a release and its candidate need it at one time."""
        address = _address(location)
        read = self._reads.get(address)
        if read is None:
            read = asyncio.ensure_future(self._read_and_keep(location, date, turn))
            self._reads[address] = read
            read.add_done_callback(lambda _: self._reads.pop(address))
        return read

    async def _read_and_keep(self, location: FileLocation, date: str, turn: int) -> Metadata | None:
        async with self._turns.turn(turn):
            found, final = await self._reader.read(location)
        if final:
            self._settled.clear()
            self._answers.put_metadata(_address(location), found, date)
        return found

    def _shared_list(self, candidates: str, date: str, turn: int) -> asyncio.Task[int | None]:
        """One search for the builds of a version, however many platforms need it at one time."""
        listed = self._lists.get(candidates)
        if listed is None:
            listed = asyncio.ensure_future(self._list_and_keep(candidates, date, turn))
            self._lists[candidates] = listed
            listed.add_done_callback(lambda _: self._lists.pop(candidates))
        return listed

    async def _list_and_keep(self, candidates: str, date: str, turn: int) -> int | None:
        async with self._turns.turn(turn):
            seen = self._answers.highest_seen(candidates)
            number = await self._builds.highest(candidates, seen)
        self._settled.clear()
        return self._answers.put_highest_build(candidates, number, date)


@functools.lru_cache(maxsize=4096)  # all locales of a platform have the same location
def _address(location: FileLocation) -> str:
    """The name under which the cache keeps what is known of a location."""
    if isinstance(location, NightlyLocation):
        return location.stem
    if isinstance(location, SamePushLocation):
        return f"{location.folder} {location.product}"
    return f"{location.folder}{location.versions[0]} {location.file_platform}".rstrip()
