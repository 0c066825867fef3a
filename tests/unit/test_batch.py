"""Records as they are sent to Kinto."""

from __future__ import annotations

import json

import pytest
import responses

from buildhub.errors import BadInput, Unreachable
from buildhub.kinto.batch import record_data, send
from buildhub.kinto.client import Client


@pytest.mark.parametrize("name", ["last_modified", "schema"])
def test_what_the_server_adds_is_not_sent_to_it(name):
    assert record_data({"data": {"id": "a", name: 1, "x": 2}}) == {"id": "a", "x": 2}


@pytest.mark.parametrize("id", ["a", "A-b_c", "0", "x" * 1000])
def test_an_id_that_kinto_takes(id):
    assert record_data({"data": {"id": id}}) == {"id": id}


@pytest.mark.parametrize("id", ["", "-a", "a b", "a.b", "ä", "a\n", None, 7, [], {}])
def test_an_id_that_kinto_refuses(id):
    with pytest.raises(BadInput, match="is not a valid record id"):
        record_data({"data": {"id": id}})


@pytest.mark.parametrize(
    "answer",
    [
        None,
        {},
        {"status": None},
        {"status": True},
        {"status": 0},
        {"status": float("inf")},
        {"status": "no"},
        {"status": 503, "headers": True},
        {"status": 503, "headers": {"Retry-After": None}},
        {"status": 503, "headers": {"Retry-After": 0}, "body": "text"},
    ],
    ids=repr,
)
def test_an_odd_answer_in_a_batch_is_a_failure_of_the_server(answer: object) -> None:
    with responses.RequestsMock() as server:
        body = json.dumps({"responses": [answer]})
        server.add("POST", "http://kinto/v1/batch", body=body)
        client = Client("http://kinto/v1", "user:pass", "b", "c", retries=0)
        try:
            (found,) = send(client, [{"method": "PUT", "path": "/a"}])
        except Unreachable:
            return
    assert found.failed
    assert found.reason == "Kinto answered 503"
    assert found.body == {}


def test_an_answer_that_is_nested_too_deep_is_a_failure_of_the_server() -> None:
    with responses.RequestsMock() as server:
        server.add("POST", "http://kinto/v1/batch", body="[" * 100_000)
        client = Client("http://kinto/v1", "user:pass", "b", "c", retries=0)
        with pytest.raises(Unreachable):
            send(client, [{"method": "PUT", "path": "/a"}])
