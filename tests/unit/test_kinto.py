"""A Kinto that misbehaves: what our side makes of each of its ways."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
import responses

from buildhub import USER_AGENT
from buildhub.errors import BadInput, Fatal, Interrupted, Unreachable
from buildhub.kinto import (
    Client,
    PublishCounts,
    Publisher,
    RecordIndex,
    RequestRejected,
    fetch_stored,
    put_if_unchanged,
    record_data,
)
from buildhub.kinto.errors import reason_in
from tests.support.records import make_record

URL = "http://kinto.test/v1"
RECORDS = f"{URL}/buckets/b/collections/c/records"

#: What a server of this name answers, in turn; the last one again and again.
Answer = tuple[int, dict[str, str], Any] | Exception


class Server:
    """Plays the answers to ``POST /batch`` that a test gives, and keeps what was asked."""

    def __init__(self, mock: responses.RequestsMock) -> None:
        self.mock = mock
        self.batches: list[list[dict[str, Any]]] = []
        self.answers: list[Callable[[list[dict[str, Any]]], Answer] | Answer] = []
        self.limit: Any = 3
        mock.add_callback("GET", f"{URL}/", self._root)
        mock.add_callback("POST", f"{URL}/batch", self._batch)

    def _root(self, request: Any) -> Answer:
        return 200, {}, json.dumps({"settings": {"batch_max_requests": self.limit}})

    def _batch(self, request: Any) -> Answer:
        asked = json.loads(request.body)["requests"]
        self.batches.append(asked)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        answer = answer(asked) if callable(answer) else answer
        if isinstance(answer, Exception):
            return answer
        status, headers, body = answer
        return status, headers, body if isinstance(body, str) else json.dumps(body)

    def ids(self) -> list[list[str]]:
        """The ids of each batch that came."""
        return [[one["path"].rpartition("/")[2] for one in batch] for batch in self.batches]


def each(*statuses: int, headers: dict[str, str] | None = None) -> Callable[..., Answer]:
    """An answer to a batch: these statuses for its requests, 201 for all others."""

    def answer(asked: list[dict[str, Any]]) -> Answer:
        inner = []
        for number, request in enumerate(asked):
            status = statuses[number] if number < len(statuses) else 201
            body = {"data": request["body"]["data"]}
            if status >= 400:
                body = {"code": status, "message": "the server's reason"}
            inner.append({"status": status, "headers": headers or {}, "body": body})
        return 200, {}, {"responses": inner}

    return answer


@pytest.fixture
def server() -> Iterator[Server]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield Server(mock)


def client(**options: Any) -> Client:
    return Client(URL, "user:secret-word", "b", "c", **{"first_pause": 0, **options})


def publish(count: int, **options: Any) -> tuple[PublishCounts, list[str]]:
    """Publish records 0 to ``count`` - 1; the summary, and what was reported."""
    said: list[str] = []
    with Publisher(client(**options), known=None, on_error=said.append) as publisher:
        for number in range(count):
            publisher.add(make_record(number, id=f"r{number}"), f"line {number + 1}")
    return publisher.counts, said


# A batch is stored, or sent again, or accounted for


def test_records_are_sent_in_batches_of_the_servers_size(server):
    server.answers = [each()]
    assert publish(7) == (PublishCounts(created=7), [])
    assert server.ids() == [["r0", "r1", "r2"], ["r3", "r4", "r5"], ["r6"]]


@pytest.mark.parametrize(
    ("limit", "wanted", "size"), [(3, None, 3), (3, 2, 2), (3, 9, 3), (None, None, 25), (0, 4, 4)]
)
def test_the_size_of_a_batch_is_what_is_asked_for_but_not_more_than_the_server_takes(
    server, limit, wanted, size
):
    server.limit = limit
    assert client(batch_size=wanted).batch_size == size


@pytest.mark.parametrize("status", [409, 429, 500, 503])
@pytest.mark.parametrize("position", [0, 1, 2])
def test_a_batch_with_a_failure_inside_is_sent_again_whole(server, status, position):
    """On PostgreSQL the records before a 409 are lost although their answer is 201."""
    statuses = [201, 201, 201]
    statuses[position] = status
    server.answers = [each(*statuses), each(*statuses), each()]
    assert publish(3) == (PublishCounts(created=3), [])
    assert server.ids() == [["r0", "r1", "r2"]] * 3


def test_what_an_earlier_try_created_is_new_though_the_last_one_finds_it(server):
    server.answers = [each(200, 409, 201), each(200, 200, 200)]
    assert publish(3) == (PublishCounts(created=1, updated=2), [])


def test_a_failure_that_stays_takes_no_other_record_along(server):
    def poisoned(asked: list[dict[str, Any]]) -> Answer:
        return each(*(503 if one["path"].endswith("r1") else 201 for one in asked))(asked)

    server.answers = [poisoned]
    summary, said = publish(3, retries=1)
    assert summary == PublishCounts(created=2, failed=1)
    assert said == ["line 2: r1 may not be stored: Kinto answered 503."]
    assert server.ids() == [["r0", "r1", "r2"]] * 2 + [["r0"], ["r1"], ["r2"]]


@pytest.mark.parametrize(
    "trouble",
    [
        (503, {}, "<html>out of order</html>"),
        (503, {"Retry-After": "0"}, {"code": 503}),
        (500, {}, {}),
        (502, {}, ""),
        (429, {}, {}),
        (409, {}, {}),
        (200, {}, '{"responses": [{"status": 201, "bo'),
        (200, {}, "<html>hello</html>"),
        (200, {}, "null"),
        (200, {}, {"responses": None}),
        (200, {}, {"responses": []}),
        (200, {}, {"responses": [{"status": 201, "body": {}}]}),
        requests.ConnectionError("Connection aborted", ConnectionResetError(104, "reset")),
        requests.Timeout("too long"),
        requests.exceptions.ChunkedEncodingError("cut"),
    ],
    ids=repr,
)
def test_an_answer_of_no_use_is_asked_for_again(server, trouble):
    server.answers = [trouble, trouble, each()]
    assert publish(3) == (PublishCounts(created=3), [])
    assert server.ids() == [["r0", "r1", "r2"]] * 3


@pytest.mark.parametrize("status", [500, 503])
def test_a_record_that_breaks_the_server_takes_no_other_along(server, status):
    """Such as a NUL in a text on PostgreSQL: 503, and not for the one request but for all."""

    def poisoned(asked: list[dict[str, Any]]) -> Answer:
        broken = any(one["path"].endswith("r1") for one in asked)
        return (status, {"Retry-After": "0"}, {}) if broken else each()(asked)

    server.answers = [poisoned]
    summary, said = publish(6, retries=1)
    assert summary == PublishCounts(created=5, failed=1)
    assert said == [f"line 2: r1 may not be stored: Kinto answered {status}."]


@pytest.mark.parametrize("answer", [(200, {}, {}), (200, {}, "nonsense"), requests.Timeout()])
def test_a_single_request_without_a_proper_answer_is_a_failure_of_its_record(server, answer):
    server.answers = [each(503), each(503), answer, each()]
    summary, _ = publish(3, retries=1)
    assert summary == PublishCounts(created=2, failed=1)


def test_records_of_a_batch_that_can_not_be_delivered_are_counted_and_the_next_is_sent(server):
    server.answers = [(502, {}, {}), (502, {}, {}), each()]
    summary, said = publish(6, retries=1)
    assert summary == PublishCounts(created=3, failed=3)
    assert said == [
        "line 1: this and the records up to line 3 may not be stored: Kinto at"
        f" {URL} gives no proper answer (it answered 502): check that it is running, and --server"
        " or SERVER_URL."
    ]


def test_a_server_that_stays_away_ends_the_run_and_all_that_was_added_is_counted(server):
    server.answers = [(503, {}, {})]
    said: list[str] = []
    publisher = Publisher(client(retries=0), known=None, on_error=said.append)

    def endless() -> None:
        with publisher:
            for number in range(1000):
                publisher.add(make_record(number), f"line {number}")

    with pytest.raises(Unreachable, match="it answered 503"):
        endless()
    assert publisher.counts.failed % 3 == 0
    assert publisher.counts == PublishCounts(failed=publisher.counts.failed)


@pytest.mark.parametrize("status", [413, 400])
def test_a_batch_that_is_too_large_is_halved_until_it_fits(server, status):
    def small(asked: list[dict[str, Any]]) -> Answer:
        return each()(asked) if len(asked) < 2 else (status, {}, {"message": "too large"})

    server.answers = [small]
    assert publish(3) == (PublishCounts(created=3), [])
    assert server.ids() == [["r0", "r1", "r2"], ["r0"], ["r1", "r2"], ["r1"], ["r2"]]


def test_a_record_that_is_too_large_alone_is_refused(server):
    server.answers = [(413, {}, {"message": "too large"})]
    assert publish(1) == (PublishCounts(refused=1), ["line 1: Kinto refuses r0: too large."])


@pytest.mark.parametrize("status", [401, 403, 404])
@pytest.mark.parametrize("inside", [True, False], ids=["inside", "whole"])
def test_what_concerns_all_records_ends_the_run(server, status, inside):
    server.answers = [each(status) if inside else (status, {}, {"message": "no"})]
    with pytest.raises(
        Fatal, match=str(status) if status != 404 else "no collection b/c"
    ) as caught:
        publish(3)
    assert "secret-word" not in str(caught.value)


def test_a_record_without_id_gets_one_so_that_sending_it_twice_stores_it_once(server):
    server.answers = [(503, {}, {}), each(200)]
    said: list[str] = []
    with Publisher(client(), known=None, on_error=said.append) as publisher:
        publisher.add({"data": {"name": "x"}}, "line 1")
    first, second = server.batches
    assert first == second
    assert first[0]["method"] == "POST"
    assert len(first[0]["body"]["data"]["id"]) == 36
    assert publisher.counts == PublishCounts(created=1)


# What the server may ask for


@pytest.mark.parametrize(
    "answer", [(503, {"Retry-After": "1"}, {}), each(503, headers={"Retry-After": "1"})]
)
def test_retry_after_is_waited_for(server, answer, caplog):
    caplog.set_level(logging.INFO)
    server.answers = [answer, each()]
    assert publish(1)[0].ok
    assert "trying again in 1.0 s." in caplog.text


def test_a_backoff_header_holds_back_the_next_request(server, caplog):
    caplog.set_level(logging.INFO)
    body = each()(json.loads('[{"body": {"data": {"id": "r0"}}}]'))[2]
    server.answers = [(200, {"Backoff": "1"}, body)]
    one = client()
    for _ in range(2):
        one.request("POST", "/batch", body={"requests": []})
    assert "Kinto asks for a pause" in caplog.text


def test_a_backoff_longer_than_the_time_limit_ends_the_run(server):
    server.answers = [(200, {"Backoff": "3600"}, {})]
    one = client(timeout=60)
    one.request("POST", "/batch", body={"requests": []})
    with pytest.raises(Unreachable, match=r"asks for a pause of 3[56]\d\d s"):
        one.request("POST", "/batch", body={"requests": []})


# What is sent, and what is shown


def test_requests_say_who_we_are_and_carry_the_credentials(server):
    server.answers = [each()]
    publish(1)
    for call in server.mock.calls:
        assert call.request.headers["User-Agent"] == USER_AGENT
        assert call.request.headers["Authorization"].startswith("Basic ")


@pytest.mark.parametrize("auth", ["user:pä€ss", "user:with:colons", "user:", "Bearer t0ken"])
def test_credentials_of_any_letters_can_be_sent(server, auth):
    assert Client(URL, auth, "b", "c").batch_size == 3
    assert server.mock.calls[0].request.headers["Authorization"]


def test_credentials_in_the_address_are_not_shown():
    one = Client("http://name:secret-word@kinto.test/v1", "u:p", "b", "c")
    assert one.url == URL
    assert "secret-word" not in one.target


def test_what_is_no_kinto_is_said(server):
    server.mock.replace("GET", f"{URL}/", body="<html>hello</html>")
    with pytest.raises(Unreachable, match=r"its response is not JSON.*--server or SERVER_URL"):
        assert client(retries=0).batch_size


def test_an_address_that_can_not_be_one_is_said():
    with pytest.raises(Fatal, match="check --server"):
        assert Client("http://", "u:p", "b", "c", retries=0).batch_size


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"message": "os in body: 'x' is\n not  one of"}, "os in body: 'x' is not one of"),
        ({"error": "Bad Request"}, "Bad Request"),
        ({}, "no reason given"),
        (None, "no reason given"),
        ({"message": "x" * 1000}, "x" * 297 + "…"),
    ],
)
def test_the_servers_reason_is_one_line(body, words):
    assert reason_in(body) == words


def test_the_next_page_is_asked_of_the_server_that_was_given(server):
    """A proxy may hide that the server calls itself otherwise."""
    following = "https://inner.example/v1/buckets/b/collections/c/records?_token=abc"
    record = {"id": "1", "last_modified": 5}
    pages = [({"data": [record]}, {"Next-Page": following}), ({"data": []}, {})]
    for body, headers in pages:
        server.mock.add("GET", RECORDS, json=body, headers=headers)
    assert list(client().pages("/buckets/b/collections/c/records", {})) == [[record], []]
    assert server.mock.calls[-1].request.url == f"{RECORDS}?_token=abc"


# Records


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


# What is known


def test_what_may_be_stored_is_not_taken_for_unchanged(server, tmp_path):
    """Known: version 1. Version 2 fails, nobody knows how. Version 1 has to be sent again."""
    server.answers = [each(), (503, {}, {}), each(200)]
    with RecordIndex(tmp_path, "http://kinto.test") as known:
        with Publisher(client(retries=0), known=known, on_error=lambda sentence: None) as publisher:
            for number in (1, 2, 1):
                publisher.add(make_record(1, build={"number": number}), "")
                publisher.flush()
    assert publisher.counts == PublishCounts(created=1, updated=1, failed=1)


def test_what_was_noted_is_there_after_a_kill(tmp_path):
    first = RecordIndex(tmp_path, "http://kinto.test")
    first.mark_stored([("a", b"1" * 16)])
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in tmp_path.glob("buildhub*"):
        (copy / file.name).write_bytes(file.read_bytes())
    with RecordIndex(copy, "http://kinto.test") as second:
        assert (len(second), second.digest("a"), second.digest("b")) == (1, b"1" * 16, None)
    first.close()


class Collection:
    """A list of records that can be read in pages of two, and counted."""

    def __init__(self, mock: responses.RequestsMock) -> None:
        self.records: list[dict[str, Any]] = []
        self.asked: list[dict[str, str]] = []
        self.changed = 0
        mock.add_callback("GET", RECORDS, self._list)
        mock.add_callback("HEAD", RECORDS, self._count)

    def hold(self, *ids: str, since: int = 100) -> None:
        """Have these records, each a millisecond younger than the one before."""
        self.records = [{"id": id, "last_modified": since + place} for place, id in enumerate(ids)]
        self.changed = max(self.changed, since + len(ids))

    def _list(self, request: Any) -> Answer:
        self.asked.append(request.params)
        after = int(request.params.get("_token") or request.params.get("_since") or 0)
        rest = [one for one in self.records if one["last_modified"] > after]
        headers = {}
        if len(rest) > 2:
            headers = {"Next-Page": f"{RECORDS}?_token={rest[1]['last_modified']}"}
        return 200, headers, json.dumps({"data": rest[:2]})

    def _count(self, request: Any) -> Answer:
        headers = {"Total-Records": str(len(self.records)), "ETag": f'"{self.changed}"'}
        return 200, headers, ""


@pytest.fixture
def collection(server: Server) -> Collection:
    return Collection(server.mock)


def test_a_refresh_that_is_stopped_goes_on_where_it_was(collection, tmp_path):
    collection.hold(*"abcdefg", since=1_000_000)
    with RecordIndex(tmp_path, "http://kinto.test") as known:
        with pytest.raises(Interrupted):
            known.refresh(client(), raise_if_cancelled=_interrupt)
        assert len(known) == 2
        known.refresh(client())
        assert len(known) == 7
    assert int(collection.asked[1]["_since"]) > 0


def _interrupt() -> None:
    raise Interrupted(2)


def test_a_backup_that_came_back_is_noticed_though_it_has_as_many_records(collection, tmp_path):
    collection.hold("a", "b", since=50_000)
    with RecordIndex(tmp_path, "http://kinto.test") as known:
        known.refresh(client())
        newer = known.digest("a")
        collection.changed = 0
        collection.hold("a", "b", since=40_000)
        collection.records[0]["note"] = "as it was"
        known.refresh(client())
        assert known.digest("a") not in (None, newer)


def test_what_is_read_anew_each_time_is_what_may_have_been_overtaken(collection, tmp_path):
    """A slow transaction shows a record later than one that is dated after it."""
    collection.hold("a", "c", since=1_000_000)
    with RecordIndex(tmp_path, "http://kinto.test") as known:
        known.refresh(client())
        collection.records.insert(0, {"id": "b", "last_modified": 999_000})
        known.refresh(client())
        assert known.digest("b")
    first, second = (asked for asked in collection.asked if "_token" not in asked)
    assert "_since" not in first
    assert int(second["_since"]) < 999_000


def test_a_record_that_nobody_can_have_made_equals_nothing(collection, tmp_path):
    collection.hold("a")
    collection.records[0]["note"] = 2**70
    with RecordIndex(tmp_path, "http://kinto.test") as known:
        known.refresh(client())
        assert known.digest("a") == b""


# Conditional writes


def store(client: Client, records: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Fetch, and write if that is still so: status and reason of each record."""
    stored = fetch_stored(client, [record["data"]["id"] for record in records])
    results = put_if_unchanged(client, records, stored)
    return [(result.status.value, result.reason) for result in results.values()]


