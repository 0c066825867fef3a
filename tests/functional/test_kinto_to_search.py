"""The real command ``kinto-to-search`` on a real Kinto, asked over HTTP and by a real client."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.support.hostile.proxy import HostileProxy
from tests.support.kinto_server import Kinto, running_kinto
from tests.support.ports import free_port
from tests.support.search_records import catalogue
from tests.support.search_server import (
    COLLECTION,
    COMMAND,
    OURS,
    SUCCESSORS,
    Search,
    running,
    until,
)

pytestmark = [pytest.mark.functional, pytest.mark.xdist_group("kinto-to-search")]

RECORDS = [one for one in catalogue() if one["target"]["locale"] == "en-US"][:300]
SOME = RECORDS[::10]  # where any number does
Json = dict[str, Any]


def store(kinto: Kinto, records: Sequence[Json]) -> set[str]:
    kinto.make_collection()
    kept = [{n: v for n, v in r.items() if n not in ("schema", "last_modified")} for r in records]
    for start in range(0, len(kept), 25):
        batch = [
            {"method": "PUT", "path": f"{COLLECTION}/records/{r['id']}", "body": {"data": r}}
            for r in kept[start : start + 25]
        ]
        kinto.call("POST", "/batch", json={"requests": batch})
    return {record["id"] for record in kept}


@pytest.fixture(scope="module")
def full_kinto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kinto]:
    """A Kinto with the records, that no test changes."""
    with running_kinto(tmp_path_factory.mktemp("kinto")) as kinto:
        store(kinto, RECORDS)
        yield kinto


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the copy that ``search`` uses."""
    return tmp_path_factory.mktemp("copy")


@pytest.fixture(scope="module")
def search(full_kinto: Kinto, copy: Path) -> Iterator[Search]:
    """A server with a copy of them."""
    with running(full_kinto.url, copy) as search:
        until(lambda: search.get("/__heartbeat__"))
        yield search


def test_records_are_found_on_both_paths_with_the_age_of_the_answer(
    full_kinto: Kinto, search: Search
) -> None:
    assert search.ids() == {record["id"] for record in RECORDS}
    record = next(r for r in RECORDS if r["target"]["locale"] == "en-US" and "build" in r)
    build = record["build"]["id"]
    for path in (SUCCESSORS, OURS):
        body = {"query": {"term": {"build.id": build}}}
        posted = requests.post(search.url + path, json=body, timeout=30)
        found = posted.json()["hits"]
        assert found["hits"]
        for text in (f"build.id:{build}", f'build.id="{build}"', f"build.id={build}"):
            assert search.get(path, q=text).json()["hits"] == found
        assert search.get(path, **{"build.id": build}).json()["hits"] == found
        assert re.fullmatch(r"\d+", posted.headers["Age"])
        etag = full_kinto.call("HEAD", f"{COLLECTION}/records").headers["ETag"]
        assert posted.headers["ETag"] == etag
        assert posted.headers["Access-Control-Allow-Origin"] == "*"
    heartbeat = search.get("/__heartbeat__")
    assert (heartbeat.status_code, heartbeat.headers["ETag"]) == (200, etag)
    assert re.fullmatch(r"\d+", heartbeat.headers["Age"])


def test_changes_deletions_and_a_flush_are_followed(kinto: Kinto, tmp_path: Path) -> None:
    stored = store(kinto, SOME)
    gone, changed, *_ = sorted(stored)
    with running(kinto.url, tmp_path / "copy") as search:
        until(lambda: search.get("/__heartbeat__"))
        kinto.call("DELETE", f"{COLLECTION}/records/{gone}")
        until(lambda: search.ids() == stored - {gone})
        patch = {"data": {"source": {"product": "fenix"}}}
        kinto.call("PATCH", f"{COLLECTION}/records/{changed}", json=patch)
        until(lambda: search.get(OURS, q="source.product:fenix").json()["hits"]["total"] == 1)
        kinto.flush()
        kinto.make_collection()
        kinto.call("PUT", f"{COLLECTION}/records/new", json={"data": {}})
        until(lambda: search.ids() == {"new"})


def test_without_a_copy_it_is_unavailable_until_there_is_one(kinto: Kinto, tmp_path: Path) -> None:
    stored = store(kinto, SOME)
    with HostileProxy(kinto.url) as proxy:
        proxy.disconnect()
        with running(proxy.url, tmp_path / "copy") as search:
            for path in ("/__heartbeat__", SUCCESSORS, OURS):
                answer = search.get(path)
                assert (answer.status_code, answer.json()["status"]) == (503, 503)
            proxy.reconnect()
            until(lambda: search.get("/__heartbeat__"))
            assert search.ids() == stored


def test_while_kinto_is_away_the_copy_answers_also_after_a_restart(
    full_kinto: Kinto, tmp_path: Path
) -> None:
    with HostileProxy(full_kinto.url) as proxy:
        with running(proxy.url, tmp_path) as search:
            until(lambda: search.get("/__heartbeat__"))
            assert search.stopped()[0] == 143
        proxy.disconnect()
        with running(proxy.url, tmp_path) as search:
            assert search.ids() == {record["id"] for record in RECORDS}
            status, said = search.stopped()
            assert (status, "Traceback" in said) == (143, False)


