"""Requests of a lookup are counted, and so are those that the cache spares."""

from __future__ import annotations

from pathlib import Path

import pytest

from buildhub.errors import Unreachable
from tests.support.archive_server import ArchiveServer
from tests.support.archive_tree import candidate_tree, nightly_tree, release_tree
from tests.support.locales import LOCALES
from tests.support.metadata_lookup import Run

pytestmark = pytest.mark.functional

CANDIDATES = "pub/firefox/candidates"
NIGHTLY = "pub/firefox/nightly/2017/08/2017-08-08-10-00-25-mozilla-central"
HTML = b"<html><body>Service Unavailable</body></html>"
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
