"""The cost of ``archive-to-inventory``: processor time, memory, requests and waiting.

The server runs in a process of its own and lists as Google's does. Claims:

- at least 200,000 rows per second of one core's time, the start of the program included;
- memory does not grow with the number of rows;
- requests of a whole listing: at most 1.1 times the pages that the wanted objects fill, and one
  a version, build and month of nightlies; with ``--since 2d`` on ten years 2 % of that, and one
  a version and build;
- 5,000 pages, no folder with more than 2 % of them, 0.1 s a request, 32 at once: at most 1.2
  times (requests · 0.1 s / 32).

    .venv/bin/python -m benchmarks.archive_to_inventory
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.bucket_tree import Tree, made
from tests.support.gcs_server import BUCKET, GcsServer, Object

COMMAND = str(Path(sys.executable).parent / "archive-to-inventory")


class Result(NamedTuple):
    """The cost of one run."""

    rows: int
    requests: int
    wall: float  #: seconds
    processor: float  #: seconds
    memory: float  #: MiB at most


def releases(versions: int, locales: int, files: int) -> Iterator[Object]:
    """Versions with four platforms each."""
    for version in range(50, 50 + versions):
        for platform in ("linux-x86_64", "mac", "win32", "win64"):
            for locale in range(locales):
                folder = f"pub/firefox/releases/{version}.0/{platform}/l{locale:02}/"
                for number in range(files):
                    yield made(f"{folder}Firefox Setup {version}.0.{number}.exe")


def pages_of_all_sizes() -> list[Object]:
    """5,000 pages of 20 objects: small and large versions, flat nightlies of 2 % each."""
    objects = list(releases(60, 40, 6))
    for version in range(400):
        root = f"pub/firefox/candidates/{version // 10}.{version % 10}-candidates/build1/"
        objects += (made(f"{root}mac/l{number}/Firefox.dmg") for number in range(30))
    for day in range(1, 16):
        root = f"pub/firefox/nightly/2017/07/2017-07-{day:02}-10-00-00-mozilla-central/firefox"
        for number in range(2_000):
            locale = chr(97 + number // 80) + chr(97 + number % 25)
            objects.append(made(f"{root}.{locale}.{number}.dmg"))
    return objects


def two_days_old() -> list[Object]:
    """Ten years of nightlies, up to today."""
    end = datetime.now(UTC) - timedelta(hours=20)
    return Tree(end, products=["firefox"], versions=40, days=3650, every=1).objects


@contextlib.contextmanager
def serving(tree: Callable[[], Iterable[Object]], **options: Any) -> Iterator[str]:
    """The URL of a server in a process of its own."""
    context = multiprocessing.get_context("fork")
    urls: Any = context.Queue()
    done = context.Event()
    process = context.Process(target=_serve, args=(tree, options, urls, done))
    process.start()
    try:
        yield urls.get()
    finally:
        done.set()
        process.join()


def _serve(tree: Callable[[], Iterable[Object]], options: Any, urls: Any, done: Event) -> None:
    with GcsServer(tree(), **options) as server:
        urls.put(server.url)
        done.wait()


def measured(url: str, *arguments: str) -> Result:
    """One run of the command."""
    environ = os.environ | {"STORAGE_EMULATOR_HOST": url, "ARCHIVE_BUCKET": BUCKET}
    start = time.perf_counter()
    with subprocess.Popen(
        [COMMAND, "--product", "firefox", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=environ,
        text=True,
    ) as process:
        assert process.stderr
        summary = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, summary
    rows, requests = (int(n.replace(",", "")) for n in re.findall(r"[\d,]*\d", summary)[:2])
    processor = usage.ru_utime + usage.ru_stime
    return Result(rows, requests, time.perf_counter() - start, processor, usage.ru_maxrss / 1024)


def processor_and_memory() -> None:
    """Pages as large as Google's."""
    peaks = []
    for versions in (5, 50):
        with serving(lambda versions=versions: releases(versions, 100, 50)) as url:
            run = measured(url, "--section", "releases")
        peaks.append(run.memory)
        print(
            f"{run.rows:,} rows in {run.requests:,} requests: {run.processor:.2f} s of one core,"
            f" {run.rows / run.processor:,.0f} rows/s (at least 200,000),"
            f" {run.memory:.0f} MiB",
            flush=True,
        )
    print(f"ten times the rows: {peaks[1] / peaks[0]:.2f} times the memory (flat)")


def waiting() -> None:
    """Small pages: the time is that of the requests, not of the processor."""
    with serving(pages_of_all_sizes, page_size=20, delay=0.1) as url:
        run = measured(url, "--jobs", "32")
    pages = -(-run.rows // 20)
    least = run.requests * 0.1 / 32
    months, versions, builds = 1, 60 + 400, 400
    print(
        f"{pages:,} pages: {run.requests:,} requests, {run.requests / pages:.3f} a page"
        f" (at most {(1.1 * pages + months + versions + builds) / pages:.3f});"
        f" {run.wall:.1f} s, {run.wall / least:.2f} times requests · 0.1 s / 32 (at most 1.2)",
        flush=True,
    )


def since() -> None:
    """A whole listing of ten years, and what --since 2d needs of it."""
    with serving(two_days_old, page_size=50) as url:
        whole, new = measured(url), measured(url, "--since", "2d")
    pages = -(-whole.rows // 50)
    folders = 40 + 40 + 41
    print(
        f"ten years, {pages:,} pages: {whole.requests:,} requests, --since 2d {new.requests:,}"
        f" for {new.rows:,} rows (at most {0.02 * 1.1 * pages + folders:,.0f})"
    )


if __name__ == "__main__":
    processor_and_memory()
    waiting()
    since()
