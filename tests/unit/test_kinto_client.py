"""Requests to Kinto: what is sent and shown, and the pauses that the server asks for."""

from __future__ import annotations

import json
import logging

import pytest

from buildhub import USER_AGENT
from buildhub.errors import Fatal, Unreachable
from buildhub.kinto.client import Client, reason_in
from tests.support.stub_kinto import RECORDS, URL, StubKinto, client, each, publish


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


@pytest.mark.parametrize("status", [401, 403])
def test_a_server_that_shows_nothing_without_credentials_names_the_cure(server, status):
    server.mock.replace("GET", f"{URL}/", status=status, json={"message": "Please authenticate"})
    with pytest.raises(Fatal, match=r"these credentials.*give others with --auth or AUTH"):
        assert client(retries=0).batch_size


def test_a_server_that_is_not_kinto_is_reported(server):
    server.mock.replace("GET", f"{URL}/", body="<html>hello</html>")
    with pytest.raises(Unreachable, match=r"its response is not JSON.*--server or SERVER_URL"):
        assert client(retries=0).batch_size


def test_an_invalid_address_is_reported():
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


def pages_of(server: StubKinto, *pages: tuple[list[str], bool]) -> None:
    """Pages with records of these ids, each of which says whether there are more."""
    for ids, more in pages:
        data = [{"id": one, "last_modified": 5} for one in ids]
        headers = {"Next-Page": "https://inner.example/v1/x?_token=abc"} if more else {}
        server.mock.add("GET", RECORDS, json={"data": data}, headers=headers)


def test_the_next_page_is_asked_of_the_server_that_was_given(server):
    """A proxy may hide that the server calls itself otherwise."""
    pages_of(server, (["1", "2"], True), ([], False))
    pages = [[one["id"] for one in page] for page in client().pages({"x": "y"})]
    assert pages == [["1", "2"], []]
    url = server.mock.calls[-1].request.url
    assert url == f"{RECORDS}?_sort=id&_limit=10000&x=y&gt_id=%222%22"


@pytest.mark.parametrize(
    "pages",
    [
        [(["1", "2"], True), (["1", "2"], True)],
        [(["1", "2"], True), (["3", "4"], True), (["1", "2"], True)],
        [([], True)],
    ],
    ids=["one", "two in turn", "empty"],
)
def test_pages_that_do_not_get_on_are_an_error_that_names_the_cure(server, pages):
    """Behind a cache that ignores the query, each is the first."""
    pages_of(server, *pages)
    with pytest.raises(Fatal, match=r"sends the same page of records again: a cache.*ignore"):
        list(client().pages({}))
