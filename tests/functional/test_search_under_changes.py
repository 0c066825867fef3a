"""A collection that changes all the time, and what ``kinto-to-search`` says of it meanwhile.

It takes some seconds. For twenty minutes:

    SEARCH_SECONDS=1200 pytest -s tests/functional/test_search_under_changes.py
"""

from __future__ import annotations

import contextlib
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from buildhub.kinto.client import Client
from buildhub.kinto.refresh import Changes, Position, read_changes
from buildhub.search.copy import Copy
from tests.support import search_reference as reference
from tests.support.kinto_server import KINTO_SETTINGS, Kinto, running_kinto
from tests.support.search_copy import compared
from tests.support.search_records import catalogue
from tests.support.search_server import COLLECTION, OURS, Search, running, until

pytestmark = [pytest.mark.functional, pytest.mark.xdist_group("search-under-changes")]

SECONDS = float(os.environ.get("SEARCH_SECONDS", "8"))
AGGREGATIONS = {
    "versions": {
        "terms": {"field": "target.version", "size": 50},
        "aggs": {"locales": {"terms": {"field": "target.locale", "order": {"_term": "asc"}}}},
    },
    "ids": {"cardinality": {"field": "build.id"}},
}
Record = dict[str, Any]
#: When the collection changed, what changed (None: everything is gone), and what it is since then.
Entry = tuple[int, str | None, Record | None]


class Writer:
    """Creates, changes and deletes records in bursts, with a log, and flushes the server once."""

    def __init__(self, kinto: Kinto) -> None:
        self.log: list[Entry] = []
        self.lock = threading.Lock()  #: nothing is stored that is not in the log, while it is held
        self._kinto = kinto
        self._random = random.Random(20)
        self._records = [
            {n: v for n, v in one.items() if n not in ("schema", "last_modified")}
            for one in catalogue()[::7]
        ]

    def work(self, seconds: float) -> None:
        """Write until the time is over."""
        start = time.monotonic()
        self._empty()
        flushed = False
        while (passed := time.monotonic() - start) < seconds:
            for _ in range(self._random.randint(1, 20)):
                with self.lock:
                    self._change()
            time.sleep(self._random.choice([0, 0, 0.1, 0.5]))
            if not flushed and passed > seconds / 2:
                with self.lock:
                    self._kinto.flush()
                    self._empty()
                flushed = True

    def _empty(self) -> None:
        self._kinto.make_collection()
        headers = self._kinto.call("HEAD", f"{COLLECTION}/records").headers
        self.log.append((int(headers["ETag"].strip('"')), None, None))

    def _change(self) -> None:
        record = self._random.choice(self._records)
        path = f"{COLLECTION}/records/{record['id']}"
        if self._random.random() < 0.3:
            answer = requests.delete(self._kinto.url + path, auth=self._kinto.auth, timeout=30)
            if answer.status_code == 200:
                deleted = answer.json()["data"]["last_modified"]
                self.log.append((deleted, record["id"], None))
            return
        download = {**record["download"], "size": self._random.randint(1, 10**10)}
        stored = self._kinto.call("PUT", path, json={"data": {**record, "download": download}})
        data = stored.json()["data"]
        self.log.append((data["last_modified"], record["id"], data))


class Reader:
    """Compares answers with the log."""

    def __init__(self, search: Search, writer: Writer) -> None:
        self.answers = 0
        self.differences: list[object] = []
        self.etag = 0
        self._search = search
        self._writer = writer
        self._state: dict[str, Record] = {}
        self._applied = 0

    def compare(self) -> None:
        """Ask for everything, and compare with the records of the answer's ETag."""
        request = {"size": 1000, "sort": ["download.size"], "aggs": AGGREGATIONS}
        answer = requests.post(self._search.url + OURS, json=request, timeout=60)
        answer.raise_for_status()
        etag = int(answer.headers["ETag"].strip('"'))
        with self._writer.lock:
            self._replay(list(self._writer.log), etag)
        again = reference.search(list(self._state.values()), request)
        if etag < self.etag or compared(answer.json()) != again:
            self.differences.append((self.etag, etag, answer.json(), again))
        self.answers += 1
        self.etag = etag

    def _replay(self, log: list[Entry], etag: int) -> None:
        while self._applied < len(log) and log[self._applied][0] <= etag:
            _, name, record = log[self._applied]
            if name is None:
                self._state.clear()
            elif record is None:
                self._state.pop(name, None)
            else:
                self._state[name] = record
            self._applied += 1


class Log:
    """The states of a collection by its ETags: the versions of all records by their ids."""

    def __init__(self, kinto: Kinto) -> None:
        self._kinto = kinto
        self._records: dict[str, int] = {}
        self.states: dict[int, dict[str, int]] = {}

    def put(self, *ids: str) -> None:
        for name in ids:
            answer = self._kinto.call("PUT", f"{COLLECTION}/records/{name}", json={"data": {}})
            self._keep(self._records | {name: answer.json()["data"]["last_modified"]})

    def delete(self, name: str) -> None:
        answer = self._kinto.call("DELETE", f"{COLLECTION}/records/{name}")
        del self._records[name]
        self._keep(self._records, answer.json()["data"]["last_modified"])

    def _keep(self, records: dict[str, int], etag: int = 0) -> None:
        self._records = records
        self.states[etag or max(records.values())] = dict(records)


@pytest.mark.parametrize("always", [False, True], ids=["after a page", "all the time"])
def test_the_etag_is_exact_where_others_write_between_the_pages_of_a_reading(
    tmp_path: Path, always: bool
) -> None:
    with running_kinto(tmp_path, KINTO_SETTINGS | {"kinto.paginate_by": "5"}) as kinto:
        kinto.make_collection()
        log = Log(kinto)
        log.put(*(f"record-{number}" for number in range(12)))
        client = Client(kinto.url, "user:pass", "build-hub", "releases")

        def read(position: Position, count: Callable[[], int]) -> Iterator[Changes]:
            for number, page in enumerate(read_changes(client, position, count=count)):
                restarts.append(page.restart)
                yield page
                if number == 0:
                    log.put(page.changed[0]["id"], "record-9")
                elif always and page.changed:
                    log.put(f"new-{len(log.states)}")
                    log.delete(page.changed[0]["id"])

        with contextlib.closing(Copy(tmp_path, client.target)) as copy:
            for restarted in (True, False, False):
                restarts: list[bool] = []
                copy.refresh(read)
                ((etag,),) = copy.run("SELECT etag FROM state")
                assert dict(copy.run("SELECT id, last_modified FROM records")) == log.states[etag]
                assert any(restarts) is restarted
                log.put(*(f"record-{number}" for number in range(0, 12, 2)))


@pytest.mark.slow
def test_an_answer_is_what_was_stored_when_the_collection_had_its_etag(tmp_path: Path) -> None:
    with running_kinto(tmp_path) as kinto:
        writer = Writer(kinto)
        kinto.make_collection()
        with running(kinto.url, tmp_path / "copy") as search:
            until(lambda: search.get("/__heartbeat__"))
            reader = Reader(search, writer)
            thread = threading.Thread(target=writer.work, args=(SECONDS,))
            thread.start()
            until(lambda: writer.log)
            while thread.is_alive():
                reader.compare()
            last = writer.log[-1][0]
            until(lambda: (reader.compare(), reader.etag >= last)[1])
    print(f"{len(writer.log)} changes, {reader.answers} answers")
    assert reader.differences == []
