"""Finds the builds that depend on a metadata file: the inverse of ``archive.locations``.

A build that is found without need does no harm, as the metadata of each is looked up again.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Container, Coroutine, Iterable, Iterator
from typing import Any, NamedTuple

from ..archive.checksums import is_sums_file, sums_file
from ..archive.client import Archive, FolderContents
from ..archive.locations import (
    BUILDHUB_JSON,
    CandidateLocation,
    NightlyLocation,
    ReleaseLocation,
    SamePushLocation,
    info_names,
    location_of,
    plain_platform,
)
from ..archive.metadata_formats import FORMATS
from ..builds.patterns import TREES
from ..builds.products import PRODUCTS, products_in
from ..builds.recognise import Build, recognise
from ..errors import Fatal, Unreachable
from ..inventory.row_formats import InventoryRow

_CANDIDATE = re.compile(
    r"""(?P<above>
            (?P<product> pub/ (?P<product_folder> [^/]+ ) ) /
            candidates/ (?P<version> [^/]+ ) -candidates/ build\d+/
            (?P<funnelcake> funnelcake\d+/ )?
        )
        (?P<platform> [^/]+ ) / (?P<locale> [\w-]+ ) / (?P<name> [^/]+ )""",
    re.VERBOSE,
)
_INFO = re.compile(
    r"""(?P<build_folder>
            (?P<product> pub/[^/]+ ) /candidates/ (?P<version> [^/]+ ) -candidates/
            build(?P<number> \d+ )/
        )
        (?P<name> [\w-]+ )_info\.txt""",
    re.VERBOSE,
)
#: In a metadata file's name. ``firefox-54.0.mozinfo.json`` and the like are not metadata.
_VERSION = r"\d.*(?<!\.mozinfo)(?<!\.test_packages)"
_FUNNELCAKE_FOLDER = re.compile(r"(?:v|funnelcake)\d+")

#: Extensions of a nightly, in place of that of its metadata. ``firefox-56.0a1.en-US.win32`` may
#: get any of them here: the listing shows which of them the archive has.
_NIGHTLY_ENDINGS = (".tar.bz2", ".tar.xz", ".installer.exe", ".dmg", ".apk")
_ENDINGS_OF = {"linux": (".tar.xz", ".tar.bz2"), "win": (".installer.exe",), "mac": (".dmg",)}

#: Called with a build, and with its size and date where they are known already.
OnFound = Callable[[Build, InventoryRow | None], None]

_NOTHING = FolderContents((), {})


class FolderWalk(NamedTuple):
    """Folders to list: the root, and one level below it for each of ``levels``."""

    root: str
    levels: tuple[Callable[[str], object], ...] = ()  #: which subfolders to enter, by name
    certain: bool = True  #: whether a missing build would be noticed


class Dependents(NamedTuple):
    """Where the builds that depend on a metadata file may be, and how to recognise them."""

    key: str  #: of the metadata file
    walks: tuple[FolderWalk, ...]  #: none for a sums file, which names its builds
    concerns: Callable[[Build], bool]
    likely: tuple[str, ...] = ()  #: keys to request if no listing shows a build

    @property
    def folder(self) -> str:
        """Returns the folder of the metadata file."""
        return self.key.rpartition("/")[0] + "/"

    @property
    def of_metadata(self) -> bool:
        """Tells if builds have no metadata without the file: it is not a sums file."""
        return bool(self.walks)

    def within(self, products: Container[str]) -> Dependents | None:
        """Leaves out the folders of other products; returns None if nothing is left."""
        walks = tuple(walk for walk in self.walks if walk.root.split("/")[1] in products)
        likely = tuple(key for key in self.likely if key.split("/")[1] in products)
        return self._replace(walks=walks, likely=likely) if walks else None


def dependents_of(key: str, products: Container[str], checksums: bool = False) -> Dependents | None:
    """Returns what depends on the file ``key`` (raw), or None if it is not metadata of builds.

    Only the archive's folders of ``products`` count. ``.mozinfo.json``, ``.test_packages.json``
    and the ``_info.txt`` of a nightly are not metadata; sums are with ``checksums``.
    """
    if checksums and is_sums_file(key):
        its = Dependents(key, (), lambda build: sums_file(build) == key)
        return its if key.split("/")[1] in products else None
    found = _dependents_of_candidate(key) or _dependents_of_info(key) or _dependents_of_nightly(key)
    return found and found.within(products)


def _dependents_of_nightly(key: str) -> Dependents | None:
    """Parses a nightly's ``.json``, ``.buildhub.json`` or ``.txt``, beside en-US or multi.

    That build depends on it, and so do the localised ones of the same platform in the ``-l10n``
    folder; how many these are is not known.
    """
    endings = sorted(FORMATS, key=len)
    stem = next((key.removesuffix(one) for one in endings[::-1] if key.endswith(one)), "")
    builds = list(filter(None, (recognise(stem + ending) for ending in _NIGHTLY_ENDINGS)))
    location = NightlyLocation(builds[0].product, stem) if builds else None
    if location is None or builds[0].section != "nightly" or location_of(builds[0]) != location:
        return None
    folder = stem.rpartition("/")[0]
    walks = [FolderWalk(f"{folder}/")]
    if not folder.endswith("/en-US"):
        walks.append(FolderWalk(f"{folder}-l10n/", certain=False))
    walks += _walks_of_same_push(builds[0].product, folder)

    def concerns(build: Build) -> bool:
        its = location_of(build)
        return its == location or (isinstance(its, SamePushLocation) and its.folder == f"{folder}/")

    return Dependents(
        key,
        tuple(walks),
        concerns,
        tuple(stem + ending for ending in _ENDINGS_OF.get(builds[0].os, (".apk",))),
    )


def _walks_of_same_push(product: str, folder: str) -> Iterator[FolderWalk]:
    """Yields where nightlies of other products are that were made from the push of this one."""
    above, _, name = folder.rpartition("/")
    date = name.removesuffix(f"-{TREES[0]}")
    if date == name:
        return
    year_and_month = above.partition("/nightly/")[2]
    for other in dict.fromkeys(p.folder for p in PRODUCTS.values() if p.same_push == product):
        yield FolderWalk(
            f"pub/{other}/nightly/{year_and_month}/", (lambda name: name.startswith(f"{date}-"),)
        )


def _dependents_of_candidate(key: str) -> Dependents | None:
    """Parses the ``.json`` in a candidate's en-US folder: its platform's locales depend on it.

    So do repacks (``win32-EME-free``), and the release and its repacks, where they exist already.
    A ``.json`` in ``multi/`` concerns that folder alone.
    """
    found = _CANDIDATE.fullmatch(key)
    if not found or not _is_metadata(found["product_folder"], found["locale"], found["name"]):
        return None
    folder = key.rpartition("/")[0] + "/"
    above, platform = found["above"], found["platform"]
    if found["locale"] != "en-US":
        return Dependents(key, (FolderWalk(folder),), lambda build: True)
    walks = [
        FolderWalk(f"{above}{platform}/", (_is_locale,)),
        FolderWalk(above, (lambda name: name != platform == plain_platform(name), _is_locale)),
    ]
    if not found["funnelcake"]:
        walks += _walks_of_release(
            found["product"], found["version"], lambda name: plain_platform(name) == platform
        )
    candidates = f"{found['product']}/candidates/{found['version']}-candidates/"

    def concerns(build: Build) -> bool:
        location = location_of(build)
        if isinstance(location, ReleaseLocation):
            return (location.candidates, location.platform) == (candidates, platform)
        return isinstance(location, CandidateLocation) and location.folder == folder

    return Dependents(key, tuple(walks), concerns)


def _dependents_of_info(key: str) -> Dependents | None:
    """Parses ``_info.txt`` in a candidate's build folder: all of its platform may depend on it.

    It is the last resort, so most of them have better metadata.
    """
    found = _INFO.fullmatch(key)
    if not found:
        return None

    def is_platform(folder: str) -> bool:
        return found["name"] in info_names(plain_platform(folder))

    walks = [
        FolderWalk(found["build_folder"], (is_platform, _is_locale)),
        *_walks_of_release(found["product"], found["version"], is_platform),
    ]

    def concerns(build: Build) -> bool:
        location = location_of(build)
        if isinstance(location, ReleaseLocation):
            location = location.in_build(int(found["number"]))
        return isinstance(location, CandidateLocation) and key in location.info_files

    return Dependents(key, tuple(walks), concerns)


def _walks_of_release(
    product: str, version: str, is_platform: Callable[[str], bool]
) -> Iterator[FolderWalk]:
    """Yields a release's platform and its repacks; one before 3.5 is in the root itself.

    Funnelcakes may have one more folder: ``56.0.1-funnelcake131/v1/win64/en-US/``.
    """
    root = f"{product}/releases/{version}/"
    yield FolderWalk(root, (is_platform, _is_locale))
    if "-funnelcake" in version:
        yield FolderWalk(root, (_FUNNELCAKE_FOLDER.fullmatch, is_platform, _is_locale))


def _is_metadata(product_folder: str, locale: str, name: str) -> bool:
    """Tells if a file in the folder of a candidate's locale is metadata, by its name."""
    for product in products_in(product_folder):
        if locale in ("en-US", product.nightly_locale):
            pattern = product.metadata_pattern(_VERSION, r"[\w-]+", re.escape(locale))
            if name == BUILDHUB_JSON or pattern.fullmatch(name):
                return True
    return False


