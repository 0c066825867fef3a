"""Sums from the archive: the requests that they take, how long they are kept, failures."""

from __future__ import annotations

import json
import logging
import sqlite3
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from buildhub.builds.recognise import recognise
from buildhub.kinto.client import Client
from buildhub.kinto.initialization import initialize
from tests.support import commands
from tests.support.archive_files import File
from tests.support.archive_server import ArchiveServer
from tests.support.archive_tree import nightly_tree, release_tree
from tests.support.bucket_tree import made
from tests.support.gcs_server import BUCKET, GcsServer
from tests.support.kinto_server import Kinto
from tests.support.lambda_runtime import installed_here
from tests.support.locales import LOCALES
from tests.support.metadata_lookup import DATE, Run
from tests.support.pipeline_records import (
    Records,
    inventory_of,
    pipeline_records,
    without_server_fields,
)
from tests.support.s3_events import created
from tests.support.sums import sha256, sums_file_of, sums_of

pytestmark = pytest.mark.functional


RELEASE = "pub/firefox/releases/54.0/"
CANDIDATE = "pub/firefox/candidates/54.0-candidates/build2/"
SUMS = f"{RELEASE}SHA256SUMS"
EXE = f"{RELEASE}win64/fr/Firefox Setup 54.0.exe"
NIGHTLY = "pub/firefox/nightly/2017/08/2017-08-08-10-00-25-mozilla-central/"
NIGHTLY_EXE = f"{NIGHTLY}firefox-57.0a1.en-US.win64.installer.exe"
NIGHTLY_SUMS = f"{NIGHTLY}firefox-57.0a1.en-US.win64.checksums"

DAY = 86400
NOW = datetime(2017, 6, 15, 12, tzinfo=UTC).timestamp()  # two days after DATE


@pytest.fixture
def server() -> Iterator[ArchiveServer]:
    """Candidates, their release, and a nightly of Firefox and of Fennec, all with sums."""
    tree = release_tree() | nightly_tree()
    tree |= nightly_tree("mobile", platforms=("android-api-15",), locales=("en-US", "fr", "multi"))
    with ArchiveServer(tree | sums_of(tree)) as server:
        yield server


def sums(records: Records) -> dict[str, str | None]:
    return {one["download"]["url"]: one["download"].get("sha256") for one in records.values()}


def requested(server: ArchiveServer) -> dict[str, int]:
    """The requests for sums, by key."""
    return {
        key: number
        for (method, key), number in server.requests.items()
        if method == "GET" and key.endswith(("SUMS", ".checksums"))
    }


def test_each_record_has_the_sum_of_its_file(server: ArchiveServer) -> None:
    found = sums(pipeline_records(server, CHECKSUMS="true"))
    builds = [key for key in server.files if recognise(key)]
    assert found == {server.url + key: sha256(key) for key in builds}
    assert len(found) == 63


def test_a_version_takes_one_request_and_a_nightly_one_for_each_file(server: ArchiveServer) -> None:
    tree = release_tree(locales=LOCALES)
    server.files.update(tree | sums_of(tree))
    records = pipeline_records(server, CHECKSUMS="true")
    assert len(records) > 900
    builds = {key for key in server.files if recognise(key)}
    assert requested(server) == dict.fromkeys(map(sums_file_of, builds), 1)
    assert len([key for key in requested(server) if key.endswith("SHA256SUMS")]) == 3


def test_without_the_setting_no_request_more_is_made_and_nothing_is_different(
    server: ArchiveServer, tmp_path: Path
) -> None:
    without = pipeline_records(server)
    assert requested(server) == {}
    number = server.total
    server.reset()
    with_sums = pipeline_records(server, CHECKSUMS="true")
    assert server.total == number + sum(requested(server).values())
    for record in with_sums.values():
        del record["download"]["sha256"]
    assert with_sums == without


def test_a_record_without_a_sum_is_as_without_the_setting(server: ArchiveServer) -> None:
    for key in requested_files(server):
        del server.files[key]
    assert pipeline_records(server, CHECKSUMS="true") == pipeline_records(server)


def requested_files(server: ArchiveServer) -> list[str]:
    return [key for key in server.files if key.endswith(("SHA256SUMS", ".checksums"))]


