"""``inventory-to-records | to-kinto`` on the sample, in a real shell, into a real Kinto."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from buildhub.kinto.client import Client
from buildhub.kinto.initialization import initialize
from tests.sample import tree
from tests.support.archive_server import ArchiveServer
from tests.support.kinto_server import Kinto

BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def archive() -> Iterator[ArchiveServer]:
    with ArchiveServer(tree.files()) as server:
        yield server


class Pipe:
    """The pipe that the README shows, with its own cache."""

    def __init__(self, archive: ArchiveServer, kinto: Kinto, folder: Path) -> None:
        self.kinto = kinto
        self.folder = folder
        self.environ = {
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "ARCHIVE_URL": archive.url,
            "SERVER_URL": kinto.url,
            "CACHE_FOLDER": str(folder / "cache"),
        }

    def __call__(self, command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-o", "pipefail", "-c", command],
            env=self.environ,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def load(self, inventory: Path = tree.INVENTORY, options: str = "--skip") -> str:
        rows = f"zcat -f {inventory}"
        done = self(f"{rows} | inventory-to-records | tee records | to-kinto {options}")
        assert done.returncode == 0, done.stderr
        return done.stderr

    def sent(self) -> dict[str, Any]:
        lines = (self.folder / "records").read_text().splitlines()
        return {data["id"]: data for data in (json.loads(line)["data"] for line in lines)}

    def stored(self) -> dict[str, Any]:
        return self.kinto.records()


@pytest.fixture
def pipe(archive: ArchiveServer, kinto: Kinto, tmp_path: Path) -> Pipe:
    initialize(Client(kinto.url, "user:pass", "build-hub", "releases"))
    return Pipe(archive, kinto, tmp_path)


def without_servers_own(record: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in record.items() if k not in ("last_modified", "schema")}


def test_every_record_of_the_sample_is_there_and_equal(pipe: Pipe) -> None:
    summary = pipe.load()
    sent = pipe.sent()
    assert len(sent) >= 300
    assert {k: without_servers_own(v) for k, v in pipe.stored().items()} == sent
    assert f"{len(sent)} created, 0 updated, 0 unchanged, 0 refused, 0 failed" in summary


def test_a_second_run_leaves_every_record_as_it_was(pipe: Pipe) -> None:
    some = pipe.folder / "some.csv"
    some.write_bytes(b"".join(gzip.decompress(tree.INVENTORY.read_bytes()).splitlines(True)[::4]))
    pipe.load(some)
    before = pipe.stored()
    assert len(before) > 100
    summary = pipe.load(some)
    assert pipe.stored() == before
    assert f"0 created, 0 updated, {len(before)} unchanged" in summary


@pytest.mark.slow
def test_without_skip_every_record_is_written(pipe: Pipe) -> None:
    pipe.load(options="")
    before = pipe.stored()
    summary = pipe.load(options="")
    after = pipe.stored()
    assert f"0 created, {len(before)} updated, 0 unchanged" in summary
    assert all(after[k]["last_modified"] > before[k]["last_modified"] for k in before)


@pytest.mark.slow
def test_a_changed_size_updates_that_record_only(pipe: Pipe) -> None:
    pipe.load()
    before = pipe.stored()
    key, record = next(iter(pipe.sent().items()))
    size = record["download"]["size"]
    changed = pipe.folder / "changed.csv.gz"
    content = gzip.decompress(tree.INVENTORY.read_bytes())
    assert content.count(f'"{size}"'.encode()) == 1
    changed.write_bytes(gzip.compress(content.replace(f'"{size}"'.encode(), f'"{size}1"'.encode())))
    summary = pipe.load(changed)
    after = pipe.stored()
    assert f"0 created, 1 updated, {len(before) - 1} unchanged" in summary
    assert [k for k in before if after[k] != before[k]] == [key]
    assert after[key]["download"]["size"] == int(f"{size}1")


@pytest.mark.slow
def test_a_record_that_was_deleted_on_the_server_is_created_again(pipe: Pipe) -> None:
    pipe.load()
    before = pipe.stored()
    gone = sorted(before)[7]
    pipe.kinto.call("DELETE", f"/buckets/build-hub/collections/releases/records/{gone}")
    summary = pipe.load()
    assert f"1 created, 0 updated, {len(before) - 1} unchanged" in summary
    assert set(pipe.stored()) == set(before)


@pytest.mark.slow
def test_a_flushed_server_is_noticed(pipe: Pipe) -> None:
    pipe.load()
    number = len(pipe.stored())
    pipe.kinto.flush()
    pipe.kinto.make_collection()
    assert f"{number} created, 0 updated, 0 unchanged" in pipe.load()


@pytest.mark.slow
def test_the_output_is_the_same_byte_for_byte(pipe: Pipe) -> None:
    pipe.load()
    first = (pipe.folder / "records").read_bytes()
    pipe.environ["CACHE_FOLDER"] = str(pipe.folder / "another cache")
    pipe.load(options="--skip")
    assert (pipe.folder / "records").read_bytes() == first
