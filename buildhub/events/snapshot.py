"""What the archive says about builds from one moment on, even where its listings lag behind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Self

from ..archive.cache import LookupCache
from ..archive.cached_lookup import CachedLookup
from ..archive.client import Archive, File, FolderContents, InvalidContent
from ..archive.locations import NightlyLocation, NoLocation, ReleaseLocation, location_of
from ..archive.lookup import MetadataLookup
from ..builds.recognise import Build
from ..records import Record, make_record

_NOTHING: Mapping[str, str] = MappingProxyType({})
_UNREAD: Mapping[str, bytes] = MappingProxyType({})


class ArchiveSnapshot:
    """The archive as it is from this moment on: nothing that was known before counts.

    A snapshot does not change: the same question always has the same answer, and is sent to the
    archive once. What is found out since makes another snapshot (:meth:`with_metadata`,
    :meth:`with_build`, :meth:`renewed`).

    ``arrived`` are files that exist although a listing may not show them yet, with their dates;
    ``contents`` are the contents of those that were read just now.
    """

    def __init__(
        self,
        archive: Archive,
        arrived: Mapping[str, str] = _NOTHING,
        contents: Mapping[str, bytes] = _UNREAD,
    ) -> None:
        self._archive = archive
        self._arrived = arrived
        self._contents = contents
        self._source = _CompletedListings(archive, arrived, contents)
        self._lookup = MetadataLookup(
            self._source, CachedLookup(LookupCache(None, archive.url), keep_absent=False)
        )

    def renewed(self) -> Self:
        """A snapshot that asks the archive anew."""
        return type(self)(self._archive, self._arrived)

    def with_metadata(self, key: str, content: bytes) -> Self:
        """A snapshot with a metadata file that has just been read; all else is asked anew."""
        return type(self)(self._archive, {**self._arrived, key: ""}, {key: content})

    def with_build(self, build: Build, date: str) -> Self:
        """A snapshot with a build that exists: its folder proves that the build number exists.

        Only candidates prove something. The same snapshot if it knows of that folder already.
        """
        folder = "/".join(build.key.split("/")[:5]) + "/"
        if build.section != "candidates" or any(key.startswith(folder) for key in self._arrived):
            return self
        return type(self)(self._archive, {**self._arrived, build.key: date}, self._contents)

    async def record(self, build: Build, file: File) -> Record | None:
        """The record of a build, or None if it has no metadata. Raises :class:`Unreachable`.

        ``file`` is the size and date of the build. A caller that is cancelled does not take the
        lookup from the others that share it.
        """
        metadata = await asyncio.shield(self._lookup.fetch(location_of(build), ""))
        if metadata is None:
            return None
        url = self._archive.url + build.key
        return make_record(build, metadata, url=url, size=file.size, date=file.date)

    def is_unreadable(self, build: Build) -> bool:
        """Whether there was something in the place of metadata: an error page, perhaps.

        To be asked about a build without metadata only.
        """
        location = location_of(build)
        if isinstance(location, NoLocation):
            return False
        if isinstance(location, NightlyLocation):
            start = location.stem
        elif isinstance(location, ReleaseLocation):
            start = location.candidates
        else:
            start = location.folder
        return any(key.startswith(start) for key in self._source.read)


class _CompletedListings:
    """An archive whose listings show the files that are known to exist."""

    def __init__(
        self, archive: Archive, arrived: Mapping[str, str], contents: Mapping[str, bytes]
    ) -> None:
        self._archive = archive
        self._arrived = arrived
        self._contents = contents
        self.read: set[str] = set()  #: files that existed when they were requested

    async def document(
        self, key: str, check: Callable[[bytes], object] = lambda content: None
    ) -> bytes | None:
        content = self._contents.get(key)
        if content is None or not _passes(check, content):
            content = await self._archive.document(key, check)
        if content is not None:
            self.read.add(key)
        return content

    async def listing(self, folder: str) -> FolderContents | None:
        listing = await self._archive.listing(folder)
        folders, files = self._arrived_in(folder)
        if listing is None:
            return FolderContents(tuple(folders), files) if folders or files else None
        return listing._replace(
            folders=tuple(folders.union(listing.folders)), files=files | listing.files
        )

    def _arrived_in(self, folder: str) -> tuple[set[str], dict[str, str]]:
        """The names of the folders and files in ``folder`` that are known to exist."""
        folders, files = set[str](), dict[str, str]()
        for key, date in self._arrived.items():
            if key.startswith(folder):
                name, slash, _ = key.removeprefix(folder).partition("/")
                if slash:
                    folders.add(name)
                else:
                    files[name] = date
        return folders, files


def _passes(check: Callable[[bytes], object], content: bytes) -> bool:
    """Whether content that was read without the check is valid."""
    try:
        check(content)
    except InvalidContent:
        return False
    return True
