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
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

import orjson

from .archive import Archive, Listing
from .cache import open_database
from .metadata_formats import FORMATS, from_buildhub_json, from_json
from .metadata_places import CandidatePlace, NightlyPlace, Place, ReleasePlace, build_number
from .records import Metadata
from .settings import Settings

logger = logging.getLogger(__name__)

HOUR = 3600.0
DAY = 24 * HOUR
YOUNG_BUILD = 7 * DAY
ABSENT_YOUNG = HOUR
ABSENT_OLD = 30 * DAY
VERSION_SETTLED = 90 * DAY

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


class Answer(NamedTuple):
    """What was learned about a place, and when."""

    value: Any  #: Metadata; or the number of the highest build; None: there is none
    newest: str  #: date of the newest file that was seen there or asked for
    learned: float  #: seconds since the epoch


class Source(Protocol):
    """What the finder needs of an :class:`Archive`."""

    async def listing(self, folder: str) -> Listing | None:
        """The folder (raw key, ending in a slash), or None where there is none."""

    async def document(self, key: str) -> bytes | None:
        """The content of a file, or None where there is none."""


class Unknown:
    """There is no answer yet, or none that still holds."""


UNKNOWN: Final = Unknown()


class Answers:
    """What was learned about the archive: in memory, and in ``CACHE_FOLDER`` if there is one."""

    def __init__(self, folder: Path | None, archive_url: str) -> None:
        self._archive_url = archive_url
        self._memory: dict[str, Answer | None] = {}
        self._database: sqlite3.Connection | None = None
        if folder is not None:
            self._database = open_database(folder / CACHE_FILE, version=1, tables=_TABLES)

    def get(self, place: str) -> Answer | None:
        """The answer for a place, however old."""
        try:
            return self._memory[place]
        except KeyError:
            answer = self._read(place)
            self._remember(place, answer)
            return answer

    def put(self, place: str, answer: Answer) -> None:
        """Keep an answer, on disk at once."""
        self._remember(place, answer)
        if self._database is None:
            return
        value = list(answer.value) if isinstance(answer.value, Metadata) else answer.value
        row = (self._archive_url + place, orjson.dumps(value), answer.newest, answer.learned)
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

    def _remember(self, place: str, answer: Answer | None) -> None:
        if len(self._memory) >= IN_MEMORY:
            del self._memory[next(iter(self._memory))]
        self._memory[place] = answer

    def _read(self, place: str) -> Answer | None:
        if self._database is None:
            return None
        row = self._database.execute(
            "SELECT answer, newest, learned FROM answers WHERE place = ?",
            (self._archive_url + place,),
        ).fetchone()
        if row is None:
            return None
        value = orjson.loads(row[0])
        return Answer(Metadata(*value) if isinstance(value, list) else value, row[1], row[2])