def test_a_build_without_metadata_causes_no_request_for_its_sum(server: ArchiveServer) -> None:
    for key in [key for key in server.files if key.endswith((".json", ".txt"))]:
        del server.files[key]
    assert pipeline_records(server, CHECKSUMS="true") == {}
    assert requested(server) == {}


# ---- the cache ----


@pytest.fixture
def run(server: ArchiveServer, tmp_path: Path) -> Run:
    return Run(server, tmp_path, now=NOW, checksums=True)


def found_sum(run: Run, key: str = EXE, date: str = DATE) -> str:
    (found,) = run.find(key, date=date)
    assert found
    return found.sha256


@pytest.mark.parametrize("key", [EXE, NIGHTLY_EXE])
def test_a_sum_that_was_found_is_not_requested_again(
    run: Run, server: ArchiveServer, key: str
) -> None:
    assert found_sum(run, key) == sha256(key)
    server.reset()
    run.now += 10_000 * DAY
    assert found_sum(run, key) == sha256(key)
    assert requested(server) == {}


@pytest.mark.parametrize("key", [EXE, NIGHTLY_EXE])
@pytest.mark.parametrize(
    ("age_in_days", "hours", "requests"),
    [(2, 0.9, 0), (2, 1.1, 1), (6, 1.1, 1), (8, 1.1, 0), (8, 29 * 24, 0), (8, 31 * 24, 1)],
)
def test_that_there_is_none_expires_like_metadata_that_is_absent(
    run: Run, server: ArchiveServer, key: str, age_in_days: int, hours: float, requests: int
) -> None:
    """After an hour while the file is younger than a week, then after 30 days."""
    published = datetime.fromtimestamp(NOW - age_in_days * DAY, UTC)
    date = f"{published:%Y-%m-%dT%H:%M:%SZ}"
    name = sums_file_of(key)
    file = server.files.pop(name)
    assert found_sum(run, key, date) == ""
    server.files[name] = file
    server.reset()
    run.now += hours * 3600
    assert found_sum(run, key, date) == (sha256(key) if requests else "")
    assert requested(server) == ({name: 1} if requests else {})


def test_a_file_without_the_build_is_asked_again_like_one_that_is_absent(
    run: Run, server: ArchiveServer
) -> None:
    """Locales may be added to a release, and its sums later."""
    complete = server.files[SUMS]
    partial = [line for line in (complete.body or b"").splitlines(True) if b"win64/fr" not in line]
    server.files[SUMS] = File(body=b"".join(partial))
    other = EXE.replace("/fr/", "/ja/")
    assert (found_sum(run), found_sum(run, other)) == ("", sha256(other))
    server.files[SUMS] = complete
    server.reset()
    run.now += 1800
    assert (found_sum(run), found_sum(run, other)) == ("", sha256(other))
    assert requested(server) == {}
    run.now += 1801
    assert (found_sum(run), found_sum(run, other)) == (sha256(EXE), sha256(other))
    assert requested(server) == {SUMS: 1}


def test_a_file_that_was_published_after_its_sum_was_fetched_is_another_one(
    run: Run, server: ArchiveServer
) -> None:
    found_sum(run)
    digest = sha256("another one")
    server.files[SUMS] = File(body=f"{digest}  win64/fr/Firefox Setup 54.0.exe\n".encode())
    server.reset()
    run.now += 20 * DAY
    assert found_sum(run, date="2017-06-17T12:00:00Z") == digest
    assert requested(server) == {SUMS: 1}


def test_a_clock_that_is_behind_costs_one_request_a_run(run: Run, server: ArchiveServer) -> None:
    """Files are newer than anything that was fetched."""
    builds = [key for key in server.files if key.startswith(RELEASE) and recognise(key)]
    for _ in range(2):
        server.reset()
        run.now += DAY
        found = run.find(*builds, date="2031-01-01T00:00:00Z")
        assert [one and one.sha256 for one in found] == list(map(sha256, builds))
        assert requested(server) == {SUMS: 1}


def test_a_size_that_differs_is_that_of_another_file(run: Run, server: ArchiveServer) -> None:
    server.files[NIGHTLY_EXE] = replace(server.files[NIGHTLY_EXE], size=77)
    assert found_sum(run, NIGHTLY_EXE) == ""