def _is_locale(folder: str) -> bool:
    return folder != "xpi"  # the folder of language packs beside them


# ---- finding them ----


async def find_builds(archive: Archive, dependents: Dependents, on_found: OnFound) -> bool:
    """Calls ``on_found`` with each build that depends on the metadata, as soon as it is seen.

    A build may be seen several times. Returns whether the listings seem to be up to date; if not,
    another search may find more. Raises :class:`Unreachable` if a folder can't be listed, after
    all others were.
    """
    search = _Search(archive, dependents, on_found)
    if not dependents.of_metadata:
        sums = await archive.sums(dependents.key)
        await _all(search.try_file(dependents.folder + path) for path in sums or ())
        return sums is not None
    up_to_date = await _all(map(search.walk, dependents.walks))
    if not up_to_date:
        # The listing of a large folder is cached for minutes; a request for a file is not.
        await _all(search.try_file(key) for key in dependents.likely)
    return up_to_date


async def _all(walks: Iterable[Coroutine[Any, Any, bool]]) -> bool:
    """Tells if all are true. All run to their end; then one error is raised, a fatal one first."""
    results = await asyncio.gather(*walks, return_exceptions=True)
    if errors := [result for result in results if isinstance(result, BaseException)]:
        raise max(errors, key=lambda error: isinstance(error, Fatal))
    return all(results)


