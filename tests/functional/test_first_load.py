"""deploy/first-load.sh on a real Kinto with PostgreSQL: everything is there, or nothing."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from buildhub.errors import BadInput
from buildhub.kinto.client import Client
from buildhub.kinto.initialization import definition, initialize
from tests.functional.test_concurrent_writers import all_ids
from tests.support import commands, postgres
from tests.support.kinto_server import Kinto, running_kinto
from tests.support.records import make_record, ndjson

pytestmark = [
    pytest.mark.functional,
    pytest.mark.skipif(not postgres.programs(), reason="PostgreSQL is not installed"),
]

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "deploy" / "first-load.sh"
BIN = Path(sys.executable).parent

_spec = importlib.util.spec_from_file_location("first_load", SCRIPT.with_name("first_load.py"))
assert _spec
assert _spec.loader
first_load = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(first_load)
RECORDS = "/buckets/build-hub/collections/releases/records"


class Site(NamedTuple):
    """A Kinto, and the URL of the database that it uses."""

    kinto: Kinto
    database: str
    folder: Path

    def environ(self) -> dict[str, str]:
        path = f"{BIN}:{os.environ['PATH']}"
        return {"PATH": path, "SERVER_URL": self.kinto.url, "CACHE_FOLDER": str(self.folder)}

    def start(self, records: Path) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [SCRIPT, records, self.database],
            env=self.environ(),
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def load(self, records: Path) -> tuple[int, str]:
        """The exit status and all messages of a whole run."""
        process = self.start(records)
        messages = process.communicate(timeout=120)[1]
        return process.returncode, messages

    def load_lines(self, *lines: bytes) -> tuple[int, str]:
        path = self.folder / "records.data"
        path.write_bytes(b"\n".join(lines) + b"\n")
        return self.load(path)

    def to_kinto(self, *options: str, stdin: bytes = b"") -> subprocess.CompletedProcess[str]:
        command, env = ["to-kinto", *options], self.environ()
        return commands.run(command, input=stdin, env=env, cwd=self.folder, text=True)

    def sql(self, query: str) -> str:
        command = ["psql", "-X", "-At", "-c", query, self.database]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture(scope="module")
def _site(postgresql: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder, url = tmp_path_factory.mktemp("first-load"), postgres.new_database(postgresql, "load")
    with running_kinto(folder, postgres.kinto_settings(url)) as kinto:
        yield Site(kinto, url, folder)


@pytest.fixture
def site(_site: Site, tmp_path: Path) -> Site:
    """Initialised, and empty."""
    _site.kinto.flush()
    _site.sql("DELETE FROM metadata WHERE value = '999'")
    initialize(Client(_site.kinto.url, "user:pass", "build-hub", "releases"))
    return _site._replace(folder=tmp_path)


def lines(count: int) -> list[bytes]:
    return ndjson([make_record(number) for number in range(count)]).splitlines()


def test_every_record_is_there_and_kinto_says_so(site: Site) -> None:
    status, messages = site.load_lines(*lines(500))
    assert status == 0, messages
    assert "to-kinto --check" in messages
    check = site.to_kinto("--check", "records.data")
    assert (check.returncode, check.stdout) == (0, "")
    assert "500 unchanged" in check.stderr
    stored = site.kinto.call("GET", RECORDS).json()["data"]
    collection = site.kinto.call("GET", RECORDS.rpartition("/")[0]).json()["data"]
    assert len({record["last_modified"] for record in stored}) == 500
    assert {record["schema"] for record in stored} == {collection["last_modified"]}


def test_kinto_goes_on_counting_its_timestamps_from_there(site: Site) -> None:
    some = lines(300)
    assert site.load_lines(*some)[0] == 0
    before = site.kinto.call("HEAD", RECORDS).headers["ETag"]
    site.to_kinto("--skip", "records.data")
    changed = json.loads(some[7])
    changed["data"]["build"]["number"] = 99
    (site.folder / "later.data").write_bytes(
        json.dumps(changed).encode() + b"\n" + lines(301)[-1] + b"\n"
    )
    later = site.to_kinto("--skip", "later.data")
    assert "1 created, 1 updated" in later.stderr
    since = site.kinto.call("GET", f"{RECORDS}?_since={before}").json()["data"]
    assert len(since) == 2
    again = site.to_kinto("--skip", "later.data", "records.data")
    assert "0 created, 1 updated, 301 unchanged" in again.stderr, again.stderr


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (b"{", "line 3: not valid JSON"),
        (b'{"id": "a"}', "line 3: this is not a record"),
        (b'{"data": {"id": "a b"}}', "is not a valid record id"),
        (b'{"data": {"id": "incomplete"}}', "the schema does not allow it: data must contain"),
        (lines(1)[0].replace(b'"size":', b'"bytes":'), "the schema does not allow it"),
        (lines(1)[0].replace(b'"fr"', b'"f\\u0000"'), "line 3: PostgreSQL stores no text with"),
    ],
)
def test_a_bad_line_is_named_and_nothing_is_loaded(site: Site, wrong: bytes, sentence: str) -> None:
    status, messages = site.load_lines(*lines(2), wrong, *lines(9)[2:])
    assert status == 1
    assert sentence in messages
    assert "nothing was loaded" in messages
    assert all_ids(site.kinto) == set()


def damaged() -> Iterator[dict[str, Any]]:
    """Records of which one field is missing, of another type, or not of the schema."""
    for part in ("source", "target", "build", "download"):
        record = make_record(1)["data"]
        yield {name: value for name, value in record.items() if name != part}
        yield record | {part: 3}
        yield record | {part: record[part] | {"more": "x"}}
        for name in record[part]:
            yield record | {part: {n: v for n, v in record[part].items() if n != name}}
            for value in (None, True, -1, 1.5, "", ["x"], {}):
                yield record | {part: record[part] | {name: value}}


def test_a_record_is_accepted_exactly_where_kinto_accepts_it(site: Site) -> None:
    some = list(damaged())
    for number, record in enumerate(some):
        record["id"] = f"r{number}"
    accepted = set()
    for start in range(0, len(some), 25):
        requests = [
            {"method": "PUT", "path": f"/v1{RECORDS}/{record['id']}", "body": {"data": record}}
            for record in some[start : start + 25]
        ]
        responses = site.kinto.call("POST", "/batch", json={"requests": requests}).json()
        for record, response in zip(some[start : start + 25], responses["responses"], strict=True):
            if response["status"] < 300:
                accepted.add(record["id"])
    assert 0 < len(accepted) < len(some)
    schema = definition("build-hub", "releases")[1]["data"]["schema"]
    check = first_load.fastjsonschema.compile(schema, use_formats=False)
    assert {record["id"] for record in some if is_accepted(record, check)} == accepted


def is_accepted(record: dict[str, Any], check: Callable[[Any], Any]) -> bool:
    try:
        first_load.stored_data(json.dumps({"data": record}).encode(), check, 1)
    except BadInput:
        return False
    return True


def test_the_last_of_several_lines_with_one_id_counts(site: Site) -> None:
    some = lines(3)
    later = json.loads(some[0])
    later["data"]["target"]["locale"] = "it's"
    status, messages = site.load_lines(*some, json.dumps(later).encode())
    assert status == 0, messages
    records = site.kinto.records()
    assert len(records) == 3
    assert records[later["data"]["id"]]["target"]["locale"] == "it's"


def test_a_record_without_id_gets_one(site: Site) -> None:
    record = make_record(1)
    del record["data"]["id"]
    assert site.load_lines(json.dumps(record).encode())[0] == 0
    (stored,) = site.kinto.records().values()
    assert stored["target"] == record["data"]["target"]


REFUSED: dict[str, tuple[Callable[[Site], object], str]] = {
    "a record is there": (
        lambda site: site.kinto.call("POST", RECORDS, json=make_record(1)),
        "is not empty",
    ),
    "a record was deleted": (
        lambda site: (
            site.kinto.call("POST", RECORDS, json=make_record(1)),
            site.kinto.call("DELETE", RECORDS),
        ),
        "the tombstones of deleted records",
    ),
    "no collection": (
        lambda site: site.kinto.flush(),
        "Kinto has no collection /buckets/build-hub/collections/releases",
    ),
    "tables of an unknown version": (
        lambda site: site.sql("INSERT INTO metadata VALUES ('storage_schema_version', '999')"),
        "Kinto's tables have version 999, and only 26 is known",
    ),
}


@pytest.mark.parametrize(("prepare", "sentence"), REFUSED.values(), ids=REFUSED)
def test_a_server_that_is_not_empty_or_not_known_is_refused(
    site: Site, prepare: Callable[[Site], object], sentence: str
) -> None:
    prepare(site)
    count = site.sql("SELECT count(*) FROM objects")
    status, messages = site.load_lines(*lines(3))
    assert status == 1
    assert sentence in messages
    assert site.sql("SELECT count(*) FROM objects") == count


@pytest.mark.parametrize("victim", ["first-load.sh", "first_load.py", "psql"])
def test_a_killed_one_leaves_nothing(site: Site, victim: str) -> None:
    """Killed while it waits for more lines; with the script all that it has started goes."""
    pipe = site.folder / "records.data"
    os.mkfifo(pipe)
    process = site.start(pipe)
    with pipe.open("wb", buffering=0) as records:
        records.write(b"\n".join(lines(100)))
        while "COPY objects" not in site.sql("SELECT query FROM pg_stat_activity"):
            assert process.poll() is None
        if victim == "first-load.sh":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            found = ["pgrep", "--session", str(process.pid), "--full", f"[{victim[0]}]{victim[1:]}"]
            (pid,) = subprocess.check_output(found, text=True).split()
            os.kill(int(pid), signal.SIGKILL)
    process.communicate(timeout=60)
    assert process.returncode != 0
    while site.sql("SELECT pid FROM pg_stat_activity WHERE query LIKE 'COPY objects%'"):
        assert all_ids(site.kinto) == set()
    assert all_ids(site.kinto) == set()
