"""Conditional writes to a Kinto that misbehaves."""

from __future__ import annotations

import json
from typing import Any

import pytest

from buildhub.errors import Fatal
from buildhub.kinto.batch import fetch_stored, put_if_unchanged
from buildhub.kinto.client import Client, RequestRejected
from tests.support.records import make_record
from tests.support.stub_kinto import Answer, client, each


def store(client: Client, records: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Fetch, and write if that is still so: status and reason of each record."""
    stored = fetch_stored(client, [record["data"]["id"] for record in records])
    results = put_if_unchanged(client, records, stored)
    return [(result.outcome.value, result.reason) for result in results.values()]


def look(*found: dict[str, Any]) -> Answer:
    return 200, {}, json.dumps({"data": [{"last_modified": 5, **one} for one in found]})


def test_a_write_has_the_condition_that_nothing_has_changed(server):
    records = [make_record(n, id=f"r{n}") for n in (1, 2)]
    server.stored = look({**records[1]["data"], "build": {}})
    server.answers = [each(412, 412)]
    assert store(client(), records) == [("conflict", "other writers keep changing it")] * 2
    assert [request["headers"] for request in server.batches[0]] == [
        {"If-None-Match": "*"},
        {"If-Match": '"5"'},
    ]


def test_each_record_has_its_outcome(server):
    records = [make_record(n, id=f"r{n}") for n in range(6)]
    changed = {**records[1]["data"], "build": {}}
    server.stored = look(records[0]["data"], changed)
    server.limit = 25
    server.answers = [each(200, 201, 400, 201, 201)]
    assert [status for status, _ in store(client(), records)] == [
        "unchanged", "updated", "created", "refused", "created", "created",
    ]  # fmt: skip


def test_records_that_are_not_settled_when_the_server_goes_down_fail(server):
    server.stored = look()
    server.answers = [each(), (503, {}, {})]
    records = [make_record(n, id=f"r{n}") for n in range(5)]
    results = store(client(retries=0), records)
    assert [status for status, _ in results] == ["created"] * 3 + ["failed"] * 2
    assert "it answered 503" in results[-1][1]


def test_wrong_credentials_are_fatal(server):
    server.stored = (401, {}, '{"message": "no"}')
    with pytest.raises(Fatal, match="--auth or AUTH"):
        store(client(), [make_record(1)])


def test_nothing_to_store_asks_nothing(server):
    assert store(client(), []) == []
    assert not server.mock.calls


def test_a_rejection_has_its_status(server):
    server.answers = [(404, {}, {"message": "gone"})]
    with pytest.raises(
        RequestRejected, match=r"Kinto answered 404 to POST /batch: gone\."
    ) as caught:
        client().request("POST", "/batch", body={"requests": []})
    assert caught.value.status == 404
