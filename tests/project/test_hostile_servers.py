"""The hostile servers themselves: their faults follow from the seed, and are what they say."""

from __future__ import annotations

import contextlib
import http.client
import json
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from tests.chaos import account
from tests.support.archive_files import File
from tests.support.archive_server import ArchiveServer
from tests.support.hostile.faults import archive_faults
from tests.support.hostile.kinto_faults import kinto_faults
from tests.support.hostile.proxy import HostileProxy

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


def test_half_a_listing_is_valid(archive: ArchiveServer) -> None:
    status, _, body = answered(archive, "half a listing", "/pub/")
    assert status == 200
    assert 0 < len(json.loads(body)["files"]) < 40


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
