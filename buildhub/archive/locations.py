"""Build → the place of its metadata. No place is ever a guess, and nothing here is fetched.

All locales of a platform share one place: the files that describe the en-US build.
"""

from __future__ import annotations

import functools
import re
from typing import NamedTuple

from ..builds.recognise import Build

_REPACK = re.compile(r"-(?:EME-free|sha1)$", re.IGNORECASE)
_EXTENSION = re.compile(r"(?:\.installer)?\.(?:tar\.\w+|\w+)$", re.IGNORECASE)
_FILE_VERSION = re.compile(
    r"(?:firefox|thunderbird|fennec)(?:[ -]setup)?[ -](?P<version>\d[\w.]*)", re.IGNORECASE
)
_BUILD_FOLDER = re.compile(r"build(?P<number>[0-9]+)")
_VERSIONS_FOLDER = re.compile(r"(?P<product>pub/[^/]+)/releases/(?P<version>[^/]+)")

#: Product → how its files are called; DevEdition's are called Firefox.
APPS = {"devedition": "firefox"}


class NightlyLocation(NamedTuple):
    """Files that differ in their ending only: ``.json``, ``.buildhub.json``, ``.txt``."""

    product: str
    stem: str  #: ``pub/…/2017-07-13-…-mozilla-central/firefox-56.0a1.en-US.win64``


class CandidateLocation(NamedTuple):
    """The en-US folder of a platform in a build folder of the candidates."""

    product: str
    folder: str  #: ``pub/firefox/candidates/54.0-candidates/build3/win64/en-US/``
    versions: tuple[str, ...]  #: as the metadata file may name it, the folder's first
    file_platform: str  #: as mobile's file names have it, else empty

    @property
    def number(self) -> int:
        """The number of the build folder."""
        return build_number(self.folder.split("/")[4]) or 0

    def metadata_names(self, names: list[str]) -> list[str]:
        """Those of ``names`` that are the metadata of this build, the most trusted first.

        In 52.0's folder, ``firefox-52.0.json`` is; ``firefox-52.0.1.json``,
        ``firefox-52.0.mozinfo.json`` and ``firefox-52.0.test_packages.json`` are not. Mobile's is
        called ``fennec-56.0b3.en-US.android-arm.json``.
        """
        app = APPS.get(self.product, self.product)
        platforms = (self.file_platform, r"[\w-]+") if self.product == "fennec" else ("",)
        for version in self.versions:
            for platform in platforms:
                middle = rf"\.en-US\.{platform}" if platform else ""
                wanted = re.compile(rf"{app}-{re.escape(version)}{middle}\.json", re.IGNORECASE)
                found = [name for name in names if wanted.fullmatch(name)]
                if len(found) == 1:
                    return found + [name for name in names if name == "buildhub.json"]
        return [name for name in names if name == "buildhub.json"]

    def likely_names(self) -> list[str]:
        """How the metadata is called as a rule: for those who can't rely on a listing."""
        app = APPS.get(self.product, self.product)
        middle = f".en-US.{self.file_platform}" if self.product == "fennec" else ""
        names = [f"{app}-{version}{middle}.json" for version in self.versions if version]
        return [*names, "buildhub.json"]


class ReleaseLocation(NamedTuple):
    """The candidates of a release's version: which build folder is the highest is to be seen."""

    product: str
    candidates: str  #: ``pub/firefox/candidates/54.0-candidates/``
    platform: str  #: ``win64``
    versions: tuple[str, ...]
    file_platform: str

    def in_build(self, number: int) -> CandidateLocation:
        """The place in the build folder of this number."""
        folder = f"{self.candidates}build{number}/{self.platform}/en-US/"
        return CandidateLocation(self.product, folder, self.versions, self.file_platform)


MetadataLocation = NightlyLocation | CandidateLocation | ReleaseLocation


def location_of(build: Build) -> MetadataLocation:
    """Where the metadata of a build lies, by the rules of the archive."""
    folder, _, name = build.key.rpartition("/")
    if build.section == "nightly":
        return _nightly_location(build, folder, name)
    version = _file_version(name)
    file_platform = build_platform_of_mobile(build, name)
    if build.section == "candidates":
        return _candidate_location(build.product, folder.rpartition("/")[0], version, file_platform)
    if folder.count("/") == 3:  # flat, before 3.5: pub/firefox/releases/1.0rc1/firefox-1.0rc1.…
        return _release_location(build.product, folder, build.archive_platform, version, "")
    above = folder.rpartition("/")[0]
    return _release_location(build.product, above, above.rpartition("/")[2], version, file_platform)


def _nightly_location(build: Build, folder: str, name: str) -> NightlyLocation:
    locale = "en-US"
    # ….multi.android-arm.apk has its own .json, but for fennec-4.0b1pre.en-US.mac64.dmg
    if build.product == "fennec" and not folder.endswith("/en-US") and build.os != "mac":
        locale = "multi"
    stem = _EXTENSION.sub("", name)
    stem = stem.replace(f".{build.locale}.", f".{locale}.", 1)
    return NightlyLocation(build.product, f"{folder.replace('-l10n', '', 1)}/{stem}")


@functools.lru_cache(maxsize=4096)
def _candidate_location(
    product: str, above: str, file_version: str, file_platform: str
) -> CandidateLocation:
    """``above`` is the platform's folder, which for repacks is that of the plain platform."""
    folder_version = above.split("/")[3].removesuffix("-candidates")
    return CandidateLocation(
        product,
        f"{plain_platform(above)}/en-US/",
        tuple(dict.fromkeys((folder_version, file_version))),
        file_platform,
    )


@functools.lru_cache(maxsize=4096)
def _release_location(
    product: str, above: str, platform: str, file_version: str, file_platform: str
) -> ReleaseLocation:
    """Candidates of the very version of the folder: funnelcakes never look at another's."""
    found = _VERSIONS_FOLDER.match(above)
    assert found, above
    return ReleaseLocation(
        product,
        f"{found['product']}/candidates/{found['version']}-candidates/",
        plain_platform(platform),
        tuple(dict.fromkeys((found["version"], file_version))),
        file_platform,
    )


@functools.lru_cache(maxsize=4096)
def _file_version(name: str) -> str:
    """``55.0.1`` of ``Firefox Setup 55.0.1.exe``; empty where the name has none.

    The dot before the extension is no part of it, nor is a locale behind it.
    """
    stem = _EXTENSION.sub("", name)
    found = _FILE_VERSION.match(stem)
    return re.sub(r"\.(?=[^\d]).*", "", found["version"]).rstrip(".") if found else ""


def build_platform_of_mobile(build: Build, name: str) -> str:
    """``android-arm`` of ``fennec-56.0b3.multi.android-arm.apk``; empty for other products."""
    if build.product != "fennec":
        return ""
    return _EXTENSION.sub("", name).rpartition(f".{build.locale}.")[2]


def plain_platform(platform: str) -> str:
    """``win32`` of ``win32-EME-free``: repacks have the metadata of their plain platform."""
    return _REPACK.sub("", platform)


def build_number(folder: str) -> int | None:
    """10 of ``build10``; None for a folder that holds no build (``beta-channel-switch``)."""
    found = _BUILD_FOLDER.fullmatch(folder)
    return int(found["number"]) if found else None
