"""Where metadata is found: a test for each kind of build and each trap, on a real server."""

from __future__ import annotations

import pytest

from tests.support.archive_files import File
from tests.support.archive_server import ArchiveServer
from tests.support.archive_tree import candidate_buildid, candidate_tree, release_tree
from tests.support.metadata_lookup import Run

pytestmark = pytest.mark.functional

CANDIDATES = "pub/firefox/candidates"
HTML = b"<html><body>Service Unavailable</body></html>"
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
