"""The lookup of metadata as a program does it, with the clock and the cache folder of a test."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from pathlib import Path

from buildhub.archive.cache import LookupCache
from buildhub.archive.client import Archive
from buildhub.archive.locations import location_of
from buildhub.archive.lookup import MetadataLookup
from buildhub.archive.metadata_formats import Metadata
from buildhub.builds.recognise import recognise
from tests.support.archive_server import ArchiveServer

#: Of the files, unless a test gives another one.
DATE = "2017-06-13T12:00:00Z"


@dataclass
class Run:
    """One run of a program that looks up the metadata of builds."""

    server: ArchiveServer
    folder: Path | None = None
    now: float = 1_800_000_000  # January 2027
    keep_absent: bool = True
    checksums: bool = False

    def find(self, *keys: str, date: str = DATE) -> list[Metadata | None]:
        return asyncio.run(self._find(keys, date))

    def build_id(self, key: str, date: str = DATE) -> str | None:
        (found,) = self.find(key, date=date)
        return found.build["id"] if found else None

    async def _find(self, keys: tuple[str, ...], date: str) -> list[Metadata | None]:
        cache = LookupCache(
            self.folder, self.server.url, keep_absent=self.keep_absent, clock=lambda: self.now
        )
        with contextlib.closing(cache):
            async with Archive(self.server.url, retries=1, timeout=5) as archive:
                lookup = MetadataLookup(archive, cache, checksums=self.checksums)
                return list(await asyncio.gather(*(self._ask(lookup, k, date) for k in keys)))

    async def _ask(self, lookup: MetadataLookup, key: str, date: str) -> Metadata | None:
        build = recognise(key)
        assert build, key
        file = self.server.files.get(key)
        found = lookup.find(build, location_of(build), file.size if file else 0, date)
        return await found if isinstance(found, asyncio.Task) else found
