"""Loads tasks one after the other into Kinto. Used by the command and the Lambda."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..archive.lookup import MetadataLookup
from ..errors import BuildhubError, Fatal, Interrupted
from ..kinto import Client, CollectionFlushed, Publisher, RecordIndex
from ..kinto.initialization import exists, initialize
from ..settings import Settings
from ..signals import CancellationToken
from ..storage import LockHeld, locked
from ..wiring import kinto_client, open_cache, open_lookup
from .result import LoadResult
from .sources import LoadContext, load_inventory, load_section
from .tasks import InventoryTask, LoadTask

logger = logging.getLogger(__name__)

LOCK_FILE = "buildhub-run.lock"


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
    """Load ``tasks`` into Kinto; returns a result for each, also for those that failed.

    One that fails does not stop the others. When ``cancellation`` is set, the records
    that are ready are stored, and the results say what remains: everything, if the records of the
    server were still being read (those that were read are kept for the next run). With
    ``dry_run`` nothing is written to the server, a collection that does not exist counts as empty,
    and ``on_difference`` gets the id of each record that would be stored and ``"created"`` or
    ``"updated"``. ``progress`` is called after each step.

    Raises :class:`Fatal` if another run uses the same CACHE_FOLDER, or if the server cannot be
    written to at all.
    """
    results = [LoadResult(task, remaining=task) for task in tasks]
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
            self.index.refresh(self.client, raise_if_cancelled)

    def publisher(self) -> Publisher:
        return Publisher(
            self.client,
            index=self.index,
            dry_run=self.dry_run,
            on_difference=self.on_difference,
            on_error=logger.error,
        )


class _Loader:
    """What the tasks of one run share."""

    def __init__(
        self,
        settings: Settings,
        server: _Server,
        cancellation: CancellationToken,
        progress: Callable[[LoadResult], None],
    ) -> None:
        self._settings = settings
        self._server = server
        self._cancellation = cancellation
        self._progress = progress

    def prepare_server(self) -> None:
        """Create or update the collection, and read which records it has."""
        self._server.prepare(
            self._settings.initialize_server, self._cancellation.raise_if_cancelled
        )

    async def load_all(self, results: Sequence[LoadResult], keep_absent: bool) -> None:
        """Load one task after the other."""
        with open_cache(self._settings, keep_absent=keep_absent) as cache:
            async with open_lookup(self._settings, cache) as lookup:
                for result in results:
                    await self._load_reported(result, lookup)

    async def _load_reported(self, result: LoadResult, lookup: MetadataLookup) -> None:
        """Load a task; what went wrong is logged and in its result."""
        result.began = time.monotonic()
        try:
            self._cancellation.raise_if_cancelled()
            await self._load(result, lookup)
        except Interrupted:
            logger.info("%s: stopped.", result.title)
        except BuildhubError as error:
            result.error = str(error)
            logger.error("%s: %s", result.title, error)
        result.ended = time.monotonic()
        self._progress(result)

    async def _load(self, result: LoadResult, lookup: MetadataLookup) -> None:
        publisher = self._server.publisher()
        result.published = publisher.counts
        context = LoadContext(
            result, self._settings, lookup, publisher, self._cancellation, self._progress
        )
        try:
            with publisher:
                if isinstance(result.task, InventoryTask):
                    await load_inventory(context, result.task)
                else:
                    await load_section(context, result.task)
        except CollectionFlushed:
            result.remaining = result.task
            raise
        result.remaining = None


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
