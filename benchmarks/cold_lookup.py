"""The use that ``inventory-to-records`` makes of parallel requests when nothing is cached.

10,000 builds, an archive that takes 50 ms for each answer, 8 requests at the same time. Claim: the
whole run takes at most 1.15 times as long as its distinct URLs would on 8 connections that are
never idle, and no URL is requested twice. The archive is a
process of its own. What a bare client needs for the same URLs, which it knows from the start, is
printed beside it: that the machine does other work as well affects both.

    .venv/bin/python -m benchmarks.cold_lookup [--repeat 3]
"""

from __future__ import annotations

import asyncio
import gzip
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, quote_plus

import click

from tests.support.archive_files import File
from tests.support.archive_server import ArchiveServer
from tests.support.archive_tree import candidate_tree, nightly_tree, release_tree
from tests.support.locales import LOCALES

COMMAND = Path(sys.executable).parent / "inventory-to-records"

AIM = 1.15

#: Old nightlies have no other locales, and of their metadata files only the last that is tried.
OLD_NIGHTLIES = 500


def archive_files() -> dict[str, File]:
    """As in the archive, four builds of ten are candidates', four releases', two nightlies'."""
    tree: dict[str, File] = {}
    for number in range(40, 44):
        tree |= release_tree("firefox", f"{number}.0", locales=LOCALES)
    for number in range(40, 43):
        tree |= release_tree("thunderbird", f"{number}.0", (1,), locales=LOCALES[:60])
    for number in range(1, 4):
        tree |= candidate_tree("firefox", f"55.0b{number}", 1, locales=LOCALES)
    for number in range(1, 4):
        moment = f"2017-08-{number:02}-10-00-25"
        tree |= nightly_tree("firefox", "57.0a1", moment, locales=LOCALES)
    first = date(2008, 1, 1)
    for number in range(OLD_NIGHTLIES // 3):
        moment = f"{first + timedelta(days=number)}-04"
        tree |= nightly_tree(
            "firefox", "3.0b3pre", moment, platforms=("linux-i686", "mac", "win32"),
            locales=("en-US",), metadata=("txt",),
        )  # fmt: skip
    return tree


def rows(tree: dict[str, File]) -> bytes:
    """The inventory of the archive, in the order of the keys."""
    return b"".join(
        b'"b","%s","%d","%s","0"\n'
        % (quote_plus(key, safe="/").encode(), file.size, file.date.encode())
        for key, file in sorted(tree.items())
    )


def _serve(latency: float, pipe: Connection) -> None:
    with ArchiveServer(archive_files(), latency=latency) as server:
        pipe.send(server.url)
        while pipe.recv() == "count":
            pipe.send(server.requests)
            server.reset()


class SlowArchive:
    """An archive in another process."""

    def __init__(self, url: str, pipe: Connection) -> None:
        self.url = url
        self._pipe = pipe

    def requests(self) -> Counter[tuple[str, str]]:
        """The requests since this was last asked, by method and path."""
        self._pipe.send("count")
        found: Counter[tuple[str, str]] = self._pipe.recv()
        return found


@contextmanager
def slow_archive(latency: float) -> Iterator[SlowArchive]:
    """The archive, each of whose answers takes ``latency`` seconds."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(latency, theirs))
    process.start()
    try:
        yield SlowArchive(ours.recv(), ours)
    finally:
        ours.send("end")
        process.join()


async def fetch_all(urls: Sequence[str], parallel: int) -> None:
    """Request the URLs with a bare client, and drop what it gets."""
    import aiohttp

    connector = aiohttp.TCPConnector(limit=parallel)
    async with aiohttp.ClientSession(
        connector=connector, headers={"Accept": "application/json"}
    ) as session:

        async def fetch(url: str) -> None:
            async with session.get(url) as response:
                await response.read()

        await asyncio.gather(*map(fetch, urls))


class Run(NamedTuple):
    """The cost of one run."""

    seconds: float
    processor: float  #: seconds
    requests: int
    paths: Sequence[str]  #: the distinct ones
    records: int

    @property
    def urls(self) -> int:
        """Returns the number of distinct URLs that were requested."""
        return len(self.paths)

    def __str__(self) -> str:
        return (
            f"{self.records:,} records, {self.requests:,} requests for {self.urls:,} URLs,"
            f" {self.seconds:.2f} s, {self.processor:.2f} s of processor time"
        )


def measure(archive: SlowArchive, inventory: Path, parallel: int) -> Run:
    """Start the command with an empty cache."""
    archive.requests()
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "records").open("wb") as records:
        environ = os.environ | {
            "ARCHIVE_URL": archive.url,
            "CACHE_FOLDER": folder,
            "NB_PARALLEL_REQUESTS": f"{parallel}",
        }
        before, start = os.times(), time.perf_counter()
        subprocess.run([COMMAND, inventory], env=environ, stdout=records, check=True)
        seconds, after = time.perf_counter() - start, os.times()
        number = Path(records.name).read_bytes().count(b"\n")
    requests = archive.requests()
    processor = (after[2] + after[3]) - (before[2] + before[3])
    return Run(seconds, processor, requests.total(), [path for _, path in requests], number)


@click.command()
@click.option("--repeat", default=3, show_default=True)
@click.option("--latency", default=0.05, show_default=True, help="Seconds.")
@click.option("--parallel", default=8, show_default=True)
def main(repeat: int, latency: float, parallel: int) -> None:
    """Print the ratio of the best run."""
    with tempfile.TemporaryDirectory() as folder, slow_archive(latency) as archive:
        inventory = Path(folder) / "inventory.csv.gz"
        inventory.write_bytes(gzip.compress(rows(archive_files()), 1))
        best = min(measure(archive, inventory, parallel) for _ in range(repeat))
        urls = [archive.url + quote(path) for path in best.paths]
        start = time.perf_counter()
        asyncio.run(fetch_all(urls, parallel))
        bare = time.perf_counter() - start
    ideal = best.urls * latency / parallel
    print(best)
    print(f"cold: {best.seconds / ideal:.2f} (aim: {AIM}); a bare client {bare / ideal:.2f}")
    if best.requests > best.urls:
        raise click.ClickException(f"{best.requests - best.urls} requests were made twice")


if __name__ == "__main__":
    main()
