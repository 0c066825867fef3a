"""Build → its metadata: fetched once, cached, fetched again only where it can change."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Self

from .cache import LookupCache, NotCached
from .client import Archive, FolderContents, Unreadable
from .locations import FileLocation, MetadataLocation, NoLocation, ReleaseLocation, build_number
from .metadata_formats import Metadata, without_build_id
from .metadata_reader import read_metadata


class MetadataLookup:
    """Finds the metadata of builds that ``cache`` does not know.

    At most so many ``searches`` run at a time, each to its end, in the order in which they were
    asked for: the first records can be written soon. None does not limit them.
    """

    def __init__(
        self, archive: Archive, cache: LookupCache, *, searches: int | None = None
    ) -> None:
        self.cache = cache
        self._archive = archive
        self._searches = None if searches is None else asyncio.Semaphore(searches)
        self._fetches: dict[MetadataLocation, asyncio.Task[Metadata | None]] = {}
        self._shared: dict[FileLocation | str, asyncio.Task[Any]] = {}
        self._useless: set[FileLocation] = set()

    def renewed(self) -> Self:
        """Returns a lookup that asks the archive again, and knows which files exist."""
        return type(self)(self._archive, self.cache.renewed())

    def fetch(self, location: MetadataLocation, date: str) -> asyncio.Task[Metadata | None]:
        """Fetches the metadata at ``location``: one search, however many ask for it.

        The task's result is the metadata, or None if there is none. It raises
        :class:`Unreachable`, also for those who ask later in the same run: the archive was asked
        often enough.
        """
        fetch = self._fetches.get(location)
        if fetch is None:
            fetch = asyncio.ensure_future(self._fetch(location, date))
            self._fetches[location] = fetch
            fetch.add_done_callback(lambda done: self._on_fetched(location, done))
        return fetch

    def is_useless(self, location: MetadataLocation, date: str) -> bool:
        """Tells if files are there instead of metadata: without a build id, say."""
        if not self._useless or isinstance(location, NoLocation):
            return False
        return self.cache.files_of(location, date) in self._useless

    def _on_fetched(self, location: MetadataLocation, fetch: asyncio.Task[Metadata | None]) -> None:
        if fetch.cancelled() or fetch.exception() is None:
            del self._fetches[location]

    async def _fetch(self, location: MetadataLocation, date: str) -> Metadata | None:
        if self._searches is None:
            return await self._search(location, date)
        async with self._searches:
            return await self._search(location, date)

    async def _search(self, location: MetadataLocation, date: str) -> Metadata | None:
        if isinstance(location, NoLocation):
            return without_build_id(location.product, location.number)
        files = self.cache.files_of(location, date)
        if isinstance(files, NotCached):
            assert isinstance(location, ReleaseLocation)
            candidates = location.candidates
            number = await self._once(candidates, lambda: self._find_build(candidates, date))
            files = None if number is None else location.in_build(number)
        if files is None:
            return None
        found = self.cache.metadata(files, date)
        if isinstance(found, NotCached):
            found = await self._once(files, lambda: self._read(files, date))
        return found

    def _once(
        self, key: FileLocation | str, work: Callable[[], Coroutine[Any, Any, Any]]
    ) -> asyncio.Task[Any]:
        """Begins a part of the search, unless it runs already for another build."""
        task = self._shared.get(key)
        if task is None:
            task = self._shared[key] = asyncio.ensure_future(work())
            task.add_done_callback(lambda _: self._shared.pop(key))
        return task

    async def _read(self, location: FileLocation, date: str) -> Metadata | None:
        reading = read_metadata(self._archive, location, self.cache.names_seen)
        found, final, present = await reading
        if present and found is None:
            self._useless.add(location)
        if final:
            self.cache.put_metadata(location, found, date)
        return found

    async def _find_build(self, candidates: str, date: str) -> int | None:
        seen = self.cache.highest_seen(candidates)
        number = await highest_build(self._archive, candidates, seen)
        return self.cache.put_highest_build(candidates, number, date)


async def highest_build(archive: Archive, candidates: str, seen: int | None) -> int | None:
    """Returns the number of the highest build folder, or None if there is none.

    ``candidates`` is the folder of the version's candidates; of the build ``seen`` a file is
    known. A listing may be valid JSON and yet lack some of its entries; what it says is kept for
    good, so it is not believed alone: there has to be no folder behind the highest one. Two
    listings are requested, more where the first lacks something. Raises :class:`Unreachable`.
    """
    listing = await archive.listing(candidates)
    numbers = set() if seen is None else {seen}
    if listing is not None:
        # Without builds, either there are none or the listing was cut.
        numbers |= _numbers(listing) or _numbers(await archive.listing(candidates))
    next_number = max(numbers, default=0) + 1
    while (listing or numbers) and await _exists(archive, f"{candidates}build{next_number}/"):
        numbers |= {next_number} | _numbers(await archive.listing(candidates))
        next_number = max(numbers) + 1
    if listing and not listing.complete:
        raise Unreadable(f"{candidates}: the listing has entries without a name.")
    return max(numbers, default=None)


async def _exists(archive: Archive, folder: str) -> bool:
    """Tells if there is something in a folder; an empty listing may have been cut."""
    for _ in range(2):
        listing = await archive.listing(folder)
        if listing is None:
            return False
        if listing.folders or listing.files or not listing.complete:
            return True
    return False


def _numbers(listing: FolderContents | None) -> set[int]:
    """Returns the numbers of the build folders in a listing of a version's candidates."""
    folders = listing.folders if listing else ()
    return {number for number in map(build_number, folders) if number is not None}
