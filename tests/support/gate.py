"""A gate before a server: while it is shut, every connection through it breaks."""

from __future__ import annotations

import contextlib
import select
import socket
import socketserver
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit


class Gate:
    """``url`` takes the place of the server's; ``shut()`` and ``unshut()`` do what they say."""

    def __init__(self, server_url: str) -> None:
        self._server = urlsplit(server_url)
        self._open = threading.Event()
        self._open.set()
        self.url = ""
        self.turned_away = 0  #: connections that came while it was shut

    def shut(self) -> None:
        self._open.clear()

    def unshut(self) -> None:
        self._open.set()

    def listen(self, port: int) -> None:
        self.url = self._server._replace(netloc=f"127.0.0.1:{port}").geturl()

    def pass_through(self, client: socket.socket) -> None:
        """Carry bytes both ways until an end closes, or the gate."""
        if not self._open.is_set():
            self.turned_away += 1
            return
        address = (self._server.hostname or "", self._server.port or 80)
        with socket.create_connection(address) as server:
            ways = {client: server, server: client}
            while self._open.is_set():
                for source in select.select(list(ways), [], [], 0.05)[0]:
                    if not (data := source.recv(1 << 16)):
                        return
                    ways[source].sendall(data)


@contextlib.contextmanager
def before(server_url: str) -> Iterator[Gate]:
    """A gate that stands open before the server at ``server_url``."""
    gate = Gate(server_url)

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(OSError):
                gate.pass_through(self.request)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        gate.listen(server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield gate
        finally:
            gate.shut()
            server.shutdown()
            thread.join()
