"""The client of the archive's bucket against servers that answer what Google never would."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from buildhub import MAX_BODY
from buildhub.errors import Fatal, Unreachable
from buildhub.inventory.gcs import Bucket, Page
from buildhub.inventory.selection import LOWEST, Section, Selection, successor
from tests.support.raw_server import Answer, path_of, response, serving

pytestmark = pytest.mark.functional

JSON = "Content-Type: application/json"
PREFIX = "pub/firefox/releases/"
ITEM = {
    "name": f"{PREFIX}54.0/mac/fr/Firefox 54.0.dmg",
    "size": "5",
    "timeCreated": "2017-06-13T12:00:00.000Z",
    "md5Hash": "1B2M2Y8AsgTpgAmY7PhCfg==",
}


def answering(body: bytes, *headers: str, status: str = "200 OK") -> Answer:
    def answer(connection: socket.socket, request: bytes) -> bool:
        connection.sendall(response(body, JSON, *headers, status=status))
        return True

    return answer


def asked(answer: Answer, ask: Callable[[Bucket], Awaitable[Any]]) -> Any:
    async def run(url: str) -> Any:
        async with Bucket("b", host=url, retries=0, timeout=60) as bucket:
            return await ask(bucket)

    with serving(answer) as server:
        return asyncio.run(run(server.url.rstrip("/")))


async def objects(bucket: Bucket, start: str = f"{PREFIX}5") -> Page:
    return await bucket.page(PREFIX, start, f"{PREFIX}6")


def items(**changes: object) -> dict[str, object]:
    return {"items": [{**ITEM, **changes}]}


ODD: dict[str, tuple[object, str]] = {
    "an object without name": ({"items": [{"size": "5"}]}, "not a listing"),
    "a name that is null": (items(name=None), "not a listing"),
    "a name with a line feed": (items(name=f"{PREFIX}54.0/a\nb"), "not a listing"),
    "an empty name": (items(name=""), "not a listing"),
    "objects that are none": ({"items": [[1]]}, "not a listing"),
    "objects by name": ({"items": {"a": 1}}, "not a listing"),
    "null for the objects": ({"items": None}, "not a listing"),
    "a folder that is null": ({"prefixes": [None]}, "not a listing"),
    "a text for the folders": ({"prefixes": "abc"}, "not a listing"),
    "a token that is a number": ({"nextPageToken": 7}, "not a listing"),
    "an array": ([], "not a listing"),
    "null": (None, "not a listing"),
    "a name of another folder": (items(name="pub/other"), "that to another request"),
    "a name behind the end": (items(name=f"{PREFIX}7/a"), "that to another request"),
    "a folder of another folder": ({"prefixes": ["pub/x/"]}, "that to another request"),
    "a folder where none was asked for": (
        {"prefixes": [f"{PREFIX}55.0/"]},
        "that to another request",
    ),
    "names out of order": (
        {"items": [ITEM, {**ITEM, "name": f"{PREFIX}50.0/x"}]},
        "that to another request",
    ),
}


@pytest.mark.parametrize(("body", "sentence"), ODD.values(), ids=ODD)
def test_an_odd_page_is_unreadable_and_no_crash(body: object, sentence: str) -> None:
    with pytest.raises(Unreachable, match=sentence):
        asked(answering(json.dumps(body).encode()), objects)


@pytest.mark.parametrize(
    "changes",
    [
        {"timeCreated": None},
        {"timeCreated": '2017"\n'},
        {"timeCreated": "yesterday"},
        {"size": '5","'},
        {"size": 5},
        {"size": ""},
        {"md5Hash": 7},
    ],
    ids=repr,
)
def test_an_impossible_value_costs_its_object_only(changes: dict[str, object]) -> None:
    good = {**ITEM, "name": f"{ITEM['name']}.asc"}
    page = asked(answering(json.dumps({"items": [{**ITEM, **changes}, good]}).encode()), objects)
    assert (page.items, page.bad) == ([good], [ITEM["name"]])


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b'{"items": [', b'{"items": "\\ud800"}', b"[" * 9999]
)
def test_what_is_not_json_is_unreadable(body: bytes) -> None:
    with pytest.raises(Unreachable, match="not a listing"):
        asked(answering(body), objects)


def test_a_page_that_leads_to_itself_is_not_followed() -> None:
    """It would be asked for again for ever."""
    with pytest.raises(Unreachable, match="that to another request"):
        asked(answering(b'{"nextPageToken": "t"}'), objects)


async def all_pages(bucket: Bucket) -> list[Page]:
    pages = [await objects(bucket)]
    while start := pages[-1].next:
        pages.append(await objects(bucket, start))
    return pages


def test_empty_pages_without_end_are_an_error_with_a_name() -> None:
    numbers = iter(range(10**9))

    def empty(connection: socket.socket, request: bytes) -> bool:
        token = f'{{"nextPageToken": "t{next(numbers)}"}}'
        connection.sendall(response(token.encode(), JSON))
        return True

    with pytest.raises(Fatal, match=rf"bucket b cannot be listed: 1000 pages .* below {PREFIX}"):
        asked(empty, all_pages)
    assert next(numbers) == 1000


def test_two_pages_that_lead_to_each_other_end() -> None:
    sent: list[str] = []

    def one_of_two(connection: socket.socket, request: bytes) -> bool:
        name = "b" if "54.0%2Fa" in path_of(request) else "a"
        sent.append(name)
        page = items(name=f"{PREFIX}54.0/{name}") | {"nextPageToken": name}
        connection.sendall(response(json.dumps(page).encode(), JSON))
        return True

    with pytest.raises(Unreachable, match="that to another request"):
        asked(one_of_two, all_pages)
    assert len(sent) <= 4


@pytest.mark.parametrize(
    "page",
    [
        {"prefixes": [f"{PREFIX}55.0/", f"{PREFIX}54.0/"]},
        {"prefixes": [f"{PREFIX}51.0/"]},
        {"prefixes": [f"{PREFIX}53.0/"]},
    ],
    ids=["in a page", "from page to page", "the same again"],
)
def test_folders_out_of_order_are_not_lost_in_silence(page: object) -> None:
    with pytest.raises(Unreachable, match="that to another request"):
        asked(
            answering(json.dumps(page).encode()),
            lambda bucket: bucket.page(PREFIX, successor(f"{PREFIX}53.0/"), delimiter="/"),
        )


@pytest.mark.parametrize(
    ("reason", "error"),
    [("rateLimitExceeded", Unreachable), ("userRateLimitExceeded", Unreachable), ("no", Fatal)],
)
def test_a_403_that_asks_for_patience_is_tried_again(reason: str, error: type[Exception]) -> None:
    body = {"error": {"code": 403, "message": "Slow", "errors": [{"reason": reason}]}}
    with pytest.raises(error, match="HTTP 403: Slow"):
        asked(answering(json.dumps(body).encode(), status="403 Forbidden"), objects)


def test_a_good_page_is_read() -> None:
    page = asked(answering(json.dumps(items() | {"nextPageToken": "t"}).encode()), objects)
    assert page == Page([ITEM], [], ITEM["name"] + LOWEST)


def test_a_page_beyond_the_limit_is_refused_before_it_is_in_memory() -> None:
    bomb = gzip.compress(bytes(MAX_BODY + 1), compresslevel=1)
    with pytest.raises(Unreachable, match="larger than 8 MiB"):
        asked(answering(bomb, "Content-Encoding: gzip"), objects)


def test_a_redirect_to_another_server_is_not_followed() -> None:
    with serving(answering(b"{}")) as elsewhere:
        redirect = answering(b"{}", f"Location: {elsewhere.url}", status="302 Found")
        with pytest.raises(Unreachable, match="not followed: set STORAGE_EMULATOR_HOST"):
            asked(redirect, objects)
        assert not elsewhere.requests


def test_an_answer_too_many_is_not_taken_for_that_to_the_next_request() -> None:
    """All later answers would be those to the requests before them."""
    versions = [f"{PREFIX}{number}.0/" for number in range(50, 60)]

    def twice(connection: socket.socket, request: bytes) -> bool:
        version = path_of(request).partition("prefix=")[2].partition("&")[0].replace("%2F", "/")
        body = json.dumps({"items": [{**ITEM, "name": f"{version}x"}]}).encode()
        connection.sendall(response(body, JSON) * 2)
        return True

    async def ask(bucket: Bucket) -> list[str]:
        names = []
        for version in versions:
            try:
                page = await bucket.page(version, version, version[:-1] + "0")
            except Unreachable:
                continue  # reported, and asked again by the listing
            names.append((version, page.items[0]["name"]))
        return names

    for version, name in asked(twice, ask):
        assert name == f"{version}x"


@pytest.mark.parametrize("year", [1, 999, 1000])
def test_a_limit_before_the_year_1000_leaves_nothing_out(year: int) -> None:
    selection = Selection(("firefox",), since=datetime(year, 1, 1, tzinfo=UTC))
    section = Section("firefox", "nightly")
    assert selection.bounds(section)[0] < f"{section.prefix}2004/01/2004-01-01-00-x/"
    assert selection.wants_created("2004-01-01T00:00:00.000Z")
