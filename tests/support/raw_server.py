"""A server that sends the bytes it is told to: what HTTP libraries would refuse to send."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Self

#: Called with a connection once a request has come, and with that request; returns whether the
#: connection stays open for another one.
Answer = Callable[[socket.socket, bytes], bool]


class RawServer:
    """Its ``url``, and the requests that came in."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/"
        self.requests: list[bytes] = []
        self.connections = 0


def response(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """A response with an honest length."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def path_of(request: bytes) -> str:
    return request.split()[1].decode()


@contextlib.contextmanager
def serving(answer: Answer) -> Iterator[RawServer]:
    """A server that treats each request as ``answer`` does."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = RawServer(listener.getsockname()[1])
    connections: list[socket.socket] = []

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            server.connections += 1
            connections.append(connection)
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    def serve(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            received = b""
            while True:
                while b"\r\n\r\n" not in received:
                    if not (data := connection.recv(1 << 16)):
                        return
                    received += data
                head, _, received = received.partition(b"\r\n\r\n")
                received = _without_body(head, received, connection)
                server.requests.append(head)
                if not answer(connection, head):
                    return

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        thread.join()


class SameAnswer:
    """A context manager around a server that answers every request with the same body."""

    def __enter__(self) -> Self:
        self.body = b""
        self._serving = serving(self._answer)
        self._server = self._serving.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._serving.__exit__(None, None, None)

    def answering(self, body: bytes) -> str:
        """The address of the server, which answers with ``body`` from now on."""
        self.body = body
        return self._server.url

    def _answer(self, connection: socket.socket, request: bytes) -> bool:
        connection.sendall(response(self.body, "Content-Type: application/json"))
        return True


def _without_body(head: bytes, received: bytes, connection: socket.socket) -> bytes:
    """Returns what follows the body of a request."""
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            length = int(line.partition(b":")[2])
            while len(received) < length:
                received += connection.recv(1 << 16)
            return received[length:]
    return received
