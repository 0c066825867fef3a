"""Loads tasks one after the other into Kinto. Used by the command and the Lambda."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import logging
import os
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import orjson

from ..archive.lookup import MetadataLookup
from ..errors import BadInput, BuildhubError, Fatal, Interrupted
from ..inventory.gcs import SCHEMA, Bucket
from ..inventory.listing import BucketListing
from ..inventory.row_formats import Schema
from ..inventory.selection import Section, Selection, unknown_trees
from ..kinto.client import Client
from ..kinto.initialization import exists, initialize
from ..kinto.publisher import CollectionFlushed, Publisher
from ..kinto.record_index import RecordIndex
from ..logs import FirstErrors
from ..pipeline.processing import InventoryProcessor
from ..records import Record
from ..settings import Settings
from ..signals import CancellationToken
from ..storage import locked
from ..wiring import archive_bucket, inventory_processor, kinto_client, open_lookup
from .tasks import InventoryTask, LoadResult, LoadTask, SectionTask

logger = logging.getLogger(__name__)

LOCK_FILE = "buildhub-run.lock"

#: There are nightlies every day; an S3 inventory without one since then is not up to date.
STALE = timedelta(days=3)

#: Nightly folders of so long ago are looked at for new names of trees.
RECENT = timedelta(days=30)


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
    server, archive or bucket that does not answer. After a stop, the records that are ready are
    stored, and the results say what remains: everything, if the records of the server were still
    being read (those that were read are kept for the next run). ``dry_run`` and ``on_difference``
    are those of :class:`Publisher`; a collection that does not exist counts as empty then.
    ``progress`` is called after each step.

    Raises :class:`Fatal` if another run uses the same CACHE_FOLDER, or if the server cannot be
    written to at all.
    """
    results = [LoadResult(task, remaining=task) for task in tasks]
    with locked(settings.cache_folder / LOCK_FILE):
        client = kinto_client(settings, cancellation)
        with RecordIndex(settings.cache_folder, client.target) as index:
            try:
                known = _prepare_server(settings, client, index, dry_run=dry_run)
            except Interrupted:
                logger.info("Stopped before all records of the server were read.")
                return results

            async def load_all() -> None:
                async with open_lookup(settings, keep_absent=keep_absent) as lookup:
                    for result in results:
                        publisher = Publisher(
                            client,
                            index=index if known else None,
                            dry_run=dry_run,
                            on_difference=on_difference,
                            on_error=FirstErrors(logger),
                        )
                        load = _Load(result, settings, lookup, publisher, cancellation, progress)
                        if not await load.run():
                            break

            asyncio.run(load_all())
    if unknown := [folder for result in results for folder in result.unknown]:
        logger.warning(
            "Nightlies of unknown trees are not catalogued: %s (%d folders). If a tree has another"
            " name now, update buildhub, or add the name to its table of products.",
            unknown[-1],
            len(unknown),
        )
    _require_builds(settings, results)
    return results


def _require_builds(settings: Settings, results: Sequence[LoadResult]) -> None:
    """Notes it as an error if a section that must have builds has none, or if nothing has any.

    A source that has dried up would look like one without news otherwise. Not where the settings
    leave out old files, nor where only the rest of a task was loaded, or not all of it.
    """
    if settings.since or settings.min_age_last_modified_hours:
        return
    nothing = not any(r.pipeline.builds or r.remaining or r.task.is_rest for r in results)
    for result in results:
        if result.error or result.remaining or result.task.is_rest or result.pipeline.builds:
            continue
        if nothing or (isinstance(result.task, SectionTask) and result.task.has_builds):
            result.error = "no build was found: check that its source still delivers."
            logger.error("%s: %s", result.title, result.error)


def _prepare_server(
    settings: Settings, client: Client, index: RecordIndex, *, dry_run: bool
) -> bool:
    """Creates or updates the collection, and reads its records; False if there is none."""
    if dry_run:
        if not exists(client):
            return False
    else:
        client.check_credentials()
        for change in initialize(client) if settings.initialize_server else ():
            logger.info("%s", change)
    index.refresh(client)
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
            self.settings.inventory_bucket,
            self.settings.inventory_prefix,
            timeout_seconds=self.settings.timeout_seconds,
            retries=self.settings.nb_retry_request,
            cancellation=self.cancellation,
        )
        try:
            if task.manifest:
                find = functools.partial(s3.manifest_of, task.name, task.manifest)
            else:
                find = functools.partial(s3.newest_manifest, task.name)
            manifest = (await asyncio.to_thread(find)).only(task.files)
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
                path, fd = await asyncio.to_thread(next, downloads)
                rows = processor.rows_of_files(
                    [(str(path), f"{name} ({path})")], opener=functools.partial(_duplicate, fd)
                )
                await processor.process(rows, self._publish, self._show)
                await asyncio.to_thread(self.publisher.flush)
        if not task.is_rest and (processor.counts.newest_file or not processor.counts.builds):
            _warn_if_stale(task.name, processor.counts.newest_file)
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
                await processor.process(processor.rows_of_listing(blocks), self._publish, show)
            except Interrupted:
                # Nothing but what is stored may be left out by the next run.
                await asyncio.to_thread(self.publisher.flush)
                if processor.position and not self.result.published.failed:
                    self.result.remaining = dataclasses.replace(
                        task, start_after=processor.position
                    )
                raise
            if task.section == "nightly" and task.has_builds:
                prefix = Section(task.product, task.section).prefix
                self.result.unknown = await _unknown_trees(bucket, prefix)
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
        if not self.publisher.skip_known(lines):
            for record, line in zip(records, lines, strict=True):
                self.publisher.add(record, record["data"]["id"], line)

    def _show(self) -> None:
        self.progress(self.result)


def _warn_if_stale(inventory: str, newest: str) -> None:
    """Warns if the newest build of an inventory, or the inventory itself, is old."""
    if newest < f"{datetime.now(UTC) - STALE:%Y-%m-%dT%H:%M:%SZ}":
        logger.warning(
            "The newest build in the inventory of %s was published more than %d days ago (%s). Use"
            " --source bucket (SOURCE=bucket) for what was published since.",
            inventory,
            STALE.days,
            newest or "there is none",
        )


async def _unknown_trees(bucket: Bucket, prefix: str) -> list[str]:
    """Lists the nightly folders of the last month whose tree is not known, nor one beside it."""
    now = datetime.now(UTC)
    start = now - RECENT
    folders: list[str] = []
    for month in sorted({f"{start:%Y/%m/}", f"{now:%Y/%m/}"}):
        page = await bucket.page(prefix + month, delimiter="/")
        folders += page.folders
        while page.next:
            page = await bucket.page(prefix + month, page.next, delimiter="/")
            folders += page.folders
    return [prefix + name for name in unknown_trees(folders, f"{start:%Y-%m-%d}")]


def _duplicate(fd: int, _path: str) -> int:
    """Opens the file that was verified, not what has its name by now."""
    return os.dup(fd)
