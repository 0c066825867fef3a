"""Metadata file → where the builds may lie that were waiting for it.

Where builds look for their metadata is the business of :mod:`buildhub.archive.locations`. Here
the question is asked the other way round. Nothing is fetched: :mod:`buildhub.events.discovery`
looks into the folders that are named here. To wake too many does no harm, as each of them looks
for itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from ..archive.formats import FORMATS
from ..archive.locations import (
    CandidateLocation,
    NightlyLocation,
    ReleaseLocation,
    location_of,
    plain_platform,
)
from ..builds.recognise import Build, recognise

_CANDIDATE = re.compile(
    r"""(?P<above>
            (?P<product> pub/[^/]+ ) /candidates/ (?P<version> [^/]+ ) -candidates/ build\d+/
            (?P<funnelcake> funnelcake\d+/ )?
        )
        (?P<platform> [^/]+ ) / (?P<locale> en-US | multi ) / (?P<name> [^/]+ )""",
    re.VERBOSE,
)
#: ``firefox-54.0.json``, ``fennec-56.0b3.en-US.android-arm.json``, ``buildhub.json``
_METADATA_NAME = re.compile(
    r"(?:(?:firefox|thunderbird|fennec)-\d.*(?<!\.mozinfo)(?<!\.test_packages)|buildhub)\.json",
    re.IGNORECASE,
)
_FUNNELCAKE_FOLDER = re.compile(r"(?:v|funnelcake)\d+")

#: Endings of a nightly's archive, in place of its metadata's. ``firefox-56.0a1.en-US.win32``
#: may get any of them here: which of them the archive has is then seen.
_NIGHTLY_ENDINGS = (".tar.bz2", ".tar.xz", ".installer.exe", ".dmg", ".apk")
_ENDINGS_OF = {"linux": (".tar.xz", ".tar.bz2"), "win": (".installer.exe",), "mac": (".dmg",)}

#: Beside the locales' folders, full of language packs.
_NO_LOCALE = "xpi"


class FolderWalk(NamedTuple):
    """Folders to look into: the root, and so many levels below it."""

    root: str
    levels: tuple[Callable[[str], bool], ...] = ()  #: which subfolders to go into, by name
    certain: bool = True  #: whether it would be noticed that a build is missing


class Dependents(NamedTuple):
    """Those who wait for a metadata file: where they may lie, and who of those there they are."""

    key: str  #: of the metadata file
    walks: tuple[FolderWalk, ...]
    concerns: Callable[[Build], bool]
    likely: tuple[str, ...] = ()  #: keys to try if no listing shows any

    @property
    def folder(self) -> str:
        """The folder of the metadata file."""
        return self.key.rpartition("/")[0] + "/"


def dependents_of(key: str) -> Dependents | None:
    """Who waits for the file ``key`` (raw), or None if it is no metadata of builds.

    ``.mozinfo.json``, ``.test_packages.json`` and ``_info.txt`` are none.
    """
    return _dependents_of_nightly(key) or _dependents_of_candidate(key)


def _dependents_of_nightly(key: str) -> Dependents | None:
    """A nightly's ``.json``, ``.buildhub.json`` or ``.txt``, beside the build in en-US or multi.

    For it wait that build, and the localised ones of the same platform in the ``-l10n`` folder:
    nothing tells how many these are.
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
    return Dependents(
        key,
        tuple(walks),
        lambda build: location_of(build) == location,
        tuple(stem + ending for ending in _ENDINGS_OF.get(builds[0].os, (".apk",))),
    )


def _dependents_of_candidate(key: str) -> Dependents | None:
    """The ``.json`` in a candidate's en-US folder: for it wait all locales of its platform.

    So do repacks (``win32-EME-free``), and the release and its repacks, where they are there
    already. A ``.json`` in ``multi/`` concerns that folder alone.
    """
    found = _CANDIDATE.fullmatch(key)
    if not found or not _METADATA_NAME.fullmatch(found["name"]):
        return None
    folder = key.rpartition("/")[0] + "/"
    above, platform = found["above"], found["platform"]
    if found["locale"] == "multi":
        return Dependents(key, (FolderWalk(folder),), lambda build: True)
    walks = [
        FolderWalk(f"{above}{platform}/", (_is_locale,)),
        FolderWalk(above, (lambda name: name != platform == plain_platform(name), _is_locale)),
    ]
    if not found["funnelcake"]:
        walks += _walks_of_release(found["product"], found["version"], platform)
    candidates = "/".join(key.split("/")[:4]) + "/"

    def concerns(build: Build) -> bool:
        location = location_of(build)
        if isinstance(location, ReleaseLocation):
            return (location.candidates, location.platform) == (candidates, platform)
        return isinstance(location, CandidateLocation) and location.folder == folder

    return Dependents(key, tuple(walks), concerns)


def _walks_of_release(product: str, version: str, platform: str) -> Iterator[FolderWalk]:
    """A release's platform and its repacks; a flat release (before 3.5) is seen on the way.

    Funnelcakes may have one folder more: ``56.0.1-funnelcake131/v1/win64/en-US/``.
    """
    root = f"{product}/releases/{version}/"
    yield FolderWalk(root, (lambda name: plain_platform(name) == platform, _is_locale))
    if "-funnelcake" in version:
        yield FolderWalk(
            root, (_is_funnelcake, lambda name: plain_platform(name) == platform, _is_locale)
        )


def _is_locale(folder: str) -> bool:
    return folder != _NO_LOCALE


def _is_funnelcake(folder: str) -> bool:
    return bool(_FUNNELCAKE_FOLDER.fullmatch(folder))
