"""The builds that depend on a metadata file, looked for in the archive's folders."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from ..archive.client import Archive, File, FolderContents
from ..builds.recognise import Build, recognise
from ..errors import Fatal, Unreachable
from .dependents import Dependents, FolderWalk

#: Called with a build, and with its size and date where they are known already.
OnFound = Callable[[Build, File | None], None]

_NOTHING = FolderContents((), {})


async def find_builds(archive: Archive, dependents: Dependents, on_found: OnFound) -> bool:
    """Call ``on_found`` with each build that depends on the metadata, as soon as it is seen.

    A build may be seen several times. Returns whether the listings seem to be up to date; if not,
    another search may find more. Raises :class:`Unreachable` if a folder can't be listed, after
    all others were.
    """
    search = _Search(archive, dependents, on_found)
    up_to_date = await _all(search.walk(walk.root, walk) for walk in dependents.walks)
    if not up_to_date:
        # The listing of a large folder is cached for minutes; a request for a file is not.
        await _all(search.try_file(key) for key in dependents.likely)
    return up_to_date


async def _all(walks: Iterable[Coroutine[Any, Any, bool]]) -> bool:
    """Whether all are true. All run to their end; then one error is raised, a fatal one first."""
    results = await asyncio.gather(*walks, return_exceptions=True)
    if errors := [result for result in results if isinstance(result, BaseException)]:
        raise max(errors, key=lambda error: isinstance(error, Fatal))
    return all(results)


class _Search:
    """One search of the folders, each of which is listed once."""

    def __init__(self, archive: Archive, dependents: Dependents, on_found: OnFound) -> None:
        self._archive = archive
        self._dependents = dependents
        self._on_found = on_found
        self._listings: dict[str, asyncio.Task[FolderContents | None]] = {}

    async def walk(self, folder: str, walk: FolderWalk) -> bool:
        """Search ``folder`` and those below it; whether everything is listed that must exist.

        The metadata file exists: a listing without it, or without the folder that leads to it,
        lags behind.
        """
        listing = await self._list(folder)
        builds = self._builds_in(folder, listing)
        for build in builds:
            self._on_found(build, None)
        step, _, below = self._dependents.key.removeprefix(folder).partition("/")
        leads = self._dependents.key.startswith(folder)
        shown = not leads or step in (listing.folders if below else listing.files)
        if not walk.levels:
            return shown and bool(builds) and walk.certain
        inner = FolderWalk(walk.root, walk.levels[1:], walk.certain)
        visit = self.walk if inner.levels else self._visit_locale
        names = set(listing.folders) | ({step} if leads and below else set())
        into = [name for name in sorted(names, key=step.__ne__) if walk.levels[0](name)]
        return await _all(visit(f"{folder}{name}/", inner) for name in into) and shown

    async def _visit_locale(self, folder: str, walk: FolderWalk) -> bool:
        """Search a locale's folder: its build is nearly always named like that of en-US.

        Then one request tells its size and date, and no listing is needed. There is no second
        build to miss: its record would have the same id, which follows from the folder's name.
        """
        if folder != self._dependents.folder and (name := await self._name_in_own_folder()):
            locale = folder.split("/")[-2]
            if await self.try_file(folder + name.replace(".en-US.", f".{locale}.", 1)):
                return True
        return await self.walk(folder, walk)

    async def try_file(self, key: str) -> bool:
        """Request a build itself, whether a listing shows it or not; whether it exists."""
        build = recognise(key)
        if not build or not self._dependents.concerns(build):
            return False
        file = await self._archive.head(key)
        if file:
            self._on_found(build, file)
        return file is not None

    async def _name_in_own_folder(self) -> str | None:
        """The name of the build beside the metadata file, if there is one."""
        folder = self._dependents.folder
        try:
            builds = self._builds_in(folder, await self._list(folder))
        except Unreachable:
            return None  # reported by the search of that folder
        return builds[0].key.removeprefix(folder) if builds else None

    def _builds_in(self, folder: str, listing: FolderContents) -> list[Build]:
        """The builds in a listing that depend on the metadata."""
        builds = (recognise(folder + name) for name in listing.files)
        return [build for build in builds if build and self._dependents.concerns(build)]

    async def _list(self, folder: str) -> FolderContents:
        if folder not in self._listings:
            self._listings[folder] = asyncio.ensure_future(self._archive.listing(folder))
        return await self._listings[folder] or _NOTHING