def look(*found: dict[str, Any]) -> dict[str, Any]:
    return {"data": [{"last_modified": 5, **one} for one in found]}


def test_a_write_has_the_condition_that_nothing_has_changed(server):
    records = [make_record(n, id=f"r{n}") for n in (1, 2)]
    server.mock.add("GET", RECORDS, json=look({**records[1]["data"], "build": {}}))
    server.answers = [each(412, 412)]
    assert store(client(), records) == [("conflict", "")] * 2
    assert [request["headers"] for request in server.batches[0]] == [
        {"If-None-Match": "*"},
        {"If-Match": '"5"'},
    ]


def test_each_record_has_its_outcome(server):
    records = [make_record(n, id=f"r{n}") for n in range(6)]
    changed = {**records[1]["data"], "build": {}}
    server.mock.add("GET", RECORDS, json=look(records[0]["data"], changed))
    server.limit = 25
    server.answers = [each(200, 201, 400, 201, 201)]
    assert [status for status, _ in store(client(), records)] == [
        "unchanged", "updated", "created", "refused", "created", "created",
    ]  # fmt: skip


def test_a_server_that_goes_away_fails_what_is_not_settled(server):
    server.mock.add("GET", RECORDS, json=look())
    server.answers = [each(), (503, {}, {})]
    records = [make_record(n, id=f"r{n}") for n in range(5)]
    results = store(client(retries=0), records)
    assert [status for status, _ in results] == ["created"] * 3 + ["failed"] * 2
    assert "it answered 503" in results[-1][1]


def test_wrong_credentials_are_fatal(server):
    server.mock.add("GET", RECORDS, json={"message": "no"}, status=401)
    with pytest.raises(Fatal, match="--auth or AUTH"):
        store(client(), [make_record(1)])


def test_nothing_to_store_asks_nothing(server):
    assert store(client(), []) == []
    assert not server.mock.calls


def test_a_refusal_can_be_asked_for_its_status(server):
    server.answers = [(404, {}, {"message": "gone"})]
    with pytest.raises(
        RequestRejected, match=r"Kinto answered 404 to POST /batch: gone\."
    ) as caught:
        client().request("POST", "/batch", body={"requests": []})
    assert caught.value.status == 404
