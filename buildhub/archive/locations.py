"""Build → where its metadata is. Nothing is fetched here.

All locales of a platform share one location: the files that describe the en-US build (of Fennec's
nightlies, the ``multi`` one). Nightlies of apps without metadata use Firefox's of the same push.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from typing import NamedTuple

from ..builds.patterns import TREES
from ..builds.products import PRODUCTS
from ..builds.recognise import Build

#: The metadata that has the shape of a record, since 2018: its name in en-US folders of
#: candidates, and its ending among nightlies.
BUILDHUB_JSON = "buildhub.json"

_REPACK = re.compile(r"-(?:EME-free|sha1)$", re.IGNORECASE)
#: Of an installer or archive.
EXTENSION = re.compile(r"(?:\.installer)?\.(?:tar\.\w+|\w+)$", re.IGNORECASE)
_FILE_VERSION = re.compile(r"[a-z]+(?:[ -]setup)?[ -](?P<version>\d[\w.]*)", re.IGNORECASE)
#: Platform → names of its ``_info.txt`` where these are not simply called like it.
_INFO_NAMES = {
    "linux-i686": ("linux32", "linux"),
    "linux-x86_64": ("linux64",),
    "linux-aarch64": ("linux64-aarch64", "linux64_aarch64"),
    "mac": ("macosx64", "macosx"),
    "mac64": ("macosx64",),
}
_BUILD_FOLDER = re.compile(r"build(?P<number>[0-9]+)")


class NightlyLocation(NamedTuple):
    """Files that differ in their ending only, and are tried in this order: those of ``FORMATS``."""

    product: str
    stem: str  #: ``pub/…/2017-07-13-…-mozilla-central/firefox-56.0a1.en-US.win64``


class CandidateLocation(NamedTuple):
    """The en-US folder of a platform in a build folder of the candidates."""

    product: str
    folder: str  #: ``pub/firefox/candidates/54.0-candidates/build3/win64/en-US/``
    versions: tuple[str, ...]  #: as the metadata file may name it, the folder's first
    file_platform: str  #: of the file names, where those of the product's metadata contain it

    @property
    def number(self) -> int:
        """Returns the number of the build folder."""
        return build_number(self.folder.split("/")[4]) or 0

    @property
    def info_files(self) -> list[str]:
        """Returns the keys of the last resort, the most trusted first: ``…/build3/win32_info.txt``.

        A funnelcake, which has a folder of its own in the build folder, has none.
        """
        build_folder, _, platform = self.folder.removesuffix("/en-US/").rpartition("/")
        if build_number(build_folder.rpartition("/")[2]) is None:
            return []
        return [f"{build_folder}/{name}_info.txt" for name in info_names(platform)]

    def metadata_names(self, names: list[str]) -> list[str]:
        """Returns those of ``names`` that are this build's metadata, the most trusted first.

        In 52.0's folder, ``firefox-52.0.json`` is metadata; ``firefox-52.0.1.json``,
        ``firefox-52.0.mozinfo.json`` and ``firefox-52.0.test_packages.json`` are not. Names may
        contain the platform: ``fennec-56.0b3.en-US.android-arm.json``.
        """
        product = PRODUCTS[self.product]
        platforms = (re.escape(self.file_platform), r"[\w-]+") if self.file_platform else ("",)
        record_shaped = [name for name in names if name == BUILDHUB_JSON]
        for version in self.versions:
            for platform in platforms:
                wanted = product.metadata_pattern(re.escape(version), platform)
                found = [name for name in names if wanted.fullmatch(name)]
                if len(found) == 1:
                    return found + record_shaped
        return record_shaped

    def likely_names(self) -> list[str]:
        """Returns the usual names of the metadata, for callers that can't rely on a listing."""
        named = PRODUCTS[self.product].metadata_file
        names = [named(version, self.file_platform) for version in self.versions if version]
        return [*names, BUILDHUB_JSON]


class ReleaseLocation(NamedTuple):
    """The candidates of a release's version; the highest build folder has yet to be determined."""

    product: str
    candidates: str  #: ``pub/firefox/candidates/54.0-candidates/``
    platform: str  #: ``win64``
    versions: tuple[str, ...]
    file_platform: str

    @functools.lru_cache(maxsize=1024)  # noqa: B019 - a value, and as few as these
    def in_build(self, number: int) -> CandidateLocation:
        """Returns the location in the build folder of this number."""
        folder = f"{self.candidates}build{number}/{self.platform}/en-US/"
        return CandidateLocation(self.product, folder, self.versions, self.file_platform)


class SamePushLocation(NamedTuple):
    """Metadata of another product's nightly of the same second, if its build id is this."""

    product: str
    folder: str  #: ``pub/firefox/nightly/2026/07/2026-07-01-09-27-14-mozilla-central/``
    build_id: str  #: ``20260701092714``
    version: str  #: ``154.0a1``

    def metadata_names(self, names: Iterable[str]) -> list[str]:
        """Returns the ``names`` that may be used: first those of linux-x86_64, then all."""
        wanted = re.compile(rf"{self.app}-\d[\w.]*\.en-US\.[\w-]+(?:\.buildhub)?\.json")
        found = sorted(filter(wanted.fullmatch, names))
        preferred = [name for name in found if ".linux-x86_64." in name]
        return list(dict.fromkeys([*reversed(preferred), *found]))

    def likely_names(self) -> list[str]:
        """Returns the usual names of the metadata, for callers that can't rely on a listing."""
        stem = f"{self.app}-{self.version}.en-US.linux-x86_64"
        return [f"{stem}.json", f"{stem}.{BUILDHUB_JSON}"]

    @property
    def app(self) -> str:
        """Returns how the other product's files begin."""
        return PRODUCTS[PRODUCTS[self.product].same_push or self.product].app


