"""The records that ``inventory-to-records`` makes of an archive: what events must end in."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote_plus

from buildhub.records import Record
from buildhub.settings import PRODUCT_FOLDERS, Settings
from buildhub.signals import CancellationToken
from buildhub.wiring import inventory_processor, open_lookup
from tests.support.archive_files import File
from tests.support.archive_server import ArchiveServer

Records = dict[str, dict[str, Any]]


def pipeline_records(
    archive: ArchiveServer, products: Sequence[str] = PRODUCT_FOLDERS, **variables: str
) -> Records:
    """The data of each record, by its id."""
    made: list[Record] = []
    process(archive, inventory_of(archive.files), made.extend, products, **variables)
    return {record["data"]["id"]: {**record["data"]} for record in made}


def inventory_of(files: Mapping[str, File]) -> bytes:
    """The rows of files, in the order of their keys."""
    return b"".join(_row(key, file) for key, file in sorted(files.items()))


def _row(key: str, file: File) -> bytes:
    encoded = quote_plus(key, safe="/")
    return f'"bucket","{encoded}","{file.size}","{file.date}"\n'.encode()


def process(
    server: ArchiveServer,
    inventory: bytes,
    sink: Callable[[Sequence[Record]], None],
    products: Sequence[str] = PRODUCT_FOLDERS,
    **variables: str,
) -> None:
    """Pass the records of an inventory to ``sink``, as they are made without a cache."""
    asyncio.run(_process(server, inventory, sink, {"PRODUCTS": " ".join(products)} | variables))


async def _process(
    server: ArchiveServer,
    inventory: bytes,
    sink: Callable[[Sequence[Record]], None],
    variables: Mapping[str, str],
) -> None:
    environ = {"ARCHIVE_URL": server.url, "NB_PARALLEL_REQUESTS": "8", **variables}
    cancellation = CancellationToken()

    async def blocks() -> AsyncGenerator[bytes, None]:
        yield inventory

    with tempfile.TemporaryDirectory() as folder:
        settings = Settings.from_environment({**environ, "CACHE_FOLDER": folder})
        async with open_lookup(settings) as lookup:
            processor = inventory_processor(settings, lookup, cancellation)
            await processor.process(processor.rows_of_listing(blocks()), sink)
    cancellation.close()
    assert processor.counts.ok, processor.counts


def without_server_fields(records: Mapping[str, Mapping[str, Any]]) -> Records:
    """Records as they are on a server, without what the server adds."""
    return {
        name: {k: v for k, v in data.items() if k not in ("last_modified", "schema")}
        for name, data in records.items()
    }
