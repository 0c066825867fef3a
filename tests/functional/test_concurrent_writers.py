"""Four ``to-kinto`` at once into one collection of a Kinto on PostgreSQL.

Batches that meet there are answered with 200 and 409 inside, which undoes what was answered 201.
``CONCURRENT_RECORDS=20000`` stores so many records (some minutes) instead of 2,000.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import postgres
from tests.support.kinto_server import Kinto, running_kinto
from tests.support.records import make_record, ndjson

pytestmark = [
    pytest.mark.functional,
    pytest.mark.slow,
    pytest.mark.skipif(not postgres.programs(), reason="PostgreSQL is not installed"),
]

COMMAND = Path(sys.executable).with_name("to-kinto")
RECORDS = int(os.environ.get("CONCURRENT_RECORDS", "2000"))
WRITERS = 4


def all_ids(kinto: Kinto) -> set[str]:
    """The ids of all records, page after page."""
    ids: set[str] = set()
    path = "/buckets/build-hub/collections/releases/records?_fields=id"
    while path:
        response = kinto.call("GET", path)
        ids |= {record["id"] for record in response.json()["data"]}
        path = response.headers.get("Next-Page", "").removeprefix(kinto.url)
    return ids


def test_every_record_of_concurrent_writers_is_stored(tmp_path: Path) -> None:
    records = [make_record(number) for number in range(RECORDS)]
    with (
        postgres.running_postgres() as url,
        running_kinto(tmp_path, postgres.kinto_settings(url)) as kinto,
    ):
        kinto.make_collection()
        processes = []
        for writer in range(WRITERS):
            part = tmp_path / f"{writer}.ndjson"
            part.write_bytes(ndjson(records[writer::WRITERS]))
            environ = os.environ | {"SERVER_URL": kinto.url, "NB_RETRY_REQUEST": "10"}
            processes.append(
                subprocess.Popen(
                    [COMMAND, part], env=environ, cwd=tmp_path, stderr=subprocess.PIPE, text=True
                )
            )
        accounts = [process.communicate()[1] for process in processes]
        stored = all_ids(kinto)
    assert [process.returncode for process in processes] == [0] * WRITERS, accounts
    assert stored == {record["data"]["id"] for record in records}
    figures = [re.search(r"(\d+) created, (\d+) updated", account) for account in accounts]
    assert sum(int(n) for match in figures if match for n in match.groups()) == RECORDS, accounts
