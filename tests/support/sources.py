"""One tree as an archive, its bucket, an inventory bucket and a Kinto, seen by all commands."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from tests.support import commands, s3_bucket
from tests.support.archive_files import File
from tests.support.archive_server import ArchiveServer
from tests.support.archive_tree import nightly_tree, release_tree
from tests.support.gcs_server import BUCKET, GcsServer
from tests.support.kinto_server import Kinto

BIN = Path(sys.executable).parent
LOCALES = ("en-US", "fr", "ja")

NIGHTLIES = nightly_tree("firefox", locales=LOCALES) | nightly_tree(
    "mobile", platforms=("android-api-15",), locales=("multi", "en-US")
)
RELEASES = release_tree("firefox", "54.0", locales=LOCALES) | release_tree(
    "thunderbird", "52.2.0", (1,), platforms=("mac", "win64"), locales=LOCALES
)
#: Every section that must have builds has some.
ONE = {"platforms": ("win64",), "locales": ("en-US",)}
NIGHTLIES |= nightly_tree("thunderbird", **ONE)
RELEASES |= release_tree("devedition", "54.0b1", (1,), **ONE) | release_tree(
    "mobile", "54.0", (1,), platforms=("android-api-15",), locales=("multi", "en-US")
)
#: No build, and a key that each format writes in another way.
OTHER = {
    'pub/firefox/releases/54.0/contrib "1", ü+%20.txt': File(body=b"?", date="2017-06-13T12:00:00Z")
}
FILES = NIGHTLIES | RELEASES | OTHER
KEYS = sorted(key for key, file in FILES.items() if file.body is None)
SECTIONS = [
    f"{product}/{section}"
    for product in ("devedition", "firefox", "mobile", "thunderbird")
    for section in ("candidates", "nightly", "releases")
]

PIPE = "archive-to-inventory | inventory-to-records | to-kinto --skip"
RUN = "latest-inventory-to-kinto --source bucket"
#: Before a command.
ASSIGNMENT = re.compile(r"[A-Z_]+=").match


class Sources:
    """An archive, its bucket, an inventory bucket and a Kinto; commands see them all."""

    def __init__(
        self,
        archive: ArchiveServer,
        gcs: GcsServer,
        s3: s3_bucket.Bucket,
        kinto: Kinto,
        folder: Path,
    ) -> None:
        self.archive, self.gcs, self.s3, self.kinto, self.folder = archive, gcs, s3, kinto, folder
        self.variables = {
            "ARCHIVE_URL": archive.url,
            "ARCHIVE_BUCKET": BUCKET,
            "STORAGE_EMULATOR_HOST": gcs.url,
            "AWS_ENDPOINT_URL": s3.url,
            "SERVER_URL": kinto.url,
            "CACHE_FOLDER": str(folder / "cache"),
            "CSV_DOWNLOAD_DIRECTORY": str(folder / "csv"),
            "NB_RETRY_REQUEST": "1",
        }
        self.environ = {"PATH": f"{BIN}:{os.environ['PATH']}", **self.variables}

    def __call__(self, command: str, stdin: str = "", status: int = 0) -> Any:
        done: subprocess.CompletedProcess[str]
        if "|" in command:
            done = subprocess.run(
                ["bash", "-o", "pipefail", "-c", command],
                input=stdin,
                capture_output=True,
                text=True,
                env=self.environ,
                timeout=120,
            )
        else:
            words = shlex.split(command)
            variables = dict(word.split("=", 1) for word in itertools.takewhile(ASSIGNMENT, words))
            env = self.environ | variables
            done = commands.run(words[len(variables) :], input=stdin, text=True, env=env)
        assert done.returncode == status, done.stderr
        return done

    def records(self, inventory: str) -> list[dict[str, Any]]:
        """The records of an inventory, in the order of their ids."""
        lines = self("inventory-to-records", inventory).stdout.splitlines()
        return sorted((json.loads(line)["data"] for line in lines), key=lambda data: data["id"])

    def moments(self) -> dict[str, int]:
        """When each record was last written, by the key of its file."""
        return {
            data["download"]["url"].removeprefix(self.archive.url): data["last_modified"]
            for data in self.kinto.records().values()
        }

    @contextlib.contextmanager
    def started(self, command: str) -> Iterator[subprocess.Popen[bytes]]:
        process = subprocess.Popen(
            command.split(), env=self.environ, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait(timeout=30)


def s3_csv(*, later: timedelta = timedelta(0)) -> str:
    """S3's inventory, not sorted; its dates may be those of another copy of the files."""
    objects = [
        (key, file.size, f"{datetime.fromisoformat(file.date) + later:%Y-%m-%dT%H:%M:%S}.000Z")
        for key, file in reversed(FILES.items())
    ]
    return s3_bucket.rows(objects, "net-mozaws-prod-delivery-firefox").decode()


def table(stderr: str, heading: str) -> dict[str, dict[str, str]]:
    """The table's figures, by its first column."""
    lines = stderr.splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith(f"{heading} "))
    names = lines[start].split()
    rows = [line.split(maxsplit=len(names) - 1) for line in lines[start + 1 :]]
    return {row[0]: dict(zip(names, row, strict=True)) for row in rows}


def total(rows: dict[str, dict[str, str]], column: str) -> int:
    return sum(int(row[column].replace(",", "")) for row in rows.values())
