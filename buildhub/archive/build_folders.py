"""Which build folder of a version's candidates is the highest.

A listing may be valid JSON and yet lack some of its entries; what it says is kept for good, so it
is not believed alone: there has to be no folder behind the highest one.
"""

from __future__ import annotations

from typing import Protocol

from .client import FolderContents, Unreadable
from .locations import build_number


class Lister(Protocol):
    """What is needed of an ``Archive``."""

    async def listing(self, folder: str) -> FolderContents | None:
        """The folder (raw key, ending in a slash), or None if there is none."""


class BuildFolders:
    """The build folders of versions, as the archive lists them."""

    def __init__(self, archive: Lister) -> None:
        self._archive = archive

    async def highest(self, candidates: str, seen: int | None) -> int | None:
        """The number of the highest build folder, or None if there is none.

        ``candidates`` is the folder of the version's candidates; of the build ``seen`` a file is
        known. Two listings are requested, more where the first lacks something. Raises
        :class:`Unreachable`.
        """
        listing = await self._archive.listing(candidates)
        numbers = set() if seen is None else {seen}
        if listing is not None:
            # Without builds, either there are none or the listing was cut.
            numbers |= _numbers(listing) or await self._listed(candidates)
        next_number = max(numbers, default=0) + 1
        while (listing or numbers) and await self._exists(f"{candidates}build{next_number}/"):
            numbers |= {next_number} | await self._listed(candidates)
            next_number = max(numbers) + 1
        if listing and not listing.complete:
            raise Unreadable(f"{candidates}: the listing has entries without a name.")
        return max(numbers, default=None)

    async def _listed(self, candidates: str) -> set[int]:
        listing = await self._archive.listing(candidates)
        return _numbers(listing) if listing else set()

    async def _exists(self, folder: str) -> bool:
        """Whether there is something in a folder; an empty listing may have been cut."""
        for _ in range(2):
            listing = await self._archive.listing(folder)
            if listing is None:
                return False
            if listing.folders or listing.files or not listing.complete:
                return True
        return False


def _numbers(listing: FolderContents) -> set[int]:
    """The numbers of the build folders in a listing of a version's candidates."""
    return {n for n in map(build_number, listing.folders) if n is not None}
