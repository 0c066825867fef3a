"""Build → its metadata: fetched once, cached, fetched again only where it can change.

A metadata file is *absent* if the archive says so: by a 404, or by a listing. A file that is there
but can't be read (an empty body, an HTML page, half of a JSON, another build's) is *unreadable*:
it is requested again like after a 503, then the next source is tried. If none helps, the lookup
fails, and nothing is remembered.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from typing import Protocol

from .cache import CachedAnswers, LookupCache, NotCached
from .client import InvalidContent, Listing, Unreadable
from .consistency import contradiction, is_json_object
from .formats import FORMATS, Metadata, from_buildhub_json, from_info_text, from_json
from .locations import (
    BUILDHUB_JSON,
    CandidateLocation,
    MetadataLocation,
    NightlyLocation,
    ReleaseLocation,
    build_number,
)

__all__ = ["MetadataLookup", "NotCached", "Source"]

logger = logging.getLogger(__name__)

_Parse = Callable[[bytes, str], Metadata | None]


class Source(Protocol):
    """What a lookup needs of an ``Archive``."""

    async def listing(self, folder: str) -> Listing | None:
        """The folder (raw key, ending in a slash), or None if there is none."""

    async def document(self, key: str, check: Callable[[bytes], object] = ...) -> bytes | None:
        """The content of a file, or None if there is none; ``check`` raises InvalidContent."""


class MetadataReader:
    """Reads the metadata files at a location, the most trusted first.

    ``trust_listings`` false (events) also asks for files that a listing may not show yet.
    """

    def __init__(self, archive: Source, answers: CachedAnswers, *, trust_listings: bool) -> None:
        self._archive = archive
        self._answers = answers
        self._trust_listings = trust_listings

    async def read(
        self, location: NightlyLocation | CandidateLocation
    ) -> tuple[Metadata | None, bool]:
        """The metadata, or None if there is none, and whether that is final.

        It is not if a more trusted file is there, but unreadable now. Raises :class:`Unreadable`
        if that leaves no metadata, and :class:`Unreachable`.
        """
        attempt = _Attempt(self._archive, location)
        if isinstance(location, NightlyLocation):
            found = await self._read_nightly(attempt, location)
        else:
            found = await self._read_candidate(attempt, location)
        if found is None and attempt.unreadable:
            raise attempt.unreadable
        return found, attempt.unreadable is None

    async def _read_nightly(self, attempt: _Attempt, location: NightlyLocation) -> Metadata | None:
        for ending, parse in FORMATS.items():
            if found := await attempt.read(location.stem + ending, parse):
                return found
        return None

    async def _read_candidate(
        self, attempt: _Attempt, location: CandidateLocation
    ) -> Metadata | None:
        likely = [] if self._trust_listings else location.likely_names()
        for name in likely[:1]:  # nearly always there: no listing is needed then
            if found := await self._read_in(attempt, location, name):
                return found
        listing = await self._archive.listing(location.folder)
        files = listing.files if listing else {}
        self._answers.file_seen(location.candidates, max(files.values(), default=""))
        names = dict.fromkeys([*likely, *location.metadata_names(list(files))])
        for name in sorted(names, key=BUILDHUB_JSON.__eq__):
            if name not in likely[:1] and (found := await self._read_in(attempt, location, name)):
                return found
        if listing and not listing.complete:
            raise Unreadable(f"{location.folder}: the listing has entries without a name.")
        return None if attempt.present else await self._read_info(attempt, location)

    @staticmethod
    async def _read_info(attempt: _Attempt, location: CandidateLocation) -> Metadata | None:
        """The last resort, if all other metadata is absent."""
        for key in location.info_files:
            found = await attempt.read(key, from_info_text)
            if found or attempt.present:
                return found and _numbered(found, location)
        return None

    @staticmethod
    async def _read_in(
        attempt: _Attempt, location: CandidateLocation, name: str
    ) -> Metadata | None:
        parse = from_buildhub_json if name == BUILDHUB_JSON else from_json
        found = await attempt.read(location.folder + name, parse)
        return found and _numbered(found, location)


class _Attempt:
    """The files of one location, and whether one of them was unreadable."""

    def __init__(self, archive: Source, location: NightlyLocation | CandidateLocation) -> None:
        self._archive = archive
        self._location = location
        self.unreadable: Unreadable | None = None
        self.present = False  #: whether a file was not absent

    async def read(self, key: str, parse: _Parse) -> Metadata | None:
        """The metadata in a file; None if it is absent, unreadable, or says nothing of use."""

        def check(content: bytes) -> None:
            if problem := contradiction(content, self._location):
                raise InvalidContent(problem)
            if not is_json_object(content) and not parse(content, self._location.product):
                raise InvalidContent("the content is not metadata")

        try:
            content = await self._archive.document(key, check)
            if content is not None:
                check(content)  # it may have been fetched for another purpose
        except (InvalidContent, Unreadable) as error:
            problem = error if isinstance(error, Unreadable) else Unreadable(f"{key}: {error}.")
            self.unreadable = self.unreadable or problem
            self.present = True
            logger.warning("%s", problem)
            return None
        if content is None:
            return None
        self.present = True
        found = parse(content, self._location.product)
        if not found:
            logger.warning("%s has no usable build id: it is ignored.", key)
        return found


class MetadataLookup:
    """Finds the metadata of builds: from the cache at once, otherwise from the archive.

    ``keep_absent`` is that of :class:`CachedAnswers`, ``trust_listings`` that of
    :class:`MetadataReader`. So many ``searches`` run at a time, in the order in which they were
    asked for; None does not limit them. ``clock`` gives seconds since the epoch.
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
        self._answers = CachedAnswers(cache, keep_absent=keep_absent, clock=clock)
        self._reader = MetadataReader(archive, self._answers, trust_listings=trust_listings)
        self._fetches: dict[MetadataLocation, asyncio.Task[Metadata | None]] = {}
        self._reads: dict[str, asyncio.Task[Metadata | None]] = {}
        self._folders_seen: set[str] = set()
        # A search completes before the next begins: with a queue of single requests, the first
        # record would have to wait for the first request of every other search.
        self._turns = asyncio.Semaphore(searches) if searches else contextlib.nullcontext()

    def cached(self, location: MetadataLocation, date: str) -> Metadata | NotCached | None:
        """The metadata, None if there is none, or ``NOT_CACHED``; never uses the network.

        ``date`` is the last modification of the build whose metadata is wanted.
        """
        if isinstance(location, ReleaseLocation):
            number = self._answers.highest_build(location.candidates, date)
            if number is None or isinstance(number, NotCached):
                return number
            location = location.in_build(number)
        elif isinstance(location, CandidateLocation) and location.folder not in self._folders_seen:
            self._folders_seen.add(location.folder)
            self._answers.build_seen(location.candidates, location.number)
        return self._answers.metadata(_address(location), date)

    def fetch(self, location: MetadataLocation, date: str) -> asyncio.Task[Metadata | None]:
        """Fetch the metadata at ``location``: one search, however many ask for it.

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

    def _on_fetched(self, location: MetadataLocation, fetch: asyncio.Task[Metadata | None]) -> None:
        if fetch.cancelled() or fetch.exception() is None:
            del self._fetches[location]

    async def _fetch(self, location: MetadataLocation, date: str) -> Metadata | None:
        async with self._turns:
            if isinstance(location, ReleaseLocation):
                number = self._answers.highest_build(location.candidates, date)
                if isinstance(number, NotCached):
                    number = await self._list_builds(location.candidates, date)
                if number is None:
                    return None
                location = location.in_build(number)
            found = self._answers.metadata(_address(location), date)
            return (
                await self._shared_read(location, date) if isinstance(found, NotCached) else found
            )

    def _shared_read(
        self, location: NightlyLocation | CandidateLocation, date: str
    ) -> asyncio.Task[Metadata | None]:
        """One reading of a location, also if a release and its candidate need it at one time."""
        address = _address(location)
        read = self._reads.get(address)
        if read is None:
            read = asyncio.ensure_future(self._read_and_keep(location, date))
            self._reads[address] = read
            read.add_done_callback(lambda _: self._reads.pop(address))
        return read

    async def _read_and_keep(
        self, location: NightlyLocation | CandidateLocation, date: str
    ) -> Metadata | None:
        found, final = await self._reader.read(location)
        if final:
            self._answers.put_metadata(_address(location), found, date)
        return found

    async def _list_builds(self, candidates: str, date: str) -> int | None:
        listing = await self._archive.listing(candidates)
        numbers = [build_number(name) for name in listing.folders] if listing else []
        highest = max((number for number in numbers if number is not None), default=None)
        if listing and not listing.complete:
            raise Unreadable(f"{candidates}: the listing has entries without a name.")
        return self._answers.put_highest_build(candidates, highest, date)


def _numbered(found: Metadata, location: CandidateLocation) -> Metadata:
    return found._replace(build={**found.build, "number": location.number})


def _address(location: NightlyLocation | CandidateLocation) -> str:
    """The name under which the cache keeps what is known of a location."""
    if isinstance(location, NightlyLocation):
        return location.stem
    return f"{location.folder}{location.versions[0]} {location.file_platform}".rstrip()
