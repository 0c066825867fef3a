"""``kinto-to-search`` with a real Kinto and a real client: it follows, survives, and ends."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.support.kinto_server import Kinto, running_kinto
from tests.support.ports import free_port
from tests.support.search_records import make

pytestmark = pytest.mark.functional
COMMAND = Path(sys.executable).with_name("kinto-to-search")
OURS = "/v1/buckets/build-hub/collections/releases/search"
BETA = make("firefox", "beta", "57.0b9", 0, "20171016185129", "win64", "en-US")
NIGHTLY = make("firefox", "nightly", "58.0a1", 0, "20171015000000", "win64", "en-US")
CLIENT = """
from libmozdata import buildhub
print(buildhub.get_distinct_versions(product="firefox", channel="beta"))
print(buildhub.get_distinct_buildids(product="firefox", startswith="2017"))
try:
    buildhub.get_distinct_versions(_size=-1)
except buildhub.BadBuildhubRequest:
    print("bad request")
"""


def put(kinto: Kinto, record: dict[str, Any]) -> None:
    path = f"/buckets/build-hub/collections/releases/records/{record['id']}"
    kinto.call("PUT", path, json={"data": record})


@contextlib.contextmanager
def searching(kinto_url: str, folder: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    port = free_port()
    environment = {**os.environ, "SERVER_URL": kinto_url, "CACHE_FOLDER": str(folder)}
    environment |= {"AUTH": "user:pass", "NB_RETRY_REQUEST": "0", "TIMEOUT_SECONDS": "5"}
    process = subprocess.Popen([COMMAND, f"--port={port}", "--refresh=0.2"], env=environment)
    url = f"http://127.0.0.1:{port}"
    try:
        until(lambda: status(f"{url}/__heartbeat__") == 200)
        yield url, process
    finally:
        process.terminate()
        process.wait()


def status(url: str) -> int:
    with contextlib.suppress(requests.ConnectionError):
        return requests.get(url, timeout=30).status_code
    return 0


def until(true: Callable[[], bool]) -> None:
    for _ in range(600):
        if true():
            return
        time.sleep(0.1)
    raise AssertionError("it never became so")


def ids(url: str) -> set[str]:
    hits = requests.post(url + OURS, json={}, timeout=30).json()["hits"]["hits"]
    return {hit["_id"] for hit in hits}


def test_it_follows_survives_and_ends(tmp_path: Path) -> None:
    with running_kinto(tmp_path) as kinto:
        kinto.make_collection()
        put(kinto, BETA)
        with searching(kinto.url, tmp_path) as (url, process):
            assert ids(url) == {BETA["id"]}
            put(kinto, NIGHTLY)
            until(lambda: ids(url) == {BETA["id"], NIGHTLY["id"]})
            path = "/buckets/build-hub/collections/releases"
            kinto.call("DELETE", f"{path}/records/{BETA['id']}")
            until(lambda: ids(url) == {NIGHTLY["id"]})
            kinto.flush()
            kinto.make_collection()
            put(kinto, BETA)
            until(lambda: ids(url) == {BETA["id"]})
            etag = kinto.call("HEAD", f"{path}/records").headers["ETag"]
            until(lambda: requests.get(url + OURS, timeout=30).headers["ETag"] == etag)
            process.send_signal(signal.SIGTERM)
            assert process.wait() == 143
        stopped = kinto.url
    # Kinto is away: the copy of before answers, and says how old it is.
    with searching(stopped, tmp_path) as (url, _):
        response = requests.get(f"{url}{OURS}?q=build.id:{BETA['build']['id']}", timeout=30)
        assert response.json()["hits"]["total"] == 1
        assert response.headers["ETag"] == etag
        assert int(response.headers["Age"]) >= 0
        assert response.headers["Access-Control-Allow-Origin"] == "*"


def test_libmozdata_needs_another_address_only(tmp_path: Path) -> None:
    (tmp_path / "mozdata.ini").write_text("[User-Agent]\nname = test\n")
    with running_kinto(tmp_path) as kinto:
        kinto.make_collection()
        put(kinto, BETA)
        put(kinto, NIGHTLY)
        with searching(kinto.url, tmp_path) as (url, _):
            done = subprocess.run(
                [sys.executable, "-W", "ignore", "-c", CLIENT],
                env={**os.environ, "BUILDHUB_SEARCH_URL": f"{url}/api/search"},
                cwd=tmp_path,
                capture_output=True,
                text=True,
            )
    lines = ["['57.0b9']", "['20171016185129', '20171015000000']", "bad request"]
    assert done.stdout.splitlines() == lines, done.stderr


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_request_that_is_wrong_is_an_error_of_elasticsearch(tmp_path: Path, method: str) -> None:
    with running_kinto(tmp_path) as kinto:
        kinto.make_collection()
        with searching(kinto.url, tmp_path) as (url, _):
            for path, body, wanted in [
                ("/api/search", b"{", 400),
                (OURS, b'{"query": {"fuzzy": {}}}', 400),
                (OURS, b"x" * 2_000_000, 413),
                ("/v1/buckets/other/collections/releases/search", b"", 404),
            ]:
                response = requests.request(method, url + path, data=body, timeout=30)
                assert response.status_code == response.json()["status"] == wanted
                assert response.json()["error"]["root_cause"][0]["reason"]
