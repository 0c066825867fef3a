"""A server that nobody may be redirected to: what it says looks right and is wrong."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_WRONG = json.dumps(
    {
        "buildid": "20010101010101",
        "moz_app_version": "1.0",
        "moz_update_channel": "release",
        "moz_source_repo": "https://example.org/wrong",
        "data": [],
        "responses": [],
        "settings": {"batch_max_requests": 1},
        "user": {"id": "x"},
        "prefixes": [],
        "files": [],
    }
).encode()


class Elsewhere:
    """Its ``url``, and the requests that should not have come."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.requests: list[str] = []


@contextlib.contextmanager
def running() -> Iterator[Elsewhere]:
    """The server."""

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            elsewhere.requests.append(f"{self.command} {self.path}")
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(_WRONG)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(_WRONG)

        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _answer  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:
            """Nothing on stderr."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        elsewhere = Elsewhere(server.server_port)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield elsewhere
        server.shutdown()
