"""Build → its metadata: looked up once, kept on disk, asked again only where it can change.

What is kept: for each place the metadata that was found there, or that there is none; for each
version's candidates the number of the highest build. A found file never changes. An absent one
may appear: the answer "none" is good for an hour while the build is younger than a week, for 30
days otherwise. A version may get another build: its candidates are listed again, once a run,
while the newest file seen of it is younger than 90 days.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, Protocol

from .cache import CacheEntry, LookupCache
from .client import Listing
from .formats import (
    FORMATS,
    Metadata,
    from_buildhub_json,
    from_info_text,
    from_json,
    of_push,
    without_build_id,
)
from .locations import (
    BUILDHUB_JSON,
    CandidateLocation,
    MetadataLocation,
    NightlyLocation,
    NoLocation,
    ReleaseLocation,
    SamePushLocation,
    build_number,
)

logger = logging.getLogger(__name__)

#: Locations at which there is something to read.
ReadLocation = NightlyLocation | CandidateLocation | SamePushLocation

HOUR = 3600.0
DAY = 24 * HOUR
YOUNG_BUILD = 7 * DAY
ABSENT_YOUNG = HOUR
ABSENT_OLD = 30 * DAY
VERSION_SETTLED = 90 * DAY


class Source(Protocol):
    """What a lookup needs of an ``Archive``."""

    async def listing(self, folder: str) -> Listing | None:
        """The folder (raw key, ending in a slash), or None where there is none."""

    async def document(self, key: str) -> bytes | None:
        """The content of a file, or None where there is none."""


class NotCached:
    """There is no answer yet, or none that still holds."""


NOT_CACHED: Final = NotCached()


class MetadataLookup:
    """Finds the metadata of builds: what is known at once, the rest from the archive.

    ``keep_absent`` false (Lambdas) trusts no earlier answer "there is none". ``trust_listings``
    false (events) also asks for files that a listing may not show yet. So many ``searches`` go
    on at a time, in the order in which they were asked for; None does not limit them. ``clock``
    gives seconds since the epoch.
    """

    def __init__(
        self,
        archive: Source,
        cache: LookupCache,
        *,
        keep_absent: bool = True,
        trust_listings: bool = True,
        searches: int | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._archive = archive
        self._cache = cache
        self._keep_absent = keep_absent
        self._trust_listings = trust_listings
        self._clock = clock
        self._started = clock()
        self._under_way: dict[MetadataLocation, asyncio.Task[Metadata | None]] = {}
        self._reads: dict[str, asyncio.Task[Metadata | None]] = {}
        # A search that was begun is ended before the next begins: with a queue of single requests
        # the first record would have to wait for the first request of every other search.
        self._turns = asyncio.Semaphore(searches) if searches else contextlib.nullcontext()

    def cached(self, location: MetadataLocation, date: str) -> Metadata | NotCached | None:
        """The metadata, None if there is none, or ``NOT_CACHED``; never asks the network.

        ``date`` is the last modification of the build that wants to know.
        """
        if isinstance(location, NoLocation):
            return without_build_id(location.product, location.number)
        if isinstance(location, ReleaseLocation):
            number = self._cached_highest(location.candidates, date)
            if number is None or isinstance(number, NotCached):
                return number
            location = location.in_build(number)
        return self._cached_at(_address(location), date)

    def fetch(self, location: MetadataLocation, date: str) -> asyncio.Task[Metadata | None]:
        """Look for the metadata at ``location``: one search, however many ask.

        The task's result is the metadata, or None if there is none; it raises
        :class:`Unreachable`, and is then given to those who ask later in the same run as well:
        the archive was asked often enough.
        """
        fetch = self._under_way.get(location)
        if fetch is None:
            fetch = asyncio.ensure_future(self._fetch(location, date))
            self._under_way[location] = fetch
            fetch.add_done_callback(lambda done: self._on_fetched(location, done))
        return fetch

    def _on_fetched(self, location: MetadataLocation, fetch: asyncio.Task[Metadata | None]) -> None:
        if fetch.cancelled() or fetch.exception() is None:
            del self._under_way[location]

    async def _fetch(self, location: MetadataLocation, date: str) -> Metadata | None:
        if isinstance(location, NoLocation):
            return without_build_id(location.product, location.number)
        async with self._turns:
            if isinstance(location, ReleaseLocation):
                number = self._cached_highest(location.candidates, date)
                if isinstance(number, NotCached):
                    number = await self._list_builds(location.candidates, date)
                if number is None:
                    return None
                location = location.in_build(number)
            found = self._cached_at(_address(location), date)
            return (
                await self._shared_read(location, date) if isinstance(found, NotCached) else found
            )

    def _shared_read(self, location: ReadLocation, date: str) -> asyncio.Task[Metadata | None]:
        """One reading of a place, also where a release and its candidate ask at the same time."""
        address = _address(location)
        read = self._reads.get(address)
        if read is None:
            read = asyncio.ensure_future(self._read_and_keep(location, date))
            self._reads[address] = read
            read.add_done_callback(lambda _: self._reads.pop(address))
        return read

    async def _read_and_keep(self, location: ReadLocation, date: str) -> Metadata | None:
        found: Metadata | None
        if isinstance(location, NightlyLocation):
            found = await self._read_nightly(location)
        elif isinstance(location, SamePushLocation):
            found = await self._read_same_push(location)
        else:
            found = await self._read_candidate(location)
        self._cache.put(_address(location), CacheEntry(found, date, self._clock()))
        return found

    async def _read_nightly(self, location: NightlyLocation) -> Metadata | None:
        for ending, parse in FORMATS.items():
            content = await self._archive.document(location.stem + ending)
            if content is None:
                continue
            if found := parse(content, location.product):
                return found
            logger.warning("%s%s is no metadata; it is passed over.", location.stem, ending)
        return None

    async def _read_same_push(self, location: SamePushLocation) -> Metadata:
        """What Firefox's nightly says of the push: not the toolchain, which is another."""
        likely = [] if self._trust_listings else location.likely_names()
        for name in likely:
            if found := await self._read_push(location, name):
                return found
        listing = await self._archive.listing(location.folder)
        for name in location.metadata_names(listing.files if listing else ()):
            if name not in likely and (found := await self._read_push(location, name)):
                return found
        return without_build_id(location.product)

    async def _read_push(self, location: SamePushLocation, name: str) -> Metadata | None:
        content = await self._archive.document(location.folder + name)
        parse = from_buildhub_json if name.endswith(BUILDHUB_JSON) else from_json
        found = parse(content, location.product) if content else None
        return of_push(found) if found and found.build["id"] == location.build_id else None

    async def _read_candidate(self, location: CandidateLocation) -> Metadata | None:
        likely = [] if self._trust_listings else location.likely_names()
        unreadable: list[str] = []
        for name in likely[:1]:  # nearly always there: no listing is needed then
            if found := await self._read(location, name, unreadable):
                return found
        listing = await self._archive.listing(location.folder)
        files = listing.files if listing else {}
        self._seen_in_candidates(location, max(files.values(), default=""))
        names = dict.fromkeys([*likely, *location.metadata_names(list(files))])
        for name in sorted(names, key=lambda name: name == "buildhub.json"):
            if name in likely[:1]:
                continue
            if found := await self._read(location, name, unreadable):
                return found
        return None if unreadable else await self._read_info(location)

    async def _read_info(self, location: CandidateLocation) -> Metadata | None:
        """The last resort, where all other metadata is absent."""
        for key in location.info_files:
            content = await self._archive.document(key)
            if content is not None:
                found = from_info_text(content, location.product)
                return found and _numbered(found, location)
        return None

    async def _read(
        self, location: CandidateLocation, name: str, unreadable: list[str]
    ) -> Metadata | None:
        content = await self._archive.document(location.folder + name)
        if content is None:
            return None
        parse = from_buildhub_json if name == "buildhub.json" else from_json
        if found := parse(content, location.product):
            return _numbered(found, location)
        unreadable.append(name)
        logger.warning("%s%s is no metadata; it is passed over.", location.folder, name)
        return None

    async def _list_builds(self, candidates: str, date: str) -> int | None:
        listing = await self._archive.listing(candidates)
        numbers = [build_number(name) for name in listing.folders] if listing else []
        highest = max((number for number in numbers if number is not None), default=None)
        self._cache.put(candidates, CacheEntry(highest, date, self._clock()))
        return highest

    def _cached_highest(self, candidates: str, date: str) -> int | NotCached | None:
        answer = self._cache.get(candidates)
        if answer is None:
            return NOT_CACHED
        if answer.value is None:
            return None if self._still_absent(answer, date) else NOT_CACHED
        if date > answer.newest:
            answer = answer._replace(newest=date)
            self._cache.put(candidates, answer)
        number: int = answer.value
        if answer.learned >= self._started:
            return number
        settled = answer.learned - _seconds(answer.newest) >= VERSION_SETTLED
        return number if settled else NOT_CACHED

    def _seen_in_candidates(self, location: CandidateLocation, date: str) -> None:
        """A file newer than those that were seen: the version may not be settled yet."""
        answer = self._cache.get(location.candidates)
        if answer is not None and date > answer.newest:
            self._cache.put(location.candidates, answer._replace(newest=date))

    def _cached_at(self, address: str, date: str) -> Metadata | NotCached | None:
        answer = self._cache.get(address)
        if answer is None:
            return NOT_CACHED
        value: Metadata | None = answer.value
        expires = value is None or value.provisional
        return NOT_CACHED if expires and not self._still_absent(answer, date) else value

    def _still_absent(self, answer: CacheEntry, date: str) -> bool:
        if not self._keep_absent:
            return answer.learned >= self._started
        now = self._clock()
        good_for = ABSENT_YOUNG if now - _seconds(date) < YOUNG_BUILD else ABSENT_OLD
        return now - answer.learned < good_for


def _numbered(found: Metadata, location: CandidateLocation) -> Metadata:
    return found._replace(build={**found.build, "number": location.number})


def _address(location: ReadLocation) -> str:
    """Under which name the answer about a place is kept."""
    if isinstance(location, NightlyLocation):
        return location.stem
    if isinstance(location, SamePushLocation):
        return f"{location.folder} {location.product}"
    return f"{location.folder}{location.versions[0]} {location.file_platform}".rstrip()


@functools.lru_cache(maxsize=4096)
def _seconds(date: str) -> float:
    return datetime.fromisoformat(date).replace(tzinfo=UTC).timestamp() if date else 0.0
