"""When the archive's client asks again, and when it gives up, on a real server that is busy."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from buildhub.archive.client import Archive
from buildhub.errors import Fatal, Unreachable
from buildhub.http import GIVE_UP_AFTER
from tests.support.archive_server import ArchiveServer, File

pytestmark = pytest.mark.functional

KEY = "pub/firefox/candidates/54.0-candidates/build1/mac/en-US/firefox-54.0.json"
OTHER = KEY.replace("mac", "win64")


@pytest.fixture
def server() -> Iterator[ArchiveServer]:
    with ArchiveServer({KEY: File(body=b"{}"), OTHER: File(body=b"{}")}) as server:
        yield server


def fetch(server: ArchiveServer, *keys: str, retries: int) -> list[bytes | str | None]:
    """The content of files, one after the other, or the type of the error."""

    async def documents() -> list[bytes | str | None]:
        found: list[bytes | str | None] = []
        async with Archive(server.url, retries=retries, timeout=20) as archive:
            for key in keys:
                try:
                    found.append(await archive.document(key))
                except (Unreachable, Fatal) as error:
                    found.append(type(error).__name__)
        return found

    return asyncio.run(documents())


@pytest.mark.parametrize(
    "date", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["seconds", "date"]
)
def test_a_retry_comes_when_retry_after_says(server: ArchiveServer, date: bool) -> None:
    """A second attempt is enough, although it would be too early after the usual half second."""
    server.unavailable(KEY, 2, date=date)
    assert fetch(server, KEY, retries=1) == [b"{}"]
    assert server.requests["GET", KEY] == 2


@pytest.mark.parametrize("retry_after", ["soon", "-3", "Tue, 08 Aug 2017 10:00:25 GMT"])
def test_a_retry_after_that_cannot_be_used_is_ignored(
    server: ArchiveServer, retry_after: str
) -> None:
    server.fail(KEY, 503, retry_after=retry_after)
    assert fetch(server, KEY, retries=1) == [b"{}"]


def test_a_request_ends_after_the_retries(server: ArchiveServer) -> None:
    server.fail(KEY, 503, 503, 503)
    assert fetch(server, KEY, retries=1) == ["Unreachable"]
    assert server.requests["GET", KEY] == 2


@pytest.mark.parametrize("status", [400, 403])
def test_a_refusal_is_not_tried_again(server: ArchiveServer, status: int) -> None:
    server.fail(KEY, status)
    assert fetch(server, KEY, retries=3) == ["Unreachable"]
    assert server.requests["GET", KEY] == 1


@pytest.mark.parametrize("answered", [OTHER, "absent.json"], ids=["found", "not found"])
def test_an_answer_in_between_shows_that_the_archive_is_not_down(
    server: ArchiveServer, answered: str
) -> None:
    failing = [KEY] * (GIVE_UP_AFTER - 1)
    server.fail(KEY, *[503] * len(failing) * 2)
    assert "Fatal" not in fetch(server, *failing, answered, *failing, retries=0)
