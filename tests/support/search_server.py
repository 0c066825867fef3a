"""``kinto-to-search`` as a process."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from tests.support.ports import free_port

COMMAND = Path(sys.executable).with_name("kinto-to-search")
COLLECTION = "/buckets/build-hub/collections/releases"
SUCCESSORS, OURS = "/api/search", f"/v1{COLLECTION}/search"


@dataclass
class Search:
    """A search server that runs."""

    process: subprocess.Popen[str]
    url: str

    def get(self, path: str, **query: str) -> requests.Response:
        return requests.get(self.url + path, params=query, timeout=30)

    def ids(self) -> set[str]:
        """The ids of all records, which can be asked for with and without a body."""
        answer = requests.post(self.url + OURS, json={"size": 1000}, timeout=30)
        return {hit["_id"] for hit in answer.json()["hits"]["hits"]}

    def stopped(self) -> tuple[int, str]:
        """Ends it as ``docker stop`` does; its exit status and what it said."""
        self.process.terminate()
        _, said = self.process.communicate(timeout=60)
        return self.process.returncode, said


@contextlib.contextmanager
def running(server: str, folder: Path) -> Iterator[Search]:
    """``kinto-to-search`` that accepts requests."""
    port = free_port()
    environ = {"PATH": os.environ["PATH"], "SERVER_URL": server, "CACHE_FOLDER": str(folder)}
    environ |= {"AUTH": "user:pass", "NB_RETRY_REQUEST": "0"}
    process = subprocess.Popen(
        [COMMAND, "--port", str(port), "--refresh", "0.2"],
        env=environ, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    search = Search(process, f"http://127.0.0.1:{port}")
    try:
        until(lambda: answers(search))
        yield search
    finally:
        process.kill()
        process.communicate()


def answers(search: Search) -> bool:
    with contextlib.suppress(requests.ConnectionError):
        return bool(search.get("/__version__"))
    assert search.process.poll() is None, search.process.communicate()
    return False


def until(fulfilled: Callable[[], object]) -> None:
    """Wait; the time-out is far more than anything takes."""
    for _ in range(1200):
        if fulfilled():
            return
        time.sleep(0.05)
    pytest.fail("this has not become true in a minute")
