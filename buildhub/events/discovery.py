"""The builds that wait for a metadata file, looked for in the archive's folders."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from ..archive.client import Archive, File, Listing
from ..builds.recognise import Build, recognise
from ..errors import Unreachable
from .dependents import Dependents, FolderWalk

#: Called with a build, and with its size and date where they were asked for already.
Found = Callable[[Build, File | None], None]

_NOTHING = Listing((), {})


async def find(archive: Archive, dependents: Dependents, found: Found) -> bool:
    """Call ``found`` with each build that waits, as soon as it is seen.

    Returns whether the listings seem to be up to date; if not, it is worth asking again. Raises
    :class:`Unreachable` if a folder can't be looked into, after all others were.
    """
    search = _Search(archive, dependents, found)
    up_to_date = await _all(search.walk(walk.root, walk) for walk in dependents.walks)
    if not up_to_date:
        # Large folders are cached for minutes, but a file is there when it is there.
        await _all(search.try_file(key) for key in dependents.likely)
    return up_to_date


async def _all(walks: Iterable[Coroutine[Any, Any, bool]]) -> bool:
    """Whether all are true. None hides the others: what one raises is raised in the end."""
    results = await asyncio.gather(*walks, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return all(results)


class _Search:
    """One look at the folders, each of which is listed once."""

    def __init__(self, archive: Archive, dependents: Dependents, found: Found) -> None:
        self._archive = archive
        self._dependents = dependents
        self._found = found
        self._listings: dict[str, asyncio.Task[Listing | None]] = {}

    async def walk(self, folder: str, walk: FolderWalk) -> bool:
        """Look into ``folder`` and those below it; whether nothing is missing that has to be there.

        The metadata file is there: who doesn't show it, or the folders that lead to it, lags.
        """
        listing = await self._list(folder)
        builds = self._builds_in(folder, listing)
        for build in builds:
            self._found(build, None)
        way, _, below = self._dependents.key.removeprefix(folder).partition("/")
        leads = self._dependents.key.startswith(folder)
        shown = not leads or way in (listing.folders if below else listing.files)
        if not walk.levels:
            return shown and bool(builds) and walk.certain
        inner = FolderWalk(walk.root, walk.levels[1:], walk.certain)
        visit = self.walk if inner.levels else self._visit_locale
        names = set(listing.folders) | ({way} if leads and below else set())
        into = [name for name in sorted(names, key=way.__ne__) if walk.levels[0](name)]
        return await _all(visit(f"{folder}{name}/", inner) for name in into) and shown

    async def _visit_locale(self, folder: str, walk: FolderWalk) -> bool:
        """A locale's folder: its build is nearly always called like that of en-US.

        Then one request says that it is there, how large and how old. There is no second build
        to miss: its record would have the same id, all of which is in the folder's name.
        """
        if folder != self._dependents.folder and (name := await self._name_in_own_folder()):
            locale = folder.split("/")[-2]
            if await self.try_file(folder + name.replace(".en-US.", f".{locale}.", 1)):
                return True
        return await self.walk(folder, walk)

    async def try_file(self, key: str) -> bool:
        """Look for a build itself, whether a listing shows it or not."""
        build = recognise(key)
        if not build or not self._dependents.concerns(build):
            return False
        file = await self._archive.head(key)
        if file:
            self._found(build, file)
        return file is not None

    async def _name_in_own_folder(self) -> str | None:
        """How the build beside the metadata file is called, if there is one."""
        folder = self._dependents.folder
        try:
            builds = self._builds_in(folder, await self._list(folder))
        except Unreachable:
            return None  # the walk through that folder tells of it
        return builds[0].key.removeprefix(folder) if builds else None

    def _builds_in(self, folder: str, listing: Listing) -> list[Build]:
        """The builds in a listing that wait."""
        builds = (recognise(folder + name) for name in listing.files)
        return [build for build in builds if build and self._dependents.concerns(build)]

    async def _list(self, folder: str) -> Listing:
        if folder not in self._listings:
            self._listings[folder] = asyncio.ensure_future(self._archive.listing(folder))
        return await self._listings[folder] or _NOTHING
