"""How fast ``inventory-to-records`` is, with a warm cache, beside what can't be avoided.

Three claims, each a ratio within one run:

- 2 million rows, 0.5 % of them builds: at most twice the time of ``zcat big.csv.gz >/dev/null``;
- the same with 5 % (told, no claim);
- every row a build: at least a third of the speed at which ``json.dumps`` alone writes the same
  records.

    .venv/bin/python -m benchmarks.inventory_to_records [--rows 2000000] [--repeat 3]
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click

from benchmarks import inventories
from tests.support.archive_server import ArchiveServer

COMMAND = Path(sys.executable).parent / "inventory-to-records"


def seconds(command: str, repeat: int) -> float:
    """The best of ``repeat`` runs of a shell command."""
    best = float("inf")
    for _ in range(repeat):
        start = time.perf_counter()
        subprocess.run(["bash", "-o", "pipefail", "-c", command], check=True)
        best = min(best, time.perf_counter() - start)
    return best


def json_seconds(records: Path, repeat: int) -> float:
    """The best time of ``json.dumps`` and a write for each of the records."""
    loaded = [json.loads(line) for line in records.read_bytes().splitlines()]
    best = float("inf")
    for _ in range(repeat):
        with open("/dev/null", "w") as null:
            start = time.perf_counter()
            for record in loaded:
                null.write(json.dumps(record) + "\n")
            best = min(best, time.perf_counter() - start)
    return best


@click.command()
@click.option("--rows", default=2_000_000, show_default=True)
@click.option("--repeat", default=3, show_default=True)
def main(rows: int, repeat: int) -> None:
    """Print the three ratios."""
    with (
        tempfile.TemporaryDirectory() as folder,
        ArchiveServer(inventories.archive_files()) as server,
    ):
        here = Path(folder)
        run = f"{COMMAND} -q --archive-url {server.url} --cache-folder {here}/cache"
        all_builds = inventories.write(here / "builds.csv.gz", rows // 8, 1000)
        subprocess.run(
            f"zcat {all_builds} | {run} >{here}/records", shell=True, check=True
        )  # fills the cache
        for thousandth, claim in ((5, "at most 2"), (50, "told")):
            big = inventories.write(here / f"{thousandth}.csv.gz", rows, thousandth)
            unpack = seconds(f"zcat {big} >/dev/null", repeat)
            ours = seconds(f"zcat {big} | {run} >/dev/null", repeat)
            print(
                f"{rows:,} rows, {thousandth / 10} % builds: zcat alone {unpack:.2f} s,"
                f" zcat | inventory-to-records {ours:.2f} s: {ours / unpack:.2f} times ({claim})",
                flush=True,
            )
        ours = seconds(f"zcat {all_builds} | {run} >/dev/null", repeat)
        dumps = json_seconds(here / "records", repeat)
        print(
            f"{rows // 8:,} rows, all builds: json.dumps alone {rows / 8 / dumps:,.0f} records/s,"
            f" inventory-to-records {rows / 8 / ours:,.0f}: {dumps / ours:.2f} of its speed"
            " (at least 0.33)"
        )


if __name__ == "__main__":
    main()