def test_that_kinto_is_away_is_said_once_and_so_is_that_it_is_back(
    kinto: Kinto, tmp_path: Path
) -> None:
    stored = store(kinto, SOME)
    with HostileProxy(kinto.url) as proxy, running(proxy.url, tmp_path / "copy") as search:
        until(lambda: search.get("/__heartbeat__"))
        for away in (1, 2):
            before = proxy.rejected
            proxy.disconnect()
            until(lambda: proxy.rejected >= before + 4)  # noqa: B023
            proxy.reconnect()
            kinto.call("DELETE", f"{COLLECTION}/records/{sorted(stored)[away]}")
            until(lambda: len(search.ids()) == len(stored) - away)  # noqa: B023
        _, said = search.stopped()
    lines = [line for line in said.splitlines() if "Warning" in line or "WARNING" in line]
    assert [("as old as the copy" in one, "read again" in one) for one in lines] == [
        (True, False),
        (False, True),
    ] * 2, said


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ('{"query": {"fuzzy": {"build.id": "1"}}}', "fuzzy"),
        ('{"query": {"term": {"build.colour": "red"}}}', "build.colour"),
        ('{"size": 1000000}', "size"),
        ("{", "JSON"),
        ("[" * 100_000, "JSON"),
        ('{"size": ' + "[" * 1000 + "]" * 1000 + "}", "too deep"),
        ('{"query": {"regexp": {"build.id": "(2"}}}', "(2"),
    ],
    ids=["query", "field", "size", "no JSON", "JSON too deep", "value too deep", "pattern"],
)
def test_what_is_not_supported_is_an_error_of_elasticsearchs_form_that_names_it(
    search: Search, body: str, named: str
) -> None:
    answer = requests.post(search.url + SUCCESSORS, data=body, timeout=30)
    error = answer.json()["error"]
    assert (answer.status_code, answer.json()["status"]) == (400, 400)
    assert named in error["reason"]
    assert error["root_cause"] == [{"type": error["type"], "reason": error["reason"]}]


def test_other_errors_have_the_same_form_and_pages_may_ask(search: Search) -> None:
    statuses = {
        search.get("/unknown"): 404,
        requests.put(search.url + SUCCESSORS, timeout=30): 405,
        requests.post(search.url + SUCCESSORS, data=b" " * 2_000_000, timeout=30): 413,
    }
    for answer, status in statuses.items():
        assert (answer.status_code, answer.json()["status"]) == (status, status)
    asked = requests.options(search.url + SUCCESSORS, timeout=30)
    assert (asked.status_code, asked.headers["Access-Control-Allow-Origin"]) == (204, "*")


LIBMOZDATA = """
import json, sys
from libmozdata import buildhub, config
config.set_config(config.ConfigEnv())
versions = buildhub.get_distinct_versions(product="Firefox", channel="release")
ids = buildhub.get_distinct_buildids(product="firefox", startswith="2018")
try:
    buildhub.get_distinct_versions(_size=-1)
    refused = False
except buildhub.BadBuildhubRequest:
    refused = True
print(json.dumps([versions, ids, refused]))
"""


def test_libmozdata_needs_no_more_than_the_address(search: Search) -> None:
    """Its own settings, for the address and for its name, are variables of the environment."""
    environ = {"PATH": os.environ["PATH"], "BUILDHUB_SEARCH_URL": search.url + SUCCESSORS}
    environ["LIBMOZDATA_CFG_USER-AGENT_NAME"] = "a-client"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LIBMOZDATA],
        env=environ, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    versions, ids, refused = json.loads(done.stdout)
    everything: dict[str, Any] = {"size": 1000, "query": {"term": {"source.product": "firefox"}}}
    hits = requests.post(search.url + SUCCESSORS, json=everything, timeout=30).json()["hits"][
        "hits"
    ]
    records = [hit["_source"] for hit in hits]
    expected = {r["target"]["version"] for r in records if r["target"]["channel"] == "release"}
    assert (set(versions), len(versions)) == (expected, len(expected))
    built = {r["build"]["id"] for r in records if r["build"]["id"].startswith("2018")}
    assert ids == sorted(built, reverse=True)
    assert versions
    assert ids
    assert refused


def started(*arguments: object, **environ: str) -> subprocess.CompletedProcess[str]:
    """Runs the command to its end, which comes only if it cannot start."""
    command = [COMMAND, "--port", str(free_port()), *map(str, arguments)]
    environ = {"PATH": os.environ["PATH"], "NB_RETRY_REQUEST": "0", **environ}
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60)


def test_a_folder_that_cannot_be_used_is_named_with_the_cure(
    full_kinto: Kinto, search: Search, copy: Path, tmp_path: Path
) -> None:
    (everybodys := tmp_path / "everybodys").mkdir()
    everybodys.chmod(0o777)
    (a_file := tmp_path / "file").touch()
    for folder, reason in {
        tmp_path / "misspelt/copy": f"{tmp_path}/misspelt does not exist",
        everybodys: "other users may replace files",
        a_file: "it is a file, not a folder",
        copy: "lock",
    }.items():
        done = started("--server", full_kinto.url, "--cache-folder", folder)
        assert done.returncode == 1
        said = done.stderr.splitlines()
        assert said[0].endswith("answers once the copy is complete.")
        assert reason in said[1]
        assert said[1].endswith("choose another CACHE_FOLDER.")
        assert len(said) == 2
    assert not (tmp_path / "misspelt").exists()


def test_a_server_that_is_no_kinto_is_called_so(search: Search, tmp_path: Path) -> None:
    done = started("--server", search.url, "--cache-folder", tmp_path)
    assert done.returncode == 1
    assert f"{search.url}/v1 is not a Kinto" in done.stderr


def test_without_duckdb_it_says_what_to_install(tmp_path: Path) -> None:
    program = "import sys; sys.modules['duckdb'] = None\n"
    program += "from buildhub.commands.kinto_to_search import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"CACHE_FOLDER": str(tmp_path)}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.endswith("duckdb is not installed: pip install duckdb.\n")
    assert "Traceback" not in done.stderr
