"""The command ``to-kinto`` with a server and a cache folder of its own, and what it prints."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

from buildhub.kinto.record_index import DIGEST_SIZE
from tests.support.commands import run
from tests.support.kinto_server import Kinto

COMMAND = Path(sys.executable).with_name("to-kinto")
COLLECTION = "/buckets/build-hub/collections/releases"
RECORDS = f"{COLLECTION}/records"

#: A schema that is enough to be refused by.
SCHEMA = {
    "type": "object",
    "properties": {"target": {"properties": {"os": {"enum": ["win", "mac"]}}}},
}


class Command:
    """``to-kinto`` with a server and a cache folder of its own."""

    def __init__(self, kinto: Kinto, folder: Path) -> None:
        self.kinto = kinto
        self.folder = folder
        self.environment = {
            **os.environ,
            "SERVER_URL": kinto.url,
            "AUTH": "user:pass-word",
            "CACHE_FOLDER": str(folder),
        }

    def __call__(
        self, stdin: bytes, *options: object, **environment: str
    ) -> subprocess.CompletedProcess[bytes]:
        """Run it to its end."""
        command, env = [COMMAND, *options], self.environment | environment
        return run(command, input=stdin, cwd=self.folder, env=env)

    def start(self, *options: object, **environment: str) -> subprocess.Popen[bytes]:
        """Start it, with pipes at all ends."""
        return subprocess.Popen(
            [COMMAND, *map(str, options)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            cwd=self.folder, env=self.environment | environment,
        )  # fmt: skip


def summary(created: int = 0, updated: int = 0, unchanged: int = 0, **more: int) -> bytes:
    """The last line on stderr."""
    return (
        f"to-kinto: {created} created, {updated} updated, {unchanged} unchanged,"
        f" {more.get('refused', 0)} refused, {more.get('failed', 0)} failed.\n"
    ).encode()


def stored(kinto: Kinto) -> list[dict]:
    """Returns the records of the server by id, without the fields that it adds."""
    return [
        {name: value for name, value in record.items() if name not in ("last_modified", "schema")}
        for _, record in sorted(kinto.records().items())
    ]


def data_of(*records: dict) -> list[dict]:
    return sorted((record["data"] for record in records), key=lambda data: data["id"])


def one_sentence(done: subprocess.CompletedProcess[bytes]) -> str:
    """The only message, without time and level; a summary may follow."""
    lines = [line for line in done.stderr.decode().splitlines() if "to-kinto: " not in line]
    assert len(lines) == 1, lines
    return lines[0].partition(" ERROR ")[2]


def wait_for(condition) -> None:
    """Wait until something is so, for at most 20 seconds."""
    for _ in range(400):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("it never came")


def known_lines(folder: Path) -> int:
    """Returns the number of lines that the index in a cache folder knows."""
    (path,) = folder.glob("buildhub-kinto-*.sqlite3")
    query = f"SELECT count(*) FROM known WHERE length(digest) > {DIGEST_SIZE}"
    with contextlib.closing(sqlite3.connect(path)) as database:
        return int(database.execute(query).fetchone()[0])
