"""Rows → records: what is held in memory while nothing has to be fetched."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Iterator

from buildhub.archive.cache import LookupCache
from buildhub.archive.cached_lookup import CachedLookup
from buildhub.archive.client import Archive
from buildhub.archive.lookup import MetadataLookup
from buildhub.inventory.row_formats import InventoryRow
from buildhub.pipeline.concurrent import Pipeline
from buildhub.pipeline.record_maker import BATCH, RecordMaker
from buildhub.signals import CancellationToken

URL = "http://127.0.0.1:9/"
#: A product that is published without metadata, so no request is made.
KEY = "pub/fenix/releases/{0}.0/android/fenix-{0}.0-android/fenix-{0}.0.multi.android-universal.apk"


class Rows(list[InventoryRow]):
    """A list to which there may be weak references, in a set as well."""

    __hash__ = object.__hash__  # type: ignore[assignment]


def blocks(count: int, alive: weakref.WeakSet[Rows]) -> Iterator[Rows]:
    for number in range(count):
        rows = Rows([InventoryRow(KEY.format(number + 1), 1, "2026-01-01T00:00:00Z")] * (BATCH + 1))
        alive.add(rows)
        yield rows


def test_the_rows_of_a_block_are_released_before_the_next_but_one_is_read() -> None:
    alive: weakref.WeakSet[Rows] = weakref.WeakSet()
    batches = blocks(20, alive)
    most = sizes = 0

    async def run() -> None:
        nonlocal most, sizes
        cancellation = CancellationToken()
        cache = CachedLookup(LookupCache(None, URL))
        async with Archive(URL) as archive:
            maker = RecordMaker(
                cache,
                archive_url=URL,
                products=["fenix"],
                oldest=None,
                on_error=print,
                on_skip=print,
            )
            pipeline = Pipeline(maker, MetadataLookup(archive, cache))
            read = pipeline.blocking(lambda: next(batches, None))
            async for records in pipeline.records(read, cancellation):
                most = max(most, len(alive))
                sizes = max(sizes, len(records))
        cancellation.close()
        assert maker.counts.records == 20 * (BATCH + 1)

    asyncio.run(run())
    assert most <= 2
    assert sizes == BATCH
