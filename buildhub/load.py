"""Load inventories: the newest ones of S3 → records → Kinto. Used by the command and the Lambda."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from .archive.lookup import MetadataLookup
from .errors import BadInput, BuildhubError, Fatal, Interrupted
from .inventory.download import download
from .inventory.formats import Schema
from .inventory.manifest import Manifest
from .inventory.s3 import Inventories
from .kinto import Client, PublishCounts, Publisher, RecordIndex
from .kinto.schema import exists, initialize
from .pipeline import PipelineCounts
from .records import Record
from .settings import Settings
from .signals import CancellationToken
from .storage.locks import LockHeld, locked
from .wiring import InventoryProcessor, kinto_client, open_lookup

logger = logging.getLogger(__name__)

LOCK_FILE = "buildhub-run.lock"


class LoadTask(NamedTuple):
    """An inventory to load: the newest one, or what an earlier run left of one."""

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
                "The event's 'remaining' is not what an earlier run returned: send its result"
                " unchanged, or {} to load the newest inventories."
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
    pipeline: PipelineCounts = field(default_factory=PipelineCounts)
    published: PublishCounts = field(default_factory=PublishCounts)
    file: str = ""  #: the one that is being loaded
    files_done: int = 0
    files: int = 0
    began: float = field(default_factory=time.monotonic)
    ended: float | None = None
    error: str = ""  #: a sentence, if the inventory could not be loaded completely
    remaining: LoadTask | None = None  #: what is left to do

    @property
    def ok(self) -> bool:
        """Whether all of it was read and every build with metadata is stored."""
        return (
            not (self.error or self.remaining or self.failed)
            and self.pipeline.ok
            and self.published.ok
        )

    @property
    def failed(self) -> int:
        """Builds whose metadata could not be fetched, or whose record could not be stored."""
        return self.pipeline.failed + self.published.failed

    @property
    def not_finished(self) -> int:
        """Builds that were not settled when the run was stopped."""
        return self.pipeline.not_finished + self.pipeline.records - self.published.records

    @property
    def seconds(self) -> float:
        """How long it took, or has taken so far."""
        return (self.ended or time.monotonic()) - self.began

    @property
    def rate(self) -> float:
        """Rows per second."""
        return self.pipeline.rows / self.seconds if self.seconds else 0.0

    def as_dict(self) -> dict[str, Any]:
        """The figures, as the Lambda returns them."""
        return {
            "inventory": self.inventory,
            "manifest": self.manifest,
            "rows": self.pipeline.rows,
            "bad_rows": self.pipeline.bad_rows,
            "builds": self.pipeline.builds,
            "records": self.pipeline.records,
            "created": self.published.created,
            "updated": self.published.updated,
            "unchanged": self.published.unchanged,
            "refused": self.published.refused,
            "failed": self.failed,
            "not_finished": self.not_finished,
            "skipped": dict(self.pipeline.skipped),
            "seconds": round(self.seconds, 1),
            "error": self.error or None,
        }


def load_inventories(
    settings: Settings,
    tasks: Sequence[LoadTask],
    cancellation: CancellationToken,
    *,
    dry_run: bool = False,
    on_difference: Callable[[str, str], None] = lambda record_id, effect: None,
    keep_absent: bool = True,
    progress: Callable[[InventoryResult], None] = lambda result: None,
) -> list[InventoryResult]:
    """Load inventories into Kinto; returns a result for each, also for those that failed.

    An inventory that fails does not stop the others. When ``cancellation`` is set, the records
    that are ready are stored, and the results say what remains: everything, if the records of the
    server were still being read (those that were read are kept for the next run). With
    ``dry_run`` nothing is written to the server, a collection that does not exist counts as empty,
    and ``on_difference`` gets the id of each record that would be stored and ``"created"`` or
    ``"updated"``. ``progress`` is called after each step.

    Raises :class:`Fatal` if another run uses the same CACHE_FOLDER, or if the server cannot be
    written to at all.
    """
    results = [InventoryResult(task.inventory, remaining=task) for task in tasks]
    with _single_run(settings.cache_folder):
        client = kinto_client(settings, cancellation)
        with RecordIndex(settings.cache_folder, client.target) as index:
            server = _Server(client, index, dry_run, on_difference)
            loader = _Loader(settings, server, cancellation, progress)
            try:
                loader.prepare_server()
            except Interrupted:
                logger.info("Stopped before all records of the server were read.")
            else:
                asyncio.run(loader.load_all(results, keep_absent))
    return results


@dataclass
class _Server:
    """The collection that records are stored in, or only compared with."""

    client: Client
    index: RecordIndex | None
    dry_run: bool
    on_difference: Callable[[str, str], None]

    def prepare(self, create: bool, raise_if_cancelled: Callable[[], None]) -> None:
        """Create or update the collection, and read which records it has."""
        if self.dry_run:
            if not exists(self.client):
                self.index = None  # every record would be created
        elif create:
            for change in initialize(self.client):
                logger.info("%s", change)
        if self.index is not None:
            self.index.refresh(self.client, raise_if_cancelled=raise_if_cancelled)

    def publisher(self) -> Publisher:
        return Publisher(
            self.client,
            known=self.index,
            dry_run=self.dry_run,
            on_difference=self.on_difference,
            on_error=logger.error,
        )


class _Loader:
    """What the inventories of one run share."""

    def __init__(
        self,
        settings: Settings,
        server: _Server,
        cancellation: CancellationToken,
        progress: Callable[[InventoryResult], None],
    ) -> None:
        self._settings = settings
        self._server = server
        self._cancellation = cancellation
        self._progress = progress
        self._s3 = Inventories(
            timeout_seconds=settings.timeout_seconds,
            retries=settings.nb_retry_request,
            cancellation=cancellation,
        )

    def prepare_server(self) -> None:
        """Create or update the collection, and read which records it has."""
        self._server.prepare(
            self._settings.initialize_server, self._cancellation.raise_if_cancelled
        )

    async def load_all(self, results: Sequence[InventoryResult], keep_absent: bool) -> None:
        """Load one inventory after the other."""
        async with open_lookup(self._settings, keep_absent=keep_absent) as lookup:
            for result in results:
                result.began = time.monotonic()
                try:
                    self._cancellation.raise_if_cancelled()
                    await self._load(result, lookup)
                except Interrupted:
                    logger.info("Inventory %s: stopped.", result.inventory)
                except BuildhubError as error:
                    result.error = str(error)
                    logger.error("Inventory %s: %s", result.inventory, error)
                result.ended = time.monotonic()
                self._progress(result)

    async def _load(self, result: InventoryResult, lookup: MetadataLookup) -> None:
        assert result.remaining is not None
        manifest = await asyncio.to_thread(self._manifest, result.remaining)
        result.manifest, result.files = manifest.date, len(manifest.files)
        schema = Schema.parse(",".join(manifest.columns))
        processor = InventoryProcessor(self._settings, lookup, self._cancellation, schema=schema)
        result.pipeline = processor.counts
        publisher = self._server.publisher()
        result.published = publisher.counts
        with publisher:
            await self._load_files(manifest, result, processor, publisher)
        result.remaining = None
        if unreadable := result.pipeline.unreadable_files:
            result.error = f"{unreadable} of its files could not be read; the log names them."

    def _manifest(self, task: LoadTask) -> Manifest:
        if task.manifest:
            return self._s3.manifest_of(task.inventory, task.manifest).only(task.files)
        return self._s3.newest_manifest(task.inventory).only(task.files)

    async def _load_files(
        self,
        manifest: Manifest,
        result: InventoryResult,
        processor: InventoryProcessor,
        publisher: Publisher,
    ) -> None:
        """One file after the other, each to its last record; the next ones are downloaded."""

        def publish(records: Sequence[Record]) -> None:
            for record in records:
                publisher.add(record, record["data"]["id"])

        with contextlib.closing(self._download(manifest)) as paths:
            for number, file in enumerate(manifest.files):
                rest = tuple(file.key for file in manifest.files[number:])
                result.remaining = LoadTask(result.inventory, manifest.date, rest)
                result.file = file.key.rpartition("/")[2]
                path = await asyncio.to_thread(next, paths)
                name = f"{result.file} ({path})"
                await processor.process(
                    [(str(path), name)], publish, lambda: self._progress(result)
                )
                await asyncio.to_thread(publisher.flush)
                result.files_done += 1

    def _download(self, manifest: Manifest) -> Generator[Path]:
        return download(
            self._s3,
            manifest,
            self._settings.csv_download_directory,
            retries=self._settings.nb_retry_request,
            raise_if_cancelled=self._cancellation.raise_if_cancelled,
        )


@contextlib.contextmanager
def _single_run(folder: Path) -> Iterator[None]:
    """Raise :class:`Fatal` if another run uses the same cache folder."""
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
