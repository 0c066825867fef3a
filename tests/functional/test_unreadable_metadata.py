"""A metadata file that is there but can't be read: never "no metadata", never remembered."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from buildhub.archive.cache import CACHE_FILE, LookupCache
from buildhub.archive.client import Unreadable
from buildhub.errors import Unreachable
from tests.support.archive_files import File
from tests.support.archive_server import ArchiveServer
from tests.support.archive_tree import candidate_buildid, candidate_tree, nightly_tree, release_tree
from tests.support.metadata_lookup import Run

pytestmark = pytest.mark.functional

NIGHTLY = "pub/firefox/nightly/2017/08/2017-08-08-10-00-25-mozilla-central"
KEY = f"{NIGHTLY}/firefox-57.0a1.en-US.win64.installer.exe"
STEM = KEY.removesuffix(".installer.exe")
RELEASE = "pub/firefox/releases/64.0/mac/fr/Firefox 64.0.dmg"
CANDIDATES = "pub/firefox/candidates/64.0-candidates/"
EN_US = f"{CANDIDATES}build1/mac/en-US/"

#: The metadata of mobile is named after the platform of the file beside it, which may be another.
MOBILE = "pub/mobile/candidates/56.0b3-candidates/build1/android-api-15/en-US/"
APK = f"{MOBILE.replace('en-US', 'fr')}fennec-56.0b3.fr.android-arm.apk"


@pytest.fixture
def server() -> Iterator[ArchiveServer]:
    files = release_tree(
        "firefox", "64.0", builds=(1,), platforms=("mac",), metadata=("json", "buildhub")
    )
    with ArchiveServer(nightly_tree("firefox", "57.0a1") | files) as server:
        for ending in (".buildhub.json", ".txt"):
            server.files.pop(STEM + ending, None)
        tree = candidate_tree("mobile", "56.0b3", 1, platforms=("android-api-15",))
        json_file = tree.pop(f"{MOBILE}fennec-56.0b3.en-US.android-arm.json")
        server.files |= tree | {f"{MOBILE}fennec-56.0b3.en-US.android-other.json": json_file}
        yield server


def without(body: bytes | None, **changes: object) -> bytes:
    """A metadata file with other values."""
    assert body
    return json.dumps({**json.loads(body), **changes}).encode()


UNREADABLE = {
    "empty": lambda body: b"",
    "login page": lambda body: b"<!DOCTYPE html><html><body>Please log in</body></html>",
    "cut in the middle": lambda body: body[: len(body) // 2],
    "an array": lambda body: b"[1, 2]",
    "text": lambda body: b"Service Unavailable",
    "deep": lambda body: b'{"a":' * 100_000,
    "another app": lambda body: without(body, moz_app_name="thunderbird"),
    "another system": lambda body: without(body, moz_pkg_platform="mac"),
}


@pytest.mark.parametrize("spoiled", UNREADABLE.values(), ids=UNREADABLE)
def test_an_unreadable_file_is_requested_again_like_a_503(
    server: ArchiveServer, tmp_path: Path, spoiled: object
) -> None:
    """If no attempt helps, the build fails, and nothing is remembered."""
    good = server.files[f"{STEM}.json"].body
    bad = spoiled(good)  # type: ignore[operator]
    server.files[f"{STEM}.json"] = File(body=bad)
    with pytest.raises(Unreadable, match=rf"{STEM}\.json: .* \(2 attempts\)"):
        Run(server, tmp_path).find(KEY)
    server.files[f"{STEM}.json"] = File(body=good)
    assert Run(server, tmp_path).build_id(KEY)


@pytest.mark.parametrize("kind", ["json", "buildhub"])
def test_a_nightly_s_metadata_may_name_another_version(server: ArchiveServer, kind: str) -> None:
    """On the day of a merge it differs from the file's name, which is the record's."""
    server.files = nightly_tree("firefox", "57.0a1", metadata=(kind,))
    for key, file in server.files.items():
        if file.body and key.endswith(".json"):
            server.files[key] = File(body=file.body.replace(b'"57.0a1"', b'"58.0a1"'))
            assert b'"58.0a1"' in server.files[key].body
    assert Run(server).build_id(KEY)


def test_an_error_page_once_does_no_harm(server: ArchiveServer) -> None:
    server.fail(f"{STEM}.json", "html")
    assert Run(server).build_id(KEY)


def test_the_next_source_helps_but_is_not_remembered(server: ArchiveServer, tmp_path: Path) -> None:
    """``.json`` knows more than ``buildhub.json``: once it can be read again, it counts."""
    name = f"{EN_US}firefox-64.0.json"
    good = server.files[name]
    server.files[name] = File(body=b"<html>")
    (found,) = Run(server, tmp_path).find(RELEASE)
    assert found
    assert found.build["id"] == candidate_buildid(1, "mac")
    server.files[name] = good
    (found,) = Run(server, tmp_path).find(RELEASE)
    assert found
    assert "ld" in found.build


def test_no_metadata_is_what_a_404_says(server: ArchiveServer, tmp_path: Path) -> None:
    del server.files[f"{STEM}.json"]
    assert Run(server, tmp_path).build_id(KEY) is None


@pytest.mark.parametrize(
    ("folder", "key", "times"),
    [
        (CANDIDATES, RELEASE, 2),
        pytest.param(CANDIDATES, RELEASE, 1, marks=pytest.mark.slow),
        pytest.param(MOBILE, APK, 1, marks=pytest.mark.slow),
        pytest.param(MOBILE, APK, 2, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize(
    "listing",
    [
        b"",
        b"<html>",
        b'{"prefixes": ["build1/"], "files": [{"na',
        b'{"prefixes": ["build1/"]}',
        b'{"prefixes": null, "files": []}',
        b'{"prefixes": [null], "files": []}',
        b'{"prefixes": [], "files": [{"name": null, "last_modified": "2017-03-07T12:07:51Z"}]}',
        b'{"prefixes": ["\\ud800/"], "files": [7]}',
        b"[" * 100_000,
        b"7",
    ],
    ids=lambda listing: repr(listing[:40]),
)
def test_a_bad_listing_is_asked_for_again_and_never_means_none(
    server: ArchiveServer, tmp_path: Path, folder: str, key: str, listing: bytes, times: int
) -> None:
    server.answer(folder, *[listing] * times)
    if times == 1:
        assert Run(server, tmp_path).build_id(key)
    else:
        with pytest.raises(Unreachable, match=folder):
            Run(server, tmp_path).find(key)
    assert Run(server, tmp_path).build_id(key)


def half(*names: str) -> bytes:
    """A listing that is valid, but lacks entries."""
    return json.dumps({"prefixes": [f"{name}/" for name in names], "files": []}).encode()


@pytest.mark.parametrize("shown", [[], ["mar-tools"], ["build1"], ["build2"]])
@pytest.mark.parametrize("builds", [(1,), (1, 2), (2, 3), (1, 2, 3)])
def test_what_half_a_listing_of_builds_showed_is_not_kept(
    server: ArchiveServer, tmp_path: Path, shown: list[str], builds: tuple[int, ...]
) -> None:
    """There has to be no folder behind the highest one, in either of two listings."""
    server.files |= release_tree("firefox", "64.0", builds=builds, platforms=("mac",))
    server.answer(CANDIDATES, half(*{f"build{number}" for number in builds} & {*shown}))
    server.answer(f"{CANDIDATES}build{builds[-1]}/", half())
    for _ in range(2):
        (found,) = Run(server, tmp_path).find(RELEASE)
        assert found
        assert found.build["number"] == builds[-1]


@pytest.mark.parametrize("metadata", [("json",), ("buildhub",), ("json", "buildhub"), ()])
def test_half_a_listing_of_files_hides_nothing(
    server: ArchiveServer, tmp_path: Path, metadata: tuple[str, ...]
) -> None:
    """Metadata is requested by name; what is less trusted does not take its place for good."""
    for name in ("firefox-64.0.json", "buildhub.json"):
        del server.files[EN_US + name]
    server.files |= release_tree(
        "firefox", "64.0", builds=(1,), platforms=("mac",), metadata=metadata
    )
    server.files[f"{CANDIDATES}build1/macosx64_info.txt"] = File(body=b"buildID=20181205000000")
    (truth,) = Run(server).find(RELEASE)
    for folder in (EN_US, f"{CANDIDATES}build1/"):
        server.answer(folder, half())
    assert Run(server, tmp_path).find(RELEASE) == [truth]


@pytest.mark.parametrize("times", [1, 2])
def test_a_nightly_of_another_day_is_only_taken_if_it_is_sent_again(
    server: ArchiveServer, tmp_path: Path, times: int
) -> None:
    """The response to another request is not; a file whose build id is another day's is."""
    other = without(server.files[f"{STEM}.json"].body, buildid="20170809220042")
    server.answer(f"{STEM}.json", *[other] * times)
    if times == 1:
        with pytest.raises(Unreadable, match="two requests for it were answered differently"):
            Run(server, tmp_path).find(KEY)
        assert Run(server, tmp_path).build_id(KEY) == "20170808100025"
    else:
        assert Run(server, tmp_path).build_id(KEY) == "20170809220042"