class _Search:
    """Searches the folders, and lists each of them once."""

    def __init__(self, archive: Archive, dependents: Dependents, on_found: OnFound) -> None:
        self._archive = archive
        self._dependents = dependents
        self._on_found = on_found
        self._listings: dict[str, asyncio.Task[FolderContents | None]] = {}

    async def walk(self, walk: FolderWalk) -> bool:
        """Searches the root and the folders below it; tells if all is listed that must exist.

        The metadata file exists: a listing without it, or without the folder that leads to it,
        lags behind.
        """
        folder = walk.root
        listing = await self._list(folder)
        builds = self._builds_in(folder, listing)
        for build in builds:
            self._on_found(build, None)
        step, _, below = self._dependents.key.removeprefix(folder).partition("/")
        leads = self._dependents.key.startswith(folder)
        shown = not leads or step in (listing.folders if below else listing.files)
        if not walk.levels:
            return shown and bool(builds) and walk.certain
        enter, *levels = walk.levels
        visit = self.walk if levels else self._visit_locale
        names = set(listing.folders) | ({step} if leads and below else set())
        into = [f"{folder}{name}/" for name in sorted(names, key=step.__ne__) if enter(name)]
        inner = (walk._replace(root=root, levels=tuple(levels)) for root in into)
        return await _all(map(visit, inner)) and shown

    async def _visit_locale(self, walk: FolderWalk) -> bool:
        """Searches a locale's folder: its build is nearly always named like that of en-US.

        Then one request tells its size and date, and no listing is needed. There is no second
        build to miss: its record would have the same id, which follows from the folder's name.
        """
        if walk.root != self._dependents.folder and (name := await self._name_in_own_folder()):
            locale = walk.root.split("/")[-2]
            if await self.try_file(walk.root + name.replace(".en-US.", f".{locale}.", 1)):
                return True
        return await self.walk(walk)

    async def try_file(self, key: str) -> bool:
        """Requests a build itself, whether a listing shows it or not; tells if it exists."""
        build = recognise(key)
        if not build or not self._dependents.concerns(build):
            return False
        file = await self._archive.head(key)
        if file:
            self._on_found(build, InventoryRow(key, file.size, file.date))
        return file is not None

    async def _name_in_own_folder(self) -> str | None:
        """Returns the name of the build beside the metadata file, if there is one."""
        folder = self._dependents.folder
        try:
            builds = self._builds_in(folder, await self._list(folder))
        except Unreachable:
            return None  # reported by the search of that folder
        return builds[0].key.removeprefix(folder) if builds else None

    def _builds_in(self, folder: str, listing: FolderContents) -> list[Build]:
        builds = (recognise(folder + name) for name in listing.files)
        return [build for build in builds if build and self._dependents.concerns(build)]

    async def _list(self, folder: str) -> FolderContents:
        if folder not in self._listings:
            self._listings[folder] = asyncio.ensure_future(self._archive.listing(folder))
        return await self._listings[folder] or _NOTHING
