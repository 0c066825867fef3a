"""What is done when files come to the archive.

An event is a wake-up call, no more: whichever file it names, records are made from what the
archive says now, and by the same lookup as in the pipe. So neither order, nor repetition, nor
loss of events matters, as long as one of them finds all that is there.

An archive's event looks up the metadata, and stores the record; if there is no metadata yet,
the metadata's own event will do it. A metadata file's event looks up the archives that were
waiting for it. Listings may lag behind: what an event names is there even if no listing shows
it, and a listing that seems to lag is asked again.

Two containers that work on one build at once can't undo each other: who finds that the record
has changed since it looked at the archive looks there again (:mod:`buildhub.kinto.conditional`).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import backoff

from ..archive.client import LONGEST_PAUSE, Archive, File
from ..builds.explain import explain
from ..builds.recognise import Build, recognise
from ..errors import BuildhubError, Unreachable
from ..kinto import Outcome
from ..records import Record, invalid_field
from .batcher import RecordBatcher
from .dependents import Dependents, dependents_of
from .discovery import find
from .snapshot import ArchiveSnapshot

T = TypeVar("T")

#: Seconds before what lags is asked for again; then twice as many, and so on.
FIRST_PAUSE = 0.5

NO_METADATA = "no metadata yet"
IGNORED = "ignored"

#: Makes the records of these ids anew, from what the archive says then.
RefreshRecords = Callable[[Sequence[str]], Sequence[Record]]
#: Stores records; runs in a thread.
Store = Callable[[Sequence[Record], RefreshRecords], Sequence[Outcome]]


class EventHandler:
    """The events of one invocation. What it learns of the archive is forgotten with it.

    ``products`` are the archive's folders to look at. What lags behind its event is asked for
    ``retries`` times more, after ``pause``, twice ``pause``, … seconds.
    """

    def __init__(
        self,
        archive: Archive,
        store: Store,
        *,
        products: Sequence[str],
        retries: int,
        pause: float = FIRST_PAUSE,
    ) -> None:
        self._archive = archive
        self._products = products
        self._named: dict[str, str] = {}  # key → date: files that are there
        self._now = ArchiveSnapshot(archive, self._named)
        self._builds: dict[str, Build] = {}  # by id: those whose records were made
        self._shelf = RecordBatcher(self._store)
        self._loop = asyncio.get_running_loop()
        self._store_records = store
        self._retries = retries
        self._pause = pause

    async def handle(self, key: str) -> str:
        """See to one file that has come; says what was done, in a few words.

        Raises :class:`BuildhubError` if that failed, and is worth another try later.
        """
        if build := recognise(key):
            if self._is_wanted(key):
                return await self._on_build(build)
        elif dependents := dependents_of(key):
            if self._is_wanted(key):
                return await self._on_metadata(dependents)
        else:
            return f"{IGNORED}, {explain(key).removesuffix('.')}"
        return f"{IGNORED}, PRODUCTS does not name its folder"

    def _is_wanted(self, key: str) -> bool:
        return key.split("/")[1] in self._products

    async def _on_build(self, build: Build) -> str:
        file = await self._arrival(build.key)
        done = NO_METADATA

        async def attempt() -> bool:
            nonlocal done
            now = self._now
            done = await self._store_build(build, now, file)
            if done == NO_METADATA and now is not self._now:
                # Meanwhile metadata came, in another event of this invocation: perhaps its own.
                return await attempt()
            if done == NO_METADATA and now.is_unreadable(build):
                self._now = ArchiveSnapshot(self._archive, self._named)
                return False
            return True

        await self._patiently(attempt)
        return done

    async def _on_metadata(self, dependents: Dependents) -> str:
        key = dependents.key
        content = await self._patiently(lambda: self._archive.document(key))
        if not content:
            raise self._absent(key)
        self._named[key] = ""
        done: dict[str, str] = {}
        contents = {key: content}

        async def attempt() -> bool:
            self._now = ArchiveSnapshot(self._archive, self._named, contents)
            contents.clear()
            return await self._update_dependents(dependents, self._now, done)

        await self._patiently(attempt)
        counts = Counter(done.values())
        return ", ".join(f"{count} {what}" for what, count in counts.items()) or "nobody waits yet"

    async def _update_dependents(
        self, dependents: Dependents, now: ArchiveSnapshot, done: dict[str, str]
    ) -> bool:
        """See to those who wait; whether there is nobody left who should have been found.

        ``done`` is what became of each build, and is added to.
        """
        tasks: dict[str, asyncio.Task[str | BuildhubError]] = {}
        errors: list[BuildhubError] = []
        listings_are_up_to_date = False
        async with asyncio.TaskGroup() as group:

            def found(build: Build, file: File | None) -> None:
                if build.key not in tasks and done.get(build.key, NO_METADATA) == NO_METADATA:
                    work = self._store_one_of_many(build, now, file)
                    tasks[build.key] = group.create_task(work)

            try:
                listings_are_up_to_date = await find(self._archive, dependents, found)
            except Unreachable as error:
                errors.append(error)
        for key, task in tasks.items():
            if isinstance(result := task.result(), BuildhubError):
                errors.append(result)
            else:
                done[key] = result
        _raise_if_any(errors)
        return listings_are_up_to_date and NO_METADATA not in done.values()

    async def _store_one_of_many(
        self, build: Build, now: ArchiveSnapshot, file: File | None
    ) -> str | BuildhubError:
        """An error of one build does not keep the others from being stored."""
        try:
            return await self._store_build(build, now, file)
        except BuildhubError as error:
            return error

    async def _store_build(self, build: Build, now: ArchiveSnapshot, file: File | None) -> str:
        """Make the record of a build and have it stored; what became of it."""
        record = await now.record(build, self._arrival(build.key, file))
        if record is None:
            return NO_METADATA
        if odd := invalid_field(record):
            return f"not stored for its suspicious {odd}"
        self._builds[build.id] = build
        outcome = await self._shelf.put(record)
        if not outcome.ok:
            raise BuildhubError(f"{build.key} is not stored ({outcome.what}): {outcome.reason}")
        return outcome.what

    async def _arrival(self, key: str, file: File | None = None) -> File:
        """The archive, once it is there. Raises :class:`Unreachable` if it does not come."""
        file = file or await self._patiently(lambda: self._archive.head(key))
        if file is None:
            raise self._absent(key)
        self._named[key] = file.date
        return file

    async def _patiently(self, ask: Callable[[], Awaitable[T]]) -> T:
        """What ``ask`` answers in the end; it is asked again as long as that counts as false."""
        patient = backoff.on_predicate(
            backoff.expo,
            factor=self._pause,
            max_value=LONGEST_PAUSE,
            max_tries=self._retries + 1,
            jitter=None,
            logger=None,
        )

        async def once() -> T:
            return await ask()

        answer: T = await patient(once)()
        return answer

    def _absent(self, key: str) -> Unreachable:
        return Unreachable(f"{self._archive.url}{key} is not there (yet)")

    def _store(self, records: Sequence[Record]) -> Sequence[Outcome]:
        """Store records, in a thread; what has to be looked at again is, in the event loop."""

        def refresh(ids: Sequence[str]) -> Sequence[Record]:
            return asyncio.run_coroutine_threadsafe(self._refreshed(ids), self._loop).result()

        return self._store_records(records, refresh)

    async def _refreshed(self, ids: Sequence[str]) -> list[Record]:
        """The records of builds as they are now; without those that are gone."""
        now = ArchiveSnapshot(self._archive, self._named)
        builds = [self._builds[record_id] for record_id in ids]
        records = await asyncio.gather(
            *(now.record(build, self._archive.head(build.key)) for build in builds)
        )
        return [record for record in records if record and not invalid_field(record)]


def _raise_if_any(errors: Sequence[BuildhubError]) -> None:
    """One error for all."""
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise BuildhubError(f"{len(errors)} failures, the first of them: {errors[0]}")