def test_a_listing_in_the_place_of_a_file_is_unreadable(server: ArchiveServer) -> None:
    """A server that sends a response too many lets it answer the next request."""
    server.answer(f"{EN_US}firefox-64.0.json", half("build1"))
    (found,) = Run(server).find(RELEASE)
    assert found
    assert "ld" in found.build


@pytest.mark.parametrize("date", [None, 7, "yesterday", {}, "\ud800"])
def test_what_can_be_used_of_a_listing_is_used(server: ArchiveServer, date: object) -> None:
    name = "fennec-56.0b3.en-US.android-other.json"
    files: list[object] = [{"name": name, "last_modified": date}, {"name": None}, 7]
    listing = json.dumps({"prefixes": [], "files": files}).encode()
    server.answer(MOBILE, listing, listing)
    assert Run(server).build_id(APK)


def test_a_build_folder_of_thousands_of_digits_is_not_one(server: ArchiveServer) -> None:
    prefixes = ["build1/", f"build{'9' * 5000}/"]
    listing = json.dumps({"prefixes": prefixes, "files": []}).encode()
    server.answer(CANDIDATES, *[listing] * 3)
    assert Run(server).build_id(RELEASE)


def test_a_row_in_build3_proves_that_there_is_a_build_3(
    server: ArchiveServer, tmp_path: Path
) -> None:
    """The listing of the version lags behind, or half of it is missing."""
    server.files |= release_tree("firefox", "64.0", builds=(1, 3), platforms=("mac",))
    listing = b'{"prefixes": ["build1/"], "files": []}'
    server.answer(CANDIDATES, *[listing] * 4)
    seen = f"{CANDIDATES}build3/mac/fr/Firefox 64.0.dmg"
    for _ in range(2):
        _, release = Run(server, tmp_path, now=1_500_000_000).find(seen, RELEASE)
        assert release
        assert release.build["number"] == 3


