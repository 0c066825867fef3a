"""Builds without metadata of their own: another product's stands for it, or an info file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from buildhub.errors import Unreachable
from tests.support.archive_files import File
from tests.support.archive_server import ArchiveServer
from tests.support.archive_tree import candidate_buildid, candidate_tree, release_tree
from tests.support.metadata_lookup import Run

pytestmark = pytest.mark.functional

CANDIDATES = "pub/firefox/candidates"
HTML = b"<html><body>Service Unavailable</body></html>"

# Products without metadata of their own

FENIX = (
    "pub/fenix/nightly/2026/07/2026-07-01-09-27-14-fenix-154.0a1-android-x86/"
    "fenix-154.0a1.multi.android-x86.apk"
)
PUSH = "pub/firefox/nightly/2026/07/2026-07-01-09-27-14-mozilla-central/firefox-154.0a1.en-US"
REPOSITORY = "https://hg.mozilla.org/mozilla-central"


def push(build_id: str = "20260701092714", revision: str = "abc") -> File:
    facts = {
        "buildid": build_id,
        "cc": "clang",
        "moz_source_repo": f"MOZ_SOURCE_REPO={REPOSITORY}",
        "moz_source_stamp": revision,
        "moz_update_channel": "nightly",
    }
    return File(body=json.dumps(facts).encode())


def test_an_apps_nightly_has_the_build_id_of_firefoxs_of_the_same_second(
    server: ArchiveServer,
) -> None:
    server.files[f"{PUSH}.win64.json"] = push()
    (found,) = Run(server).find(FENIX)
    assert found
    assert found.build == {"id": "20260701092714", "date": "2026-07-01T09:27:14Z"}
    source = {"revision": "abc", "repository": REPOSITORY, "tree": "mozilla-central"}
    assert found.source == {"product": "fenix", **source}
    assert found.channel is None


def test_linux_comes_first_then_the_first_by_name(server: ArchiveServer) -> None:
    def revision() -> str | None:
        (found,) = Run(server).find(FENIX)
        return found.source.get("revision") if found else None

    server.files[f"{PUSH}.win64.json"] = push(revision="win64")
    server.files[f"{PUSH}.mac.json"] = push(revision="mac")
    server.files[f"{PUSH}.linux-x86_64.mozinfo.json"] = push(revision="mozinfo")
    assert revision() == "mac"
    server.files[f"{PUSH}.linux-x86_64.buildhub.json"] = File(
        body=b'{"build": {"id": "20260701092714"}, "source": {"revision": "buildhub"}}'
    )
    assert revision() == "buildhub"
    server.files[f"{PUSH}.linux-x86_64.json"] = push(revision="linux")
    assert revision() == "linux"


@pytest.mark.parametrize(
    ("key", "build", "product"),
    [
        (FENIX, {}, "fenix"),
        (
            "pub/fenix/candidates/143.0.4-candidates/build2/android/fenix-143.0.4-android-x86_64/"
            "fenix-143.0.4.multi.android-x86_64.apk",
            {"number": 2},
            "fenix",
        ),
        (
            "pub/focus/releases/143.0.4/android/klar-143.0.4-android-arm64-v8a/"
            "klar-143.0.4.multi.android-arm64-v8a.apk",
            {},
            "klar",
        ),
    ],
)
def test_everything_else_has_no_build_id(
    server: ArchiveServer, key: str, build: dict[str, object], product: str
) -> None:
    server.files[f"{PUSH}.linux-x86_64.json"] = push("20260701092715")
    server.files |= release_tree("firefox", "143.0.4")
    (found,) = Run(server).find(key)
    assert found
    assert (found.build, found.source) == (build, {"product": product})


def test_an_apps_nightly_is_looked_up_again_when_the_absence_expires(
    server: ArchiveServer, tmp_path: Path
) -> None:
    modified = 1_782_900_000  # July 2026
    date = "2026-07-01T10:00:00Z"
    (found,) = Run(server, tmp_path, modified + 86_400).find(FENIX, date=date)
    assert found
    assert not found.build
    server.files[f"{PUSH}.linux-x86_64.json"] = push()
    server.reset()
    (found,) = Run(server, tmp_path, modified + 86_400 + 3_000).find(FENIX, date=date)
    assert found
    assert not found.build
    assert server.total == 0
    assert Run(server, tmp_path, modified + 2 * 86_400).build_id(FENIX, date) == "20260701092714"


# The last resort: <name>_info.txt in a candidate's build folder

INFO = b"buildID=20100115144158\n"


@pytest.mark.parametrize(
    ("platform", "name", "infos", "build_id"),
    [
        ("linux-i686", "firefox-3.6.tar.bz2", ["linux"], "linux"),
        ("linux-i686", "firefox-3.6.tar.bz2", ["linux", "linux32", "linux64"], "linux32"),
        ("linux-x86_64", "firefox-3.6.tar.bz2", ["linux64", "linux"], "linux64"),
        ("linux-aarch64", "firefox-3.6.tar.xz", ["linux64_aarch64", "linux64"], "linux64_aarch64"),
        ("linux-aarch64", "firefox-3.6.tar.xz", ["linux64-aarch64", "linux64"], "linux64-aarch64"),
        ("linux-aarch64", "firefox-3.6.tar.xz", ["linux64"], None),
        ("mac", "Firefox 3.6.dmg", ["macosx"], "macosx"),
        ("mac", "Firefox 3.6.dmg", ["macosx", "macosx64"], "macosx64"),
        ("win32", "Firefox Setup 3.6.exe", ["win32", "win64"], "win32"),
        ("win32-EME-free", "Firefox Setup 3.6.exe", ["win32"], "win32"),
        ("win64-aarch64", "Firefox Setup 3.6.exe", ["win64", "win64_aarch64"], "win64_aarch64"),
        ("win64", "Firefox Setup 3.6.exe", ["win32", "linux"], None),
        ("win32-EUballot", "Firefox Setup 3.6.exe", ["win32"], None),
    ],
)
@pytest.mark.parametrize("section", ["releases/3.6", "candidates/3.6-candidates/build2"])
def test_the_info_of_the_platform_is_the_last_resort(
    server: ArchiveServer,
    section: str,
    platform: str,
    name: str,
    infos: list[str],
    build_id: str | None,
) -> None:
    names = ("linux", "linux32", "linux64", "linux64_aarch64", "linux64-aarch64")
    names += ("macosx", "macosx64", "win32")
    ids = {name: f"2010011514415{number}" for number, name in enumerate(names)}
    ids |= {"win64": "20100115144159", "win64_aarch64": "20100115144158"}
    for info in infos:
        server.files[f"{CANDIDATES}/3.6-candidates/build2/{info}_info.txt"] = File(
            body=f"buildID={ids[info]}".encode()
        )
    server.files[f"{CANDIDATES}/3.6-candidates/build1/win64_info.txt"] = File(body=INFO)
    (found,) = Run(server).find(f"pub/firefox/{section}/{platform}/fr/{name}")
    assert (found and found.build["id"]) == (ids[build_id] if build_id else None)
    if found:
        assert found.source == {"product": "firefox"}
        assert found.build["number"] == 2


def test_the_info_counts_only_where_other_metadata_is_absent(server: ArchiveServer) -> None:
    folder = f"{CANDIDATES}/64.0-candidates/build1"
    key = f"{folder}/mac/fr/Firefox 64.0.dmg"
    server.files[f"{folder}/macosx64_info.txt"] = File(body=INFO)
    assert Run(server).build_id(key) == "20100115144158"
    for name in ("buildhub.json", "firefox-64.0.json"):
        server.files[f"{folder}/mac/en-US/{name}"] = File(body=HTML)
        with pytest.raises(Unreachable, match="the content is not metadata"):
            Run(server).build_id(key)
    server.files[f"{folder}/mac/en-US/buildhub.json"] = File(body=b'{"build": {"id": "20181205"}}')
    assert Run(server).build_id(key) == "20181205"


def test_a_funnelcake_does_not_take_the_info_of_the_plain_build(server: ArchiveServer) -> None:
    folder = f"{CANDIDATES}/49.0.1-candidates/build3"
    server.files[f"{folder}/win32_info.txt"] = File(body=INFO)
    key = f"{folder}/funnelcake90/win32/en-US/Firefox Setup 49.0.1.exe"
    assert Run(server).build_id(key) is None


def test_an_info_is_replaced_by_a_late_json_when_it_expires(
    server: ArchiveServer, tmp_path: Path
) -> None:
    folder = f"{CANDIDATES}/54.0-candidates/build1"
    key = f"{folder}/mac/fr/Firefox 54.0.dmg"
    server.files[f"{folder}/macosx_info.txt"] = File(body=INFO)
    modified = 1_497_355_200  # DATE
    day = 86_400
    assert Run(server, tmp_path, modified + day).build_id(key) == "20100115144158"
    server.files |= candidate_tree("firefox", "54.0", 1)
    server.reset()
    assert Run(server, tmp_path, modified + day + 3_000).build_id(key) == "20100115144158"
    assert server.total == 0
    assert Run(server, tmp_path, modified + day + 4_000).build_id(key) == candidate_buildid(
        1, "mac"
    )
