"""A collection that changes all the time, and what ``kinto-to-search`` says of it meanwhile.

It takes some seconds. For twenty minutes:

    SEARCH_SECONDS=1200 pytest -s tests/functional/test_search_under_changes.py
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.support import search_reference as reference
from tests.support.kinto_server import Kinto, running_kinto
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
        self.equal = self.newer = 0
        self.differences: list[object] = []
        self._search = search
        self._writer = writer
        self._state: dict[str, Record] = {}
        self._etag = self._applied = 0

    def compare(self) -> None:
        """Ask for everything, and compare with the records of the answer's ETag.

        A reading of the collection may have seen changes that came after this.
        """
        request = {"size": 1000, "sort": ["download.size"], "aggs": AGGREGATIONS}
        answer = requests.post(self._search.url + OURS, json=request, timeout=60)
        answer.raise_for_status()
        hits = [hit["_source"] for hit in answer.json()["hits"]["hits"]]
        found = {one["id"]: one for one in hits}
        with self._writer.lock:
            log = list(self._writer.log)
        etag = int(answer.headers["ETag"].strip('"'))
        self._replay(log, etag)
        later = self._later(log)
        wrong = [
            (etag, name)
            for name in {*found, *self._state, *later}
            if found.get(name) not in [self._state.get(name), *later[name], *later[""]]
        ]
        again = reference.search(hits, request)
        if etag < self._etag or answer.json()["aggregations"] != again["aggregations"]:
            wrong.append((etag, "aggregations"))
        if answer.json()["hits"]["total"] != len(found) or again["hits"] != [
            (one["id"], one) for one in hits
        ]:
            wrong.append((etag, "hits"))
        self.differences += wrong
        self.equal += found == self._state
        self.newer += found != self._state
        self._etag = etag

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

    def _later(self, log: list[Entry]) -> dict[str, list[Record | None]]:
        """All that records have become since, by their ids; under ``""``, all of them."""
        found: dict[str, list[Record | None]] = defaultdict(list)
        for _, name, record in log[self._applied :]:
            found[name or ""].append(record)
        return found


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
            until(lambda: (reader.compare(), reader._etag >= last)[1])
            reader.compare()
    print(f"{len(writer.log)} changes; {reader.equal} answers equal, {reader.newer} newer")
    assert reader.differences == []
    assert reader.equal
