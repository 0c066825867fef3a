"""From a file that was published to the records of the builds it concerns.

An event only says that something changed: whichever file it names, records are made from what
the archive says now, by the same lookup as in the pipe. So neither the order, nor repetition, nor
the loss of events matters, as long as one of them finds everything that exists.

A build's event looks up its metadata and stores the record; if there is no metadata yet, the
metadata's own event will do it. A metadata file's event looks for the builds that depend on it.
Listings may lag behind: a file that an event names exists even if no listing shows it, and a
listing that seems to lag is requested again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Self

from ..archive.client import Archive, File
from ..builds.explain import explain
from ..builds.recognise import Build, recognise
from ..errors import BuildhubError, Fatal, Unreachable
from ..kinto import (
    Client,
    Outcome,
    PutResult,
    StoredRecord,
    differs,
    digest,
    fetch_stored,
    put_if_unchanged,
)
from ..records import Record, invalid_field
from ..retries import Retry
from .batcher import Batcher
from .dependents import Dependents, dependents_of
from .discovery import find_builds
from .result import Result
from .snapshot import ArchiveSnapshot

#: Seconds before what lags is asked for again; then twice as many, and so on.
FIRST_PAUSE = 0.5

#: How often a record is made and put anew because another writer was faster.
MAX_PUTS = 5

#: Of a record that is not settled yet; the reason counts after :data:`MAX_PUTS`.
_CONFLICT = PutResult(Outcome.CONFLICT, "other writers keep changing it")


class EventHandler:
    """Handles the events of one invocation; an async context manager.

    ``products`` are the archive's folders to look at. What lags behind its event is asked for
    ``retries`` times more, after ``pause``, twice ``pause``, … seconds.
    """

    def __init__(
        self,
        archive: Archive,
        client: Client,
        *,
        products: Sequence[str],
        retries: int,
        pause: float = FIRST_PAUSE,
    ) -> None:
        self._archive = archive
        self._products = products
        self._retry = Retry(retries + 1, first_pause=pause)
        self._snapshot = ArchiveSnapshot(archive)  # the newest one
        self._batcher = Batcher(_Writer(archive, client, lambda: self._snapshot.renewed()).write)
        self._fatal: Fatal | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._batcher.close()
        await self._archive.abandon()  # requests of tasks that were cancelled

    async def handle(self, key: str) -> list[Result]:
        """Handle one file that was published: a result for each build that it concerns."""
        build = recognise(key)
        dependents = None if build else dependents_of(key)
        if not build and not dependents:
            return [Result(key, Outcome.IGNORED, explain(key).removesuffix("."))]
        dependents = dependents and dependents.within(self._products)
        if not dependents and key.split("/")[1] not in self._products:
            return [Result(key, Outcome.IGNORED, "PRODUCTS does not name its folder")]
        try:
            if build:
                return [await self._on_build(build)]
            assert dependents
            return await self._on_metadata(dependents)
        except BuildhubError as error:
            return [self._failed(key, error)]

    async def _on_build(self, build: Build) -> Result:
        file = await self._published(build.key)
        self._snapshot = self._snapshot.with_build(build, file.date)
        result = await self._retry.until_true(lambda: self._store_unless_unreadable(build, file))
        return result or Result(build.key, Outcome.NO_METADATA)

    async def _store_unless_unreadable(self, build: Build, file: File) -> Result | None:
        """None if there is something unreadable in the place of metadata."""
        while True:
            snapshot = self._snapshot
            result = await self._store(build, file, snapshot)
            if result.outcome is not Outcome.NO_METADATA:
                return result
            if snapshot is self._snapshot:
                break
            # Meanwhile another event of this invocation brought metadata: perhaps its own.
        if not snapshot.is_unreadable(build):
            return result
        self._snapshot = snapshot.renewed()
        return None

    async def _on_metadata(self, dependents: Dependents) -> list[Result]:
        key = dependents.key
        content = await self._retry.until_true(lambda: self._archive.document(key))
        if not content:
            raise self._absent(key)
        self._snapshot = self._snapshot.with_metadata(key, content)
        results: dict[str, Result] = {}
        await self._retry.until_true(lambda: self._update_dependents(dependents, results))
        return list(results.values()) or [Result(key, Outcome.NO_BUILDS)]

    async def _update_dependents(self, dependents: Dependents, results: dict[str, Result]) -> bool:
        """Store the builds that are found now, into ``results``; whether all seem to be found."""
        snapshot = self._snapshot
        tasks: dict[str, asyncio.Task[Result]] = {}
        async with asyncio.TaskGroup() as group:

            def on_found(build: Build, file: File | None) -> None:
                known = results.get(build.key)
                if build.key not in tasks and (not known or known.outcome is Outcome.NO_METADATA):
                    tasks[build.key] = group.create_task(self._store(build, file, snapshot))

            up_to_date = await self._find(dependents, on_found, results)
        results |= {key: task.result() for key, task in tasks.items()}
        outcomes = {result.outcome for result in results.values()}
        if Outcome.FAILED in outcomes or (up_to_date and Outcome.NO_METADATA not in outcomes):
            return True
        self._snapshot = snapshot.renewed()
        return False

    async def _find(
        self,
        dependents: Dependents,
        on_found: Callable[[Build, File | None], None],
        results: dict[str, Result],
    ) -> bool:
        """Whether the listings are up to date. A folder that can't be listed is a failure."""
        try:
            return await find_builds(self._archive, dependents, on_found)
        except BuildhubError as error:
            results[dependents.key] = self._failed(dependents.key, error)
            return False

    async def _store(self, build: Build, file: File | None, snapshot: ArchiveSnapshot) -> Result:
        """Make the record of a build from ``snapshot`` and store it. Never raises our errors."""
        try:
            record = await snapshot.record(build, file or await self._published(build.key))
            if record is None:
                return Result(build.key, Outcome.NO_METADATA)
            if invalid := invalid_field(record):
                return Result(build.key, Outcome.INVALID, f"invalid {invalid}")
            outcome, reason = await self._batcher.submit((build, record))
        except BuildhubError as error:
            return self._failed(build.key, error)
        if outcome in (Outcome.CREATED, Outcome.UPDATED, Outcome.UNCHANGED):
            return Result(build.key, outcome)
        return Result(build.key, Outcome.FAILED, f"{build.key} is not stored: {reason}")

    async def _published(self, key: str) -> File:
        """Size and date of a file. Raises :class:`Unreachable` if it does not come."""
        file = await self._retry.until_true(lambda: self._archive.head(key))
        if file is None:
            raise self._absent(key)
        return file

    def _absent(self, key: str) -> Unreachable:
        return Unreachable(f"{self._archive.url}{key} is not there (yet)")

    def _failed(self, key: str, error: BuildhubError) -> Result:
        """A failure. One that concerns everything is reported in the same words for all keys."""
        if isinstance(error, Fatal):
            error = self._fatal = self._fatal or error
        return Result(key, Outcome.FAILED, str(error))