def test_in_a_lambda_nothing_absent_is_kept(run: Run, server: ArchiveServer) -> None:
    run.keep_absent = False
    file = server.files.pop(SUMS)
    assert found_sum(run) == ""
    server.files[SUMS] = file
    run.now += 1
    assert found_sum(run) == sha256(EXE)
    server.reset()
    assert found_sum(run) == sha256(EXE)
    assert requested(server) == {}


def test_a_cache_of_before_is_used_and_one_of_now_is_read_by_others(
    run: Run, server: ArchiveServer, tmp_path: Path
) -> None:
    """Metadata stays as it was written; only sums are added."""
    run.checksums = False
    (before,) = run.find(EXE)
    answers = rows(tmp_path)
    run.checksums = True
    server.reset()
    assert found_sum(run) == sha256(EXE)
    assert server.requests == {("GET", SUMS): 1}
    added = rows(tmp_path).items() - answers.items()
    assert [place for place, _ in added] == [server.url + SUMS]
    assert answers.items() <= rows(tmp_path).items()
    server.reset()
    run.checksums = False
    assert run.find(EXE) == [before]
    assert server.total == 0


def rows(folder: Path) -> dict[str, str]:
    with sqlite3.connect(folder / "buildhub-archive.sqlite3") as database:
        return dict(database.execute("SELECT place, answer FROM answers"))


@pytest.mark.parametrize(
    "value", ["7", "[]", '"x"', "{", '{"win64/fr/Firefox Setup 54.0.exe": 5}', "[{}, {}, null]"]
)
def test_what_nobody_wrote_into_the_cache_is_no_sum(
    run: Run, server: ArchiveServer, tmp_path: Path, value: str
) -> None:
    found_sum(run)
    with sqlite3.connect(tmp_path / "buildhub-archive.sqlite3") as database:
        database.execute("UPDATE answers SET answer = ? WHERE place LIKE '%SHA256SUMS'", (value,))
    server.reset()
    assert found_sum(run) == sha256(EXE)
    assert requested(server) == {SUMS: 1}


# ---- failures ----


@pytest.mark.parametrize("behaviour", [503, "html", "cut"])
def test_a_failure_that_passes_is_retried(run: Run, server: ArchiveServer, behaviour: Any) -> None:
    server.fail(SUMS, behaviour)
    assert found_sum(run) == sha256(EXE)


