"""From a file that was published to the records of the builds it concerns.

An event only says that something changed: whichever file it names, records are made from what
the archive says now, in the same way as in the pipe. So the order of a build's events does not
matter, nor their repetition: the last one finds everything that exists.

A build's event makes and stores its record. If there is no metadata yet, nothing is stored or
remembered: a metadata file's event looks for the builds that depend on it. Listings may lag
behind: a file that an event names exists even if no listing shows it, and a listing that seems to
lag is requested again.
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple, Self

from ..archive.cache import LookupCache
from ..archive.client import Archive
from ..archive.lookup import MetadataLookup
from ..builds.recognise import Build, recognise
from ..errors import BuildhubError, Fatal, Unreachable
from ..inventory.row_formats import InventoryRow
from ..kinto.batch import BatchResponse, fetch_stored, put_if_unchanged
from ..kinto.client import Client, StoredData
from ..kinto.record_index import differs, digest
from ..pipeline.record_maker import NotMade, RecordMaker
from ..records import Outcome, Record
from ..retries import Retry
from ..settings import Settings
from .dependents import Dependents, dependents_of, find_builds

#: Seconds before what lags is asked for again; then twice as many, and so on.
FIRST_PAUSE = 0.5

#: Attempts to store a record that other writers keep changing.
MAX_PUTS = 5

#: Seconds that a record waits for others to be stored with.
LINGER_SECONDS = 0.015

#: Of a record that would replace another than the one that was there when it was made.
_CONFLICT = BatchResponse(412, {})


class Result(NamedTuple):
    """The outcome for one key, with a detail where the outcome alone does not say everything."""

    key: str
    outcome: Outcome
    detail: str = ""


class _Written(NamedTuple):
    """The outcome for a record that was to be stored."""

    response: BatchResponse
    stored: StoredData | None  #: what the server had before
    maker: RecordMaker  #: asks the archive what it says since then


class EventHandler:
    """Handles the events of one invocation; an async context manager.

    What lags behind its event is asked for as often as the settings say, after ``pause``, twice
    ``pause``, … seconds.
    """

    def __init__(
        self, archive: Archive, client: Client, settings: Settings, *, pause: float = FIRST_PAUSE
    ) -> None:
        self._archive = archive
        self._client = client
        self._settings = settings
        self._retry = Retry(settings.nb_retry_request + 1, first_pause=pause)
        cache = LookupCache(None, archive.url, keep_absent=False)
        lookup = MetadataLookup(archive, cache, checksums=settings.checksums)
        # The newest one: each answers a question once, so what was found since needs another.
        self._maker = RecordMaker(lookup, archive_url=archive.url, products=settings.products)
        #: Records that are stored next, by id, each with what it was made after.
        self._batch: dict[str, tuple[Record, StoredData | None]] = {}
        self._next_write: asyncio.Task[dict[str, _Written]] | None = None
        self._writes: set[asyncio.Task[dict[str, _Written]]] = set()
        self._writing = asyncio.Lock()
        self._fatal: Fatal | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for write in self._writes:
            write.cancel()
        await asyncio.gather(*self._writes, return_exceptions=True)
        await self._archive.abandon()  # requests of tasks that were cancelled

    @property
    def newest_build(self) -> str:
        """Returns the newest build date of the records that were made."""
        return self._maker.counts.newest_build

    async def handle(self, key: str) -> list[Result]:
        """Handles one file that was published: returns a result for each build it concerns."""
        build = recognise(key)
        products = self._settings.products
        dependents = None if build else dependents_of(key, products, self._settings.checksums)
        if not dependents and (not build or key.split("/")[1] not in products):
            return [Result(key, Outcome.IGNORED)]
        try:
            row = await self._published(key)
            if build:
                return [await self._on_build(row, build)]
            assert dependents
            self._maker = self._maker.renewed(row)
            return await self._on_metadata(dependents)
        except BuildhubError as error:
            return [self._failed(key, error)]

    async def _published(self, key: str) -> InventoryRow:
        """Returns a file as an inventory lists it. Raises :class:`Unreachable` if it is absent."""
        async for _ in self._retry.rounds():
            if file := await self._archive.head(key):
                return InventoryRow(key, file.size, file.date)
        raise Unreachable(f"{self._archive.url}{key} is not there (yet)")

    async def _on_build(self, row: InventoryRow, build: Build) -> Result:
        """Stores a build, if it has metadata; awaits that where its files have no build id."""
        result = Result(row.key, Outcome.NO_METADATA)
        async for _ in self._retry.rounds():
            maker = None
            while maker is not self._maker:  # meanwhile another event may have brought metadata
                maker = self._maker
                result = await self._store(build, row, maker)
                if result.outcome is not Outcome.NO_METADATA:
                    return result
            if not result.detail:  # there is no file: the event of the metadata finds the build
                break
            self._maker = self._maker.renewed()
        return result

    async def _on_metadata(self, dependents: Dependents) -> list[Result]:
        """Stores the builds that depend on a file, until all seem to be found and stored."""
        results: dict[str, Result] = {}
        async for _ in self._retry.rounds():
            maker = self._maker
            up_to_date = await self._update_dependents(dependents, maker, results)
            outcomes = {result.outcome for result in results.values()}
            awaited = dependents.of_metadata and Outcome.NO_METADATA in outcomes
            if Outcome.FAILED in outcomes or (up_to_date and not awaited):
                break
            self._maker = maker.renewed()
        return list(results.values()) or [Result(dependents.key, Outcome.NO_BUILDS)]

    async def _update_dependents(
        self, dependents: Dependents, maker: RecordMaker, results: dict[str, Result]
    ) -> bool:
        """Stores the builds that are found now, into ``results``; tells if listings are current."""
        up_to_date = False
        tasks: dict[str, asyncio.Task[Result]] = {}
        async with asyncio.TaskGroup() as group:

            def on_found(build: Build, row: InventoryRow | None) -> None:
                key = build.key
                known = results.get(key)
                if key not in tasks and (not known or known.outcome is Outcome.NO_METADATA):
                    tasks[key] = group.create_task(self._store(build, row, maker))

            try:
                up_to_date = await find_builds(self._archive, dependents, on_found)
            except BuildhubError as error:  # a folder that can't be listed
                results[dependents.key] = self._failed(dependents.key, error)
        results |= {key: task.result() for key, task in tasks.items()}
        return up_to_date

    async def _store(self, build: Build, row: InventoryRow | None, maker: RecordMaker) -> Result:
        """Makes the record of a build and stores it. Raises none of our errors."""
        try:
            row = row or await self._published(build.key)
            return await self._make_and_put(row, build, maker)
        except BuildhubError as error:
            return self._failed(build.key, error)

    async def _make_and_put(self, row: InventoryRow, build: Build, maker: RecordMaker) -> Result:
        """Reads what exists, makes the record, and stores it if it is unchanged meanwhile.

        A record that is stored may be newer than the one that was made before it was fetched, so
        it is replaced by one that is made after that; a build that is gone stays as it is stored.
        """
        stored: StoredData | None = None
        reason = ""
        for _ in range(2 * MAX_PUTS):  # a conflict, then a look at what is there now
            made = await maker.record(row, build)
            if isinstance(made, NotMade):
                gone = stored and made.outcome is not Outcome.FAILED
                return Result(row.key, Outcome.UNCHANGED) if gone else Result(row.key, *made)
            no_sum = maker.lookup.failed_sums.get(build.key)
            response, stored, maker = await self._put(made, stored)
            outcome, reason = response.outcome, response.reason
            if outcome in (Outcome.REFUSED, Outcome.FAILED):
                break
            if outcome is not Outcome.CONFLICT and no_sum:
                return Result(row.key, Outcome.FAILED, f"it is stored without its sum: {no_sum}")
            if outcome is not Outcome.CONFLICT:
                return Result(row.key, outcome)
            file = await self._archive.head(row.key)
            if file is None:
                return Result(row.key, Outcome.UNCHANGED)
            row = InventoryRow(row.key, file.size, file.date)
        return Result(row.key, Outcome.FAILED, f"{row.key} is not stored: {reason}")

    def _failed(self, key: str, error: BuildhubError) -> Result:
        """Returns a failure; one that concerns everything in the same words for all keys."""
        if isinstance(error, Fatal):
            error = self._fatal = self._fatal or error
        return Result(key, Outcome.FAILED, str(error))

    # ---- Kinto: records that are ready at about the same time are stored together ----

    async def _put(self, record: Record, stored: StoredData | None) -> _Written:
        """Stores a record with others. It may replace ``stored``, which it was made after."""
        self._batch[record["data"]["id"]] = (record, stored)
        if self._next_write is None:
            self._next_write = asyncio.create_task(self._write())
            self._writes.add(self._next_write)
            self._next_write.add_done_callback(self._writes.discard)
        # Its task may run out of time; the others are stored nevertheless.
        results = await asyncio.shield(self._next_write)
        return results[record["data"]["id"]]

    async def _write(self) -> dict[str, _Written]:
        """Stores the next batch, which grows until the one before is stored.

        Only records that replace nothing, or what was there before they were made.
        """
        async with self._writing:
            await asyncio.sleep(LINGER_SECONDS)
            records, self._batch, self._next_write = self._batch, {}, None
            stored = await asyncio.to_thread(fetch_stored, self._client, list(records))
            maker = self._maker.renewed()
            writable = [
                record
                for one, (record, before) in records.items()
                if (there := stored.get(one)) in (None, before)
                or not differs(digest(there), digest(record["data"]))
            ]
            put = await asyncio.to_thread(put_if_unchanged, self._client, writable, stored)
        return {one: _Written(put.get(one, _CONFLICT), stored.get(one), maker) for one in records}
