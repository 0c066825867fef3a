"""Whether ``inventory-to-records`` holds its memory flat: its peak for 100,000 and 1,000,000 rows.

5 % of the rows are builds, the cache is warm. The claim: the same peak within 10 %.

    .venv/bin/python -m benchmarks.memory
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import click

from benchmarks import inventories
from tests.support.archive_server import ArchiveServer

COMMAND = Path(sys.executable).parent / "inventory-to-records"


def peak(inventory: Path, *options: str) -> int:
    """Peak resident memory of the command, in KiB."""
    with open(os.devnull, "w") as null:
        process = subprocess.Popen([COMMAND, "-q", *options, inventory], stdout=null)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_maxrss


@click.command()
def main() -> None:
    """Print both peaks and their ratio."""
    with (
        tempfile.TemporaryDirectory() as folder,
        ArchiveServer(inventories.archive_files()) as server,
    ):
        here = Path(folder)
        options = ("--archive-url", server.url, "--cache-folder", str(here / "cache"))
        small = inventories.write(here / "small.csv.gz", 100_000, 50)
        large = inventories.write(here / "large.csv.gz", 1_000_000, 50)
        peak(large, *options)  # fills the cache
        few, many = peak(small, *options), peak(large, *options)
    print(
        f"100,000 rows: {few / 1024:.1f} MiB; 1,000,000 rows: {many / 1024:.1f} MiB:"
        f" {many / few:.3f} times (0.9 to 1.1)"
    )


if __name__ == "__main__":
    main()
