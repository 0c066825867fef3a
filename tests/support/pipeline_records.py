"""The records that ``inventory-to-records`` makes of an archive: what events must end in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any
from urllib.parse import quote_plus

from buildhub.archive.cache import LookupCache
from buildhub.archive.cached_lookup import CachedLookup
from buildhub.archive.lookup import MetadataLookup
from buildhub.records import Record
from buildhub.settings import PRODUCT_FOLDERS, Settings
from buildhub.signals import CancellationToken
from buildhub.wiring import archive_client, inventory_processor
from tests.support.archive_server import ArchiveServer

Records = dict[str, dict[str, Any]]


def pipeline_records(archive: ArchiveServer, products: Sequence[str] = PRODUCT_FOLDERS) -> Records:
    """The data of each record, by its id."""
    return asyncio.run(_pipeline_records(archive, tuple(products)))


async def _pipeline_records(server: ArchiveServer, products: Sequence[str]) -> Records:
    settings = Settings.from_environment(
        {
            "ARCHIVE_URL": server.url,
            "PRODUCTS": " ".join(products),
            "NB_PARALLEL_REQUESTS": "32",
        }
    )
    cancellation = CancellationToken()
    made: list[Record] = []
    cache = CachedLookup(LookupCache(None, server.url))
    processor = inventory_processor(settings, cache, cancellation)
    async with archive_client(settings) as archive:
        lookup = MetadataLookup(archive, cache)
        await processor.process_listing(_inventory(server), lookup, made.extend)
    cancellation.close()
    assert processor.counts.ok, processor.counts
    return {record["data"]["id"]: {**record["data"]} for record in made}


async def _inventory(server: ArchiveServer) -> AsyncGenerator[bytes, None]:
    for key, file in sorted(server.files.items()):
        encoded = quote_plus(key, safe="/")
        yield f'"bucket","{encoded}","{file.size}","{file.date}"\n'.encode()


def without_server_fields(records: Mapping[str, Mapping[str, Any]]) -> Records:
    """Records as they are on a server, without what the server adds."""
    return {
        name: {k: v for k, v in data.items() if k not in ("last_modified", "schema")}
        for name, data in records.items()
    }
