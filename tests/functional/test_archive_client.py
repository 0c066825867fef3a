"""The archive's client against servers that behave badly on purpose."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import logging
import re
import socket
import threading
import time
from base64 import b64encode
from collections.abc import Awaitable, Callable, Iterator
from email.utils import formatdate
from pathlib import Path
from typing import TypeVar

import pytest

from buildhub import MAX_BODY
from buildhub.archive.client import Archive
from buildhub.errors import Fatal, Unreachable
from buildhub.http import GIVE_UP_AFTER, MAX_REDIRECTS
from tests.support.archive_files import File
from tests.support.archive_server import ArchiveServer
from tests.support.raw_server import RawServer, path_of, response, serving

pytestmark = pytest.mark.functional

T = TypeVar("T")


def ask(
    url: str, question: Callable[[Archive], Awaitable[T]], *, retries: int = 0, timeout: float = 5
) -> T:
    async def run() -> T:
        async with Archive(url, retries=retries, timeout=timeout) as archive:
            return await question(archive)

    return asyncio.run(asyncio.wait_for(run(), 60))


def document(server: RawServer | ArchiveServer, key: str = "a", **options: float) -> bytes | None:
    return ask(server.url, lambda archive: archive.document(key), **options)  # type: ignore[arg-type]


@pytest.fixture
def archive() -> Iterator[ArchiveServer]:
    with ArchiveServer({f"f{n}": File(body=f"content {n}".encode()) for n in range(40)}) as server:
        yield server


# Retries


@pytest.mark.parametrize("behaviour", [503, 500, 502, 429, "reset", "cut", "hang"])
def test_transient_faults_are_survived(archive: ArchiveServer, behaviour: int) -> None:
    archive.fail("f1", behaviour)
    assert document(archive, "f1", retries=1, timeout=1) == b"content 1"


@pytest.mark.slow
def test_retry_after_is_waited_for(
    archive: ArchiveServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither form of it is ignored, and no server may ask for more than the time limit."""
    caplog.set_level(logging.DEBUG, logger="buildhub")
    for retry_after in ("2", formatdate(time.time() + 3600, usegmt=True)):
        archive.fail("f1", 503, retry_after=retry_after)
        assert document(archive, "f1", retries=1, timeout=2) == b"content 1"
        # Less than two seconds only where the deadline of the whole request is near.
        assert re.search(r"HTTP 503; trying again in (2\.0|1\.\d) s\.", caplog.text)
        caplog.clear()


@pytest.mark.parametrize("status", [503, 403, 401])
def test_an_archive_that_refuses_everything_is_given_up(
    archive: ArchiveServer, status: int
) -> None:
    for number in range(40):
        archive.fail(f"f{number}", status)

    async def all_of_them(client: Archive) -> None:
        for number in range(40):
            with contextlib.suppress(Unreachable):
                await client.document(f"f{number}")

    with pytest.raises(Fatal, match=rf"does not answer; check ARCHIVE_URL.*HTTP {status}"):
        ask(archive.url, all_of_them)
    assert archive.total == GIVE_UP_AFTER


# Deadlines


