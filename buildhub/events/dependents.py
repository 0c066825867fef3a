"""Metadata file → the builds that depend on it: the inverse of ``archive.locations``.

Nothing is fetched here: :mod:`buildhub.events.discovery` lists the folders that are named here.
A build that is named without need does no harm, as the metadata of each is looked up again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterator
from typing import NamedTuple

from ..archive.formats import FORMATS
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
from ..builds.patterns import TREES
from ..builds.products import PRODUCTS, products_in
from ..builds.recognise import Build, recognise

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
            (?P<product> pub/[^/]+ ) /candidates/ (?P<version> [^/]+ ) -candidates/ build\d+/
        )
        (?P<name> [\w-]+ )_info\.txt""",
    re.VERBOSE,
)
#: In a metadata file's name. ``firefox-54.0.mozinfo.json`` and the like are not metadata.
_VERSION = r"\d.*(?<!\.mozinfo)(?<!\.test_packages)"
_PLATFORM = r"[\w-]+"
_FUNNELCAKE_FOLDER = re.compile(r"(?:v|funnelcake)\d+")

#: Extensions of a nightly, in place of that of its metadata. ``firefox-56.0a1.en-US.win32`` may
#: get any of them here: the listing shows which of them the archive has.
_NIGHTLY_ENDINGS = (".tar.bz2", ".tar.xz", ".installer.exe", ".dmg", ".apk")
_ENDINGS_OF = {"linux": (".tar.xz", ".tar.bz2"), "win": (".installer.exe",), "mac": (".dmg",)}

#: A folder of language packs beside those of the locales.
_LANGUAGE_PACKS = "xpi"


class FolderWalk(NamedTuple):
    """Folders to list: the root, and one level below it for each of ``levels``."""

    root: str
    levels: tuple[Callable[[str], bool], ...] = ()  #: which subfolders to enter, by name
    certain: bool = True  #: whether a missing build would be noticed


class Dependents(NamedTuple):
    """The builds that depend on a metadata file: where they may be, and how to recognise them."""

    key: str  #: of the metadata file
    walks: tuple[FolderWalk, ...]
    concerns: Callable[[Build], bool]
    likely: tuple[str, ...] = ()  #: keys to request if no listing shows a build

    @property
    def folder(self) -> str:
        """The folder of the metadata file."""
        return self.key.rpartition("/")[0] + "/"

    def within(self, products: Container[str]) -> Dependents | None:
        """Those below the archive's folders of these products, or None if there can't be any."""
        walks = tuple(walk for walk in self.walks if walk.root.split("/")[1] in products)
        likely = tuple(key for key in self.likely if key.split("/")[1] in products)
        return self._replace(walks=walks, likely=likely) if walks else None


def dependents_of(key: str) -> Dependents | None:
    """The builds that depend on the file ``key`` (raw), or None if it is not metadata of builds.

    ``.mozinfo.json``, ``.test_packages.json`` and the ``_info.txt`` of a nightly are not.
    """
    return _dependents_of_nightly(key) or _dependents_of_candidate(key) or _dependents_of_info(key)


def _dependents_of_nightly(key: str) -> Dependents | None:
    """A nightly's ``.json``, ``.buildhub.json`` or ``.txt``, beside the build in en-US or multi.

    That build depends on it, and so do the localised ones of the same platform in the ``-l10n``
    folder; how many these are is not known.
    """
    for ending in sorted(FORMATS, key=len, reverse=True):
        if key.endswith(ending):
            stem = key.removesuffix(ending)
            break
    else:
        return None
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
    """The nightlies of other products that were made from the push of this one."""
    above, _, name = folder.rpartition("/")
    date = name.removesuffix(f"-{TREES[0]}")
    others = {p.folder: None for p in PRODUCTS.values() if p.same_push == product}
    if date == name or not others:
        return
    year_and_month = above.partition("/nightly/")[2]
    for other in others:
        yield FolderWalk(
            f"pub/{other}/nightly/{year_and_month}/", (lambda name: name.startswith(f"{date}-"),)
        )


def _dependents_of_candidate(key: str) -> Dependents | None:
    """The ``.json`` in a candidate's en-US folder: all locales of its platform depend on it.

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
    """``_info.txt`` in a candidate's build folder: all of its platform may depend on it.

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
    number = int(found["build_folder"].rpartition("/build")[2].rstrip("/"))

    def concerns(build: Build) -> bool:
        location = location_of(build)
        if isinstance(location, ReleaseLocation):
            location = location.in_build(number)
        return isinstance(location, CandidateLocation) and key in location.info_files

    return Dependents(key, tuple(walks), concerns)


def _walks_of_release(
    product: str, version: str, is_platform: Callable[[str], bool]
) -> Iterator[FolderWalk]:
    """A release's platform and its repacks; a flat release (before 3.5) is in the root itself.

    Funnelcakes may have one more folder: ``56.0.1-funnelcake131/v1/win64/en-US/``.
    """
    root = f"{product}/releases/{version}/"
    yield FolderWalk(root, (is_platform, _is_locale))
    if "-funnelcake" in version:
        yield FolderWalk(root, (_is_funnelcake, is_platform, _is_locale))


def _is_metadata(product_folder: str, locale: str, name: str) -> bool:
    """Whether a file in the folder of a candidate's locale is metadata, by its name."""
    for product in products_in(product_folder):
        if locale in ("en-US", product.nightly_locale):
            pattern = product.metadata_pattern(_VERSION, _PLATFORM, re.escape(locale))
            if name == BUILDHUB_JSON or pattern.fullmatch(name):
                return True
    return False


def _is_locale(folder: str) -> bool:
    return folder != _LANGUAGE_PACKS


def _is_funnelcake(folder: str) -> bool:
    return bool(_FUNNELCAKE_FOLDER.fullmatch(folder))
