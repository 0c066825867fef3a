"""Build → its metadata: fetched once, cached, fetched again only where it can change.

A metadata file is *absent* if the archive says so: by a 404, or by a listing. A file that is there
but can't be read (an empty body, an HTML page, half of a JSON, another build's) is *unreadable*:
it is requested again like after a 503, then the next source is tried. If none helps, the lookup
fails, and nothing is remembered.
"""

from __future__ import annotations

import asyncio
import itertools

from .build_folders import BuildFolders
from .cache import NotCached
from .cached_lookup import CachedLookup, address
from .formats import Metadata, without_build_id
from .locations import FileLocation, MetadataLocation, NoLocation, ReleaseLocation
from .reader import MetadataReader, Source
from .turns import Turns


class MetadataLookup:
    """Finds the metadata of builds that ``cache`` does not know.

    So many ``searches`` run at a time, in the order in which they were asked for, that the first
    records can be written soon; None does not limit them.
    """

    def __init__(
        self, archive: Source, cache: CachedLookup, *, searches: int | None = None
    ) -> None:
        self.cache = cache
        self._builds = BuildFolders(archive)
        self._reader = MetadataReader(archive)
        self._fetches: dict[MetadataLocation, asyncio.Task[Metadata | None]] = {}
        self._reads: dict[str, asyncio.Task[Metadata | None]] = {}
        self._lists: dict[str, asyncio.Task[int | None]] = {}
        self._turns = Turns(searches)
        self._numbers = itertools.count()

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
            number = self.cache.highest_build(location.candidates, date)
            if isinstance(number, NotCached):
                number = await self._shared_list(location.candidates, date, turn)
            if number is None:
                return None
            location = location.in_build(number)
        found = self.cache.metadata(address(location), date)
        if isinstance(found, NotCached):
            found = await self._shared_read(location, date, turn)
        return found

    def _shared_read(
        self, location: FileLocation, date: str, turn: int
    ) -> asyncio.Task[Metadata | None]:
        """One reading of a location, also if a release and its candidate need it at one time."""
        key = address(location)
        read = self._reads.get(key)
        if read is None:
            read = asyncio.ensure_future(self._read_and_keep(location, date, turn))
            self._reads[key] = read
            read.add_done_callback(lambda _: self._reads.pop(key))
        return read

    async def _read_and_keep(self, location: FileLocation, date: str, turn: int) -> Metadata | None:
        async with self._turns.turn(turn):
            found, final = await self._reader.read(location)
        if final:
            self.cache.put_metadata(address(location), found, date)
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
            seen = self.cache.highest_seen(candidates)
            number = await self._builds.highest(candidates, seen)
        return self.cache.put_highest_build(candidates, number, date)
