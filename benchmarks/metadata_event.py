"""One metadata event with 90 locales waiting, 20 ms a request at archive and Kinto.

Told beside the naive way (90 listings one after the other, 90 single PUTs): wall time and
number of requests. Claim: under half a second, in a container that is warm and in one that has
just started. Archive and Kinto are processes of their own; with them on the same two cores,
their CPU counts too: the last line, without latency, says how much that is.

    .venv/bin/python -m benchmarks.metadata_event [--repeat 5]
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from urllib.parse import quote

import click
import requests

from benchmarks.slow_kinto import COUNT_HEADER
from buildhub.events.service import EventService
from buildhub.lambda_s3_event import DEFAULTS
from buildhub.settings import Settings
from tests.support.archive_server import ArchiveServer
from tests.support.archive_tree import candidate_tree
from tests.support.kinto_server import KINTO_SETTINGS, Kinto, running_kinto
from tests.support.locales import LOCALES
from tests.support.s3_events import created

PLATFORM = "win64"
FOLDER = f"pub/firefox/candidates/54.0-candidates/build1/{PLATFORM}/"
METADATA = f"{FOLDER}en-US/firefox-54.0.json"


class Archive:
    """An archive in another process."""

    def __init__(self, url: str, pipe: Connection) -> None:
        self.url = url
        self._pipe = pipe

    def requests(self) -> int:
        """The requests since this was last asked."""
        self._pipe.send("count")
        return int(self._pipe.recv())


def _serve(latency: float, pipe: Connection) -> None:
    tree = candidate_tree("firefox", "54.0", platforms=[PLATFORM], locales=LOCALES)
    with ArchiveServer(tree, latency=latency) as server:
        pipe.send(server.url)
        while pipe.recv() == "count":
            pipe.send(server.total)
            server.reset()


@contextmanager
def archive(latency: float) -> Iterator[Archive]:
    """The archive, each of whose answers takes ``latency`` seconds."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(latency, theirs))
    process.start()
    try:
        yield Archive(ours.recv(), ours)
    finally:
        ours.send("end")
        process.join()


@contextmanager
def kinto(latency: float) -> Iterator[Kinto]:
    """The same of Kinto."""
    includes = f"{KINTO_SETTINGS['kinto.includes']} benchmarks.slow_kinto"
    settings = KINTO_SETTINGS | {"kinto.includes": includes, "slow_kinto.seconds": str(latency)}
    with tempfile.TemporaryDirectory() as folder, running_kinto(Path(folder), settings) as server:
        yield server


def kinto_requests(server: Kinto) -> int:
    """All requests so far, this one included."""
    return int(server.call("GET", "/").headers[COUNT_HEADER])


def naive(archive_url: str, server: Kinto) -> None:
    """A listing and a PUT for each locale, one after the other."""
    path = f"{server.url}/buckets/build-hub/collections/releases/records/"
    with requests.Session() as session:
        for locale in LOCALES:
            url = quote(f"{FOLDER}{locale}/")
            answer = session.get(archive_url + url, headers={"Accept": "application/json"})
            (build,) = [f for f in answer.json()["files"] if f["name"].endswith(".exe")]
            record = {"data": {"download": {"url": build["name"], "size": build["size"]}}}
            session.put(path + locale, json=record, auth=server.auth).raise_for_status()


def measure(name: str, run: Callable[[], object], far: Archive, server: Kinto, repeat: int) -> None:
    """Print the median of ``repeat`` runs, each into an empty collection."""
    times, asked, sent = [], 0, 0
    for _ in range(repeat):
        server.flush()
        server.make_collection()
        far.requests()
        before = kinto_requests(server)
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
        sent = kinto_requests(server) - before - 1
        asked = far.requests()
        assert len(server.records()) == len(LOCALES)
    print(
        f"{name:28} {statistics.median(times):5.2f} s (best {min(times):.2f}),"
        f" {asked} requests to the archive, {sent} to Kinto",
        flush=True,
    )


def cold(settings: Settings) -> None:
    """The first invocation of a container."""
    with EventService(settings) as service:
        service.handle(created(METADATA))


def compare(latency: float, repeat: int) -> None:
    """Print a line for each way."""
    print(f"{len(LOCALES)} locales, {latency * 1000:.0f} ms a request:")
    with archive(latency) as far, kinto(latency) as server:
        environ = {"SERVER_URL": server.url, "ARCHIVE_URL": far.url}
        settings = Settings.from_environment(environ, DEFAULTS)
        measure("naive", lambda: naive(far.url, server), far, server, 1)
        measure("cold", lambda: cold(settings), far, server, repeat)
        with EventService(settings) as service:
            service.handle(created(METADATA))
            measure("warm", lambda: service.handle(created(METADATA)), far, server, repeat)


@click.command()
@click.option("--repeat", default=5, show_default=True)
@click.option("--latency", default=0.02, show_default=True, help="Seconds.")
def main(repeat: int, latency: float) -> None:
    """Print the times."""
    root = str(Path(__file__).parents[1])  # Kinto has to find its plugin
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    for seconds in (latency, 0):
        compare(seconds, repeat)


if __name__ == "__main__":
    main()
