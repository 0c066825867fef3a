"""The hostile servers themselves: their faults follow from the seed, and are what they say."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from buildhub.inventory.gcs import Bucket
from buildhub.inventory.listing import BucketListing
from buildhub.inventory.selection import Selection
from buildhub.kinto.client import Client
from tests.chaos import account
from tests.support.archive_files import File
from tests.support.archive_server import ArchiveServer
from tests.support.bucket_tree import Tree
from tests.support.bucket_tree import rows as bucket_rows
from tests.support.gcs_server import GcsServer
from tests.support.hostile.faults import ENDLESS, archive_faults, gcs_faults
from tests.support.hostile.kinto_faults import kinto_faults
from tests.support.hostile.proxy import HostileProxy
from tests.support.kinto_server import Kinto

BODY = json.dumps({"buildid": "20170608105825"}).encode()
FAULTS = {fault.name: fault for fault in archive_faults("http://127.0.0.1:9")}


@pytest.fixture(scope="module")
def archive() -> Iterator[ArchiveServer]:
    with ArchiveServer({f"pub/{number}.json": File(body=BODY) for number in range(40)}) as server:
        yield server


def get(url: str, path: str) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body; raises what the connection raises."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=1)
    with contextlib.closing(connection):
        connection.request("GET", path, headers={"Accept": "application/json"})
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read()


def answered(archive: ArchiveServer, fault: str, path: str = "/pub/1.json") -> tuple:
    with HostileProxy(archive.url, [FAULTS[fault]], seed=1, rate=1) as proxy:
        return get(proxy.url, path)


@pytest.mark.parametrize("order", [1, -1])
def test_the_same_seed_breaks_the_same_requests_in_any_order(
    archive: ArchiveServer, order: int
) -> None:
    broken = []
    chosen = [FAULTS[name] for name in ("500", "502", "empty body")]
    for numbers in (range(40), range(40)[::order]):
        with HostileProxy(archive.url, chosen, seed=7, rate=0.2) as proxy:
            for number in numbers:
                get(proxy.url, f"/pub/{number}.json")
            broken.append(sorted(line.split(" ", 1)[1] for line in proxy.log))
    assert broken[0] == broken[1]
    assert 0 < len(broken[0]) < 40


def test_without_faults_everything_passes(archive: ArchiveServer) -> None:
    with HostileProxy(archive.url, list(FAULTS.values()), seed=1, rate=0) as proxy:
        assert get(proxy.url, "/pub/1.json")[2] == BODY
        assert get(proxy.url, "/pub/x.json")[0] == 404
        assert not proxy.injected


@pytest.mark.parametrize(
    ("fault", "status", "body"),
    [
        ("500", 500, b"<h1>"),
        ("502", 502, b"<h1>"),
        ("429, Retry-After in seconds", 429, b"<h1>"),
        ("cut, honest length", 200, BODY[: len(BODY) // 2]),
        ("empty body", 200, b""),
        ("login page", 200, b"<!DOCTYPE"),
        ("wrong content type", 200, b"\x89PNG"),
        ("redirect elsewhere", 307, b""),
        ("redirect in a loop", 302, b""),
        ("response sent twice", 200, BODY),
    ],
)
def test_what_is_answered(archive: ArchiveServer, fault: str, status: int, body: bytes) -> None:
    answer = answered(archive, fault)
    assert (answer[0], answer[2][: len(body)]) == (status, body)
    assert body or not answer[2]


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("connection refused", ConnectionResetError),
        ("reset before the response", ConnectionResetError),
        ("reset in the body", ConnectionResetError),
        ("no response", TimeoutError),
        ("stalled in the body", TimeoutError),
        ("cut", http.client.IncompleteRead),
    ],
)
def test_how_connections_break(archive: ArchiveServer, fault: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        answered(archive, fault)


def test_build_folders_that_every_request_finds_end_with_the_faults(archive: ArchiveServer) -> None:
    """Not with the next request for something in such a folder, nor after them."""
    build = "/pub/firefox/candidates/1.0-candidates/build"
    with HostileProxy(archive.url, [FAULTS["every build folder"]], seed=1, rate=1) as proxy:
        assert get(proxy.url, f"{build}1/")[0] == 200
        assert get(proxy.url, f"{build}2/win32/1.json")[0] == 404
        assert get(proxy.url, f"{build}1/")[0] == 200
        proxy.calm()
        assert get(proxy.url, f"{build}2/")[0] == 404


def test_half_a_listing_is_valid(archive: ArchiveServer) -> None:
    status, _, body = answered(archive, "half a listing", "/pub/")
    assert status == 200
    assert 0 < len(json.loads(body)["files"]) < 40


def listed(bucket: GcsServer) -> tuple[bytes, list[str]]:
    """The rows that a client gets past endless pages, and the requests that it needs."""

    async def listing(url: str) -> bytes:
        async with Bucket(bucket.bucket, host=url) as client:
            listing = BucketListing(client, Selection(["firefox"]), jobs=1, on_error=pytest.fail)
            return b"".join([block async for block in listing.blocks()])

    faults = [fault for fault in gcs_faults("http://127.0.0.1:9") if fault.name == "endless pages"]
    with HostileProxy(bucket.url, faults, seed=3, rate=0.5) as proxy:
        rows = asyncio.run(listing(proxy.url))
        assert proxy.injected["endless pages"]
        return rows, [seen.path for seen in proxy.seen]


def test_endless_pages_of_the_bucket_end_with_what_was_asked_for() -> None:
    with GcsServer(Tree(days=30).objects, page_size=50) as bucket:
        rows, requests = listed(bucket)
        assert (rows, requests) == listed(bucket)
    assert rows.decode().splitlines() == bucket_rows(
        one for one in Tree(days=30).wanted if one.name.startswith("pub/firefox/")
    )
    assert sum("pageToken=endless" in path for path in requests) >= ENDLESS


def test_a_restored_backup_is_of_the_same_owner_and_has_the_dates_of_then(
    strict_kinto: Kinto,
) -> None:
    kinto, client = strict_kinto, Client(strict_kinto.url, "user:pass", "build-hub", "releases")
    paths = [f"{client.records_path}/{name}" for name in "abcdef"]
    for path in (client.bucket_path, client.collection_path, *paths):
        client.request("PUT", path, body={"data": {}})
    before = kinto.records()
    faults = [f for f in kinto_faults("http://127.0.0.1:9") if f.name == "restored backup"]
    with HostileProxy(kinto.url, faults, seed=3, rate=1) as proxy:
        client = Client(proxy.url, "user:pass", "build-hub", "releases")
        client.request("PUT", paths[0], body={"data": {"new": 1}})
    after = kinto.records()
    assert after.pop("a") != before.pop("a")
    assert after.items() < before.items()


def test_faults_have_names_of_their_own() -> None:
    names = [fault.name for fault in kinto_faults("http://127.0.0.1:9")]
    assert len(names) == len(set(names))


RECORDS = "inventory-to-records: 1,100 rows, 65 builds, 40 records, skipped: 18 no metadata"
LOAD = """\
inventory  rows  bad  builds  created  updated  unchanged  refused  failed  unfinished  seconds  \
skipped
firefox      80    1      40       20        3          4        0       1           0      1.2  \
10 no metadata, 2 too old
"""


@pytest.mark.parametrize(
    ("line", "adds_up"),
    [
        (f"{RECORDS}, 7 failed.", True),
        (f"{RECORDS}, 4 bad rows, 6 failed, 1 not finished.", True),
        (f"{RECORDS}.", False),
        (f"{RECORDS}, 6 failed.", False),
        (LOAD, True),
        (LOAD.replace("20", "21"), False),
        ("s3-event-to-kinto: 9 events, 3 handled, 3 ignored, 1 malformed, 2 failed; x", True),
        ("s3-event-to-kinto: 9 events, 3 handled, 3 ignored, 1 malformed, 1 failed; x", False),
    ],
)
def test_accounts_that_do_not_add_up_are_found(line: str, adds_up: bool) -> None:
    assert (not list(account.problems({"command": line}))) == adds_up
