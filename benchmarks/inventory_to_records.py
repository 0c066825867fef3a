"""The speed of ``inventory-to-records`` with a warm cache, beside what can't be avoided.

Ratios within one run, for 2 million rows of which 0.5 % are builds:

- a file: at most 0.6 times the time of ``zcat big.csv.gz >/dev/null``;
- ``zcat big.csv.gz | inventory-to-records``: at most 1.05 times ``zcat big.csv.gz | wc -l``;

and for 250,000 rows that all are builds: at least 100,000 records per second of one core's time,
beside ``json.dumps`` alone for the same records. ``--builds 50`` measures 5 % instead.

Commands run in turn, and the best time of each counts. Where other programs use the machine, the
ratios of processor time say more than those of wall time.

    .venv/bin/python -m benchmarks.inventory_to_records [--rows 2000000] [--repeat 3] [--builds 5]
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import click

from benchmarks import inventories
from tests.support.archive_server import ArchiveServer

COMMAND = Path(sys.executable).parent / "inventory-to-records"


class Seconds(NamedTuple):
    wall: float
    cpu: float  #: of all processes together

    def times(self, other: Seconds) -> str:
        """For people: this divided by another."""
        return f"{self.wall / other.wall:.2f} times, {self.cpu / other.cpu:.2f} in processor time"

    def __str__(self) -> str:
        return f"{self.wall:.2f} s (processor {self.cpu:.2f} s)"


def run(command: str) -> Seconds:
    """One run of a shell command."""
    start, before = time.perf_counter(), os.times()
    subprocess.run(["bash", "-o", "pipefail", "-c", command], check=True)
    wall, after = time.perf_counter() - start, os.times()
    user = after.children_user - before.children_user
    return Seconds(wall, user + after.children_system - before.children_system)


def best(commands: Sequence[str], repeat: int) -> list[Seconds]:
    """The best times of each command; they run in turn."""
    runs = [[run(command) for command in commands] for _ in range(repeat)]
    return [Seconds(*map(min, zip(*times, strict=True))) for times in zip(*runs, strict=True)]


def json_seconds(records: Path, repeat: int) -> float:
    """The best time of ``json.dumps`` and a write for each of the records."""
    loaded = [json.loads(line) for line in records.read_bytes().splitlines()]
    times = []
    for _ in range(repeat):
        with open("/dev/null", "w") as null:
            start = time.process_time()
            for record in loaded:
                null.write(json.dumps(record) + "\n")
            times.append(time.process_time() - start)
    return min(times)


def few_builds(big: Path, ours: str, repeat: int) -> None:
    """The first two claims."""
    zcat, file, lines, pipe = best(
        [
            f"zcat {big} >/dev/null",
            f"{ours} {big} >/dev/null",
            f"zcat {big} | wc -l >/dev/null",
            f"zcat {big} | {ours} >/dev/null",
        ],
        repeat,
    )
    print(f"1. zcat >/dev/null {zcat}, a file {file}: {file.times(zcat)} (at most 0.6)")
    print(f"2. zcat | wc -l {lines}, a pipe {pipe}: {pipe.times(lines)} (at most 1.05)", flush=True)


def all_builds(inventory: Path, ours: str, records: Path, repeat: int) -> None:
    """The third claim."""
    (made,) = best([f"{ours} {inventory} >/dev/null"], repeat)
    with records.open("rb") as lines:
        count = sum(1 for _ in lines)
    dumps = json_seconds(records, repeat)
    print(
        f"3. {count:,} builds {made}: {count / made.cpu:,.0f} records/s of one core (at least"
        f" 100,000), {dumps / made.cpu:.2f} of the speed of json.dumps alone"
    )


@click.command()
@click.option(
    "--rows",
    default=2_000_000,
    show_default=True,
    help="The claims are for the default: the fewer rows, the more the start counts.",
)
@click.option("--repeat", default=3, show_default=True)
@click.option("--builds", default=5, show_default=True, help="Builds of a thousand rows.")
def main(rows: int, repeat: int, builds: int) -> None:
    """Print the three ratios."""
    with (
        tempfile.TemporaryDirectory() as folder,
        ArchiveServer(inventories.archive_files()) as server,
    ):
        here = Path(folder)
        ours = f"{COMMAND} -q --archive-url {server.url} --cache-folder {here}/cache"
        only_builds = inventories.write(here / "builds.csv.gz", rows // 8, 1000)
        run(f"{ours} {only_builds} >{here}/records")  # fills the cache
        few_builds(inventories.write(here / "big.csv.gz", rows, builds), ours, repeat)
        all_builds(only_builds, ours, here / "records", repeat)


if __name__ == "__main__":
    main()
