"""The memory of ``inventory-to-records``: its peak for 100,000 and 1,000,000 rows.

All rows are builds, the cache is warm. The claim: the same peak within 10 %.

    .venv/bin/python -m benchmarks.memory
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import click

from benchmarks import inventories
from tests.support.archive_server import ArchiveServer

COMMAND = Path(sys.executable).parent / "inventory-to-records"


#: Runs argv[1:] and prints its peak. A process starts with the peak of the one that starts it,
#: and this one has few pages, other than that of a benchmark.
MEASURE = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def peak(inventory: Path, *options: str) -> int:
    """Peak resident memory of the command, in KiB."""
    command = [sys.executable, "-c", MEASURE, str(COMMAND), "-q", *options, str(inventory)]
    return int(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)


@click.command()
def main() -> None:
    """Print both peaks and their ratio."""
    with (
        tempfile.TemporaryDirectory() as folder,
        ArchiveServer(inventories.archive_files()) as server,
    ):
        here = Path(folder)
        options = ("--archive-url", server.url, "--cache-folder", str(here / "cache"))
        small = inventories.write(here / "small.csv.gz", 100_000, 1000)
        large = inventories.write(here / "large.csv.gz", 1_000_000, 1000)
        peak(large, *options)  # fills the cache
        few, many = peak(small, *options), peak(large, *options)
    print(
        f"100,000 rows: {few / 1024:.1f} MiB; 1,000,000 rows: {many / 1024:.1f} MiB:"
        f" {many / few:.3f} times (0.9 to 1.1)"
    )


if __name__ == "__main__":
    main()