def trickle(connection: socket.socket, request: bytes) -> bool:
    """Headers at once, then a byte every tenth of a second, for ever."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    while True:
        connection.sendall(b"x")
        time.sleep(0.1)


def trickled_head(connection: socket.socket, request: bytes) -> bool:
    connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
    while True:
        connection.sendall(b"x")
        time.sleep(0.1)


@pytest.mark.parametrize("answer", [trickle, trickled_head])
def test_a_server_that_trickles_is_left_at_the_deadline(
    answer: Callable[[socket.socket, bytes], bool],
) -> None:
    with serving(answer) as server:
        with pytest.raises(Unreachable, match=r"no response in 0\.5 seconds \(2 attempts\)"):
            document(server, retries=1, timeout=0.5)


# Connections


@pytest.mark.parametrize("pause", [0, 0.05], ids=["at once", "while the connection is idle"])
def test_a_surplus_response_is_not_taken_for_the_next(pause: float) -> None:
    """The second one answers no request: with it, all that follow would be off by one."""

    sent = threading.Event()

    async def one_after_the_other(archive: Archive) -> list[bytes | None]:
        found = []
        for key in ("a", "b", "c", "d"):
            found.append(await archive.document(key))
            await asyncio.to_thread(sent.wait)
            sent.clear()
        return found

    with serving(sent_twice(pause, sent)) as server:
        assert ask(server.url, one_after_the_other) == [b"/a", b"/b", b"/c", b"/d"]
        assert server.connections == 4


def test_a_response_too_many_is_noticed_in_the_socket() -> None:
    """It came while the event loop was busy, right before the connection is taken."""
    sent = threading.Event()

    def busy(steps: int) -> None:
        if steps:
            asyncio.get_running_loop().call_soon(busy, steps - 1)
        else:
            assert sent.wait(10)

    async def one_after_the_other(archive: Archive) -> list[bytes | None]:
        first = await archive.document("0")
        busy(1)  # in the last of these steps of the loop the connection is taken
        return [first, await archive.document("1")]

    with serving(sent_twice(0.05, sent)) as server:
        assert ask(server.url, one_after_the_other) == [b"/0", b"/1"]


def sent_twice(
    pause: float, sent: threading.Event | None = None
) -> Callable[[socket.socket, bytes], bool]:
    """Each response is sent twice, the second one after so many seconds; then ``sent`` is set."""

    def answer(connection: socket.socket, request: bytes) -> bool:
        content = response(path_of(request).encode())
        if pause:
            connection.sendall(content)
            time.sleep(pause)
            connection.sendall(content)
        else:
            connection.sendall(content * 2)
        if sent:
            sent.set()
        return True

    return answer


def test_connections_are_used_again(archive: ArchiveServer) -> None:
    def kept(connection: socket.socket, request: bytes) -> bool:
        connection.sendall(response(path_of(request).encode()))
        return True

    async def one_after_the_other(client: Archive) -> None:
        for key in ("a", "b", "c"):
            assert await client.document(key) == f"/{key}".encode()

    with serving(kept) as server:
        ask(server.url, one_after_the_other)
        assert server.connections == 1


# Redirects


def redirects(to: Callable[[str], str | None]) -> Callable[[socket.socket, bytes], bool]:
    def answer(connection: socket.socket, request: bytes) -> bool:
        target = to(path_of(request))
        connection.sendall(
            response(b"found")
            if target is None
            else response(b"", f"Location: {target}", status="302 Found")
        )
        return True

    return answer


def test_a_redirect_within_the_archive_is_followed() -> None:
    moved = {"/a": "/b%20c", "/b%20c": "d"}
    with serving(redirects(moved.get)) as server:
        assert document(server) == b"found"
        assert [path_of(request) for request in server.requests] == ["/a", "/b%20c", "/d"]


def test_a_redirect_to_another_server_is_refused(archive: ArchiveServer) -> None:
    for target in (archive.url, archive.url.replace("http://", "//"), "https://127.0.0.1/f1"):
        with serving(redirects(lambda path, target=target: target)) as server:  # type: ignore[misc]
            with pytest.raises(Unreachable, match=r"redirects to http.*which is not followed"):
                document(server)
    assert archive.total == 0


def test_one_redirect_to_another_server_is_tried_again(archive: ArchiveServer) -> None:
    """A proxy on the way may answer so once."""
    moved = iter([archive.url])
    with serving(redirects(lambda path: next(moved, None))) as server:
        assert document(server, retries=1) == b"found"
    assert archive.total == 0


def test_redirects_in_a_loop_end() -> None:
    with serving(redirects(lambda path: path + "x")) as server:
        with pytest.raises(Unreachable, match=f"more than {MAX_REDIRECTS} redirects"):
            document(server)
        assert len(server.requests) == MAX_REDIRECTS + 1


@pytest.mark.parametrize("target", ["http://[::1", "http://a:b/", ""])
def test_a_redirect_to_nowhere_is_a_sentence(target: str) -> None:
    with serving(redirects(lambda path: target)) as server:
        with pytest.raises(Unreachable, match="redirect"):
            document(server)


def test_the_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def proxy(connection: socket.socket, request: bytes) -> bool:
        connection.sendall(response(request.split()[1]))
        return True

    with serving(proxy) as server:
        monkeypatch.setenv("http_proxy", server.url)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        found = ask("http://archive.test/", lambda archive: archive.document("a"))
        assert found == b"http://archive.test/a"


@pytest.mark.parametrize("userinfo", ["", "me:p%40ss@"])
def test_no_password_of_netrc_leaves_with_a_request(
    userinfo: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proxy gets the credentials of its own address, and nobody those of ~/.netrc."""

    def proxy(connection: socket.socket, request: bytes) -> bool:
        connection.sendall(response(b"found"))
        return True

    (tmp_path / "netrc").write_text(
        "machine archive.test login me password secret\ndefault login me password secret\n"
    )
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with serving(proxy) as server:
        monkeypatch.setenv("http_proxy", server.url.replace("//", f"//{userinfo}"))
        assert ask("http://archive.test/", lambda one: one.document("a")) == b"found"
        headers = server.requests[0].decode().lower()
    expected = f"authorization: basic {b64encode(b'me:p@ss').decode()}".lower()
    assert re.findall(r"\r\n(?:proxy-)?(authorization: .*)", headers) == [expected] * bool(userinfo)


def test_an_archive_that_cannot_be_reached_is_asked_for_one_thing_only() -> None:
    with serving(redirects(lambda path: None)) as server:
        pass
    with pytest.raises(Fatal, match=r"does not answer; check ARCHIVE_URL.*\(1 attempt\)"):
        document(server)


# Sizes


def test_a_body_beyond_the_limit_is_refused_before_it_is_in_memory() -> None:
    bomb = gzip.compress(bytes(MAX_BODY + 1))

    def packed(connection: socket.socket, request: bytes) -> bool:
        connection.sendall(response(bomb, "Content-Encoding: gzip"))
        return True

    with serving(packed) as server:
        with pytest.raises(Unreachable, match="larger than 8 MiB"):
            document(server, timeout=30)


def test_a_large_body_within_the_limit_is_read() -> None:
    names = [{"name": f"f{n}", "last_modified": "2017-03-07T12:07:51Z"} for n in range(50_000)]
    body = json.dumps({"prefixes": [], "files": names}).encode()

    def packed(connection: socket.socket, request: bytes) -> bool:
        connection.sendall(response(gzip.compress(body), "Content-Encoding: gzip"))
        return True

    with serving(packed) as server:
        listing = ask(server.url, lambda archive: archive.listing("a/"), timeout=30)
    assert listing
    assert len(listing.files) == 50_000
