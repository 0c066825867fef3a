"""Many processes on parts of an inventory: together they give the records of the whole."""

from __future__ import annotations

import gzip
import itertools
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.sample import tree
from tests.support import commands
from tests.support.archive_server import ArchiveServer
from tests.support.kinto_server import Kinto

pytestmark = pytest.mark.functional

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


class Parts(NamedTuple):
    """An inventory in parts."""

    folder: Path
    environ: dict[str, str]

    def records_of_the_whole(self) -> list[bytes]:
        """The lines of the undivided inventory, sorted."""
        environ = self.environ | {"CACHE_FOLDER": str(self.folder / "cache-of-the-whole")}
        command = ["inventory-to-records", tree.INVENTORY]
        return sorted(commands.run(command, env=environ).stdout.splitlines())

    def run(self, script: str, **environ: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", script],
            cwd=self.folder,
            env={**self.environ, **environ},
            capture_output=True,
            timeout=300,
        )


@pytest.fixture(scope="module")
def archive() -> Iterator[ArchiveServer]:
    with ArchiveServer(tree.files()) as server:
        yield server


@pytest.fixture(params=[1, pytest.param(2, marks=pytest.mark.slow)])
def parts(archive: ArchiveServer, tmp_path: Path, request: pytest.FixtureRequest) -> Parts:
    """Rows in random order, spread over parts of different sizes; every tenth row is in two."""
    chance = random.Random(request.param)
    rows = gzip.decompress(tree.INVENTORY.read_bytes()).splitlines(keepends=True)
    environ = {
        **{k: v for k, v in os.environ.items() if k in ("HOME", "LANG", "JAVA_HOME")},
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "ARCHIVE_URL": archive.url,
        "CACHE_FOLDER": str(tmp_path / "cache"),
    }
    rows += chance.sample(rows, len(rows) // 10)
    chance.shuffle(rows)
    cuts = [0, *sorted(chance.sample(range(len(rows)), 4)), len(rows)]
    for number, (start, end) in enumerate(itertools.pairwise(cuts)):
        part = tmp_path / f"part-{number}.csv.gz"
        part.write_bytes(gzip.compress(b"".join(rows[start:end])))
    return Parts(tmp_path, environ)


XARGS = """
ls part-*.csv.gz | xargs -P 4 -I{} sh -c 'inventory-to-records -q {} > {}.data'
"""
PARALLEL_FILES = """
parallel -j 4 'inventory-to-records -q {} > {}.data' ::: part-*.csv.gz
"""
PARALLEL_PIPE = """
zcat part-*.csv.gz | parallel -j 4 --pipe --block 50k inventory-to-records -q > all.data
"""


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(XARGS, id="xargs"),
        pytest.param(PARALLEL_FILES, id="parallel-files", marks=pytest.mark.slow),
        pytest.param(PARALLEL_PIPE, id="parallel-pipe", marks=pytest.mark.slow),
    ],
)
def test_processes_that_share_a_cache_give_the_records_of_the_whole(parts: Parts, script: str):
    if "parallel" in script and not shutil.which("parallel"):
        pytest.skip("GNU parallel is not installed")
    done = parts.run(script)
    assert (done.returncode, done.stderr) == (0, b"")
    records = b"".join(file.read_bytes() for file in parts.folder.glob("*.data"))
    assert sorted(set(records.splitlines())) == parts.records_of_the_whole()


def test_a_part_that_fails_is_seen_in_the_exit_status(parts: Parts):
    for part in parts.folder.glob("part-[2-9].csv.gz"):
        part.unlink()
    parts.folder.joinpath("part-1.csv.gz").write_bytes(b"not an inventory")
    done = parts.run(XARGS)
    assert done.returncode == 123  # of xargs
    assert b"part-1.csv.gz" in done.stderr


@pytest.mark.slow
def test_the_parts_in_any_order_and_again_store_each_record_once(parts: Parts, kinto: Kinto):
    kinto.make_collection()
    done = parts.run(
        XARGS + "cat $(ls *.data | shuf) part-0.csv.gz.data | to-kinto --skip",
        SERVER_URL=kinto.url,
    )
    assert done.returncode == 0, done.stderr
    assert len(kinto.records()) == len(parts.records_of_the_whole())


SPARK = shutil.which("spark-submit")
needs_spark = pytest.mark.skipif(
    not (SPARK and shutil.which("java")), reason="PySpark or Java is not installed"
)


def run_on_spark(parts: Parts, partitions: str = "") -> subprocess.CompletedProcess[bytes]:
    # spark-submit looks for Spark beside the first python3.
    path = f"{Path(SPARK or '').parent}:{parts.environ['PATH']}"
    script = f"{SPARK} --master 'local[2]' {ROOT}/benchmarks/spark_pipe.py"
    return parts.run(f"{script} 'part-*.csv.gz' output {partitions}", PATH=path)


@pytest.mark.slow
@needs_spark
@pytest.mark.parametrize("partitions", ["", "7"], ids=["as-files", "repartitioned"])
def test_spark_gives_the_records_of_the_whole(parts: Parts, partitions: str):
    done = run_on_spark(parts, partitions)
    assert done.returncode == 0, done.stderr
    records = b"".join(file.read_bytes() for file in parts.folder.glob("output/part-*"))
    assert sorted(set(records.splitlines())) == parts.records_of_the_whole()


@pytest.mark.slow
@needs_spark
def test_a_partition_that_fails_fails_the_spark_job(parts: Parts):
    parts.folder.joinpath("part-1.csv.gz").write_bytes(gzip.compress(b"not an inventory\n"))
    assert run_on_spark(parts).returncode != 0
    assert not parts.folder.joinpath("output", "_SUCCESS").exists()
