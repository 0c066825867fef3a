"""The memory of ``to-kinto`` before a slow Kinto: its peak for 10,000 and 1,000,000 records.

The server accepts 50 records per second for a minute, then as many as come. The records are
piped into standard input as fast as it takes them. The claim: the same peak within 10 %.

    .venv/bin/python -m benchmarks.memory_slow_kinto
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks import fake_kinto

COMMAND = Path(sys.executable).with_name("to-kinto")
SIZES = (10_000, 1_000_000)


def feed(process: subprocess.Popen[bytes], count: int) -> None:
    assert process.stdin
    with process.stdin as pipe:
        for lines in fake_kinto.ndjson(count):
            pipe.write(lines)


def peak(count: int) -> int:
    """Peak resident memory, in KiB, of storing so many new records."""
    with fake_kinto.running(rate=50, slow_seconds=60) as url, tempfile.TemporaryDirectory() as name:
        environment = {**os.environ, "SERVER_URL": url, "CACHE_FOLDER": name}
        process = subprocess.Popen(
            [COMMAND, "-q", "--skip"], env=environment, stdin=subprocess.PIPE
        )
        feeder = threading.Thread(target=feed, args=(process, count))
        feeder.start()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        feeder.join()
    assert process.returncode == 0
    return usage.ru_maxrss


def main() -> None:
    with ThreadPoolExecutor() as threads:
        few, many = threads.map(peak, SIZES)
    print(
        f"10,000 records: {few / 1024:.1f} MiB; 1,000,000 records: {many / 1024:.1f} MiB:"
        f" {many / few:.3f} times (0.9 to 1.1)"
    )


if __name__ == "__main__":
    main()
