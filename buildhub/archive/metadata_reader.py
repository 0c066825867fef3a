"""Reads the metadata files at a location, the most trusted first.

A metadata file is *absent* if the archive says so: by a 404, or by a listing. A file that is there
but can't be read (an empty body, an HTML page, half of a JSON, another build's) is *unreadable*:
it is requested again like after a 503, then the next one is tried. So it is after a proper file
that has no build id, which is no error.

Files are requested by their usual names, which a nightly's always have. A candidate's folder is
listed only after that: a listing may be valid and yet lack files, because they are new or because
it was cut.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Set

from .client import Archive, InvalidContent, Unreadable
from .locations import (
    BUILDHUB_JSON,
    CandidateLocation,
    FileLocation,
    NightlyLocation,
    SamePushLocation,
)
from .metadata_formats import (
    FORMATS,
    Metadata,
    contradiction,
    from_buildhub_json,
    from_info_text,
    from_json,
    is_doubtful,
    json_object,
    of_push,
    without_build_id,
)

logger = logging.getLogger(__name__)

_Parse = Callable[[bytes, str], Metadata | None]


class MetadataFiles:
    """The files of one location. ``names_seen`` has those that a folder's listing may lack."""

    def __init__(
        self, archive: Archive, location: FileLocation, names_seen: Callable[[str], Set[str]]
    ) -> None:
        self._archive = archive
        self._location = location
        self._names_seen = names_seen
        self.unreadable: Unreadable | None = None  #: the first of them
        self.present = False  #: whether a file was not absent

    async def read(self) -> Metadata | None:
        """Reads the metadata.

        Raises :class:`Unreadable` if unreadable files leave none, and :class:`Unreachable`.
        """
        if isinstance(self._location, NightlyLocation):
            found = await self._of_nightly(self._location)
        elif isinstance(self._location, SamePushLocation):
            found = await self._of_same_push(self._location)
        else:
            found = await self._of_candidate(self._location)
        if found is None and self.unreadable:
            raise self.unreadable
        return found

    async def _of_nightly(self, location: NightlyLocation) -> Metadata | None:
        for ending, parse in FORMATS.items():
            if found := await self._read(location.stem + ending, parse):
                return found
        return None

    async def _of_same_push(self, location: SamePushLocation) -> Metadata | None:
        """Reads what another product's nightly says of the push, but not its toolchain."""
        likely = location.likely_names()
        found = await self._first(location.folder, likely, location.build_id)
        if not found:
            listed, _ = await self._names(location.folder)
            others = [name for name in location.metadata_names(listed) if name not in likely]
            found = await self._first(location.folder, others, location.build_id)
        if found:
            return of_push(found)
        return None if self.unreadable else without_build_id(location.product)

    async def _of_candidate(self, location: CandidateLocation) -> Metadata | None:
        *usual, record_shaped = location.likely_names()
        found = await self._first(location.folder, usual)
        complete = True
        if not found and location.file_platform:  # that of the en-US build may have another name
            listed, complete = await self._names(location.folder)
            names = location.metadata_names(listed)
            others = [name for name in names if name not in (*usual, record_shaped)]
            found = await self._first(location.folder, others)
        found = found or await self._first(location.folder, [record_shaped])
        if not found and not complete:
            raise Unreadable(f"{location.folder}: the listing has entries without a name.")
        if not found and not self.present:
            found = await self._last_resort(location)
        return found and found._replace(build={**found.build, "number": location.number})

    async def _last_resort(self, location: CandidateLocation) -> Metadata | None:
        for key in location.info_files:
            found = await self._read(key, from_info_text)
            if found or self.present:
                return found
        return None

    async def _names(self, folder: str) -> tuple[list[str], bool]:
        """Returns the names of the files in a folder, and whether all entries could be read."""
        listing = await self._archive.listing(folder)
        names = self._names_seen(folder) | (listing.files.keys() if listing else set())
        return sorted(names), listing is None or listing.complete

    async def _first(
        self, folder: str, names: Iterable[str], build_id: str = ""
    ) -> Metadata | None:
        """Returns the metadata in the first of these files that has any, of this build id."""
        for name in names:
            parse = from_buildhub_json if name.endswith(BUILDHUB_JSON) else from_json
            found = await self._read(folder + name, parse)
            if found and build_id in ("", found.build["id"]):
                return found
        return None

    async def _read(self, key: str, parse: _Parse) -> Metadata | None:
        """Returns the metadata in a file; None if it is absent, unreadable, or has no build id."""

        def parse_checked(content: bytes) -> Metadata | None:
            if problem := contradiction(content, self._location):
                raise InvalidContent(problem)
            found = parse(content, self._location.product)
            if not found and json_object(content) is None:
                raise InvalidContent("the content is not metadata")
            return found

        try:
            content = await self._archive.document(key, parse_checked)
            if content is None:
                return None
            found = parse_checked(content)  # it may have been fetched for another purpose
            if found and is_doubtful(found.build["id"], self._location):
                await self._confirm(key, content)
        except (InvalidContent, Unreadable) as error:
            problem = error if isinstance(error, Unreadable) else Unreadable(f"{key}: {error}.")
            self.unreadable = self.unreadable or problem
            self.present = True
            logger.warning("%s", problem)
            return None
        self.present = True
        if not found:
            logger.warning("%s has no usable build id: it is ignored.", key)
        return found

    async def _confirm(self, key: str, content: bytes) -> None:
        """Raises InvalidContent for a file that seems to be another's, if it was sent only once.

        A server that sends a response too many can have it answer the next request.
        """
        if await self._archive.document(key) != content:
            raise InvalidContent("two requests for it were answered differently")
