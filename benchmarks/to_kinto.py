"""``to-kinto``: what it adds to storing records, and what it takes to leave all as it is.

    .venv/bin/python -m benchmarks.to_kinto

The claims: new records take at most 1.6 times the time in which a bare client sends the same
prepared batches to a real Kinto, as what is stored of them is read first (1.3 times with
``--skip``); with ``--skip``, at least 120,000 unchanged records per second, whose lines are those
of the run before, are compared with what is known of the server, in at most 100 MB, however many
there are. As that does not depend on the server, it is measured on :mod:`benchmarks.fake_kinto`.
The best of each kind of run counts: other work on the machine only slows down.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import orjson
import requests

from benchmarks import fake_kinto
from tests.support.kinto_server import Kinto, running_kinto
from tests.support.records import make_record, ndjson

COMMAND = Path(sys.executable).with_name("to-kinto")
NEW = 10_000
UNCHANGED = (10_000, 100_000, 750_000)
ROUNDS = 3


class Run(NamedTuple):
    """One run of the command."""

    seconds: float
    cpu: float  #: seconds of processor time
    peak: int  #: bytes of memory


def run(url: str, folder: Path, *options: str) -> Run:
    """``to-kinto records.ndjson`` with its own cache, measured."""
    environment = {**os.environ, "SERVER_URL": url, "CACHE_FOLDER": str(folder / "cache")}
    start = time.perf_counter()
    process = subprocess.Popen(
        [COMMAND, folder / "records.ndjson", "-q", *options], env=environment
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return Run(time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


def write_records(path: Path, count: int) -> None:
    with path.open("wb") as file:
        for start in range(0, count, 1000):
            file.write(ndjson(make_record(number) for number in range(start, start + 1000)))


def batches(path: Path) -> list[bytes]:
    """The bodies of the requests in which ``to-kinto`` sends a file."""
    records = iter([orjson.loads(line) for line in path.read_bytes().splitlines()])
    base = "/buckets/build-hub/collections/releases/records"
    bodies = []
    while some := list(itertools.islice(records, fake_kinto.BATCH_SIZE)):
        puts = [
            {"method": "PUT", "path": f"{base}/{one['data']['id']}", "body": one} for one in some
        ]
        bodies.append(orjson.dumps({"requests": puts}))
    return bodies


def bare_client(kinto: Kinto, bodies: list[bytes]) -> float:
    """Seconds for sending them."""
    start = time.perf_counter()
    with requests.Session() as session:
        session.auth = kinto.auth
        session.headers["Content-Type"] = "application/json"
        for body in bodies:
            session.post(f"{kinto.url}/batch", data=body, timeout=60).raise_for_status()
    return time.perf_counter() - start


def empty(kinto: Kinto) -> Kinto:
    kinto.flush()
    kinto.make_collection()
    return kinto


def new_records(folder: Path) -> None:
    write_records(folder / "records.ndjson", NEW)
    bodies = batches(folder / "records.ndjson")
    with running_kinto(folder) as kinto:
        turns = [
            (run(empty(kinto).url, folder).seconds, bare_client(empty(kinto), bodies))
            for _ in range(ROUNDS)
        ]
    ours, bare = (min(seconds) for seconds in zip(*turns, strict=True))
    print(f"{NEW:>7,} new records: {NEW / ours:,.0f}/s; bare client {NEW / bare:,.0f}/s")
    print(f"time: {ours / bare:.2f} times that of the bare client (at most 1.6)", flush=True)


def unchanged_records(folder: Path, count: int) -> Iterator[str]:
    with (folder / "records.ndjson").open("wb") as file:
        file.writelines(fake_kinto.ndjson(count))
    with fake_kinto.running(records=count) as url:
        learn = run(url, folder, "--skip")
        runs = [run(url, folder, "--skip") for _ in range(ROUNDS)]
    size = sum(file.stat().st_size for file in (folder / "cache").glob("*.sqlite3*"))
    seconds, cpu = min(run.seconds for run in runs), min(run.cpu for run in runs)
    yield (
        f"{count:>7,} unchanged: {count / seconds:,.0f}/s, of one core {count / cpu:,.0f}/s"
        f" (at least 120,000 for 750,000), {max(run.peak for run in runs) / 1e6:.1f} MB (at"
        " most 100)"
    )
    yield (
        f"{count:>7,} and the server read first: {count / learn.seconds:,.0f}/s,"
        f" {learn.peak / 1e6:.1f} MB; {size / count:.0f} bytes of index per record"
    )


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        new_records(Path(name))
    for count in UNCHANGED:
        with tempfile.TemporaryDirectory() as name:
            for line in unchanged_records(Path(name), count):
                print(line, flush=True)


if __name__ == "__main__":
    main()
