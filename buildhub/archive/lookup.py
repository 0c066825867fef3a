"""Build → its metadata: fetched once, cached, fetched again only where it can change."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Self, TypeVar, cast

from ..builds.recognise import Build
from ..errors import Unreachable
from .cache import LookupCache, NotCached, address
from .checksums import sum_of, sums_file
from .client import Archive, FolderContents, Unreadable
from .locations import FileLocation, MetadataLocation, ReleaseLocation, build_number
from .metadata_formats import Metadata
from .metadata_reader import MetadataFiles

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: Build folders that are believed although no listing of their version shows them.
MAX_UNLISTED = 5


class MetadataLookup:
    """Finds the metadata of builds that ``cache`` does not know.

    At most so many ``searches`` run at a time, each to its end, in the order in which they were
    asked for: the first records can be written soon. None does not limit them. With
    ``checksums``, the sum of a build's own file belongs to its metadata, where the archive has it.
    """

    def __init__(
        self,
        archive: Archive,
        cache: LookupCache,
        *,
        searches: int | None = None,
        checksums: bool = False,
    ) -> None:
        self.cache = cache
        self._archive = archive
        self._checksums = checksums
        self._searches = asyncio.Semaphore(searches) if searches else contextlib.nullcontext()
        self._tasks: dict[object, asyncio.Task[Any]] = {}
        #: Where there are files, but without a usable build id.
        self.without_id: set[MetadataLocation] = set()
        #: Why sums files could not be read, by their keys and those of the builds without a sum.
        self.failed_sums: dict[str, Unreachable] = {}

    def renewed(self) -> Self:
        """Returns a lookup that asks the archive again, and knows which files exist."""
        return type(self)(self._archive, self.cache.renewed(), checksums=self._checksums)

    def find(
        self, build: Build, location: MetadataLocation, size: int, date: str
    ) -> Metadata | asyncio.Task[Metadata | None] | None:
        """Returns the metadata of a build from the cache, or a task as :meth:`fetch` does.

        ``size`` and ``date`` are those of its file.
        """
        found = self.cache.find(location, date)
        if found is None or not self._checksums:
            return self.fetch(location, date) if isinstance(found, NotCached) else found
        if not isinstance(found, NotCached):
            sha256 = self.cache.find_sum(build, size, date)
            if sha256 is not None:
                return found._replace(sha256=sha256)
        wanted = (build, location, size, date)
        return self._once(wanted, lambda: self._fetch_with_sum(*wanted))

    async def _fetch_with_sum(
        self, build: Build, location: MetadataLocation, size: int, date: str
    ) -> Metadata | None:
        found = await self.fetch(location, date)
        if found is None:
            return None
        sha256 = self.cache.find_sum(build, size, date)
        if sha256 is None:
            key = sums_file(build)
            sums = await self._once(key, lambda: self._read_sums(key, date))
            sha256 = sum_of(build, size, sums)
            if error := self.failed_sums.get(key):
                self.failed_sums[build.key] = error
        return found._replace(sha256=sha256)

    async def _read_sums(self, key: str, date: str) -> dict[str, str]:
        if key in self.failed_sums:
            return {}
        try:
            sums = await self._archive.sums(key)
        except Unreachable as error:
            self.failed_sums[key] = error
            logger.warning("Records are made without the sums in a file: %s", error)
            return {}
        self.cache.put(key, sums, date)
        return sums or {}

    def fetch(self, location: MetadataLocation, date: str) -> asyncio.Task[Metadata | None]:
        """Fetches the metadata at ``location``: one search, however many ask for it.

        None: there is none. The task raises :class:`Unreachable`, also for who asks later.
        """
        return self._once(location, lambda: self._fetch(location, date))

    def _once(self, key: object, work: Callable[[], Coroutine[Any, Any, T]]) -> asyncio.Task[T]:
        """Begins a task, unless it runs already for another build, or failed."""

        def on_done(done: asyncio.Task[T]) -> None:
            if done.cancelled() or done.exception() is None:
                del self._tasks[key]

        task = self._tasks.get(key)
        if task is None:
            task = self._tasks[key] = asyncio.ensure_future(work())
            task.add_done_callback(on_done)
        return task

    async def _fetch(self, location: MetadataLocation, date: str) -> Metadata | None:
        async with self._searches:
            found = self.cache.find(location, date)
            if isinstance(found, NotCached) and isinstance(found.location, ReleaseLocation):
                candidates = found.location.candidates
                await self._once(candidates, lambda: self._find_build(candidates, date))
                found = self.cache.find(location, date)
            if not isinstance(found, NotCached):
                return found
            files = cast(FileLocation, found.location)
            metadata, without_id = await self._once((files,), lambda: self._read(files, date))
            if without_id:
                self.without_id.add(location)
            return metadata

    async def _read(self, location: FileLocation, date: str) -> tuple[Metadata | None, bool]:
        """Returns the metadata, and whether there are files, but without a usable build id."""
        files = MetadataFiles(self._archive, location, self.cache.names_seen)
        found = await files.read()
        if not files.unreadable:
            self.cache.put(address(location), found, date)
        return found, files.present and found is None

    async def _find_build(self, candidates: str, date: str) -> None:
        seen = self.cache.highest_seen(candidates)
        number = await highest_build(self._archive, candidates, seen)
        self.cache.put_highest_build(candidates, number, date)


async def highest_build(archive: Archive, candidates: str, seen: int | None) -> int | None:
    """Returns the number of the highest build folder, or None if there is none.

    ``candidates`` is the folder of the version's candidates; of the build ``seen`` a file is
    known. A listing may be valid JSON and yet lack some of its entries; what it says is kept for
    good, so it is not believed alone: there has to be no folder behind the highest one. Two
    listings are requested, more where the first lacks something. Raises :class:`Unreachable`, also
    for an archive that has folders which no listing shows, one after the other.
    """
    numbers = set() if seen is None else {seen}
    for _ in range(MAX_UNLISTED + 1):
        listed = await _twice(archive, candidates, functools.partial(_numbers, candidates))
        if listed is None and not numbers:
            return None
        numbers |= listed or set()
        following = max(numbers, default=0) + 1
        if not await _twice(archive, f"{candidates}build{following}/", _is_filled):
            return max(numbers, default=None)
        numbers.add(following)
    raise Unreadable(
        f"{archive.url}{candidates}: there are build folders that no listing shows, up to"
        f" build{max(numbers)}/ and further: the archive answers for folders that it does not have."
    )


async def _twice(archive: Archive, folder: str, read: Callable[[FolderContents], T]) -> T | None:
    """Lists a folder, again if ``read`` finds nothing in it: the listing may have been cut."""
    found = None
    for _ in range(2):
        listing = await archive.listing(folder)
        if listing is None:
            break
        if found := read(listing):
            break
    return found


def _numbers(candidates: str, listing: FolderContents) -> set[int]:
    """Returns the numbers of the build folders in a listing of a version's candidates."""
    if not listing.complete:
        raise Unreadable(f"{candidates}: the listing has entries without a name.")
    return {number for number in map(build_number, listing.folders) if number is not None}


def _is_filled(listing: FolderContents) -> bool:
    return bool(listing.folders or listing.files or not listing.complete)
