"""Who waits for a metadata file: the lookup of metadata, asked the other way round."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest

from buildhub.archive.checksums import sums_file
from buildhub.archive.locations import (
    NightlyLocation,
    NoLocation,
    ReleaseLocation,
    SamePushLocation,
    location_of,
)
from buildhub.archive.metadata_formats import FORMATS
from buildhub.builds.products import product_folders
from buildhub.builds.recognise import Build, recognise
from buildhub.events.dependents import Dependents, FolderWalk, dependents_of

PRODUCT_FOLDERS = product_folders()

TABLE = Path(__file__).parents[1] / "data/archive-keys.tsv.gz"


APPS = [
    "pub/fenix/nightly/2026/07/2026-07-01-09-27-14-fenix-154.0a1-android-x86/"
    "fenix-154.0a1.multi.android-x86.apk",
    "pub/focus/nightly/2026/07/2026-07-01-09-27-14-klar-154.0a1-android/"
    "klar-154.0a1.multi.android-universal.apk",
]


def real_keys() -> Iterator[str]:
    with gzip.open(TABLE, "rt") as table:
        for line in table:
            yield line.split("\t")[0]


def real_builds() -> Iterator[Build]:
    keys = chain(real_keys(), APPS)
    return (build for key in keys if (build := recognise(key)))


def metadata_keys(build: Build) -> list[str]:
    """The files in which a build may find its metadata."""
    location = location_of(build)
    if isinstance(location, NoLocation):
        return []
    if isinstance(location, SamePushLocation):
        return [location.folder + name for name in location.likely_names()]
    if isinstance(location, NightlyLocation):
        return [location.stem + ending for ending in FORMATS]
    if isinstance(location, ReleaseLocation):
        location = location.in_build(2)
    return [*(location.folder + name for name in location.likely_names()), *location.info_files]


def leads_to(walk: FolderWalk, key: str) -> bool:
    """Tells if the search comes through the folder of the file ``key``."""
    *folders, _ = key.removeprefix(walk.root).split("/")
    return (
        key.startswith(walk.root)
        and len(folders) <= len(walk.levels)
        and all(level(name) for level, name in zip(walk.levels, folders, strict=False))
    )


@pytest.mark.parametrize("step", [pytest.param(1, marks=pytest.mark.slow), 7])
def test_every_real_build_depends_on_each_file_where_its_metadata_is_looked_for(step: int) -> None:
    """30,755 of them, three of Fenix, and two apps' nightlies; or every ``step``-th.

    A file that none of them reads would not be worth a request.
    """
    seen: dict[str, Dependents | None] = {}
    builds = list(real_builds())
    assert len(builds) == 30_755 + 3 + 2
    for build in builds[::step]:
        for key in metadata_keys(build):
            if key not in seen:
                seen[key] = dependents_of(key, PRODUCT_FOLDERS)
            dependents = seen[key]
            assert dependents, f"{key} has no dependents; {build.key} depends on it"
            assert dependents.concerns(build), (key, build.key)
            assert any(leads_to(walk, build.key) for walk in dependents.walks), (key, build.key)


def test_no_real_build_is_mistaken_for_metadata() -> None:
    for key in real_keys():
        if not key.endswith((".json", ".txt")):
            assert dependents_of(key, PRODUCT_FOLDERS) is None


CANDIDATES = "pub/firefox/candidates/54.0-candidates/build3"
NIGHTLY = "pub/firefox/nightly/2017/08/2017-08-05-10-03-34-mozilla-central"
TODAY = "pub/firefox/nightly/2026/07/2026-07-01-09-27-14-mozilla-central"
MOBILE = "pub/mobile/nightly/2017/08/2017-08-01-15-03-46-mozilla-central-android-api-15"


@pytest.mark.parametrize(
    ("key", "depending", "others"),
    [
        (
            f"{CANDIDATES}/win32/en-US/firefox-54.0.json",
            [
                f"{CANDIDATES}/win32/fr/Firefox Setup 54.0.exe",
                f"{CANDIDATES}/win32-EME-free/fr/Firefox Setup 54.0.exe",
                "pub/firefox/releases/54.0/win32/fr/Firefox Setup 54.0.exe",
                "pub/firefox/releases/54.0/win32-sha1/fr/Firefox Setup 54.0.exe",
            ],
            [
                f"{CANDIDATES}/win64/fr/Firefox Setup 54.0.exe",
                f"{CANDIDATES.replace('build3', 'build2')}/win32/fr/Firefox Setup 54.0.exe",
                f"{CANDIDATES}/funnelcake90/win32/fr/Firefox Setup 54.0.exe",
                "pub/firefox/releases/54.0/win64/fr/Firefox Setup 54.0.exe",
                "pub/firefox/releases/54.0-funnelcake90/win32/fr/Firefox Setup 54.0.exe",
                "pub/firefox/releases/54.0.1/win32/fr/Firefox Setup 54.0.1.exe",
            ],
        ),
        (
            f"{CANDIDATES}/funnelcake90/win32/en-US/firefox-54.0.json",
            [f"{CANDIDATES}/funnelcake90/win32/fr/Firefox Setup 54.0.exe"],
            [
                f"{CANDIDATES}/win32/fr/Firefox Setup 54.0.exe",
                "pub/firefox/releases/54.0/win32/fr/Firefox Setup 54.0.exe",
            ],
        ),
        (
            f"{CANDIDATES}/macosx64_info.txt",
            [
                f"{CANDIDATES}/mac/fr/Firefox 54.0.dmg",
                f"{CANDIDATES}/mac-EME-free/fr/Firefox 54.0.dmg",
                "pub/firefox/releases/54.0/mac/fr/Firefox 54.0.dmg",
            ],
            [
                f"{CANDIDATES}/win64/fr/Firefox Setup 54.0.exe",
                f"{CANDIDATES.replace('build3', 'build2')}/mac/fr/Firefox 54.0.dmg",
                f"{CANDIDATES}/funnelcake90/mac/fr/Firefox 54.0.dmg",
                "pub/firefox/releases/54.0.1/mac/fr/Firefox 54.0.1.dmg",
            ],
        ),
        (
            f"{CANDIDATES}/linux64-aarch64_info.txt",
            [
                f"{CANDIDATES}/linux-aarch64/fr/firefox-54.0.tar.bz2",
                "pub/firefox/releases/54.0/linux-aarch64/fr/firefox-54.0.tar.bz2",
            ],
            [f"{CANDIDATES}/linux-x86_64/fr/firefox-54.0.tar.bz2"],
        ),
        (
            f"{TODAY}/firefox-154.0a1.en-US.win64.buildhub.json",
            [f"{TODAY}/firefox-154.0a1.en-US.win64.installer.exe", *APPS],
            [
                APPS[0].replace("09-27-14", "21-03-45"),
                "pub/fenix/releases/144.0/android/fenix-144.0-android/"
                "fenix-144.0.multi.android-universal.apk",
            ],
        ),
        (
            f"{NIGHTLY}/firefox-57.0a1.en-US.win32.json",
            [
                f"{NIGHTLY}/firefox-57.0a1.en-US.win32.installer.exe",
                f"{NIGHTLY}-l10n/firefox-57.0a1.fr.win32.installer.exe",
            ],
            [
                f"{NIGHTLY}/firefox-57.0a1.en-US.win64.installer.exe",
                f"{NIGHTLY}-l10n/firefox-57.0a1.fr.win64.installer.exe",
            ],
        ),
        (
            f"{MOBILE}/fennec-56.0a1.multi.android-arm.json",
            [
                f"{MOBILE}/fennec-56.0a1.multi.android-arm.apk",
                f"{MOBILE}-l10n/fennec-56.0a1.fr.android-arm.apk",
            ],
            [f"{MOBILE}/en-US/fennec-56.0a1.en-US.android-arm.apk"],
        ),
        (
            f"{MOBILE}/en-US/fennec-56.0a1.en-US.android-arm.json",
            [f"{MOBILE}/en-US/fennec-56.0a1.en-US.android-arm.apk"],
            [
                f"{MOBILE}/fennec-56.0a1.multi.android-arm.apk",
                f"{MOBILE}-l10n/fennec-56.0a1.fr.android-arm.apk",
            ],
        ),
    ],
)
def test_which_builds_depend_on_a_file_and_which_do_not(
    key: str, depending: list[str], others: list[str]
) -> None:
    dependents = dependents_of(key, PRODUCT_FOLDERS)
    assert dependents

    def depends(build_key: str) -> bool:
        build = recognise(build_key)
        assert build, build_key
        found = any(leads_to(walk, build_key) for walk in dependents.walks)
        return found and dependents.concerns(build)

    assert [depends(one) for one in depending] == [True] * len(depending)
    assert [depends(one) for one in others] == [False] * len(others)


def test_builds_of_products_that_are_not_read_are_left_out() -> None:
    def roots(*products: str) -> list[str]:
        inside = dependents_of(f"{TODAY}/firefox-154.0a1.en-US.win64.json", products)
        return [walk.root for walk in inside.walks] if inside else []

    assert roots("firefox", "thunderbird") == [f"{TODAY}/", f"{TODAY}-l10n/"]
    assert roots("fenix") == ["pub/fenix/nightly/2026/07/"]
    assert roots("thunderbird") == []


@pytest.mark.parametrize(
    ("key", "checksums", "products", "found"),
    [
        ("pub/firefox/releases/54.0/SHA256SUMS", True, PRODUCT_FOLDERS, True),
        (f"{CANDIDATES}/SHA256SUMS", True, PRODUCT_FOLDERS, True),
        (f"{TODAY}-l10n/firefox-154.0a1.fr.win64.checksums", True, PRODUCT_FOLDERS, True),
        ("pub/firefox/releases/54.0/SHA256SUMS", False, PRODUCT_FOLDERS, False),
        ("pub/firefox/releases/54.0/SHA256SUMS", True, ("mobile",), False),
        ("pub/firefox/releases/54.0/SHA512SUMS", True, PRODUCT_FOLDERS, False),
        ("pub/firefox/releases/54.0/SHA256SUMS.asc", True, PRODUCT_FOLDERS, False),
    ],
)
def test_builds_depend_on_sums_only_where_these_are_wanted(
    key: str, checksums: bool, products: list[str], found: bool
) -> None:
    assert bool(dependents_of(key, products, checksums)) is found


def test_every_real_build_depends_on_the_file_of_its_sum() -> None:
    for build in real_builds():
        dependents = dependents_of(sums_file(build), PRODUCT_FOLDERS, checksums=True)
        assert dependents
        assert dependents.concerns(build)
