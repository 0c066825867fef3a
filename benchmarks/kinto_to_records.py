"""``kinto-to-records``: its memory at 10,000 to 1,000,000 records, and its speed.

    .venv/bin/python -m benchmarks.kinto_to_records [RECORDS]

The claims: the same peak within 10 %, and for 100,000 records of a Kinto on PostgreSQL (or as many
as the argument says) at least 0.8 times the speed of a bare client, which requests the same pages
and parses their JSON, and does nothing else. Both take turns, and the faster run of each counts:
other work on the machine only slows down. Memory is measured on :mod:`benchmarks.fake_kinto`.
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

from benchmarks import fake_kinto, full_kinto

COMMAND = Path(sys.executable).with_name("kinto-to-records")
SIZES = (10_000, 100_000, 1_000_000)
RECORDS = 100_000
ROUNDS = 3


class Run(NamedTuple):
    seconds: float
    peak: int  #: bytes of memory


def command(url: str) -> Run:
    environment = {**os.environ, "SERVER_URL": url, "AUTH": "user:pass"}
    start = time.perf_counter()
    process = subprocess.Popen([COMMAND, "-q"], env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return Run(time.perf_counter() - start, usage.ru_maxrss * 1024)


def bare_client(url: str) -> float:
    """Seconds for the same pages."""
    start = time.perf_counter()
    with requests.Session() as session:
        session.auth = ("user", "pass")
        address = f"{url}{full_kinto.RECORDS}?_sort=id&_limit=5000"
        after = ""
        while True:
            response = session.get(address + after, timeout=300)
            after = f"&gt_id=%22{response.json()['data'][-1]['id']}%22"
            if "Next-Page" not in response.headers:
                return time.perf_counter() - start


def memory() -> None:
    peaks = []
    for count in SIZES:
        with fake_kinto.running(records=count) as url:
            peaks.append(command(url).peak)
        print(f"{count:>9,} records: peak {peaks[-1] / 1e6:.1f} MB", flush=True)
    print(f"memory: {max(peaks) / min(peaks):.3f} times (at most 1.1)", flush=True)


def speed(count: int) -> None:
    with tempfile.TemporaryDirectory() as name, full_kinto.running(Path(name), count) as (kinto, _):
        turns = [(command(kinto.url).seconds, bare_client(kinto.url)) for _ in range(ROUNDS)]
    ours, bare = (min(seconds) for seconds in zip(*turns, strict=True))
    print(f"{count:>9,} records: {count / ours:,.0f}/s; bare client {count / bare:,.0f}/s")
    print(f"speed: {bare / ours:.2f} times that of a bare client (at least 0.8)")


def main() -> None:
    memory()
    speed(int(sys.argv[1]) if len(sys.argv) > 1 else RECORDS)


if __name__ == "__main__":
    main()
