"""Rows → records: what is held in memory while nothing has to be fetched."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncGenerator

from buildhub.archive.cache import LookupCache
from buildhub.archive.client import Archive
from buildhub.archive.lookup import MetadataLookup
from buildhub.builds.recognise import candidate_pattern
from buildhub.inventory.reader import InventoryReader
from buildhub.inventory.row_formats import InventoryRow
from buildhub.pipeline.processing import BATCH, InventoryProcessor
from buildhub.pipeline.record_maker import RecordMaker
from buildhub.signals import CancellationToken

URL = "http://127.0.0.1:9/"
#: A product that is published without metadata, so no request is made.
KEY = "pub/fenix/releases/{0}.0/android/fenix-{0}.0-android/fenix-{0}.0.multi.android-universal.apk"


class Rows(list[InventoryRow]):
    """A list to which there may be weak references, in a set as well."""

    __hash__ = object.__hash__  # type: ignore[assignment]


def test_the_rows_of_a_block_are_released_before_the_next_but_one_is_read() -> None:
    alive: weakref.WeakSet[Rows] = weakref.WeakSet()
    most = 0
    sizes = list[int]()

    async def blocks() -> AsyncGenerator[Rows, None]:
        nonlocal most
        for number in range(20):
            row = InventoryRow(KEY.format(number + 1), 1, "2026-01-01T00:00:00Z")
            alive.add(rows := Rows([row] * (BATCH + 1)))
            most = max(most, len(alive))
            yield rows
            del rows

    async def run() -> None:
        cancellation = CancellationToken()
        async with Archive(URL) as archive:
            lookup = MetadataLookup(archive, LookupCache(None, URL))
            maker = RecordMaker(lookup, archive_url=URL, products=["fenix"])
            reader = InventoryReader(candidate_pattern(), None, print)
            processor = InventoryProcessor(reader, maker, cancellation)
            await processor.process(blocks(), lambda records: sizes.append(len(records)))
        cancellation.close()
        assert maker.counts.records == 20 * (BATCH + 1)

    asyncio.run(run())
    assert most <= 2
    assert max(sizes) == BATCH
