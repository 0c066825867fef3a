"""A TCP proxy in front of a server that can be disconnected: then every connection breaks."""

from __future__ import annotations

import contextlib
import select
import socket
import socketserver
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit


class TcpProxy:
    """``url`` replaces the server's; ``disconnect()`` and ``reconnect()`` take effect at once."""

    def __init__(self, server_url: str) -> None:
        self._server = urlsplit(server_url)
        self._connected = threading.Event()
        self._connected.set()
        self.url = ""
        self.rejected = 0  #: connections that came while it was disconnected

    def disconnect(self) -> None:
        self._connected.clear()

    def reconnect(self) -> None:
        self._connected.set()

    def listen(self, port: int) -> None:
        self.url = self._server._replace(netloc=f"127.0.0.1:{port}").geturl()

    def pass_through(self, client: socket.socket) -> None:
        """Forward bytes both ways until either end closes or the proxy is disconnected."""
        if not self._connected.is_set():
            self.rejected += 1
            return
        address = (self._server.hostname or "", self._server.port or 80)
        with socket.create_connection(address) as server:
            ways = {client: server, server: client}
            while self._connected.is_set():
                for source in select.select(list(ways), [], [], 0.05)[0]:
                    if not (data := source.recv(1 << 16)):
                        return
                    ways[source].sendall(data)


@contextlib.contextmanager
def running_proxy(server_url: str) -> Iterator[TcpProxy]:
    """A proxy in front of the server at ``server_url``."""
    proxy = TcpProxy(server_url)

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(OSError):
                proxy.pass_through(self.request)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        proxy.listen(server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield proxy
        finally:
            proxy.disconnect()
            server.shutdown()
            thread.join()
