"""An HTTP server that answers every request with the same bytes, whatever was asked."""

from __future__ import annotations

import http.server
import threading
from typing import Self


class RawServer:
    """A context manager around the server; ``answering`` sets the body and gives the address."""

    def __init__(self) -> None:
        self.body = b""

    def answering(self, body: bytes) -> str:
        """The address of the server, which answers with ``body`` from now on."""
        self.body = body
        return f"http://127.0.0.1:{self._server.server_port}/"

    def __enter__(self) -> Self:
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(outer.body)))
                self.end_headers()
                self.wfile.write(outer.body)

            def log_message(self, *_: object) -> None:
                """Not on the terminal."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
