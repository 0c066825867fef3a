"""The records that ``inventory-to-records`` makes of an archive: what events must end in."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from buildhub.archive.cache import LookupCache
from buildhub.archive.client import Archive
from buildhub.archive.lookup import MetadataLookup
from buildhub.inventory.formats import InventoryRow
from buildhub.pipeline import Pipeline
from buildhub.settings import PRODUCT_FOLDERS
from buildhub.signals import CancellationToken
from tests.support.archive_server import ArchiveServer

Records = dict[str, dict[str, Any]]


def pipeline_records(archive: ArchiveServer, products: Sequence[str] = PRODUCT_FOLDERS) -> Records:
    """The data of each record, by its id."""
    return asyncio.run(_pipeline_records(archive, products))


async def _pipeline_records(server: ArchiveServer, products: Sequence[str]) -> Records:
    entries = [
        InventoryRow(key, file.size, file.date) for key, file in sorted(server.files.items())
    ]
    cancellation = CancellationToken()
    made: Records = {}
    async with Archive(server.url, parallel=32) as archive:
        pipeline = Pipeline(
            MetadataLookup(archive, LookupCache(None, server.url)),
            archive_url=server.url,
            products=products,
            oldest=None,
            on_error=_fail,
            on_skip=lambda _: None,
        )
        batches = iter([entries])
        read = pipeline.blocking(lambda: next(batches, None))
        async for records in pipeline.records(read, cancellation):
            made |= {record["data"]["id"]: record["data"] for record in records}
    cancellation.close()
    return made


def without_server_fields(records: Mapping[str, Mapping[str, Any]]) -> Records:
    """Records as they are on a server, without what the server adds."""
    return {
        name: {k: v for k, v in data.items() if k not in ("last_modified", "schema")}
        for name, data in records.items()
    }


def _fail(sentence: str) -> None:
    raise AssertionError(sentence)
