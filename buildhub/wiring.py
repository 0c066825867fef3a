"""Builds the parts that are needed by commands and Lambda handlers as the settings say.

The packages take what they need and know no settings, so there is one way to build each. What
only some programs need is imported by the function that builds it: the client of Kinto takes 0.1 s.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from .archive.cache import LookupCache
from .archive.cached_lookup import CachedLookup
from .builds.recognise import candidate_pattern, ending_pattern
from .inventory.formats import Schema
from .inventory.reader import InventoryReader
from .pipeline.processor import InventoryProcessor
from .pipeline.record_maker import RecordMaker
from .settings import Settings
from .signals import CancellationToken

if TYPE_CHECKING:
    from .archive.client import Archive
    from .archive.lookup import MetadataLookup
    from .inventory.bucket import Bucket
    from .kinto import Client

logger = logging.getLogger(__name__)


def kinto_client(settings: Settings, cancellation: CancellationToken | None = None) -> Client:
    """Makes the client of the collection that the settings name. Raises :class:`Fatal`.

    A stop of ``cancellation`` ends its requests and pauses.
    """
    from .kinto import Client

    return Client(
        settings.server_url,
        settings.auth,
        settings.bucket,
        settings.collection,
        retries=settings.nb_retry_request,
        timeout=settings.timeout_seconds,
        batch_size=settings.batch_max_requests,
        cancellation=cancellation,
    )


def archive_client(settings: Settings) -> Archive:
    """Makes the HTTP client of the archive, not connected yet."""
    from .archive.client import Archive

    return Archive(
        settings.archive_url,
        parallel=settings.nb_parallel_requests,
        retries=settings.nb_retry_request,
        timeout=settings.timeout_seconds,
    )


def archive_bucket(settings: Settings) -> Bucket:
    """Makes the client of the archive's own bucket, not connected yet."""
    from .inventory.bucket import Bucket

    return Bucket(
        settings.archive_bucket,
        host=settings.storage_emulator_host,
        parallel=settings.nb_parallel_requests,
        retries=settings.nb_retry_request,
        timeout=settings.timeout_seconds,
    )


def inventory_processor(
    settings: Settings,
    cache: CachedLookup,
    cancellation: CancellationToken,
    *,
    schema: Schema | None = None,
) -> InventoryProcessor:
    """Makes the processor of a run. ``schema`` is that of :class:`InventoryReader`.

    Errors and skipped builds are logged.
    """
    reader = InventoryReader(candidate_pattern(), schema, logger.error, ending=ending_pattern())
    maker = RecordMaker(
        cache,
        archive_url=settings.archive_url,
        products=settings.products,
        oldest=settings.oldest(datetime.now(UTC)),
        on_error=logger.error,
        on_skip=logger.info,
    )
    return InventoryProcessor(reader, maker, cancellation)


@contextlib.contextmanager
def open_cache(settings: Settings, *, keep_absent: bool = True) -> Iterator[CachedLookup]:
    """Opens the cached metadata of one run."""
    with contextlib.closing(LookupCache(settings.cache_folder, settings.archive_url)) as cache:
        yield CachedLookup(cache, keep_absent=keep_absent)


@contextlib.asynccontextmanager
async def open_lookup(settings: Settings, cache: CachedLookup) -> AsyncIterator[MetadataLookup]:
    """Opens the metadata lookup of one run, with its HTTP session."""
    from .archive.lookup import MetadataLookup

    async with archive_client(settings) as archive:
        yield MetadataLookup(archive, cache, searches=settings.nb_parallel_requests)
