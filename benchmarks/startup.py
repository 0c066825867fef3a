"""The time that a command takes to start, and a Lambda handler to be imported.

Processor time, as other work on the machine does not lengthen it, beside ``python -c pass`` in
the same run; the median of many rounds. Two claims:

- ``inventory-to-records </dev/null``, and ``--help`` of each command: at most 110 ms more;
- the import of each handler: at most 300 ms, ``python`` included.

    .venv/bin/python -m benchmarks.startup [--rounds 20]
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import click

BIN = Path(sys.executable).parent
COMMANDS = (
    "inventory-to-records",
    "to-kinto",
    "latest-inventory-to-kinto",
    "s3-event-to-kinto",
    "kinto-to-records",
    "archive-to-inventory",
)
HANDLERS = ("buildhub.lambda_s3_event", "buildhub.lambda_s3_inventory")

#: An installed package is compiled; without this variable the first run compiles ours.
ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}

#: Milliseconds.
MOST_MORE = 110
MOST_OF_A_HANDLER = 300


def processor_milliseconds(command: Sequence[str], folder: str) -> float:
    """Returns the processor time of one run in ``folder``, with empty input."""
    null = subprocess.DEVNULL
    process = subprocess.Popen(
        command, cwd=folder, env=ENVIRONMENT, stdin=null, stdout=null, stderr=null
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, command
    return 1000 * (usage.ru_utime + usage.ru_stime)


def medians(commands: Sequence[Sequence[str]], rounds: int) -> list[float]:
    """The median of each command; one run of each is a round, one more comes before."""
    with tempfile.TemporaryDirectory() as folder:
        runs = [[processor_milliseconds(c, folder) for c in commands] for _ in range(rounds + 1)]
    return [statistics.median(times) for times in zip(*runs[1:], strict=True)]


@click.command()
@click.option("--rounds", default=20, show_default=True)
def main(rounds: int) -> None:
    """Print the times."""
    started = {"inventory-to-records </dev/null": [str(BIN / "inventory-to-records")]}
    started |= {f"{name} --help": [str(BIN / name), "--help"] for name in COMMANDS}
    imported = {f"import {name}": [sys.executable, "-c", f"import {name}"] for name in HANDLERS}
    nothing = [sys.executable, "-c", "pass"]
    least, *times = medians([nothing, *started.values(), *imported.values()], rounds)
    print(f"python -c pass: {least:.0f} ms")
    for name, time in zip((*started, *imported), times, strict=True):
        claim = f"+{MOST_MORE}" if name in started else f"{MOST_OF_A_HANDLER} in all"
        print(f"{name}: {time:.0f} ms, +{time - least:.0f} ms (at most {claim})", flush=True)


if __name__ == "__main__":
    main()
