"""The cost of a daily run that finds nothing new, as a pipe and as ``latest-inventory-to-kinto``.

Each build is on the server and in the index of the cache folder, and all metadata is cached. The
claim, for 10 million rows of which 750,000 are builds: at most 25 s of processor time. The servers
are not counted.

    .venv/bin/python -m benchmarks.daily_run [--rows 10000000]
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click
import orjson

from benchmarks import fake_kinto, inventories
from buildhub.kinto.client import Client
from buildhub.kinto.record_index import RecordIndex, digest
from tests.support import s3_bucket
from tests.support.archive_server import ArchiveServer

BIN = Path(sys.executable).parent

#: Of a thousand rows.
BUILDS = 75
LOCALES_AND_PLATFORMS = 450

MINORS = ["", ".1", ".2", ".3", *(f"b{number}" for number in range(1, 16))]
VERSIONS = [f"{major}.0{minor}" for major in range(30, 130) for minor in MINORS]


def lines_of(command: list[str]) -> Iterator[bytes]:
    """Returns what a command prints."""
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout
        yield from (line.rstrip(b"\n") for line in process.stdout)
    assert process.returncode == 0


def fill_index(folder: Path, url: str, reading: list[str]) -> int:
    """Note that the server has all records, as the run of the day before did; returns how many."""
    client = Client(url, "user:pass", "build-hub", "releases")
    lines = lines_of(reading)
    with RecordIndex(folder, client.target) as index:
        while batch := list(itertools.islice(lines, 10_000)):
            records = [orjson.loads(line)["data"] for line in batch]
            index.mark_stored((one["id"], digest(one)) for one in records)
            for one, line in zip(records, batch, strict=True):
                index.remember_line(one["id"], line)
        count = len(index)
        path = index.path
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute("INSERT INTO state VALUES ('since', ?)", (fake_kinto.CHANGED,))
    return count


def processor_seconds(*processes: subprocess.Popen[bytes]) -> str:
    """Returns what processes have used, once all have ended well."""
    used = []
    for process in processes:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        used.append(usage.ru_utime + usage.ru_stime)
    return f"{' + '.join(f'{one:.1f}' for one in used)} = {sum(used):.1f} s of processor time"


def pipe(reading: list[str], environ: dict[str, str]) -> None:
    """Inventory | records | Kinto."""
    reader = subprocess.Popen(reading, stdout=subprocess.PIPE)
    assert reader.stdout
    writer = subprocess.Popen([BIN / "to-kinto", "--skip"], stdin=reader.stdout, env=environ)
    reader.stdout.close()
    print(
        f"inventory-to-records | to-kinto --skip: {processor_seconds(reader, writer)}", flush=True
    )


def whole_run(inventory: Path, environ: dict[str, str]) -> None:
    """All in one program, from a bucket on this machine."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # moto's requests
    with s3_bucket.running() as bucket:
        bucket.add_inventory("firefox", "2026-11-24T01-00Z", [inventory.read_bytes()])
        environ |= {"AWS_ENDPOINT_URL": bucket.url, "INITIALIZE_SERVER": "false"}
        program = [BIN / "latest-inventory-to-kinto", "--inventory", "firefox"]
        print(f"{program[0].name}: {processor_seconds(subprocess.Popen(program, env=environ))}")


@click.command()
@click.option("--rows", default=10_000_000, show_default=True)
def main(rows: int) -> None:
    """Print the processor time of both ways."""
    builds = rows * BUILDS // 1000
    versions = VERSIONS[: -(-builds // LOCALES_AND_PLATFORMS)]
    with (
        tempfile.TemporaryDirectory() as name,
        ArchiveServer(inventories.archive_files(versions)) as archive,
        fake_kinto.running(records=builds) as url,
    ):
        folder = Path(name)
        options = ["-q", "--archive-url", archive.url, "--cache-folder", name]
        reading = [str(BIN / "inventory-to-records"), *options]
        inventory = inventories.write(folder / "all.csv.gz", rows, BUILDS, versions)
        known = fill_index(folder, url, [*reading, str(inventory)])
        assert known == builds, f"{known:,} known of {builds:,} builds"
        print(f"{rows:,} rows, {builds:,} builds known", flush=True)
        own = {"SERVER_URL": url, "CACHE_FOLDER": name, "AUTH": "user:pass"}
        environ = {**os.environ, **own, "ARCHIVE_URL": archive.url}
        pipe([*reading, str(inventory)], environ)
        whole_run(inventory, environ)


if __name__ == "__main__":
    main()
