"""Requests to a Kinto that behaves badly on purpose: deadlines, sizes, refused connections."""

from __future__ import annotations

import contextlib
import gzip
import re
import socket
import threading
import time
import weakref
from typing import Any

import pytest

from buildhub import MAX_PAGE
from buildhub.errors import Fatal, Interrupted, Unreachable
from buildhub.kinto.client import Client
from buildhub.kinto.publisher import Publisher
from buildhub.signals import AbandonableCalls, CancellationToken
from tests.support.raw_server import Answer, path_of, response, serving
from tests.support.records import make_record

pytestmark = pytest.mark.functional

JSON = "Content-Type: application/json"


def client(url: str, **options: Any) -> Client:
    return Client(
        f"{url}v1", "user:secret", "b", "c", **{"retries": 1, "first_pause": 0, **options}
    )


def trickling(head: bytes) -> Answer:
    def answer(connection: socket.socket, request: bytes) -> bool:
        connection.sendall(head)
        with contextlib.suppress(OSError):
            while True:
                connection.sendall(b"1")
                time.sleep(0.1)
        return False

    return answer


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\n" + JSON.encode() + b"\r\nContent-Length: 100000\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + JSON.encode() + b"\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-Header: ",
        b"",
    ],
    ids=["body", "chunks", "header", "status"],
)
def test_a_server_that_trickles_is_left_at_the_deadline(head: bytes) -> None:
    with serving(trickling(head)) as server:
        with pytest.raises(Unreachable, match="no response in time"):
            client(server.url, timeout=0.5).request("GET", "/")
        assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        ("401 Unauthorized", "does not accept these credentials (401): give others with --auth"),
        ("403 Forbidden", "give others with --auth or AUTH"),
        ("404 Not Found", "is not a Kinto, or a proxy denies access to it (it answered 404)"),
    ],
)
def test_a_rejection_of_the_first_request_names_a_cure(status: str, sentence: str) -> None:
    def rejecting(connection: socket.socket, request: bytes) -> bool:
        connection.sendall(response(b"{}", JSON, status=status))
        return True

    with serving(rejecting) as server, pytest.raises(Fatal, match=re.escape(sentence)):
        Publisher(client(server.url), index=None, on_error=lambda sentence: None)


@pytest.mark.parametrize(
    ("body", "number"),
    [(b'{"a": 1}', 1), (b'{"a": 1e999}', float("inf"))],
    ids=["usual", "a number that Kinto would not send"],
)
def test_json_is_decoded_however_unusual(body: bytes, number: float) -> None:
    def answer(connection: socket.socket, request: bytes) -> bool:
        connection.sendall(response(body, "Content-Type: application/json"))
        return True

    with serving(answer) as server:
        assert client(server.url).request("GET", "/")[0] == {"a": number}


def test_a_response_stays_in_memory_no_longer_than_its_user_holds_it() -> None:
    """Two pages of a collection at once would double the memory of a reader."""
    calls = AbandonableCalls("test")
    page = weakref.ref(calls.call(set, 10, lambda: None))
    end = time.monotonic() + 10
    while page() is not None and time.monotonic() < end:
        time.sleep(0.01)  # the thread may not have got so far
    assert page() is None


def test_https_on_a_port_that_speaks_http_names_the_cure() -> None:
    """Such a server waits for the end of what it takes for a request."""
    with serving(lambda connection, request: True) as server:
        url = server.url.replace("http:", "https:")
        with pytest.raises(Unreachable, match=r"TLS failed: .* plain HTTP.* http://"):
            client(url, retries=50, timeout=4).request("GET", "/")


def test_http_in_answer_to_tls_names_the_cure() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1 << 16)
                connection.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        url = f"https://127.0.0.1:{listener.getsockname()[1]}/v1"
        with pytest.raises(Unreachable, match=r"TLS failed: .* plain HTTP.* http://"):
            client(url, retries=50).request("GET", "/")


def test_a_page_beyond_the_limit_is_refused_before_it_is_in_memory() -> None:
    bomb = gzip.compress(bytes(MAX_PAGE + 1), compresslevel=1)

    def packed(connection: socket.socket, request: bytes) -> bool:
        connection.sendall(response(bomb, JSON, "Content-Encoding: gzip"))
        return True

    with serving(packed) as server:
        with pytest.raises(Unreachable, match="its response is larger than 64 MiB"):
            client(server.url, retries=0, timeout=60).request("GET", "/")


def test_a_refused_connection_is_reported_as_such_and_not_as_a_503() -> None:
    """The server is gone after it has failed on a batch: each record alone is refused."""
    batches = 0

    def dying(connection: socket.socket, request: bytes) -> bool:
        nonlocal batches
        if path_of(request).startswith("/v1/batch"):
            batches += 1
            connection.sendall(response(b"{}", JSON, "Connection: close", status="503 Busy"))
            if batches == 2:
                gone.set()
            return False
        connection.sendall(response(b'{"settings": {"batch_max_requests": 2}}', JSON))
        return True

    gone = threading.Event()
    reported: list[str] = []
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(serving(dying))
        one = client(server.url)
        assert one.batch_size == 2
        stack.close()
        with (
            contextlib.suppress(Unreachable),
            Publisher(one, index=None, on_error=reported.append) as publisher,
        ):
            for number in range(2):
                publisher.add(make_record(number), f"line {number}")
    assert publisher.counts.failed == 2
    assert "Connection refused" in reported[0]
    assert "503" not in "".join(reported)


def test_a_stop_ends_a_request_after_its_grace() -> None:
    cancellation = CancellationToken(grace=0.2)

    def silent(connection: socket.socket, request: bytes) -> bool:
        cancellation.cancel()
        time.sleep(3600)
        return False

    with serving(silent) as server:
        with pytest.raises(Interrupted):
            client(server.url, timeout=300, cancellation=cancellation).request("GET", "/")


def test_a_stop_ends_a_pause_that_is_longer_than_its_grace() -> None:
    cancellation = CancellationToken(grace=0.2)

    def busy(connection: socket.socket, request: bytes) -> bool:
        connection.sendall(response(b"{}", JSON, "Retry-After: 120", status="503 Busy"))
        threading.Timer(0.2, cancellation.cancel).start()
        return True

    with serving(busy) as server:
        with pytest.raises(Interrupted):
            client(server.url, timeout=300, cancellation=cancellation).request("GET", "/")


def test_connections_are_used_again() -> None:
    def kept(connection: socket.socket, request: bytes) -> bool:
        connection.sendall(response(b"{}", JSON))
        return True

    with serving(kept) as server:
        one = client(server.url)
        for _ in range(3):
            one.request("GET", "/")
        assert server.connections == 1


def test_a_response_that_is_not_a_list_of_records_is_not_used() -> None:
    for body in (b"[]", b'{"data": 7}', b'{"data": [{"id": 7, "last_modified": 1}]}', b"null"):

        def answer(connection: socket.socket, request: bytes, body: bytes = body) -> bool:
            connection.sendall(response(body, JSON))
            return True

        with serving(answer) as server:
            with pytest.raises(Unreachable, match="not a list of records"):
                list(client(server.url).pages({}))
