"""Conditional writes on a real Kinto: no writer undoes what another one did."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from buildhub.kinto.batch import BatchResponse, fetch_stored, put_if_unchanged
from buildhub.kinto.client import Client
from tests.support.kinto_server import Kinto
from tests.support.records import make_record

pytestmark = pytest.mark.functional


@pytest.fixture
def client(kinto: Kinto) -> Client:
    kinto.make_collection(schema={"properties": {"build": {"type": "object"}}})
    return Client(kinto.url, "user:pass", "build-hub", "releases", retries=1)


def store(client: Client, records: list[dict[str, Any]]) -> list[BatchResponse]:
    """Fetch, and write if that is still so."""
    stored = fetch_stored(client, [record["data"]["id"] for record in records])
    return list(put_if_unchanged(client, records, stored).values())


def what(results: list[BatchResponse]) -> list[str]:
    return [result.outcome.value for result in results]


def test_what_is_new_is_created_what_differs_updated_what_is_equal_left(kinto, client):
    records = [make_record(n) for n in range(80)]
    assert what(store(client, records)) == ["created"] * 80
    before = kinto.records()
    for record in records[:30]:
        record["data"]["download"]["size"] += 1
    assert what(store(client, records)) == ["updated"] * 30 + ["unchanged"] * 50
    after = kinto.records()
    assert sum(after[id] == before[id] for id in before) == 50


def test_a_record_that_the_schema_refuses_is_reported_and_the_others_are_stored(kinto, client):
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
    assert set(fetch_stored(client, [*ids, "absent"])) == set(ids)


def test_a_deleted_record_is_created_again(kinto, client):
    record = make_record(1)
    store(client, [record])
    kinto.call("DELETE", f"{client.records_path}/{record['data']['id']}")
    assert what(store(client, [record])) == ["created"]


def test_writers_at_the_same_moment_store_each_record_once(kinto, client):
    """Three containers with the same records: none replaces what another one stored."""
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
        assert set(of_one_record) <= {"created", "unchanged", "conflict"}
    assert len(kinto.records()) == 60
    assert what(store(client, records)) == ["unchanged"] * 60


@pytest.mark.parametrize("existed", [False, True], ids=["created meanwhile", "changed meanwhile"])
def test_what_another_writer_changed_meanwhile_is_a_conflict_and_stays(kinto, client, existed):
    if existed:
        store(client, [make_record(1)])
    records = [make_record(1, download={"size": 3}), make_record(2)]
    before = fetch_stored(client, [record["data"]["id"] for record in records])
    store(client, [make_record(1, download={"size": 2})])
    results = put_if_unchanged(client, records, before)
    assert what(results.values()) == ["conflict", "created"]
    assert kinto.records()[records[0]["data"]["id"]]["download"] == {"size": 2}
