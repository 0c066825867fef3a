"""``make run`` and ``make stop``: the whole job on this machine, with the real commands.

``SERVER_URL``, ``ARCHIVE_URL``, ``INVENTORY`` and every variable of the commands are used.
"""

from __future__ import annotations

import argparse
import glob
import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import requests

from buildhub.errors import Fatal
from buildhub.settings import Settings
from tests.demo import archive_service, kinto_service, page_service
from tests.demo.kinto_service import Problem
from tests.sample import tree

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent

SAMPLE = """\
This is a sample: some builds of each kind, with made-up dates and revisions. Its files are zeros
that this machine serves until make stop."""


def main() -> int:
    """Parse the command line, do what it says; the exit status."""
    parser = argparse.ArgumentParser(prog="tests.demo", description=__doc__)
    parser.add_argument("action", choices=("run", "stop"))
    parser.add_argument("--folder", type=Path, default=ROOT / ".run", help="for Kinto and cache")
    arguments = parser.parse_args()
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # in a pipe, too
    try:
        if arguments.action == "stop":
            stop(arguments.folder)
            return 0
        return run(os.environ, arguments.folder)
    except (Problem, Fatal) as problem:
        print(problem, file=sys.stderr)
        return 1
    except requests.RequestException as error:
        print(f"Kinto didn't answer as it should: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def stop(folder: Path) -> None:
    """Stop what ``run`` has started."""
    sentences = kinto_service.stop_all(folder) or ["No Kinto of ours is running."]
    print(*sentences, *page_service.stop_all(folder), *archive_service.stop_all(folder))


def run(environ: Mapping[str, str], folder: Path) -> int:
    """Kinto, its collection, the archive, the pipe, the page, and a look at the result."""
    settings = Settings.from_environment(environ)
    inventories = _inventories(environ.get("INVENTORY", ""))
    if kinto_service.ensure(settings.server_url, folder):
        print(f"Started Kinto at {settings.server_url}")
    else:
        print(f"Kinto answers already at {settings.server_url}")
    _load_schema(settings)
    catalogue = Catalogue(settings)
    before = catalogue.state()
    is_sample = not (environ.get("ARCHIVE_URL") or environ.get("INVENTORY"))
    given = {
        "SERVER_URL": settings.server_url,
        "ARCHIVE_URL": _sample(folder) if is_sample else settings.archive_url,
        "CACHE_FOLDER": environ.get("CACHE_FOLDER") or str(folder / "cache"),
    }
    Path(given["CACHE_FOLDER"]).mkdir(parents=True, exist_ok=True)
    status = _pipe(
        ["inventory-to-records", *inventories], ["to-kinto", "--skip"], {**environ, **given}
    )
    if status > 128:
        return status
    after = catalogue.state()
    print(f"\nKinto now stores {after[0]:,} records in {settings.bucket}/{settings.collection}.")
    if after == before and not status:
        print("Nothing changed: every one of them was there already.")
    catalogue.show()
    page = page_service.ensure(folder, settings.server_url)
    if is_sample:
        print(f"\n{SAMPLE}")
    print(f"\n{_how_to_stop(settings.server_url, folder)}")
    print(f"To look builds up in the browser, open {page}")
    return status


def _inventories(patterns: str) -> list[str]:
    """The files that ``INVENTORY`` names, or the sample's."""
    if not patterns.strip():
        return [os.path.relpath(tree.INVENTORY)]
    files: list[str] = []
    for pattern in shlex.split(patterns):
        found = sorted(glob.glob(os.path.expanduser(pattern)))
        if not found:
            raise Problem(f"INVENTORY: no file matches {pattern}: give the inventory's *.csv.gz.")
        files += found
    return files


def _sample(folder: Path) -> str:
    """The address of the sample archive, which is served until ``stop``."""
    url = archive_service.ensure(folder)
    print(f"Serving the sample archive at {url}")
    return url


def _load_schema(settings: Settings) -> None:
    """``kinto-wizard load``; what it says is shown only if it fails."""
    command = ["kinto-wizard", "load", "--server", settings.server_url]
    definition = os.path.relpath(ROOT / "jobs" / "initialization.yml")
    shown = "user:pass" if settings.auth == "user:pass" else "..."
    _announce([*command, "--auth", shown, definition])
    done = subprocess.run(
        _path([*command, "--auth", settings.auth, definition]), capture_output=True, text=True
    )
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip() or "it said nothing").splitlines()[-1]
        raise Problem(
            f"kinto-wizard could not load {definition}: {said.replace(settings.auth, '...')}"
        )


def _pipe(first: Sequence[str], second: Sequence[str], environ: Mapping[str, str]) -> int:
    """``first | second``, with their messages; the exit status as with ``set -o pipefail``."""
    _announce(first, second)
    interrupted = signal.signal(signal.SIGINT, lambda *_: None)  # theirs to answer, and to finish
    try:
        with subprocess.Popen(_path(first), env=environ, stdout=subprocess.PIPE) as producer:
            with subprocess.Popen(_path(second), env=environ, stdin=producer.stdout) as consumer:
                assert producer.stdout
                producer.stdout.close()
    finally:
        signal.signal(signal.SIGINT, interrupted)
    status = consumer.returncode or producer.returncode
    return 128 - status if status < 0 else status


def _path(command: Sequence[str]) -> list[str]:
    return [str(BIN / command[0]), *command[1:]]


def _announce(*commands: Sequence[str]) -> None:
    print("\n$", " | ".join(map(shlex.join, commands)), flush=True)


class Catalogue:
    """The collection on the server, as anyone may read it."""

    def __init__(self, settings: Settings) -> None:
        self._url = (
            f"{settings.server_url}/buckets/{settings.bucket}"
            f"/collections/{settings.collection}/records"
        )

    def state(self) -> tuple[int, str]:
        """The number of records, and a mark that changes with each change of one of them."""
        answer = requests.head(self._url, timeout=60)
        answer.raise_for_status()
        return int(answer.headers["Total-Records"]), answer.headers["ETag"]

    def show(self) -> None:
        """Print a record, and who else was built with it; nothing if there are no records."""
        newest_first = "_sort=-build.date&_limit=1"
        record = self._first(f"target.channel=release&target.platform=win64&{newest_first}")
        record = record or self._first(newest_first)
        if not record:
            return
        print("One of them:\n" + json.dumps(record, indent=2))
        build_id = record["build"]["id"]
        url = f"{self._url}?build.id={quote(json.dumps(build_id))}&_fields=id"
        print(f"\nWhich builds have build id {build_id}?\n\n$ curl -s {shlex.quote(url)}")
        for found in requests.get(url, timeout=60).json()["data"]:
            print(f"  {found['id']}")

    def _first(self, query: str) -> dict[str, Any] | None:
        answer = requests.get(f"{self._url}?{query}", timeout=60)
        answer.raise_for_status()
        return next(iter(answer.json()["data"]), None)


def _how_to_stop(server_url: str, folder: Path) -> str:
    if kinto_service.is_ours(server_url, folder):
        return f"Kinto keeps running at {server_url}. To stop it: make stop"
    return f"The Kinto at {server_url} was running before; make stop leaves it alone."


if __name__ == "__main__":
    sys.exit(main())
