"""The whole run: the newest inventories → records → Kinto. The command and the Lambda call it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from . import streams
from .archive.lookup import MetadataLookup, open_lookup
from .builds import recognise as builds
from .errors import BadInput, BuildhubError, Fatal, Interrupted
from .inventory.download import download
from .inventory.formats import Schema
from .inventory.reader import InventoryReader
from .inventory.s3 import Inventories
from .kinto import Client, PublishCounts, Publisher, RecordIndex
from .kinto.schema import initialize
from .locks import LockHeld, locked
from .pipeline import Pipeline, PipelineCounts
from .settings import Settings
from .signals import CancellationToken

logger = logging.getLogger(__name__)

LOCK_FILE = "buildhub-run.lock"


class LoadTask(NamedTuple):
    """An inventory to load: whole and the newest, or what an earlier run left of one."""

    inventory: str
    manifest: str | None = None  #: the date of its folder, ``2017-08-02T00-11Z``
    files: tuple[str, ...] | None = None  #: keys of the files to load; None: all

    @classmethod
    def parse(cls, remaining: Any) -> list[LoadTask]:
        """From the ``remaining`` of an earlier run. Raises :class:`BadInput`."""
        try:
            return [
                cls(str(one["inventory"]), one["manifest"], tuple(map(str, one["files"])))
                if one.get("manifest")
                else cls(str(one["inventory"]))
                for one in remaining
            ]
        except (TypeError, KeyError, AttributeError):
            raise BadInput(
                "The event's 'remaining' is not what an earlier run returned: send its answer"
                " unchanged, or {} for the whole."
            ) from None

    def as_dict(self) -> dict[str, Any]:
        """What :meth:`parse` reads."""
        files = None if self.files is None else list(self.files)
        return {"inventory": self.inventory, "manifest": self.manifest, "files": files}


@dataclass
class InventoryResult:
    """What became of one inventory."""

    inventory: str
    manifest: str = ""
    rows: int = 0
    bad_rows: int = 0
    pipeline: PipelineCounts = field(default_factory=PipelineCounts)
    published: PublishCounts = field(default_factory=PublishCounts)
    file: str = ""  #: the one at hand
    files_done: int = 0
    files: int = 0
    began: float = field(default_factory=time.monotonic)
    ended: float | None = None
    error: str = ""  #: the sentence, if the inventory could not be loaded to its end
    remaining: LoadTask | None = None  #: what is left to do

    @property
    def ok(self) -> bool:
        """Whether all of it was read and every build with metadata is stored."""
        return not (
            self.error
            or self.remaining
            or self.bad_rows
            or self.pipeline.failed
            or not self.published.ok
        )

    def as_dict(self) -> dict[str, Any]:
        """The figures, as the Lambda returns them."""
        return {
            "inventory": self.inventory,
            "manifest": self.manifest,
            "rows": self.rows,
            "bad_rows": self.bad_rows,
            "builds": self.pipeline.builds,
            "records": self.pipeline.records,
            "created": self.published.created,
            "updated": self.published.updated,
            "unchanged": self.published.unchanged,
            "refused": self.published.refused,
            "failed": self.failed,
            "skipped": dict(self.pipeline.skipped),
            "seconds": round(self.seconds, 1),
            "error": self.error or None,
        }

    @property
    def seconds(self) -> float:
        """How long it took, or takes already."""
        return (self.ended or time.monotonic()) - self.began

    @property
    def failed(self) -> int:
        """Builds whose metadata could not be fetched, or whose record could not be stored."""
        return self.pipeline.failed + self.published.failed


def load_inventories(
    settings: Settings,
    tasks: Sequence[LoadTask],
    cancellation: CancellationToken,
    *,
    dry_run: bool = False,
    keep_absent: bool = True,
    progress: Callable[[InventoryResult], None] = lambda result: None,
) -> list[InventoryResult]:
    """Load inventories into Kinto; a report for each, also for those that failed.

    An inventory that fails does not stop the others. When ``cancellation`` is set, what is done is
    stored, and the reports say what remains. With ``dry_run`` nothing is written to the server.
    ``progress`` is called after each step with the report as it stands.

    Raises :class:`Fatal` if another run is going on the same CACHE_FOLDER, or where the server
    can't be written to at all.
    """
    with _only_run(settings.cache_folder):
        client = Client.from_settings(settings)
        if settings.initialize_server and not dry_run:
            for change in initialize(client):
                logger.info("%s", change)
        with RecordIndex(settings.cache_folder, client.target) as known:
            known.refresh(client, raise_if_cancelled=cancellation.raise_if_cancelled)
            run = _Run(settings, client, known, cancellation, dry_run, progress)
            return asyncio.run(run.load_all(tasks, keep_absent))


class _Run:
    """What the inventories of one run share."""

    def __init__(
        self,
        settings: Settings,
        client: Client,
        known: RecordIndex,
        cancellation: CancellationToken,
        dry_run: bool,
        progress: Callable[[InventoryResult], None],
    ) -> None:
        self._settings = settings
        self._client = client
        self._known = known
        self._cancellation = cancellation
        self._dry_run = dry_run
        self._progress = progress
        self._s3 = Inventories(
            timeout_seconds=settings.timeout_seconds, retries=settings.nb_retry_request
        )

    async def load_all(self, tasks: Sequence[LoadTask], keep_absent: bool) -> list[InventoryResult]:
        results = []
        async with open_lookup(self._settings, keep_absent=keep_absent) as lookup:
            for task in tasks:
                result = InventoryResult(task.inventory, remaining=task)
                results.append(result)
                try:
                    self._cancellation.raise_if_cancelled()
                    await self._load(task, result, lookup)
                except Interrupted:
                    logger.info("Inventory %s: stopped.", task.inventory)
                except BuildhubError as error:
                    result.error = str(error)
                    logger.error("Inventory %s: %s", task.inventory, error)
                result.ended = time.monotonic()
                self._progress(result)
        return results

    async def _load(self, task: LoadTask, result: InventoryResult, lookup: MetadataLookup) -> None:
        settings = self._settings
        manifest = (
            self._s3.manifest_of(task.inventory, task.manifest)
            if task.manifest
            else self._s3.newest_manifest(task.inventory)
        )
        manifest = manifest.only(task.files)
        left = manifest.files
        result.manifest, result.files = manifest.date, len(left)
        reader = InventoryReader(
            builds.candidate_pattern(), Schema.parse(",".join(manifest.columns)), logger.error
        )
        pipeline = Pipeline.from_settings(lookup, settings)
        result.pipeline = pipeline.counts
        paths = download(
            self._s3,
            manifest,
            settings.csv_download_directory,
            retries=settings.nb_retry_request,
            raise_if_cancelled=self._cancellation.raise_if_cancelled,
        )
        with (
            contextlib.closing(paths),
            Publisher(
                self._client, known=self._known, dry_run=self._dry_run, on_error=logger.error
            ) as publisher,
        ):
            result.published = publisher.counts
            for number, path in enumerate(paths):
                rest = left[number:]
                result.remaining = LoadTask(
                    task.inventory, manifest.date, tuple(file.key for file in rest)
                )
                result.file = rest[0].key.rpartition("/")[2]
                await self._load_file(path, result, reader, pipeline, publisher)
                result.files_done += 1
        result.remaining = None

    async def _load_file(
        self,
        path: Path,
        result: InventoryResult,
        reader: InventoryReader,
        pipeline: Pipeline,
        publisher: Publisher,
    ) -> None:
        """One file, to the last record: only then it is done."""
        blocks = streams.blocks(streams.chunks(str(path), self._cancellation))
        batches = reader.entries(blocks, f"{result.file} ({path})")

        def publish(records: Sequence[Mapping[str, Any]]) -> None:
            for record in records:
                publisher.add(record, record["data"]["id"])

        async for records in pipeline.records(lambda: next(batches, None), self._cancellation):
            # In a thread: the archive goes on answering while Kinto is slow.
            await asyncio.to_thread(publish, records)
            result.rows, result.bad_rows = reader.rows, reader.bad_rows
            self._progress(result)
        result.rows, result.bad_rows = reader.rows, reader.bad_rows
        await asyncio.to_thread(publisher.flush)


@contextlib.contextmanager
def _only_run(folder: Path) -> Iterator[None]:
    """Raise :class:`Fatal` if another run uses the same cache folder."""
    path = folder / LOCK_FILE
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locked(path))
        except LockHeld as error:
            raise Fatal(
                f"Another run is going (process {error.pid}, lock {path}): this one leaves it"
                " alone."
            ) from None
        yield