class _Writer:
    """Writes records to Kinto, each only if no other writer changes it meanwhile."""

    def __init__(
        self, archive: Archive, client: Client, new_snapshot: Callable[[], ArchiveSnapshot]
    ) -> None:
        self._archive = archive
        self._client = client
        self._new_snapshot = new_snapshot

    async def write(self, batch: Sequence[tuple[Build, Record]]) -> list[PutResult]:
        """A result for each record of a batch; of two with one id the last counts.

        A record was made before Kinto is asked, so another writer may have stored a newer one by
        now. What would replace a stored record is therefore made anew after that was fetched; a
        build that is gone stays as it is stored.
        """
        builds = {build.id: build for build, _ in batch}
        records: dict[str, Record | None] = {build.id: record for build, record in batch}
        results = dict.fromkeys(builds, _CONFLICT)
        for _ in range(MAX_PUTS):
            open_ids = [one for one in builds if results[one].outcome is Outcome.CONFLICT]
            if not open_ids:
                break
            try:
                stored = await asyncio.to_thread(fetch_stored, self._client, open_ids)
                outdated = [builds[one] for one in open_ids if _differs(records[one], stored)]
                records |= await self._make_anew(outdated)
            except Unreachable as error:
                results |= dict.fromkeys(open_ids, PutResult(Outcome.FAILED, str(error)))
                break
            writable = [record for one in open_ids if (record := records[one])]
            results |= dict.fromkeys(open_ids, PutResult(Outcome.UNCHANGED))
            put = await asyncio.to_thread(put_if_unchanged, self._client, writable, stored)
            conflicts = {one for one in put if put[one].outcome is Outcome.CONFLICT}
            results |= put | dict.fromkeys(conflicts, _CONFLICT)
        return [results[build.id] for build, _ in batch]

    async def _make_anew(self, builds: Sequence[Build]) -> dict[str, Record | None]:
        """The records of ``builds`` as they are now, by id; None for those that are gone."""
        snapshot = self._new_snapshot()
        records = await asyncio.gather(*(self._make(build, snapshot) for build in builds))
        return {build.id: record for build, record in zip(builds, records, strict=True)}

    async def _make(self, build: Build, snapshot: ArchiveSnapshot) -> Record | None:
        file = await self._archive.head(build.key)
        record = await snapshot.record(build, file) if file else None
        return None if record is None or invalid_field(record) else record


def _differs(record: Record | None, stored: Mapping[str, StoredRecord]) -> bool:
    """Whether a record would replace another one."""
    there = stored.get(record["data"]["id"]) if record else None
    return bool(record and there and differs(there.digest, digest(record["data"])))
