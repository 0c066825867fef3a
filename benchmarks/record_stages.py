"""Where the time of ``inventory-to-records`` goes if every row is a build and all is cached.

For each batch of rows, as in the command, one stage follows the other; the best of several rounds
counts. Beside them ``json.dumps`` of the same records, the yardstick for other machines.

    .venv/bin/python -m benchmarks.record_stages [--rows 100000]
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click
import orjson

from benchmarks import inventories
from buildhub import streams
from buildhub.archive.cache import LookupCache
from buildhub.archive.locations import location_of
from buildhub.archive.metadata_formats import Metadata
from buildhub.builds.recognise import candidate_pattern, ending_pattern, recognise
from buildhub.inventory.reader import InventoryReader
from buildhub.inventory.row_formats import InventoryRow
from buildhub.pipeline.processing import BATCH
from buildhub.records import invalid_field, make_record
from buildhub.signals import CancellationToken
from tests.support.archive_server import ArchiveServer

ROUNDS = 5


@contextlib.contextmanager
def warm_cache(inventory: Path, folder: Path) -> Iterator[LookupCache]:
    """A cache that has the metadata of all builds of an inventory, and the archive's address."""
    command = Path(sys.executable).with_name("inventory-to-records")
    with ArchiveServer(inventories.archive_files()) as server:
        options = ["-q", "--archive-url", server.url, "--cache-folder", folder]
        subprocess.run([command, *options, inventory], check=True, stdout=subprocess.DEVNULL)
    with contextlib.closing(LookupCache(folder, server.url)) as cache:
        yield cache


class Stages:
    """Adds up the processor time of each stage of a round."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def run(self, name: str, stage: Callable[[], Any]) -> Any:
        """Returns the result of the stage."""
        start = time.process_time()
        result = stage()
        used = time.process_time() - start
        self.seconds[name] = self.seconds.get(name, 0) + used
        return result


def one_round(inventory: Path, cache: LookupCache) -> dict[str, float]:
    """Seconds of each stage, for all rows."""
    stages = Stages()
    token = CancellationToken()
    reader = InventoryReader(candidate_pattern(), None, print, ending=ending_pattern())
    blocks = streams.blocks(streams.chunks(str(inventory), token))
    while block := stages.run("unpack", lambda: next(blocks, None)):
        (rows,) = stages.run("find and read rows", partial(list, reader.entries([block], "it")))
        for start in range(0, len(rows), BATCH):
            make(rows[start : start + BATCH], cache, stages)
    token.close()
    return stages.seconds


def make(rows: Sequence[InventoryRow], cache: LookupCache, stages: Stages) -> None:
    """The stages from rows to JSON."""
    builds = stages.run("recognise", lambda: [recognise(row.key) for row in rows])
    places = stages.run("locate metadata", lambda: [location_of(b) for b in builds])
    known = stages.run(
        "look metadata up",
        lambda: [cache.find(p, r.date) for p, r in zip(places, rows, strict=True)],
    )
    assert all(isinstance(one, Metadata) for one in known)
    records = stages.run(
        "make records",
        lambda: [
            make_record(b, m, url="http://archive/" + r.key, size=r.size, date=r.date)
            for b, m, r in zip(builds, known, rows, strict=True)
        ],
    )
    stages.run("check fields", lambda: [invalid_field(record) for record in records])
    stages.run("orjson.dumps", lambda: [orjson.dumps(record) for record in records])
    stages.run("(json.dumps)", lambda: [json.dumps(record) for record in records])


@click.command()
@click.option("--rows", "count", default=100_000, show_default=True)
def main(count: int) -> None:
    """Print the time of each stage."""
    with tempfile.TemporaryDirectory() as name:
        inventory = inventories.write(Path(name) / "builds.csv.gz", count, 1000)
        with warm_cache(inventory, Path(name) / "cache") as cache:
            rounds = [one_round(inventory, cache) for _ in range(ROUNDS)]
    for stage in rounds[0]:
        best = min(seconds[stage] for seconds in rounds)
        print(f"{stage:20}{best / count * 1e6:5.2f} µs")


if __name__ == "__main__":
    main()
