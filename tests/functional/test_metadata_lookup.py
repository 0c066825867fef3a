"""Where metadata is found: a test for each kind of build and each trap, on a real server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from buildhub.errors import Unreachable
from tests.support.archive_files import File
from tests.support.archive_server import ArchiveServer
from tests.support.archive_tree import candidate_buildid, candidate_tree, nightly_tree, release_tree
from tests.support.locales import LOCALES
from tests.support.metadata_lookup import Run

pytestmark = pytest.mark.functional

CANDIDATES = "pub/firefox/candidates"
HTML = b"<html><body>Service Unavailable</body></html>"


@pytest.fixture(params=["2018", "today"])
def style(request: pytest.FixtureRequest) -> Literal["2018", "today"]:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def server(style: Literal["2018", "today"]) -> Iterator[ArchiveServer]:
    """The archive, with the lister of 2018 and that of today."""
    with ArchiveServer({}, style=style) as server:
        yield server


NIGHTLY = "pub/firefox/nightly/2017/08/2017-08-08-10-00-25-mozilla-central"
ESR68 = "pub/mobile/nightly/2019/07/2019-07-13-09-37-05-mozilla-esr68-android-api-16"
MOBILE = "pub/mobile/nightly/2017/08/2017-08-08-10-00-25-mozilla-central-android-api-15"
OLD = "pub/firefox/nightly/2010/07/2010-07-05-04-mozilla-central"


@pytest.mark.parametrize(
    ("key", "beside"),
    [
        (f"{NIGHTLY}/firefox-57.0a1.en-US.win64.installer.exe", "firefox-57.0a1.en-US.win64"),
        (f"{NIGHTLY}/firefox-57.0a1.en-US.mac.dmg", "firefox-57.0a1.en-US.mac"),
        (f"{NIGHTLY}-l10n/firefox-57.0a1.ja-JP-mac.mac.dmg", "firefox-57.0a1.en-US.mac"),
        (
            f"{NIGHTLY}-l10n/firefox-57.0a1.fr.linux-x86_64.tar.bz2",
            "firefox-57.0a1.en-US.linux-x86_64",
        ),
        (f"{MOBILE}/fennec-57.0a1.multi.android-arm.apk", "fennec-57.0a1.multi.android-arm"),
        (f"{ESR68}-l10n/fennec-68.1a1.de.android-arm.apk", "fennec-68.1a1.multi.android-arm"),
        (f"{MOBILE}-l10n/fennec-57.0a1.de.android-arm.apk", "fennec-57.0a1.multi.android-arm"),
        (
            f"{MOBILE}/en-US/fennec-57.0a1.en-US.android-arm.apk",
            "en-US/fennec-57.0a1.en-US.android-arm",
        ),
        (
            f"{MOBILE}-old-id/fennec-57.0a1.multi.android-arm.apk",
            "fennec-57.0a1.multi.android-arm",
        ),
    ],
)
@pytest.mark.parametrize("ending", [".json", ".buildhub.json", ".txt"])
def test_a_nightlys_metadata_is_beside_the_en_us_file(
    server: ArchiveServer, key: str, beside: str, ending: str
) -> None:
    folder = key.rpartition("/")[0].replace("-l10n", "").removesuffix("/en-US")
    body = {
        ".json": b'{"buildid": "20170808100025"}',
        ".buildhub.json": b'{"build": {"id": "20170808100025"}}',
        ".txt": b"20170808100025\nhttps://hg.mozilla.org/mozilla-central/rev/abc\n",
    }[ending]
    server.files[f"{folder}/{beside}{ending}"] = File(body=body)
    (found,) = Run(server).find(key)
    assert found
    assert found.build == {"id": "20170808100025", "date": "2017-08-08T10:00:25Z"}


def test_json_takes_precedence_over_buildhub_json_and_that_over_txt(server: ArchiveServer) -> None:
    key = f"{NIGHTLY}/firefox-57.0a1.en-US.win64.installer.exe"
    stem = key.removesuffix(".installer.exe")
    server.files[f"{stem}.json"] = File(body=b'{"buildid": "20170808100003"}')
    server.files[f"{stem}.buildhub.json"] = File(body=b'{"build": {"id": "20170808100002"}}')
    server.files[f"{stem}.txt"] = File(body=b"20170808100001 abc")
    assert Run(server).build_id(key) == "20170808100003"
    server.files[f"{stem}.json"] = File(body=HTML)
    assert Run(server).build_id(key) == "20170808100002"
    server.files[f"{stem}.buildhub.json"] = File(body=b"[1]", content_type="binary/octet-stream")
    assert Run(server).build_id(key) == "20170808100001"


def test_a_candidates_metadata_is_in_the_en_us_folder_of_its_platform(
    server: ArchiveServer,
) -> None:
    server.files |= candidate_tree("firefox", "54.0", 3)
    build = f"{CANDIDATES}/54.0-candidates/build3"
    found = Run(server).find(
        f"{build}/win64/fr/Firefox Setup 54.0.exe", f"{build}/mac/ja/Firefox 54.0.dmg"
    )
    assert [f and f.build["id"] for f in found] == [
        candidate_buildid(3, "win64"),
        candidate_buildid(3, "mac"),
    ]
    assert found[0]
    assert found[0].build["number"] == 3


def test_a_releases_is_that_of_its_candidates(server: ArchiveServer) -> None:
    server.files |= release_tree("firefox", "54.0", builds=(1, 2))
    found = Run(server).find("pub/firefox/releases/54.0/win64/fr/Firefox Setup 54.0.exe")
    assert found[0]
    assert found[0].build["id"] == candidate_buildid(2, "win64")
    assert found[0].build["number"] == 2


@pytest.mark.parametrize(
    ("product", "version", "platform", "name"),
    [
        ("thunderbird", "52.2.1", "win32", "Thunderbird Setup 52.2.1.exe"),
        ("devedition", "55.0b3", "mac", "Firefox 55.0b3.dmg"),
        ("firefox", "45.6.0esr", "linux-i686", "firefox-45.6.0esr.tar.bz2"),
        ("firefox", "136.0", "linux-x86_64", "firefox-136.0.tar.xz"),
        ("firefox", "57.0.2-funnelcake137", "win32", "Firefox Setup 57.0.2.exe"),
    ],
)
@pytest.mark.parametrize("kind", ["json", "buildhub"])
def test_products_and_channels(
    server: ArchiveServer, product: str, version: str, platform: str, name: str, kind: str
) -> None:
    server.files |= release_tree(
        product, version, builds=(1,), platforms=(platform,), metadata=(kind, "neighbours")
    )
    key = f"pub/{product}/releases/{version}/{platform}/fr/{name}"
    assert Run(server).build_id(key) == candidate_buildid(1, platform)


@pytest.mark.parametrize("section", ["releases/56.0b3", "candidates/56.0b3-candidates/build1"])
@pytest.mark.parametrize("locale", ["multi", "en-US", "fr"])
def test_mobiles_lies_beside_the_en_us_apk(
    server: ArchiveServer, section: str, locale: str
) -> None:
    server.files |= release_tree(
        "mobile", "56.0b3", builds=(1,), platforms=("android-api-15", "android-x86")
    )
    for platform, package in [("android-api-15", "android-arm"), ("android-x86", "android-i386")]:
        key = f"pub/mobile/{section}/{platform}/{locale}/fennec-56.0b3.{locale}.{package}.apk"
        assert Run(server).build_id(key) == candidate_buildid(1, platform)


@pytest.mark.parametrize(
    ("plain", "repack"),
    [("win32", "win32-EME-free"), ("win32", "win32-sha1"), ("mac", "mac-EME-free")],
)
def test_repacks_have_that_of_their_plain_platform(
    server: ArchiveServer, plain: str, repack: str
) -> None:
    server.files |= release_tree("firefox", "54.0", platforms=(plain, repack))
    name = "Firefox 54.0.dmg" if plain == "mac" else "Firefox Setup 54.0.exe"
    for key in (
        f"pub/firefox/releases/54.0/{repack}/fr/{name}",
        f"{CANDIDATES}/54.0-candidates/build2/{repack}/fr/{name}",
    ):
        assert Run(server).build_id(key) == candidate_buildid(2, plain)


@pytest.mark.parametrize("version", ["57.0.2-funnelcake137", "3.0.16-real", "3.6.4plugin1"])
def test_special_releases_never_take_another_versions(server: ArchiveServer, version: str) -> None:
    plain = version.partition("-")[0].removesuffix("plugin1")
    server.files |= release_tree("firefox", plain, platforms=("win32",))
    key = f"pub/firefox/releases/{version}/win32/en-US/Firefox Setup {plain}.exe"
    assert Run(server).build_id(key) is None


def test_a_funnelcake_candidates_lies_in_its_own_folder(server: ArchiveServer) -> None:
    folder = f"{CANDIDATES}/49.0.1-candidates/build3/funnelcake90/win32/en-US"
    key = f"{folder}/Firefox Setup 49.0.1.exe"
    server.files |= candidate_tree("firefox", "49.0.1", 3, platforms=("win32",))
    assert Run(server).build_id(key) is None
    server.files[f"{folder}/firefox-49.0.1.json"] = File(body=b'{"buildid": "20160922113459"}')
    assert Run(server).find(key)[0].build == {  # type: ignore[union-attr]
        "id": "20160922113459",
        "date": "2016-09-22T11:34:59Z",
        "number": 3,
    }


def test_build_10_is_higher_than_build_9(server: ArchiveServer) -> None:
    server.files |= release_tree(
        "devedition", "59.0b1", builds=(1, 2, 9, 10, 11), platforms=("mac",)
    )
    (found,) = Run(server).find("pub/devedition/releases/59.0b1/mac/fr/Firefox 59.0b1.dmg")
    assert found
    assert found.build["number"] == 11
    assert found.build["id"] == candidate_buildid(11, "mac")


def test_another_versions_json_in_the_folder_is_not_taken(server: ArchiveServer) -> None:
    server.files |= release_tree("firefox", "52.0", builds=(2,), platforms=("win32",))
    folder = f"{CANDIDATES}/52.0-candidates/build2/win32/en-US"
    server.files[f"{folder}/firefox-52.0.1.json"] = File(body=b'{"buildid": "20170316213829"}')
    key = "pub/firefox/releases/52.0/win32/fr/Firefox Setup 52.0.exe"
    assert Run(server).build_id(key) == candidate_buildid(2, "win32")
    del server.files[f"{folder}/firefox-52.0.json"]
    assert Run(server).build_id(key) is None


def test_neighbours_that_end_in_json_are_no_metadata(server: ArchiveServer) -> None:
    server.files |= release_tree("firefox", "54.0", platforms=("mac",), metadata=("neighbours",))
    assert Run(server).build_id("pub/firefox/releases/54.0/mac/fr/Firefox 54.0.dmg") is None


@pytest.mark.parametrize("content_type", ["application/octet-stream", "text/plain", "text/html"])
def test_metadata_counts_whatever_its_content_type(
    server: ArchiveServer, content_type: str
) -> None:
    server.files |= release_tree("firefox", "54.0", builds=(1,), platforms=("mac",))
    name = f"{CANDIDATES}/54.0-candidates/build1/mac/en-US/firefox-54.0.json"
    server.files[name] = File(body=server.files[name].body, content_type=content_type)
    key = "pub/firefox/releases/54.0/mac/fr/Firefox 54.0.dmg"
    assert Run(server).build_id(key) == candidate_buildid(1, "mac")


@pytest.mark.parametrize("body", [HTML, b'["no", "object"]', b'{"buildid": ""}', b""])
def test_buildhub_json_is_used_if_the_json_is_an_error_page(
    server: ArchiveServer, body: bytes
) -> None:
    server.files |= release_tree(
        "firefox", "64.0", builds=(1,), platforms=("mac",), metadata=("json", "buildhub")
    )
    folder = f"{CANDIDATES}/64.0-candidates/build1/mac/en-US/"
    key = "pub/firefox/releases/64.0/mac/fr/Firefox 64.0.dmg"
    server.files[f"{folder}firefox-64.0.json"] = File(body=body)
    assert Run(server).build_id(key) == candidate_buildid(1, "mac")


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


def test_no_candidates_folder_is_no_metadata(server: ArchiveServer) -> None:
    server.files |= release_tree("firefox", "54.0", builds=(), platforms=("mac",))
    assert Run(server).build_id("pub/firefox/releases/54.0/mac/fr/Firefox 54.0.dmg") is None


def test_a_candidates_folder_without_builds_is_no_metadata(server: ArchiveServer) -> None:
    server.files[f"{CANDIDATES}/54.0-candidates/beta-channel-switch/mar.txt"] = File(body=b"")
    assert Run(server).build_id("pub/firefox/releases/54.0/mac/fr/Firefox 54.0.dmg") is None


def test_a_lower_build_is_not_taken_for_a_platform_that_the_highest_lacks(
    server: ArchiveServer,
) -> None:
    server.files |= release_tree("firefox", "54.0", builds=(1,), platforms=("mac", "win64"))
    server.files |= candidate_tree("firefox", "54.0", 2, platforms=("win64",))
    run = Run(server)
    assert run.build_id("pub/firefox/releases/54.0/mac/fr/Firefox 54.0.dmg") is None
    key = "pub/firefox/releases/54.0/win64/fr/Firefox Setup 54.0.exe"
    assert run.build_id(key) == candidate_buildid(2, "win64")


def test_a_flat_release_without_candidates_has_none(server: ArchiveServer) -> None:
    key = "pub/firefox/releases/1.0rc1/firefox-1.0rc1.ca-AD.linux-i686.installer.tar.gz"
    assert Run(server).build_id(key) is None


def test_twelve_figures_of_a_build_id_are_minutes(server: ArchiveServer) -> None:
    key = f"{OLD}/firefox-4.0b2pre.en-US.linux-i686.tar.bz2"
    stem = key.removesuffix(".tar.bz2")
    server.files[f"{stem}.txt"] = File(body=b"201007050432 94c5f6c0b5e1")
    (found,) = Run(server).find(key)
    assert found
    assert found.build["date"] == "2010-07-05T04:32:00Z"


PLATFORMS = ("linux-i686", "linux-x86_64", "mac", "win32", "win64")


def keys_of_a_release(server: ArchiveServer, version: str = "54.0") -> list[str]:
    server.files |= release_tree("firefox", version, platforms=PLATFORMS, locales=LOCALES)
    return [k for k in server.files if k.startswith("pub/firefox/releases/")]


def test_ninety_locales_of_five_platforms_cost_seven_requests(
    server: ArchiveServer, tmp_path: Path
) -> None:
    keys = keys_of_a_release(server)
    assert len(keys) == 450
    assert all(Run(server, tmp_path).find(*keys))
    assert max(server.requests.values()) == 1
    folder = f"{CANDIDATES}/54.0-candidates/"
    listings = {path for _, path in server.requests if path.endswith("/")}
    assert listings == {folder, f"{folder}build3/"}  # the second is not there
    assert server.total == len(listings) + len(PLATFORMS)


def test_metadata_that_has_expired_costs_two_requests_a_platform(server: ArchiveServer) -> None:
    """After a year only ``buildhub.json`` is left of a candidate."""
    server.files |= release_tree("firefox", "64.0", platforms=PLATFORMS, metadata=("buildhub",))
    assert all(Run(server).find(*(k for k in server.files if k.startswith("pub/firefox/releases"))))
    assert max(server.requests.values()) == 1
    assert server.total == 2 + 2 * len(PLATFORMS)


def test_a_second_run_asks_nothing_of_a_settled_version(
    server: ArchiveServer, tmp_path: Path
) -> None:
    keys = keys_of_a_release(server)
    first = Run(server, tmp_path).find(*keys)
    server.reset()
    assert Run(server, tmp_path).find(*keys) == first
    assert server.total == 0


def test_a_recent_version_is_listed_once_per_run_and_a_new_build_is_found(
    server: ArchiveServer, tmp_path: Path
) -> None:
    keys = keys_of_a_release(server)
    recently = 1_497_355_200 + 10 * 86_400  # ten days after DATE
    Run(server, tmp_path, recently).find(*keys)
    server.reset()
    Run(server, tmp_path, recently + 60).find(*keys)
    folder = f"{CANDIDATES}/54.0-candidates/"
    assert server.requests == {("GET", folder): 1, ("GET", f"{folder}build3/"): 1}
    server.files |= candidate_tree("firefox", "54.0", 3, platforms=PLATFORMS)
    (found,) = Run(server, tmp_path, recently + 120).find(keys[0])
    assert found
    assert found.build["number"] == 3


@pytest.mark.parametrize(
    ("age", "later", "asked"),
    [
        (1 * 86_400, 3_000, False),
        (1 * 86_400, 4_000, True),
        (8 * 86_400, 4_000, False),
        (200 * 86_400, 29 * 86_400, False),
        (200 * 86_400, 31 * 86_400, True),
    ],
    ids=str,
)
def test_an_absence_is_cached_for_an_hour_for_a_recent_build_and_for_30_days_otherwise(
    server: ArchiveServer, tmp_path: Path, age: int, later: int, asked: bool
) -> None:
    keys = (
        f"{NIGHTLY}/firefox-57.0a1.en-US.win64.installer.exe",
        "pub/firefox/releases/54.0/mac/fr/Firefox 54.0.dmg",
    )
    modified = 1_497_355_200  # DATE
    assert Run(server, tmp_path, modified + age).find(*keys) == [None, None]
    server.files |= nightly_tree("firefox", "57.0a1") | release_tree("firefox", "54.0")
    found = Run(server, tmp_path, modified + age + later).find(*keys)
    assert [bool(f) for f in found] == [asked, asked]


def test_a_lambda_ignores_a_cached_absence(server: ArchiveServer, tmp_path: Path) -> None:
    key = f"{NIGHTLY}/firefox-57.0a1.en-US.win64.installer.exe"
    run = Run(server, tmp_path, keep_absent=False)
    assert run.build_id(key) is None
    server.files |= nightly_tree("firefox", "57.0a1")
    run.now += 1
    assert run.build_id(key)


def test_caches_of_two_archives_do_not_mix(server: ArchiveServer, tmp_path: Path) -> None:
    keys = keys_of_a_release(server)
    Run(server, tmp_path).find(*keys)
    with ArchiveServer({}) as other:
        assert Run(other, tmp_path).find(*keys) == [None] * len(keys)


def test_a_damaged_cache_is_set_aside(
    server: ArchiveServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keys = keys_of_a_release(server)
    Run(server, tmp_path).find(*keys)
    (file,) = tmp_path.glob("*.sqlite3")
    file.write_bytes(b"this is no database, however you look at it" * 100)
    assert all(Run(server, tmp_path).find(*keys))
    assert "set aside" in caplog.text
    assert list(tmp_path.glob("*.damaged-*"))


def test_an_unreachable_archive_is_not_taken_for_an_absence(
    server: ArchiveServer, tmp_path: Path
) -> None:
    server.files |= nightly_tree("firefox", "57.0a1")
    key = f"{NIGHTLY}/firefox-57.0a1.en-US.win64.installer.exe"
    server.fail(key.replace(".installer.exe", ".json"), 503, 503)
    with pytest.raises(
        Unreachable, match=r"firefox-57.0a1.en-US.win64.json: HTTP 503 \(2 attempts"
    ):
        Run(server, tmp_path).find(key)
    assert Run(server, tmp_path).build_id(key)


def test_an_archive_that_has_every_build_folder_is_not_searched_for_ever(
    server: ArchiveServer, tmp_path: Path
) -> None:
    """Its front page answers for whatever is asked for. Nothing is remembered."""
    server.files |= release_tree("firefox", "54.0", builds=(1, 2), platforms=("win64",))
    server.every_build_folder = True
    key = "pub/firefox/releases/54.0/win64/fr/Firefox Setup 54.0.exe"
    with pytest.raises(Unreachable, match=r"54\.0-candidates/: .*no listing shows"):
        Run(server, tmp_path).find(key)
    assert server.total < 30
    server.every_build_folder = False
    (found,) = Run(server, tmp_path).find(key)
    assert found
    assert found.build["number"] == 2
