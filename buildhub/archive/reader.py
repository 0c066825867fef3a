"""Location → metadata: reads the files there, the most trusted first."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Protocol

from .client import FolderContents, InvalidContent, Unreadable
from .consistency import contradiction, is_doubtful, is_json_object
from .formats import (
    FORMATS,
    Metadata,
    from_buildhub_json,
    from_info_text,
    from_json,
    of_push,
    without_build_id,
)
from .locations import (
    BUILDHUB_JSON,
    CandidateLocation,
    FileLocation,
    NightlyLocation,
    SamePushLocation,
)

logger = logging.getLogger(__name__)

_Parse = Callable[[bytes, str], Metadata | None]


class Source(Protocol):
    """What a lookup needs of an ``Archive``."""

    async def listing(self, folder: str) -> FolderContents | None:
        """The folder (raw key, ending in a slash), or None if there is none."""

    async def document(self, key: str, check: Callable[[bytes], object] = ...) -> bytes | None:
        """The content of a file, or None if there is none; ``check`` raises InvalidContent."""


class MetadataReader:
    """Reads the metadata files at a location, the most trusted first.

    Files are requested by their usual names before a folder is listed: a listing may be valid and
    yet lack files, because they are new or because it was cut.
    """

    def __init__(self, archive: Source) -> None:
        self._archive = archive

    async def read(self, location: FileLocation) -> tuple[Metadata | None, bool]:
        """The metadata, or None if there is none, and whether that is final.

        It is not if a more trusted file is there, but unreadable now. Raises :class:`Unreadable`
        if that leaves no metadata, and :class:`Unreachable`.
        """
        attempt = _Attempt(self._archive, location)
        if isinstance(location, NightlyLocation):
            found = await self._read_nightly(attempt, location)
        elif isinstance(location, SamePushLocation):
            found = await self._read_same_push(attempt, location)
        else:
            found = await self._read_candidate(attempt, location)
        if found is None and attempt.unreadable:
            raise attempt.unreadable
        return found, attempt.unreadable is None

    async def _read_nightly(self, attempt: _Attempt, location: NightlyLocation) -> Metadata | None:
        for ending, parse in FORMATS.items():
            if found := await attempt.read(location.stem + ending, parse):
                return found
        return None

    async def _read_same_push(
        self, attempt: _Attempt, location: SamePushLocation
    ) -> Metadata | None:
        """What another product's nightly says of the push: not the toolchain, which is its own."""
        likely = location.likely_names()
        for name in likely:
            if found := await self._read_push(attempt, location, name):
                return found
        listing = await self._archive.listing(location.folder)
        for name in location.metadata_names(listing.files if listing else ()):
            if name not in likely and (found := await self._read_push(attempt, location, name)):
                return found
        return None if attempt.unreadable else without_build_id(location.product)

    @staticmethod
    async def _read_push(
        attempt: _Attempt, location: SamePushLocation, name: str
    ) -> Metadata | None:
        parse = from_buildhub_json if name.endswith(BUILDHUB_JSON) else from_json
        found = await attempt.read(location.folder + name, parse)
        return of_push(found) if found and found.build["id"] == location.build_id else None

    async def _read_candidate(
        self, attempt: _Attempt, location: CandidateLocation
    ) -> Metadata | None:
        *usual, record_shaped = location.likely_names()
        found = await self._read_first(attempt, location, usual)
        listing = None
        if not found and location.file_platform:  # that of the en-US build may have another name
            listing = await self._archive.listing(location.folder)
            listed = location.metadata_names(list(listing.files) if listing else [])
            others = [name for name in listed if name not in (*usual, record_shaped)]
            found = await self._read_first(attempt, location, others)
        found = found or await self._read_first(attempt, location, [record_shaped])
        if not found and listing and not listing.complete:
            raise Unreadable(f"{location.folder}: the listing has entries without a name.")
        return found if found or attempt.present else await self._read_info(attempt, location)

    @staticmethod
    async def _read_first(
        attempt: _Attempt, location: CandidateLocation, names: Iterable[str]
    ) -> Metadata | None:
        """The metadata in the first of these files that has any."""
        for name in names:
            parse = from_buildhub_json if name == BUILDHUB_JSON else from_json
            if found := await attempt.read(location.folder + name, parse):
                return _numbered(found, location)
        return None

    @staticmethod
    async def _read_info(attempt: _Attempt, location: CandidateLocation) -> Metadata | None:
        """The last resort, if all other metadata is absent."""
        for key in location.info_files:
            found = await attempt.read(key, from_info_text)
            if found or attempt.present:
                return found and _numbered(found, location)
        return None


class _Attempt:
    """The files of one location, and whether one of them was unreadable."""

    def __init__(self, archive: Source, location: FileLocation) -> None:
        self._archive = archive
        self._location = location
        self.unreadable: Unreadable | None = None
        self.present = False  #: whether a file was not absent

    async def read(self, key: str, parse: _Parse) -> Metadata | None:
        """The metadata in a file; None if it is absent, unreadable, or says nothing of use."""

        def check(content: bytes) -> None:
            if problem := contradiction(content, self._location):
                raise InvalidContent(problem)
            if not is_json_object(content) and not parse(content, self._location.product):
                raise InvalidContent("the content is not metadata")

        try:
            content = await self._archive.document(key, check)
            if content is not None:
                check(content)  # it may have been fetched for another purpose
                await self._confirm(key, content, parse)
        except (InvalidContent, Unreadable) as error:
            problem = error if isinstance(error, Unreadable) else Unreadable(f"{key}: {error}.")
            self.unreadable = self.unreadable or problem
            self.present = True
            logger.warning("%s", problem)
            return None
        if content is None:
            return None
        self.present = True
        found = parse(content, self._location.product)
        if not found:
            logger.warning("%s has no usable build id: it is ignored.", key)
        return found

    async def _confirm(self, key: str, content: bytes, parse: _Parse) -> None:
        """Raise InvalidContent for a file that seems to be another's, if it was sent only once.

        A server that sends a response too many can have it answer the next request.
        """
        found = parse(content, self._location.product)
        doubtful = found and is_doubtful(found.build["id"], self._location)
        if doubtful and await self._archive.document(key) != content:
            raise InvalidContent("two requests for it were answered differently")


def _numbered(found: Metadata, location: CandidateLocation) -> Metadata:
    return found._replace(build={**found.build, "number": location.number})
