"""``kinto-to-records`` on a real Kinto: its memory at 10,000 and 100,000 records, and its speed.

    .venv/bin/python -m benchmarks.kinto_to_records

Two claims: the same peak within 10 %, and at least 0.8 times the speed of a bare client, which
requests the same pages and parses their JSON, and nothing else.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import requests

from benchmarks.to_kinto import write_records
from tests.support.kinto_server import Kinto, running_kinto

BIN = Path(sys.executable).parent
RECORDS = "/buckets/build-hub/collections/releases/records"
FEW, MANY = 10_000, 100_000

#: The faster of so many runs counts: other work on the machine only slows down.
ROUNDS = 3


class Run(NamedTuple):
    seconds: float
    peak: int  #: bytes of memory


def fill(kinto: Kinto, folder: Path, count: int) -> None:
    kinto.flush()
    kinto.make_collection()
    write_records(folder / "records.ndjson", count)
    environment = {**os.environ, "SERVER_URL": kinto.url, "CACHE_FOLDER": str(folder)}
    subprocess.run([BIN / "to-kinto", "-q", folder / "records.ndjson"], env=environment, check=True)


def command(kinto: Kinto) -> Run:
    environment = {**os.environ, "SERVER_URL": kinto.url, "AUTH": "user:pass"}
    start = time.perf_counter()
    process = subprocess.Popen(
        [BIN / "kinto-to-records", "-q"], env=environment, stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return Run(time.perf_counter() - start, usage.ru_maxrss * 1024)


def bare_client(kinto: Kinto) -> float:
    """Seconds for the same pages."""
    start = time.perf_counter()
    with requests.Session() as session:
        session.auth = kinto.auth
        query = "_sort=id&_limit=5000"
        after = ""
        while True:
            response = session.get(f"{kinto.url}{RECORDS}?{query}{after}", timeout=300)
            after = f"&gt_id=%22{response.json()['data'][-1]['id']}%22"
            if "Next-Page" not in response.headers:
                return time.perf_counter() - start


def main() -> None:
    with tempfile.TemporaryDirectory() as name, running_kinto(Path(name)) as kinto:
        peaks = []
        for count in (FEW, MANY):
            fill(kinto, Path(name), count)
            runs = [command(kinto) for _ in range(ROUNDS)]
            peaks.append(max(run.peak for run in runs))
            best, bare = min(runs).seconds, min(bare_client(kinto) for _ in range(ROUNDS))
            print(
                f"{count:>7,} records: {count / best:,.0f}/s, {peaks[-1] / 1e6:.1f} MB;"
                f" bare client {count / bare:,.0f}/s",
                flush=True,
            )
    print(f"memory: {peaks[1] / peaks[0]:.3f} times (0.9 to 1.1)")
    print(f"speed: {bare / best:.2f} times that of a bare client (at least 0.8)")


if __name__ == "__main__":
    main()
