"""Builds the parts that are needed by commands and Lambda handlers as the settings say.

The packages take what they need and know no settings, so there is one way to build each. What
only some programs need is imported by the function that builds it: the client of Kinto takes 0.1 s.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from .builds.recognise import candidate_pattern, ending_pattern
from .inventory.reader import InventoryReader
from .inventory.row_formats import Schema
from .logs import FirstErrors
from .settings import Settings
from .signals import CancellationToken

if TYPE_CHECKING:
    from .archive.client import Archive
    from .archive.lookup import MetadataLookup
    from .http import HttpClient
    from .inventory.gcs import Bucket
    from .kinto.client import Client
    from .pipeline.processing import InventoryProcessor

logger = logging.getLogger(__name__)

#: Searches for metadata at a time, for each request at a time: most share a listing with others.
SEARCHES = 4


def kinto_client(
    settings: Settings, cancellation: CancellationToken, *, read_only: bool = False
) -> Client:
    """Makes the client of the collection that the settings name. Raises :class:`Fatal`.

    A stop of ``cancellation`` ends its requests and pauses. The default credentials are for one's
    own server: without others, one that is ``read_only`` sends none.
    """
    from .kinto.client import Client

    anonymous = read_only and "auth" not in settings.explicit
    if not anonymous and "auth" not in settings.explicit and not _is_local(settings.server_url):
        logger.warning(
            "AUTH is not set: %s gets the default credentials. Set AUTH or AUTH_FILE.",
            urlsplit(settings.server_url).hostname,
        )
    return Client(
        settings.server_url,
        None if anonymous else settings.auth,
        settings.bucket,
        settings.collection,
        **_limits(settings),
        batch_size=settings.batch_max_requests,
        cancellation=cancellation,
    )


def _is_local(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")


def _limits(settings: Settings) -> dict[str, int]:
    return {"retries": settings.nb_retry_request, "timeout": settings.timeout_seconds}


def archive_client(settings: Settings) -> Archive:
    """Makes the HTTP client of the archive, not connected yet."""
    from .archive.client import Archive

    parallel = settings.nb_parallel_requests
    return Archive(settings.archive_url, parallel=parallel, **_limits(settings))


def product_details_client(settings: Settings) -> HttpClient:
    """Makes the client of the official lists of releases, not connected yet."""
    from .http import HttpClient

    return HttpClient(
        settings.product_details_url,
        down="The server of the official lists does not answer",
        setting="PRODUCT_DETAILS_URL",
        parallel=1,
        **_limits(settings),
    )


def archive_bucket(settings: Settings) -> Bucket:
    """Makes the client of the archive's own bucket, not connected yet."""
    from .inventory.gcs import Bucket

    return Bucket(
        settings.archive_bucket,
        host=settings.storage_emulator_host,
        parallel=settings.nb_parallel_requests,
        **_limits(settings),
    )


def inventory_processor(
    settings: Settings,
    lookup: MetadataLookup,
    cancellation: CancellationToken,
    *,
    schema: Schema | None = None,
) -> InventoryProcessor:
    """Makes the processor of a run; skipped builds and the first errors are logged."""
    from .pipeline.processing import InventoryProcessor
    from .pipeline.record_maker import RecordMaker

    reader = InventoryReader(
        candidate_pattern(), schema, FirstErrors(logger), ending=ending_pattern()
    )
    maker = RecordMaker(
        lookup,
        archive_url=settings.archive_url,
        products=settings.products,
        oldest=settings.oldest(datetime.now(UTC)),
        on_error=FirstErrors(logger),
        on_skip=logger.info,
    )
    return InventoryProcessor(reader, maker, cancellation)


@contextlib.asynccontextmanager
async def open_lookup(
    settings: Settings, *, keep_absent: bool = True
) -> AsyncIterator[MetadataLookup]:
    """Opens the metadata lookup of one run, with its cache and its HTTP session."""
    from .archive.cache import LookupCache
    from .archive.lookup import MetadataLookup

    folder, url = settings.cache_folder, settings.archive_url
    with contextlib.closing(LookupCache(folder, url, keep_absent=keep_absent)) as cache:
        async with archive_client(settings) as archive:
            searches = SEARCHES * settings.nb_parallel_requests
            yield MetadataLookup(archive, cache, searches=searches, checksums=settings.checksums)
