"""Nothing heavy is imported before it is needed. ``benchmarks/startup.py`` measures the times."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

HTTP = {"aiohttp", "duckdb", "botocore", "kinto_http", "raven", "requests", "urllib3"}
HEAVY = HTTP | {"filelock", "rich", "yaml"}
COMMANDS = {
    entry.name: entry.value.partition(":")[0]
    for entry in entry_points(group="console_scripts")
    if entry.value.startswith("buildhub.")
}


def imported(code: str, folder: Path, *arguments: str) -> set[str]:
    """The packages and top-level modules that are there when a program ends, run with no input."""
    listing = "print('', *{name.split('.')[0] for name in sys.modules}, file=sys.stderr)"
    program = f"import atexit, sys\natexit.register(lambda: {listing})\n{code}"
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env={**os.environ, "CACHE_FOLDER": str(folder)},
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stderr.splitlines()[-1].split())


def run(command: str) -> str:
    return f"from {COMMANDS[command]} import main; main()"


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_help_imports_neither_clients_nor_the_event_loop(command: str, tmp_path: Path) -> None:
    assert imported(run(command), tmp_path, "--help") & (HEAVY | {"asyncio"}) == set()


def test_without_rows_inventory_to_records_imports_no_client(tmp_path: Path) -> None:
    """Nor ``urllib.request``, which imports ``email``."""
    assert imported(run("inventory-to-records"), tmp_path) & (HEAVY | {"email"}) == set()


@pytest.mark.parametrize("handler", ["lambda_s3_event", "lambda_s3_inventory"])
def test_a_lambda_handler_imports_clients_when_they_are_first_used(
    handler: str, tmp_path: Path
) -> None:
    assert imported(f"import buildhub.{handler}", tmp_path) & HEAVY == set()
