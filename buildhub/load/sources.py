"""Where the rows of a run come from: the newest inventories of S3, or the archive's own bucket.

A source loads a task: it passes rows to the processor, and notes in the task's result what would
remain if the run ended now.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import logging
import os
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import orjson

from ..archive.lookup import MetadataLookup
from ..errors import Interrupted
from ..inventory.gcs import SCHEMA
from ..inventory.listing import BucketListing
from ..inventory.manifest import Manifest
from ..inventory.row_formats import Schema
from ..inventory.selection import Selection
from ..kinto import Publisher
from ..pipeline.processor import InventoryProcessor
from ..records import Record
from ..settings import Settings
from ..signals import CancellationToken
from ..wiring import archive_bucket, inventory_processor
from .result import LoadResult
from .tasks import InventoryTask, SectionTask

if TYPE_CHECKING:
    from ..inventory.download import Download
    from ..inventory.s3_inventories import Inventories

logger = logging.getLogger(__name__)

#: S3 makes an inventory every day; an older one than this is not up to date.
STALE = timedelta(days=3)


@dataclass
class LoadContext:
    """One task that is being loaded, and what its source needs for it."""

    result: LoadResult
    settings: Settings
    lookup: MetadataLookup
    publisher: Publisher
    cancellation: CancellationToken
    progress: Callable[[LoadResult], None]

    def processor(self, schema: Schema, settings: Settings) -> InventoryProcessor:
        """What makes the records; the result has its counts from now on."""
        processor = inventory_processor(
            settings, self.lookup.cache, self.cancellation, schema=schema
        )
        self.result.pipeline = processor.counts
        return processor

    def publish(self, records: Sequence[Record]) -> None:
        """Store records, unless their lines are known to be stored."""
        lines = [orjson.dumps(record) for record in records]
        if self.publisher.skip_known(lines):
            return
        self.publisher.look_up(records)
        for record, line in zip(records, lines, strict=True):
            self.publisher.add(record, record["data"]["id"], line)

    def show(self) -> None:
        """Show the progress."""
        self.progress(self.result)


async def load_inventory(context: LoadContext, task: InventoryTask) -> None:
    """Load one file after the other, each to its last record; the next ones are downloaded."""
    from ..inventory.s3_inventories import (
        Inventories,  # botocore takes 0.1 s, which SOURCE=bucket needs not
    )

    settings, result = context.settings, context.result
    s3 = Inventories(
        timeout_seconds=settings.timeout_seconds,
        retries=settings.nb_retry_request,
        cancellation=context.cancellation,
    )
    manifest = await asyncio.to_thread(_manifest, s3, task)
    result.manifest = manifest.date
    processor = context.processor(Schema.parse(",".join(manifest.columns)), settings)
    with contextlib.closing(_download(s3, manifest, context)) as downloads:
        for number, file in enumerate(manifest.files):
            rest = tuple(file.key for file in manifest.files[number:])
            result.remaining = InventoryTask(task.name, manifest.date, rest)
            name = file.key.rpartition("/")[2]
            result.step = f"file {number + 1} of {len(manifest.files)} ({name})"
            result.fraction = number / len(manifest.files)
            found = await asyncio.to_thread(next, downloads)
            await processor.process(
                [(str(found.path), f"{name} ({found.path})")],
                context.lookup,
                context.publish,
                context.show,
                opener=functools.partial(_duplicate, found.fd),
            )
            await asyncio.to_thread(context.publisher.flush)
    if unreadable := processor.counts.unreadable_files:
        result.error = f"{unreadable} of its files could not be read; the log names them."


def _duplicate(fd: int, _path: str) -> int:
    """What is read is the file that was verified, not what has its name by now."""
    return os.dup(fd)


def _manifest(s3: Inventories, task: InventoryTask) -> Manifest:
    if task.manifest:
        return s3.manifest_of(task.name, task.manifest).only(task.files)
    manifest = s3.newest_manifest(task.name)
    age = datetime.now(UTC) - datetime.strptime(manifest.date, "%Y-%m-%dT%H-%MZ").replace(
        tzinfo=UTC
    )
    if age > STALE:
        logger.warning(
            "The newest inventory of %s is %d days old (%s). Use --source bucket (SOURCE=bucket)"
            " for what was published since.",
            task.name,
            age.days,
            manifest.date,
        )
    return manifest


def _download(s3: Inventories, manifest: Manifest, context: LoadContext) -> Generator[Download]:
    from ..inventory.download import download

    return download(
        s3,
        manifest,
        context.settings.csv_download_directory,
        retries=context.settings.nb_retry_request,
        raise_if_cancelled=context.cancellation.raise_if_cancelled,
    )


async def load_section(context: LoadContext, task: SectionTask) -> None:
    """Load what the bucket lists. SINCE chooses folders, as in ``archive-to-inventory``."""
    settings, result = context.settings, context.result
    selection = Selection(
        (task.product,), (task.section,), since=settings.since, start_after=task.start_after
    )
    processor = context.processor(SCHEMA, dataclasses.replace(settings, since=None))
    bucket = archive_bucket(settings)
    jobs = settings.nb_parallel_requests
    listing = BucketListing(bucket, selection, jobs=jobs, on_error=logger.error)

    def show() -> None:
        result.step = processor.position or task.start_after or "listing"
        context.show()

    async with bucket, contextlib.aclosing(listing.blocks()) as blocks:
        try:
            await processor.process_listing(blocks, context.lookup, context.publish, show)
        except Interrupted:
            # Nothing but what is stored may be left out by the next run.
            await asyncio.to_thread(context.publisher.flush)
            if processor.position and not result.published.failed:
                result.remaining = task._replace(start_after=processor.position)
            raise
    if listing.failed or listing.bad:
        missing = f"{listing.failed} of its pages"
        if listing.bad:
            missing += f" and {listing.bad} of its objects"
        result.error = f"{missing} could not be listed; the log names them."
