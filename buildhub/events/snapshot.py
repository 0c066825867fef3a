"""What the archive says of a build at this moment, whatever its listings show."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from ..archive.cache import LookupCache
from ..archive.client import Archive, File, Listing
from ..archive.locations import NightlyLocation, ReleaseLocation, location_of
from ..archive.lookup import MetadataLookup
from ..builds.recognise import Build
from ..records import Record, make_record


class ArchiveSnapshot:
    """The archive from this moment on: nothing that was learned of it before counts.

    ``named`` are files that are there although a listing may not show them yet, with their
    dates; ``contents`` are those of files that were read just now.
    """

    def __init__(
        self,
        archive: Archive,
        named: Mapping[str, str],
        contents: Mapping[str, bytes] | None = None,
    ) -> None:
        self._archive = archive
        self._source = _AheadOfListings(archive, named, dict(contents or {}))
        self._lookup = MetadataLookup(
            self._source,
            LookupCache(None, archive.url),
            keep_absent=False,
            trust_listings=False,
        )

    async def record(self, build: Build, arrival: Awaitable[File | None]) -> Record | None:
        """The record of a build, or None if it has no metadata or is not there itself.

        ``arrival`` gives its size and date, while the metadata is being looked for. Raises
        :class:`Unreachable`, and what ``arrival`` raises.
        """
        search = self._lookup.fetch(location_of(build), "")
        file = await arrival
        metadata = await search
        if file is None or metadata is None:
            return None
        url = self._archive.url + build.key
        return make_record(build, metadata, url=url, size=file.size, date=file.date)

    def is_unreadable(self, build: Build) -> bool:
        """Whether there was something in the place of metadata: an error page, perhaps.

        To be asked of a build without metadata only.
        """
        location = location_of(build)
        if isinstance(location, NightlyLocation):
            start = location.stem
        else:
            start = (
                location.candidates if isinstance(location, ReleaseLocation) else location.folder
            )
        return any(key.startswith(start) for key in self._source.read)


class _AheadOfListings:
    """An archive whose listings show the files that are known to be there."""

    def __init__(
        self, archive: Archive, named: Mapping[str, str], contents: Mapping[str, bytes]
    ) -> None:
        self._archive = archive
        self._named = named
        self._contents = contents
        self.read: set[str] = set()  #: files that were there when they were asked for

    async def document(
        self, key: str, check: Callable[[bytes], object] = lambda content: None
    ) -> bytes | None:
        content = self._contents.get(key) or await self._archive.document(key, check)
        if content is not None:
            self.read.add(key)
        return content

    async def listing(self, folder: str) -> Listing | None:
        listing = await self._archive.listing(folder)
        folders, files = set[str](), dict[str, str]()
        for key, date in self._named.items():
            if key.startswith(folder):
                name, slash, _ = key.removeprefix(folder).partition("/")
                if slash:
                    folders.add(name)
                else:
                    files[name] = date
        if listing is None:
            return Listing(tuple(folders), files) if folders or files else None
        return listing._replace(
            folders=tuple(folders.union(listing.folders)), files=files | listing.files
        )
