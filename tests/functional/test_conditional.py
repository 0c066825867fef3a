"""Conditional writes on a real Kinto: nobody undoes what another one did."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from buildhub import kinto as kinto_room
from buildhub.kinto import Client, Outcome
from buildhub.kinto.conditional import look
from tests.support.kinto_server import Kinto
from tests.support.records import make_record

pytestmark = pytest.mark.functional


@pytest.fixture
def client(kinto: Kinto) -> Client:
    kinto.make_collection(schema={"properties": {"build": {"type": "object"}}})
    return Client(kinto.url, "user:pass", "build-hub", "releases", retries=1)


def store(client: Client, records: list[dict[str, Any]]) -> list[Outcome]:
    """While nothing changes in the archive: to look again brings the same records."""
    return kinto_room.store(
        client, records, refresh=lambda ids: [r for r in records if r["data"]["id"] in ids]
    )


def what(outcomes) -> list[str]:
    return [outcome.what for outcome in outcomes]


def test_what_is_new_is_created_what_differs_updated_what_is_equal_left(kinto, client):
    records = [make_record(n) for n in range(80)]
    assert what(store(client, records)) == ["created"] * 80
    before = kinto.records()
    for record in records[:30]:
        record["data"]["download"]["size"] += 1
    assert what(store(client, records)) == ["updated"] * 30 + ["unchanged"] * 50
    after = kinto.records()
    assert sum(after[id] == before[id] for id in before) == 50


def test_a_record_that_the_schema_refuses_is_told_and_the_others_are_stored(kinto, client):
    outcomes = store(client, [make_record(1), make_record(2, build=7), make_record(3)])
    assert what(outcomes) == ["created", "refused", "created"]
    assert "7 is not of type 'object'" in outcomes[1].reason


def test_of_one_id_the_last_counts(kinto, client):
    outcomes = store(client, [make_record(1, build={"number": n}) for n in (1, 2, 3)])
    assert what(outcomes) == ["created"]
    (record,) = kinto.records().values()
    assert record["build"] == {"number": 3}


@pytest.mark.parametrize("id", ["20170612224034", "true", "null", "1e5", "0", "a-b_C"])
def test_ids_that_look_like_something_else_are_found(client, id):
    record = make_record(1, id=id)
    assert what(store(client, [record]) + store(client, [record])) == ["created", "unchanged"]


def test_hundreds_of_ids_are_looked_up_in_a_few_requests(client):
    ids = [f"{'x' * 60}_{n}" for n in range(300)]
    store(client, [make_record(1, id=one) for one in ids])
    assert set(look(client, [*ids, "absent"])) == set(ids)


def test_a_deleted_record_is_created_again(kinto, client):
    record = make_record(1)
    store(client, [record])
    kinto.call("DELETE", f"{client.records_path}/{record['data']['id']}")
    assert what(store(client, [record])) == ["created"]


def test_writers_at_the_same_moment_store_each_record_once(kinto, client):
    """Three containers with the same news: one write a record, whoever does it."""
    records = [make_record(n) for n in range(60)]
    results: list[list[str]] = []
    start = threading.Barrier(3)

    def container() -> None:
        start.wait()
        results.append(what(store(client, records)))

    threads = [threading.Thread(target=container) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for of_one_record in zip(*results, strict=True):
        assert set(of_one_record) <= {"created", "unchanged"}
    assert len(kinto.records()) == 60


def test_what_would_replace_another_record_is_made_anew_first(kinto, client):
    """This record was made before a file was rebuilt; the one on the server is of the new file."""
    rebuilt = make_record(1, download={"size": 2})
    store(client, [rebuilt])
    outcomes = kinto_room.store(client, [make_record(1)], refresh=lambda ids: [rebuilt])
    assert what(outcomes) == ["unchanged"]
    (record,) = kinto.records().values()
    assert record["download"] == {"size": 2}


def test_what_can_not_be_made_anew_stays_as_it_is(kinto, client):
    store(client, [make_record(1)])
    before = kinto.records()
    changed = make_record(1, download={"size": 2})
    assert what(kinto_room.store(client, [changed], refresh=lambda ids: [])) == ["unchanged"]
    assert kinto.records() == before
