"""Builds of the official lists that a catalogue lacks are found, without a server."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from buildhub.builds.products import product_folders
from buildhub.errors import BadInput
from buildhub.product_details import (
    LISTS,
    Missing,
    Release,
    catalogue_of,
    missing,
    read_releases,
    version_order,
)
from tests.support.records import make_record

LIST = Path(__file__).parents[1] / "data" / "product-details-firefox.json"
RELEASES = read_releases(LIST.read_bytes(), LIST.name)
FOLDERS = product_folders(default=True)
PLATFORMS = {"linux-i686", "linux-x86_64", "macosx", "win32", "win64"}


def catalogue(*without: str) -> dict[tuple[str, str], set[str]]:
    """All of the list but for these versions, or platforms (``55.0.2 win64``)."""
    return {
        (r.product, r.version): {p for p in PLATFORMS if f"{r.version} {p}" not in without}
        for r in RELEASES
        if r.version not in without
    }


def found(*without: str) -> list[dict[str, str]]:
    return [one.as_dict() for one in missing(RELEASES, catalogue(*without), FOLDERS)]


def test_the_list_has_the_shape_of_the_official_one() -> None:
    assert len(RELEASES) == 20
    assert RELEASES[5] == Release("firefox", "55.0.3", "2017-08-25")
    assert {release.channel for release in RELEASES} == {"release", "beta", "esr"}


def test_a_complete_catalogue_lacks_nothing() -> None:
    assert found() == []


def test_a_version_that_is_missing_is_reported_once_and_its_platforms_are_not() -> None:
    assert found("55.0.2") == [
        {
            "missing": "version",
            "product": "firefox",
            "version": "55.0.2",
            "channel": "release",
            "date": "2017-08-16",
        }
    ]


def test_a_platform_that_the_version_before_had_is_reported() -> None:
    assert found("52.4.0esr macosx") == [
        {
            "missing": "platform",
            "product": "firefox",
            "version": "52.4.0esr",
            "channel": "esr",
            "date": "2017-09-28",
            "platform": "macosx",
            "previous": "52.3.0esr",
        }
    ]


def test_versions_are_compared_by_their_numbers_and_with_their_channel_alone() -> None:
    """56.0b10 comes after 56.0b4, and 56.0 after 55.0.3."""
    assert [one["previous"] for one in found("56.0b10 win32", "56.0 win32")] == ["56.0b4", "55.0.3"]


def test_behind_a_version_that_is_missing_the_one_before_it_counts() -> None:
    version, platform = found("55.0.2", "55.0.3 win64")
    assert (version["version"], platform["previous"]) == ("55.0.2", "55.0.1")


def test_a_platform_that_ends_is_reported_once() -> None:
    gone = [f"{v} linux-i686" for v in ("55.0.2", "55.0.3", "56.0", "56.0.1", "56.0.2")]
    assert [one["version"] for one in found(*gone)] == ["55.0.2"]


@pytest.mark.parametrize(
    ("release", "before", "platform", "reason"),
    [
        (Release("firefox", "3.0", "2008-06-17"), "", "", "before 2010"),
        (Release("firefox", "57.0", "2017-11-14"), "56.0", "win32-eme-free", "repacks"),
        (Release("firefox", "145.0", "2025-11-11"), "144.0", "linux-i686", "32-bit processors"),
        (Release("fennec", "55.0", "2017-08-09"), "54.0", "android-api-9", "API levels"),
        (Release("fenix", "144.0", "2025-10-14"), "", "", "PRODUCTS"),
        (Release("firefox", "144.0", "2025-10-14"), "143.0", "linux-i686", ""),
        (Release("firefox", "57.0", "2017-11-14"), "56.0", "win32", ""),
    ],
)
def test_what_cannot_be_there_has_a_reason(
    release: Release, before: str, platform: str, reason: str
) -> None:
    releases, catalogue = [release], {}
    if platform:
        releases.append(Release(release.product, before, "2010-01-01"))
        catalogue[release.product, before] = {platform, "x"}
        catalogue[release.product, release.version] = {"x"}
    (one,) = missing(releases, catalogue, FOLDERS, lambda r: r.version != before)
    assert (one.platform, bool(one.reason)) == (platform, bool(reason))
    assert reason in one.reason


def test_only_wanted_releases_are_reported_and_the_others_are_still_compared_with() -> None:
    lacks = catalogue("54.0", "55.0 win32")
    (one,) = missing(RELEASES, lacks, FOLDERS, lambda release: release.date > "2017-07")
    assert one == Missing(Release("firefox", "55.0", "2017-08-08"), "win32", "54.0.1")


def test_versions_are_in_order() -> None:
    order = "3.0 3.0.19-real-real 4.0b1 4.0b12 4.0rc1 4.0 4.0.1 55.0b9 55.0b10 55.0 115.10.0esr"
    versions = order.split()
    assert sorted(random.Random(1).sample(versions, len(versions)), key=version_order) == versions
    assert version_order("128.0esr") == version_order("128.0.0esr")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        b'{"releases": []}',
        b'{"releases": {"a": 3}}',
        b'{"releases": {"a": {"version": "1.0"}}}',
        b'{"releases": {"a": {"product": "firefox", "version": 1, "date": "2017-08-16"}}}',
        b"<html>",
    ],
)
def test_what_is_not_such_a_list_is_said_with_its_name(content: bytes) -> None:
    with pytest.raises(BadInput, match=r"^firefox\.json"):
        read_releases(content, "firefox.json")


def test_products_that_buildhub_does_not_know_are_left_out() -> None:
    entry = {"product": "firefox-vpn", "version": "2.0", "date": "2024-01-01"}
    assert read_releases(json.dumps({"releases": {"x": entry}}).encode(), "x") == []


def test_releases_are_told_from_candidates_and_nightlies_by_their_url() -> None:
    release = make_record(55)["data"]
    candidate = make_record(56)["data"]
    candidate["download"]["url"] = "https://archive.mozilla.org/pub/firefox/candidates/56.0b1-…"
    assert catalogue_of([release, candidate]) == {("firefox", "55.0b1"): {"win64"}}


def test_the_lists_are_of_known_products() -> None:
    assert {*LISTS} <= {"firefox", "devedition", "thunderbird", "fennec", "fenix"}
