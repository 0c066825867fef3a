"""Publishing to a Kinto that misbehaves: a batch is stored, or sent again, or accounted for."""

from __future__ import annotations

import logging
import re
from typing import Any

import pytest
import requests

from buildhub.errors import BuildhubError, Fatal
from buildhub.kinto.publisher import PublishCounts, Publisher
from tests.support.records import make_record
from tests.support.stub_kinto import URL, Answer, client, each, publish


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


def test_a_conflict_with_other_writers_is_retried_until_the_time_is_over(server):
    """Of many writers at once, some lose more often than a failing server is asked again."""
    server.answers = [*[each(201, 409)] * 20, each()]
    assert publish(3, retries=1) == (PublishCounts(created=3), [])
    server.answers = [*[(409, {}, {})] * 20, each()]
    assert publish(3, retries=1) == (PublishCounts(created=3), [])


def test_a_conflict_that_never_ends_is_a_failure_of_its_record(server):
    server.answers = [
        lambda asked: each(*(409 if one["path"].endswith("r1") else 201 for one in asked))(asked)
    ]
    assert publish(3, retries=1, timeout=0.3) == (
        PublishCounts(created=2, failed=1),
        ["line 2: r1 may not have been stored: Kinto answered 409."],
    )


def test_what_an_earlier_try_created_is_new_though_the_last_one_finds_it(server):
    server.answers = [each(200, 409, 201), each(200, 200, 200)]
    assert publish(3) == (PublishCounts(created=1, updated=2), [])


def test_a_failure_that_stays_takes_no_other_record_along(server):
    def poisoned(asked: list[dict[str, Any]]) -> Answer:
        return each(*(503 if one["path"].endswith("r1") else 201 for one in asked))(asked)

    server.answers = [poisoned]
    summary, errors = publish(3, retries=1)
    assert summary == PublishCounts(created=2, failed=1)
    assert errors == ["line 2: r1 may not have been stored: Kinto answered 503."]
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
def test_an_unusable_response_is_requested_again(server, trouble):
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
    summary, errors = publish(6, retries=1)
    assert summary == PublishCounts(created=5, failed=1)
    assert errors == [f"line 2: r1 may not have been stored: Kinto answered {status}."]


@pytest.mark.parametrize("answer", [(200, {}, {}), (200, {}, "nonsense"), requests.Timeout()])
def test_a_single_request_without_a_proper_answer_is_a_failure_of_its_record(server, answer):
    server.answers = [each(503), each(503), answer, each()]
    summary, _ = publish(3, retries=1)
    assert summary == PublishCounts(created=2, failed=1)


def test_records_of_a_batch_that_can_not_be_delivered_are_counted_and_the_next_is_sent(server):
    server.answers = [(502, {}, {}), (502, {}, {}), each()]
    summary, errors = publish(6, retries=1)
    assert summary == PublishCounts(created=3, failed=3)
    assert errors == [
        "line 1: this and the records up to line 3 may not have been stored: Kinto at"
        f" {URL} gives no proper answer (it answered 502): try again later."
    ]


def add_thousand(publisher: Publisher) -> None:
    with publisher:
        for number in range(1000):
            publisher.add(make_record(number), f"line {number}")


@pytest.mark.parametrize("answer", [(503, {}, {}), each(503, 503, 503)], ids=["whole", "inside"])
def test_a_server_that_stays_away_ends_the_run_and_all_that_was_added_is_counted(server, answer):
    server.answers = [answer]
    errors: list[str] = []
    publisher = Publisher(client(retries=0), index=None, on_error=errors.append)

    with pytest.raises(Fatal, match=r"it answered 503|batches in a row failed"):
        add_thousand(publisher)
    assert publisher.counts.failed % 3 == 0
    assert publisher.counts == PublishCounts(failed=publisher.counts.failed)


@pytest.mark.parametrize("status", [404, 502, 503])
@pytest.mark.parametrize("inside", [True, False], ids=["inside", "whole"])
def test_all_records_that_failed_are_named_also_those_that_were_not_sent_any_more(
    server, status, inside
):
    server.answers = [each(*[status] * 3) if inside else (status, {}, {})]
    errors: list[str] = []
    publisher = Publisher(client(retries=0), index=None, on_error=errors.append)

    with pytest.raises(BuildhubError):
        add_thousand(publisher)
    ranges = [list(map(int, re.findall(r"line (\d+)", error))) for error in errors]
    named = [number for ends in ranges for number in range(ends[0], ends[-1] + 1)]
    assert named == list(range(publisher.counts.failed))


@pytest.mark.parametrize(
    ("answer", "cure"),
    [
        ((503, {}, {}), "try again later."),
        ((429, {}, {}), "try again later."),
        (each(503, 503, 503), "try again later."),
        (requests.ConnectionError(), "check that it is running, and --server or SERVER_URL."),
    ],
    ids=["503", "429", "503 for each record", "no answer"],
)
def test_a_server_that_answers_is_not_called_one_that_is_not_running(server, answer, cure):
    server.answers = [answer]
    with pytest.raises(Fatal, match=rf": {cure}$"):
        publish(30, retries=0)


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
    errors: list[str] = []
    with Publisher(client(), index=None, on_error=errors.append) as publisher:
        publisher.add({"data": {"name": "x"}}, "line 1")
    first, second = server.batches
    assert first == second
    assert first[0]["method"] == "POST"
    assert len(first[0]["body"]["data"]["id"]) == 36
    assert publisher.counts == PublishCounts(created=1)


@pytest.mark.parametrize(
    "answer", [(503, {"Retry-After": "1"}, {}), each(503, headers={"Retry-After": "1"})]
)
def test_retry_after_is_waited_for(server, answer, caplog):
    caplog.set_level(logging.INFO)
    server.answers = [answer, each()]
    assert publish(1)[0].ok
    assert "trying again in 1.0 s." in caplog.text
