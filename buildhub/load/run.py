"""Loads tasks one after the other into Kinto. Used by the command and the Lambda."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from ..archive.lookup import MetadataLookup
from ..errors import BadInput, BuildhubError, Fatal, Interrupted
from ..inventory.gcs import SCHEMA
from ..inventory.listing import BucketListing
from ..inventory.manifest import Manifest
from ..inventory.row_formats import Schema
from ..inventory.selection import Selection
from ..kinto import Client, CollectionFlushed, Publisher, RecordIndex
from ..kinto.initialization import exists, initialize
from ..logs import FirstErrors
from ..pipeline.processing import InventoryProcessor
from ..records import Record
from ..settings import Settings
from ..signals import CancellationToken
from ..storage import LockHeld, locked
from ..wiring import archive_bucket, inventory_processor, kinto_client, open_lookup
from .tasks import InventoryTask, LoadResult, LoadTask, SectionTask

if TYPE_CHECKING:
    from ..inventory.s3_inventories import Inventories

logger = logging.getLogger(__name__)

LOCK_FILE = "buildhub-run.lock"

#: S3 makes an inventory every day; an older one than this is not up to date.
STALE = timedelta(days=3)


def load_tasks(
    settings: Settings,
    tasks: Sequence[LoadTask],
    cancellation: CancellationToken,
    *,
    dry_run: bool = False,
    on_difference: Callable[[str, str], None] = lambda record_id, effect: None,
    keep_absent: bool = True,
    progress: Callable[[LoadResult], None] = lambda result: None,
) -> list[LoadResult]:
    """Loads ``tasks`` into Kinto; returns a result for each, also for those that failed.

    One that fails does not stop the others, unless the reason concerns all: a wrong password, a
    server, archive or bucket that does not answer. If nothing that was read has a single build, the
    run has failed, unless the settings leave out old files.

    When ``cancellation`` is set, the records that are ready are stored, and the results say what
    remains: everything, if the records of the server were still being read (those that were read
    are kept for the next run). With ``dry_run`` nothing is written to the server, a collection that
    does not exist counts as empty, and ``on_difference`` gets the id of each record that would be
    stored and ``"created"`` or ``"updated"``. ``progress`` is called after each step.

    Raises :class:`Fatal` if another run uses the same CACHE_FOLDER, or if the server cannot be
    written to at all.
    """
    results = [LoadResult(task, remaining=task) for task in tasks]
    with _single_run(settings.cache_folder):
        client = kinto_client(settings, cancellation)
        with RecordIndex(settings.cache_folder, client.target) as index:
            try:
                known = _prepare_server(settings, client, index, cancellation, dry_run=dry_run)
            except Interrupted:
                logger.info("Stopped before all records of the server were read.")
                return results

            def publisher() -> Publisher:
                return Publisher(
                    client,
                    index=index if known else None,
                    dry_run=dry_run,
                    on_difference=on_difference,
                    on_error=FirstErrors(logger),
                )

            async def load_all() -> None:
                async with open_lookup(settings, keep_absent=keep_absent) as lookup:
                    for result in results:
                        load = _Load(result, settings, lookup, publisher(), cancellation, progress)
                        if not await load.run():
                            break

            asyncio.run(load_all())
    _require_builds(settings, results)
    return results


def _require_builds(settings: Settings, results: Sequence[LoadResult]) -> None:
    """Notes it as an error if nothing that was read has a single build.

    A source that has dried up would look like one without news otherwise. Not where the settings
    leave out old files, nor where only the rest of a task was loaded, or not all of it.
    """
    partial = settings.since or settings.min_age_last_modified_hours
    if partial or any(r.pipeline.builds or r.remaining or r.task.is_rest for r in results):
        return
    for result in results:
        if not result.error:
            result.error = "no build was found: check that its source still delivers."
            logger.error("%s: %s", result.title, result.error)


def _prepare_server(
    settings: Settings,
    client: Client,
    index: RecordIndex,
    cancellation: CancellationToken,
    *,
    dry_run: bool,
) -> bool:
    """Creates or updates the collection, and reads which records it has.

    Returns False if there is no collection: every record would be created.
    """
    if dry_run:
        if not exists(client):
            return False
    else:
        client.check_credentials()
        for change in initialize(client) if settings.initialize_server else ():
            logger.info("%s", change)
    index.refresh(client, cancellation.raise_if_cancelled)
    return True


@dataclasses.dataclass
class _Load:
    """Loads one task, and notes in its result what would remain if the run ended now."""

    result: LoadResult
    settings: Settings
    lookup: MetadataLookup
    publisher: Publisher
    cancellation: CancellationToken
    progress: Callable[[LoadResult], None]

    async def run(self) -> bool:
        """Loads the task; what went wrong is logged and in its result.

        Returns False if the others would fail for the same reason.
        """
        result = self.result
        result.published = self.publisher.counts
        result.began = time.monotonic()
        concerns_all = False
        try:
            self.cancellation.raise_if_cancelled()
            with self.publisher:
                if isinstance(result.task, InventoryTask):
                    await self._load_inventory(result.task)
                else:
                    await self._load_section(result.task)
            result.remaining = None
        except Interrupted:
            logger.info("%s: stopped.", result.title)
        except BuildhubError as error:
            if isinstance(error, CollectionFlushed):
                result.remaining = result.task
            result.error = str(error)
            logger.error("%s: %s", result.title, error)
            concerns_all = isinstance(error, Fatal)
        result.ended = time.monotonic()
        self._show()
        return not concerns_all

    async def _load_inventory(self, task: InventoryTask) -> None:
        """Loads one file after the other, each to its last record; the next ones are downloaded."""
        from ..inventory.download import download

        # botocore takes 0.1 s, which SOURCE=bucket needs not
        from ..inventory.s3_inventories import Inventories

        s3 = Inventories(
            timeout_seconds=self.settings.timeout_seconds,
            retries=self.settings.nb_retry_request,
            cancellation=self.cancellation,
        )
        try:
            manifest = await asyncio.to_thread(_manifest, s3, task)
        except Fatal as error:  # of this inventory; there may be others
            raise BadInput(str(error)) from None
        self.result.manifest = manifest.date
        processor = self._processor(Schema.parse(",".join(manifest.columns)), self.settings)
        downloads = download(
            s3,
            manifest,
            self.settings.csv_download_directory,
            retries=self.settings.nb_retry_request,
            raise_if_cancelled=self.cancellation.raise_if_cancelled,
        )
        with contextlib.closing(downloads):
            for number, file in enumerate(manifest.files):
                rest = tuple(file.key for file in manifest.files[number:])
                self.result.remaining = InventoryTask(task.name, manifest.date, rest)
                name = file.key.rpartition("/")[2]
                self.result.step = f"file {number + 1} of {len(manifest.files)} ({name})"
                self.result.fraction = number / len(manifest.files)
                found = await asyncio.to_thread(next, downloads)
                await processor.process_files(
                    [(str(found.path), f"{name} ({found.path})")],
                    self._publish,
                    self._show,
                    opener=functools.partial(_duplicate, found.fd),
                )
                await asyncio.to_thread(self.publisher.flush)
        if unreadable := processor.counts.unreadable_files:
            self.result.error = f"{unreadable} of its files could not be read; the log names them."

    async def _load_section(self, task: SectionTask) -> None:
        """Loads what the bucket lists. SINCE chooses folders, as in ``archive-to-inventory``."""
        since, start = self.settings.since, task.start_after
        selection = Selection((task.product,), (task.section,), since=since, start_after=start)
        processor = self._processor(SCHEMA, dataclasses.replace(self.settings, since=None))
        bucket = archive_bucket(self.settings)
        jobs = self.settings.nb_parallel_requests
        listing = BucketListing(bucket, selection, jobs=jobs, on_error=logger.error)

        def show() -> None:
            self.result.step = processor.position or start or "listing"
            self._show()

        async with bucket, contextlib.aclosing(listing.blocks()) as blocks:
            try:
                await processor.process_listing(blocks, self._publish, show)
            except Interrupted:
                # Nothing but what is stored may be left out by the next run.
                await asyncio.to_thread(self.publisher.flush)
                if processor.position and not self.result.published.failed:
                    self.result.remaining = task._replace(start_after=processor.position)
                raise
        if listing.failed or listing.bad:
            missing = f"{listing.failed} of its pages"
            if listing.bad:
                missing += f" and {listing.bad} of its objects"
            self.result.error = f"{missing} could not be listed; the log names them."

    def _processor(self, schema: Schema, settings: Settings) -> InventoryProcessor:
        """Makes what makes the records; the result has its counts from now on."""
        processor = inventory_processor(settings, self.lookup, self.cancellation, schema=schema)
        self.result.pipeline = processor.counts
        return processor

    def _publish(self, records: Sequence[Record]) -> None:
        lines = [orjson.dumps(record) for record in records]
        if self.publisher.skip_known(lines):
            return
        self.publisher.look_up(records)
        for record, line in zip(records, lines, strict=True):
            self.publisher.add(record, record["data"]["id"], line)

    def _show(self) -> None:
        self.progress(self.result)


def _manifest(s3: Inventories, task: InventoryTask) -> Manifest:
    """Returns the manifest that a task names, or the newest one; warns if that is old."""
    if task.manifest:
        return s3.manifest_of(task.name, task.manifest).only(task.files)
    manifest = s3.newest_manifest(task.name)
    made = datetime.strptime(manifest.date, "%Y-%m-%dT%H-%MZ").replace(tzinfo=UTC)
    age = datetime.now(UTC) - made
    if age > STALE:
        logger.warning(
            "The newest inventory of %s is %d days old (%s). Use --source bucket (SOURCE=bucket)"
            " for what was published since.",
            task.name,
            age.days,
            manifest.date,
        )
    return manifest


def _duplicate(fd: int, _path: str) -> int:
    """Opens the file that was verified, not what has its name by now."""
    return os.dup(fd)


@contextlib.contextmanager
def _single_run(folder: Path) -> Iterator[None]:
    """Raises :class:`Fatal` if another run uses the same cache folder."""
    path = folder / LOCK_FILE
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locked(path))
        except LockHeld as error:
            raise Fatal(
                f"Another run is in progress (process {error.pid}, lock {path}): wait for it to"
                " end."
            ) from None
        yield