def test_a_row_also_corrects_what_was_remembered(server: ArchiveServer, tmp_path: Path) -> None:
    assert Run(server, tmp_path).find(RELEASE)[0].build["number"] == 1  # type: ignore[union-attr]
    server.files |= release_tree("firefox", "64.0", builds=(1, 3), platforms=("mac",))
    _, release = Run(server, tmp_path).find(f"{CANDIDATES}build3/mac/fr/Firefox 64.0.dmg", RELEASE)
    assert release
    assert release.build["number"] == 3


def test_an_answer_cached_in_the_future_is_ignored(server: ArchiveServer, tmp_path: Path) -> None:
    """The clock was in 2036 for an hour: "no metadata" would be believed for ten years."""
    good = server.files.pop(f"{STEM}.json")
    in_2036 = 2_100_000_000
    assert Run(server, tmp_path, in_2036).build_id(KEY) is None
    server.files[f"{STEM}.json"] = good
    assert Run(server, tmp_path, in_2036 - 10 * 365 * 86_400).build_id(KEY)


@pytest.mark.parametrize("keep_absent", [True, False])
def test_a_highest_build_cached_in_the_future_is_ignored(
    server: ArchiveServer, tmp_path: Path, keep_absent: bool
) -> None:
    Run(server, tmp_path, 2_100_000_000).find(RELEASE)
    server.files |= release_tree("firefox", "64.0", builds=(1, 2), platforms=("mac",))
    (found,) = Run(server, tmp_path, keep_absent=keep_absent).find(RELEASE)
    assert found
    assert found.build["number"] == 2


ODD = [
    (b"not JSON", "2017-03-07T12:07:51Z", 1.0),
    (None, "2017-03-07T12:07:51Z", 1.0),
    (b"[1]", "2017-03-07T12:07:51Z", 1.0),
    (b"[1, 2, 3]", "2017-03-07T12:07:51Z", 1.0),
    (b"[{}, {}, null]", "2017-03-07T12:07:51Z", 1.0),
    (b'"text"', "2017-03-07T12:07:51Z", 1.0),
    (b"7", "2017-03-07T12:07:51Z", 1.0),
    (b"null", 7, 1.0),
    (b"null", "2017-03-07T12:07:51Z", "soon"),
    (b"null", "2017-03-07T12:07:51Z", float("inf")),
    (b"true", "whenever", -1e308),
]


@pytest.mark.parametrize("row", ODD, ids=repr)
def test_odd_values_in_a_valid_table_are_ignored(
    server: ArchiveServer, tmp_path: Path, row: tuple[object, object, object]
) -> None:
    cache = LookupCache(tmp_path, server.url)
    database = cache._database
    assert database
    for place in (STEM, CANDIDATES, f"{EN_US}64.0"):
        database.execute(
            "INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?)", (server.url + place, *row)
        )
    cache.close()
    assert all(Run(server, tmp_path).find(KEY, RELEASE)) or row[0] == b"7"
    assert (tmp_path / CACHE_FILE).exists()