class Finder:
    """Finds the metadata of builds: what is known at once, the rest from the archive.

    ``keep_absent`` false (Lambdas) trusts no earlier answer "there is none". ``trust_listings``
    false (events) also asks for files that a listing may not show yet. So many ``searches`` go
    on at a time, in the order in which they were asked for; None does not limit them. ``clock``
    gives seconds since the epoch.
    """

    def __init__(
        self,
        archive: Source,
        answers: Answers,
        *,
        keep_absent: bool = True,
        trust_listings: bool = True,
        searches: int | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._archive = archive
        self._answers = answers
        self._keep_absent = keep_absent
        self._trust_listings = trust_listings
        self._clock = clock
        self._started = clock()
        self._under_way: dict[Place, asyncio.Task[Metadata | None]] = {}
        self._readings: dict[str, asyncio.Task[Metadata | None]] = {}
        # A search that was begun is ended before the next begins: with a queue of single requests
        # the first record would have to wait for the first request of every other search.
        self._turns = asyncio.Semaphore(searches) if searches else contextlib.nullcontext()

    def known(self, place: Place, date: str) -> Metadata | Unknown | None:
        """The metadata, None if there is none, or ``UNKNOWN``; never asks the network.

        ``date`` is the last modification of the build that wants to know.
        """
        if isinstance(place, ReleasePlace):
            number = self._highest_known(place.candidates, date)
            if number is None or isinstance(number, Unknown):
                return number
            place = place.in_build(number)
        return self._known_at(_address(place), date)

    def search(self, place: Place, date: str) -> asyncio.Task[Metadata | None]:
        """Look for the metadata at ``place``: one search, however many ask.

        The task's result is the metadata, or None if there is none; it raises
        :class:`Unreachable`, and is then given to those who ask later in the same run as well:
        the archive was asked often enough.
        """
        search = self._under_way.get(place)
        if search is None:
            search = asyncio.ensure_future(self._search(place, date))
            self._under_way[place] = search
            search.add_done_callback(lambda done: self._landed(place, done))
        return search

    def _landed(self, place: Place, search: asyncio.Task[Metadata | None]) -> None:
        if search.cancelled() or search.exception() is None:
            del self._under_way[place]

    async def _search(self, place: Place, date: str) -> Metadata | None:
        async with self._turns:
            if isinstance(place, ReleasePlace):
                number = self._highest_known(place.candidates, date)
                if isinstance(number, Unknown):
                    number = await self._list_builds(place.candidates, date)
                if number is None:
                    return None
                place = place.in_build(number)
            found = self._known_at(_address(place), date)
            return await self._reading(place, date) if isinstance(found, Unknown) else found

    def _reading(
        self, place: NightlyPlace | CandidatePlace, date: str
    ) -> asyncio.Task[Metadata | None]:
        """One reading of a place, also where a release and its candidate ask at the same time."""
        address = _address(place)
        reading = self._readings.get(address)
        if reading is None:
            reading = asyncio.ensure_future(self._read_and_keep(place, date))
            self._readings[address] = reading
            reading.add_done_callback(lambda _: self._readings.pop(address))
        return reading

    async def _read_and_keep(
        self, place: NightlyPlace | CandidatePlace, date: str
    ) -> Metadata | None:
        if isinstance(place, NightlyPlace):
            found = await self._read_nightly(place)
        else:
            found = await self._read_candidate(place)
        self._answers.put(_address(place), Answer(found, date, self._clock()))
        return found

    async def _read_nightly(self, place: NightlyPlace) -> Metadata | None:
        for ending, parse in FORMATS.items():
            content = await self._archive.document(place.stem + ending)
            if content is None:
                continue
            if found := parse(content, place.product):
                return found
            logger.warning("%s%s is no metadata; it is passed over.", place.stem, ending)
        return None

    async def _read_candidate(self, place: CandidatePlace) -> Metadata | None:
        likely = [] if self._trust_listings else place.likely_names()
        for name in likely[:1]:  # nearly always there: no listing is needed then
            if found := await self._read(place, name):
                return found
        listing = await self._archive.listing(place.folder)
        files = listing.files if listing else {}
        self._seen_in_candidates(place, max(files.values(), default=""))
        names = dict.fromkeys([*likely, *place.metadata_names(list(files))])
        for name in sorted(names, key=lambda name: name == "buildhub.json"):
            if name not in likely[:1] and (found := await self._read(place, name)):
                return found
        return None

    async def _read(self, place: CandidatePlace, name: str) -> Metadata | None:
        content = await self._archive.document(place.folder + name)
        if content is None:
            return None
        parse = from_buildhub_json if name == "buildhub.json" else from_json
        if found := parse(content, place.product):
            return found._replace(build={**found.build, "number": place.number})
        logger.warning("%s%s is no metadata; it is passed over.", place.folder, name)
        return None

    async def _list_builds(self, candidates: str, date: str) -> int | None:
        listing = await self._archive.listing(candidates)
        numbers = [build_number(name) for name in listing.folders] if listing else []
        highest = max((number for number in numbers if number is not None), default=None)
        self._answers.put(candidates, Answer(highest, date, self._clock()))
        return highest

    def _highest_known(self, candidates: str, date: str) -> int | Unknown | None:
        answer = self._answers.get(candidates)
        if answer is None:
            return UNKNOWN
        if answer.value is None:
            return None if self._still_absent(answer, date) else UNKNOWN
        if date > answer.newest:
            answer = answer._replace(newest=date)
            self._answers.put(candidates, answer)
        number: int = answer.value
        if answer.learned >= self._started:
            return number
        settled = answer.learned - _seconds(answer.newest) >= VERSION_SETTLED
        return number if settled else UNKNOWN

    def _seen_in_candidates(self, place: CandidatePlace, date: str) -> None:
        """A file newer than those that were seen: the version may not be settled yet."""
        candidates = "/".join(place.folder.split("/")[:4]) + "/"
        answer = self._answers.get(candidates)
        if answer is not None and date > answer.newest:
            self._answers.put(candidates, answer._replace(newest=date))

    def _known_at(self, address: str, date: str) -> Metadata | Unknown | None:
        answer = self._answers.get(address)
        if answer is None:
            return UNKNOWN
        if answer.value is None and not self._still_absent(answer, date):
            return UNKNOWN
        value: Metadata | None = answer.value
        return value

    def _still_absent(self, answer: Answer, date: str) -> bool:
        if not self._keep_absent:
            return answer.learned >= self._started
        now = self._clock()
        good_for = ABSENT_YOUNG if now - _seconds(date) < YOUNG_BUILD else ABSENT_OLD
        return now - answer.learned < good_for


def _address(place: NightlyPlace | CandidatePlace) -> str:
    """Under which name the answer about a place is kept."""
    if isinstance(place, NightlyPlace):
        return place.stem
    return f"{place.folder}{place.versions[0]} {place.file_platform}".rstrip()


@contextlib.asynccontextmanager
async def open_finder(settings: Settings, *, keep_absent: bool = True) -> AsyncIterator[Finder]:
    """A finder, its session and its cache file, as the settings say, for one run."""
    archive = Archive(
        settings.archive_url,
        parallel=settings.nb_parallel_requests,
        retries=settings.nb_retry_request,
        timeout=settings.timeout_seconds,
    )
    with contextlib.closing(Answers(settings.cache_folder, settings.archive_url)) as answers:
        async with archive:
            yield Finder(
                archive,
                answers,
                keep_absent=keep_absent,
                searches=settings.nb_parallel_requests,
            )


@functools.lru_cache(maxsize=4096)
def _seconds(date: str) -> float:
    return datetime.fromisoformat(date).replace(tzinfo=UTC).timestamp() if date else 0.0
