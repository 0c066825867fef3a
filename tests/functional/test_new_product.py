"""A product is added by one entry of the table of products: everything else follows from it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import pytest

from buildhub.builds.recognise import recognise
from buildhub.kinto.client import Client
from buildhub.kinto.initialization import initialize
from tests.support.archive_files import File
from tests.support.archive_server import ArchiveServer
from tests.support.kinto_server import Kinto
from tests.support.s3_events import created
from tests.support.sample_product import SAMPLE

pytestmark = pytest.mark.functional

NIGHTLY = "pub/samples/nightly/2026/07/2026-07-01-09-27-14-mozilla-central"
CANDIDATES = "pub/samples/candidates/1.0b2-candidates/build3/linux-x86_64"
METADATA = {
    f"{NIGHTLY}/specimen-2.0a1.en-US.linux-x86_64.json": "20260701092714",
    f"{CANDIDATES}/en-US/about_specimen_1.0b2.json": "20260630101112",
}
BUILDS = {
    f"{NIGHTLY}-l10n/specimen-2.0a1.fr.linux-x86_64.tar.xz": (
        "sample_nightly_2026-07-01-09-27-14_2-0a1_linux-x86_64_fr"
    ),
    f"{NIGHTLY}/specimen-2.0a1.en-US.linux-x86_64.tar.xz": (
        "sample_nightly_2026-07-01-09-27-14_2-0a1_linux-x86_64_en-us"
    ),
    f"{CANDIDATES}/en-US/specimen_1.0b2.tar.xz": "sample_aurora_1-0b2rc3_linux-x86_64_en-us",
    f"{CANDIDATES}/fr/specimen_1.0b2.tar.xz": "sample_aurora_1-0b2rc3_linux-x86_64_fr",
    "pub/samples/releases/1.0b2/linux-x86_64/fr/specimen_1.0b2.tar.xz": (
        "sample_aurora_1-0b2_linux-x86_64_fr"
    ),
}


@pytest.fixture
def archive() -> Iterator[ArchiveServer]:
    files = {key: File(size=1000) for key in BUILDS}
    files |= {key: File(body=b'{"buildid": "%s"}' % i.encode()) for key, i in METADATA.items()}
    with ArchiveServer(files) as server:
        yield server


@pytest.fixture
def server(kinto: Kinto) -> Kinto:
    initialize(Client(kinto.url, "user:pass", "build-hub", "releases"))
    return kinto


def run(command: str, *arguments: str, stdin: str = "", **environ: str) -> str:
    """Returns what a command prints that has the made-up product in its table."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.sample_product", command, *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        env={"PATH": os.environ["PATH"], **environ},
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def build_ids(records: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {record_id: record["build"]["id"] for record_id, record in records.items()}


def test_explain_recognises_its_builds() -> None:
    key = f"{CANDIDATES}/fr/specimen_1.0b2.tar.xz"
    assert recognise(key) is None
    explanation = run("inventory_to_records", "--explain", key)
    for field in ("product sample", "version 1.0b2rc3", "channel aurora", f"id {BUILDS[key]}"):
        assert field in explanation
    explanation = run("inventory_to_records", "--explain", f"{CANDIDATES}/fr/other_1.0b2.tar.xz")
    assert f"called {SAMPLE.examples}, in any letter case" in explanation


def test_the_pipe_makes_its_records(archive: ArchiveServer, tmp_path: Path) -> None:
    rows = "".join(
        f'"bucket","{quote_plus(key, safe="/")}","{file.size}","{file.date}","etag"\n'
        for key, file in archive.files.items()
    )
    lines = run(
        "inventory_to_records",
        stdin=rows,
        ARCHIVE_URL=archive.url,
        CACHE_FOLDER=str(tmp_path),
    ).splitlines()
    records = {data["id"]: data for data in (json.loads(line)["data"] for line in lines)}
    assert records.keys() == set(BUILDS.values())
    assert {record["source"]["product"] for record in records.values()} == {"sample"}
    assert set(build_ids(records).values()) == set(METADATA.values())


@pytest.mark.parametrize("key", METADATA)
def test_an_event_of_its_metadata_stores_the_builds_that_depend_on_it(
    archive: ArchiveServer, server: Kinto, key: str
) -> None:
    run(
        "s3_event_to_kinto",
        stdin=json.dumps(created(key)),
        ARCHIVE_URL=archive.url,
        SERVER_URL=server.url,
    )
    nightly = "nightly" in key
    expected = {i: METADATA[key] for i in BUILDS.values() if ("nightly" in i) == nightly}
    assert build_ids(server.records()) == expected