class NoLocation(NamedTuple):
    """There is no metadata for the build; it is published without."""

    product: str
    number: int | None  #: of a candidate's build folder


#: Where there are files to read; which of a release's candidates counts has to be looked up first.
FileLocation = NightlyLocation | CandidateLocation | SamePushLocation
MetadataLocation = FileLocation | ReleaseLocation | NoLocation


def location_of(build: Build) -> MetadataLocation:
    """Returns where the metadata of a build is, by the rules of the archive."""
    product = PRODUCTS[build.product]
    if product.same_push:
        return same_push_location(build) or NoLocation(build.product, build.number)
    folder, _, name = build.key.rpartition("/")
    if build.section == "nightly":
        return _nightly_location(build, folder, name)
    platform = build.archive_platform
    if folder.count("/") == 3:  # flat, before 3.5: pub/firefox/releases/1.0rc1/firefox-1.0rc1.…
        return _release_location(build.product, folder, platform, name, "")
    above = folder.rpartition("/")[0]
    file_platform = ""
    if "{platform}" in product.metadata_name:  # android-arm of fennec-56.0b3.multi.android-arm.apk
        file_platform = EXTENSION.sub("", name).rpartition(f".{build.locale}.")[2]
    if build.section == "candidates":
        return _candidate_location(build.product, above, name, file_platform)
    return _release_location(build.product, above, platform, name, file_platform)


def same_push_location(build: Build) -> SamePushLocation | None:
    """Returns where a nightly finds metadata of another product; None for all other builds."""
    other = PRODUCTS[build.product].same_push
    if not other or build.section != "nightly":
        return None
    _, _, section, year, month, folder, _ = build.key.split("/")
    date = folder[: len("2026-07-01-09-27-14")]
    above = f"pub/{PRODUCTS[other].folder}/{section}/{year}/{month}"
    return SamePushLocation(
        build.product, f"{above}/{date}-{TREES[0]}/", date.replace("-", ""), build.version
    )


def _nightly_location(build: Build, folder: str, name: str) -> NightlyLocation:
    locale = PRODUCTS[build.product].nightly_locale
    # A file in en-US/ has its own .json, and so have Macs: fennec-4.0b1pre.en-US.mac64.dmg
    if folder.endswith("/en-US") or build.os == "mac":
        locale = "en-US"
    return _location_beside(
        build.product, folder, name.replace(f".{build.locale}.", f".{locale}.", 1)
    )


@functools.lru_cache(maxsize=1024)
def _location_beside(product: str, folder: str, name: str) -> NightlyLocation:
    """Returns the location for the name of a nightly whose metadata is published."""
    stem = EXTENSION.sub("", name)
    # Localised nightlies are in 2017-07-13-…-mozilla-central-l10n, without metadata.
    return NightlyLocation(product, f"{folder.replace('-l10n', '', 1)}/{stem}")


@functools.lru_cache(maxsize=1024)
def _candidate_location(
    product: str, above: str, name: str, file_platform: str
) -> CandidateLocation:
    """Takes the platform's folder, ``above``; repacks use that of the plain platform."""
    folder_version = above.split("/")[3].removesuffix("-candidates")
    return CandidateLocation(
        product,
        f"{plain_platform(above)}/en-US/",
        tuple(dict.fromkeys((folder_version, _file_version(name)))),
        file_platform,
    )


@functools.lru_cache(maxsize=1024)
def _release_location(
    product: str, above: str, platform: str, name: str, file_platform: str
) -> ReleaseLocation:
    """Returns the candidates of exactly the folder's version, also for funnelcakes."""
    _, folder, _, version, *_ = above.split("/")
    return ReleaseLocation(
        product,
        f"pub/{folder}/candidates/{version}-candidates/",
        plain_platform(platform),
        tuple(dict.fromkeys((version, _file_version(name)))),
        file_platform,
    )


def _file_version(name: str) -> str:
    """Returns ``55.0.1`` of ``Firefox Setup 55.0.1.exe``; empty where the name has none.

    The dot before the extension does not belong to it, nor does a locale that follows it.
    """
    stem = EXTENSION.sub("", name)
    found = _FILE_VERSION.match(stem)
    return re.sub(r"\.(?=[^\d]).*", "", found["version"]).rstrip(".") if found else ""


def plain_platform(platform: str) -> str:
    """Returns ``win32`` of ``win32-EME-free``: repacks use the plain platform's metadata."""
    return _REPACK.sub("", platform)


def info_names(platform: str) -> tuple[str, ...]:
    """Returns how the ``_info.txt`` of a platform may be called, without that: ``win64_aarch64``.

    The most trusted first: where there are several for one platform, that with more bits.
    """
    names = (platform.replace("-", "_"), platform)
    return _INFO_NAMES.get(platform, tuple(dict.fromkeys(names)))


def build_number(folder: str) -> int | None:
    """Returns 10 of ``build10``; None for another folder (``beta-channel-switch``)."""
    found = _BUILD_FOLDER.fullmatch(folder)
    return int(found["number"]) if found and len(found["number"]) < 10 else None
