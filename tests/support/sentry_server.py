"""A stand-in of Sentry: real HTTP on loopback."""

from __future__ import annotations

import contextlib
import json
import threading
import zlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Sentry:
    """Takes events as Sentry does."""

    def __init__(self, port: int) -> None:
        self.dsn = f"http://key0815:secret4711@127.0.0.1:{port}/1"
        self.status = 200
        self.location = ""  #: where its responses redirect to
        self.bodies: list[str] = []
        self.requests: list[tuple[str, dict[str, str]]] = []

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(body) for body in self.bodies]


@contextlib.contextmanager
def running_sentry() -> Iterator[Sentry]:
    """A Sentry, until the end of the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            sentry.requests.append((self.path, dict(self.headers)))
            sentry.bodies.append(zlib.decompress(body).decode())
            self.send_response(sentry.status)
            self.send_header("Content-Length", "0")
            if sentry.location:
                self.send_header("Location", sentry.location)
            self.end_headers()

        def do_GET(self) -> None:
            """Note it: a client that follows a redirect may ask in this way."""
            sentry.requests.append((self.path, dict(self.headers)))
            self.send_error(405)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing on stderr."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    sentry = Sentry(server.server_port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    with server:
        yield sentry
        server.shutdown()
        thread.join()
