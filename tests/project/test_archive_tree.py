"""The trees that other tests are built on have the archive's shapes."""

from __future__ import annotations

import json

from tests.support.archive_tree import PLATFORMS, candidate_buildid, nightly_tree, release_tree


def test_each_platform_of_a_build_has_its_own_build_id() -> None:
    assert len({candidate_buildid(b, p) for b in (1, 2, 11) for p in PLATFORMS}) == 15


def test_a_release_comes_with_its_candidates() -> None:
    tree = release_tree(builds=(2,), platforms=("win64",), buildids={(2, "win64"): "2017" * 3})
    assert "pub/firefox/releases/54.0/win64/fr/Firefox Setup 54.0.exe" in tree
    build = "pub/firefox/candidates/54.0-candidates/build2/win64/"
    assert f"{build}fr/Firefox Setup 54.0.exe" in tree
    metadata = json.loads(tree[f"{build}en-US/firefox-54.0.json"].body or b"")
    assert metadata["buildid"] == "201720172017"
    assert metadata["moz_source_repo"].startswith("MOZ_SOURCE_REPO=https://hg.mozilla.org/")


def test_a_nightly_has_its_locales_in_a_folder_of_their_own() -> None:
    tree = nightly_tree(platforms=("win32",), locales=("en-US", "fr"), metadata=("buildhub",))
    folder = "pub/firefox/nightly/2017/08/2017-08-08-10-00-25-mozilla-central"
    assert set(tree) == {
        f"{folder}/firefox-57.0a1.en-US.win32.installer.exe",
        f"{folder}/firefox-57.0a1.en-US.win32.buildhub.json",
        f"{folder}-l10n/firefox-57.0a1.fr.win32.installer.exe",
    }


def test_a_mobile_nightly_has_two_sets_of_metadata() -> None:
    tree = nightly_tree("mobile", platforms=("android-x86",), locales=("multi", "en-US"))
    folder = "pub/mobile/nightly/2017/08/2017-08-08-10-00-25-mozilla-central-android-x86/"
    assert f"{folder}fennec-57.0a1.multi.android-i386.json" in tree
    assert f"{folder}en-US/fennec-57.0a1.en-US.android-i386.json" in tree