@pytest.mark.parametrize("behaviour", [503, 403, "html"])
def test_records_are_made_without_a_sum_that_cannot_be_read_now(
    run: Run, server: ArchiveServer, behaviour: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """One warning for all builds of a version; the next run has them."""
    server.fail(SUMS, *[behaviour] * (1 if behaviour == 403 else 2))
    builds = [key for key in server.files if key.startswith(RELEASE) and recognise(key)]
    with caplog.at_level(logging.WARNING):
        assert [one and one.sha256 for one in run.find(*builds)] == [""] * 15
    (message,) = caplog.messages
    sentence = f"Records are made without the sums in a file: {server.url}{SUMS}: "
    assert message.startswith(sentence)
    assert [one and one.sha256 for one in run.find(*builds)] == list(map(sha256, builds))


def test_an_empty_file_is_no_list_of_sums(run: Run, server: ArchiveServer) -> None:
    sums = server.files[SUMS]
    server.files[SUMS] = File(body=b"\n")
    assert found_sum(run) == ""
    server.files[SUMS] = sums
    assert found_sum(run) == sha256(EXE)


# ---- the whole pipe ----


def call(
    command: str, environ: dict[str, str], stdin: str = "", **options: Any
) -> subprocess.CompletedProcess[str]:
    done = commands.run(command.split(), input=stdin, env=environ, text=True, **options)
    assert done.returncode == 0, done.stderr
    return done


class Pipe:
    """``inventory-to-records``, then ``to-kinto --skip``, with one cache."""

    def __init__(self, server: ArchiveServer, kinto: Kinto, folder: Path) -> None:
        self.kinto = kinto
        self.folder = folder
        initialize(Client(kinto.url, "user:pass", "build-hub", "releases"))
        folder.joinpath("inventory.csv").write_bytes(inventory_of(server.files))
        self.environ = {
            "ARCHIVE_URL": server.url,
            "SERVER_URL": kinto.url,
            "CACHE_FOLDER": str(folder),
        }

    def __call__(self, **variables: str) -> str:
        """Its last line: what became of the records."""
        environ = self.environ | variables
        self.records = call(
            "inventory-to-records -q inventory.csv", environ, cwd=self.folder
        ).stdout
        done = call("to-kinto --skip", environ, self.records)
        return done.stderr.splitlines()[-1]

    def printed(self) -> list[dict[str, Any]]:
        return [json.loads(line)["data"] for line in self.records.splitlines()]


def test_a_record_gains_its_sum_and_keeps_it(
    server: ArchiveServer, kinto: Kinto, tmp_path: Path
) -> None:
    pipe = Pipe(server, kinto, tmp_path)
    assert "63 created, 0 updated, 0 unchanged" in pipe()
    assert "sha256" not in pipe.records
    assert "0 created, 63 updated, 0 unchanged" in pipe(CHECKSUMS="true")
    after = kinto.records()
    assert sums(after) == sums({one["id"]: one for one in pipe.printed()})
    assert None not in sums(after).values()
    server.reset()
    assert "0 created, 0 updated, 63 unchanged" in pipe(CHECKSUMS="true")
    assert server.total == 0, "the second run needs no request"
    assert "0 created, 0 updated, 63 unchanged" in pipe()
    assert "sha256" not in pipe.records
    assert kinto.records() == after


# ---- the other ways to the same records ----

#: Every section that must have builds has some.
ONE = {"platforms": ("win64",), "locales": ("en-US",)}


@pytest.fixture
def bucket(server: ArchiveServer) -> Iterator[GcsServer]:
    for product, version in (("devedition", "54.0b1"), ("thunderbird", "52.2.0")):
        tree = release_tree(product, version, (1,), **ONE)
        server.files.update(tree | sums_of(tree))
    tree = nightly_tree("thunderbird", **ONE) | release_tree(
        "mobile", "54.0", (1,), platforms=("android-api-15",), locales=("multi",)
    )
    server.files.update(tree | sums_of(tree))
    objects = [made(k, file.date)._replace(size=file.size) for k, file in server.files.items()]
    with GcsServer(objects) as bucket:
        yield bucket


@pytest.fixture
def variables(
    server: ArchiveServer, bucket: GcsServer, kinto: Kinto, tmp_path: Path
) -> dict[str, str]:
    initialize(Client(kinto.url, "user:pass", "build-hub", "releases"))
    return {
        "ARCHIVE_URL": server.url,
        "ARCHIVE_BUCKET": BUCKET,
        "STORAGE_EMULATOR_HOST": bucket.url,
        "SERVER_URL": kinto.url,
        "CACHE_FOLDER": str(tmp_path),
        "SOURCE": "bucket",
    }


@pytest.mark.parametrize(
    "way",
    ["latest-inventory-to-kinto", "lambda_s3_inventory", "s3-event-to-kinto", "lambda_s3_event"],
)
def test_each_way_to_the_catalogue_brings_the_same_sums(
    server: ArchiveServer, kinto: Kinto, variables: dict[str, str], tmp_path: Path, way: str
) -> None:
    published = created(*filter(recognise, server.files))
    expected = without_server_fields(pipeline_records(server, CHECKSUMS="true"))
    server.reset()
    if way.startswith("lambda"):
        event = published if way == "lambda_s3_event" else {}
        environ = variables | {"CHECKSUMS": "true"}
        with installed_here(f"buildhub.{way}.lambda_handler", tmp_path, environ) as container:
            container.invoke(event)
    elif way == "s3-event-to-kinto":
        del variables["ARCHIVE_BUCKET"]
        call("s3-event-to-kinto -q --checksums", variables, json.dumps(published))
    else:
        call(f"{way} -q --checksums", variables)
    assert without_server_fields(kinto.records()) == expected
    assert set(requested(server)) == {sums_file_of(k) for k in server.files if recognise(k)}
    if way != "lambda_s3_event" and way != "s3-event-to-kinto":
        assert set(requested(server).values()) == {1}
