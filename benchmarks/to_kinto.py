"""``to-kinto`` on a real Kinto: how fast it stores, and what it takes to leave all as it is.

    .venv/bin/python -m benchmarks.to_kinto

The memory of ``to-kinto --skip`` must not grow with the number of records: what is known of the
server lies on disk. Rates depend on Kinto: compare them with its own in KINTO.md.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.kinto_server import Kinto, running_kinto
from tests.support.records import make_record, ndjson

COMMAND = Path(sys.executable).with_name("to-kinto")
SIZES = (10_000, 100_000)


@dataclass
class Run:
    """One run of the command."""

    seconds: float
    peak: int  #: bytes of memory
    summary: str


def run(kinto: Kinto, folder: Path, *options: str) -> Run:
    """``to-kinto records.ndjson`` with its own cache, measured."""
    environment = {**os.environ, "SERVER_URL": kinto.url, "CACHE_FOLDER": str(folder / "cache")}
    start = time.perf_counter()
    process = subprocess.Popen(
        [COMMAND, folder / "records.ndjson", *options], env=environment, stderr=subprocess.PIPE
    )
    assert process.stderr
    summary = process.stderr.read().decode().strip()
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0, summary
    return Run(time.perf_counter() - start, usage.ru_maxrss * 1024, summary)


def write_records(path: Path, count: int) -> None:
    with path.open("wb") as file:
        for start in range(0, count, 1000):
            file.write(ndjson(make_record(number) for number in range(start, start + 1000)))


def known_bytes(folder: Path) -> int:
    """What is kept on disk of the server."""
    return sum(file.stat().st_size for file in (folder / "cache").glob("*.sqlite3*"))


def measure(kinto: Kinto, folder: Path, count: int) -> Iterator[str]:
    kinto.flush()
    kinto.make_collection()
    write_records(folder / "records.ndjson", count)
    steps = [
        ("store", ()),
        ("--skip, learn the server", ("--skip",)),
        ("--skip, server known", ("--skip",)),
    ]
    for name, options in steps:
        done = run(kinto, folder, *options)
        yield (
            f"{count:>8,}  {name:<26} {done.seconds:7.1f} s  {count / done.seconds:8,.0f}/s"
            f"  {done.peak / 1e6:6.1f} MB"
        )
    yield f"{count:>8,}  known on disk: {known_bytes(folder) / count:.0f} bytes a record"


def main() -> None:
    for count in SIZES:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            with running_kinto(folder) as kinto:
                for line in measure(kinto, folder, count):
                    print(line, flush=True)


if __name__ == "__main__":
    main()
