"""An HTTP proxy for GET that stands before a real server and breaks what it is told to break."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import urlsplit

#: Hop-by-hop, or written by http.server itself.
_NOT_FORWARDED = {"connection", "transfer-encoding", "server", "date", "content-length"}


class ProxyResponse(NamedTuple):
    """What the server behind said, and in the end what the client is told."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    sent: int | None = None  #: bytes of the body after which the connection breaks


class ProxiedRequest(NamedTuple):
    """A request that came in."""

    path: str
    range: str | None  #: the header of that name


Fault = Callable[[ProxyResponse], ProxyResponse]


def cut_at(size: int) -> Fault:
    """The connection breaks after ``size`` bytes of the body."""
    return lambda answer: answer._replace(sent=size)


def unavailable(answer: ProxyResponse) -> ProxyResponse:
    """503, as S3 says it when it is busy."""
    body = b"<Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>"
    return ProxyResponse(503, [("Content-Type", "application/xml")], body)


def damaged(answer: ProxyResponse) -> ProxyResponse:
    """One byte in the middle is another."""
    middle = len(answer.body) // 2
    wrong = bytes([answer.body[middle] ^ 1])
    return answer._replace(body=answer.body[:middle] + wrong + answer.body[middle + 1 :])


class FaultyProxy:
    """Its ``url`` takes the place of the server's; ``seen`` lists the requests."""

    def __init__(self, server_url: str) -> None:
        self.server = urlsplit(server_url).netloc
        self.url = ""
        self.seen: list[ProxiedRequest] = []
        self._faults: list[tuple[str, Fault]] = []
        self._lock = threading.Lock()
        #: Clear, it holds answers back once their header and ``held_after`` bytes are sent.
        self.flowing = threading.Event()
        self.flowing.set()
        self.held_after = 0
        self.holding = threading.Event()  #: set when an answer has been held back
        self.ignores_range = False

    def fault(self, part_of_path: str, *faults: Fault) -> None:
        """The next requests to such a path suffer these, one each; the rest is well."""
        self._faults += [(part_of_path, fault) for fault in faults]

    def fetched(self, part_of_path: str) -> list[ProxiedRequest]:
        """The requests to such a path so far."""
        return [seen for seen in self.seen if part_of_path in seen.path]

    def answer(self, path: str, headers: dict[str, str]) -> ProxyResponse:
        """Ask the server behind, and apply the fault that is due."""
        with self._lock:
            self.seen.append(ProxiedRequest(path, headers.get("Range")))
            due = next((f for f in self._faults if f[0] in path), None)
            if due:
                self._faults.remove(due)
        if self.ignores_range:
            headers.pop("Range", None)
        connection = HTTPConnection(self.server)
        with contextlib.closing(connection):
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            answer = ProxyResponse(response.status, response.getheaders(), response.read())
        return due[1](answer) if due else answer


@contextlib.contextmanager
def running_proxy(server_url: str) -> Iterator[FaultyProxy]:
    """A proxy that runs before the server at ``server_url``."""
    proxy = FaultyProxy(server_url)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            headers = {n: v for n, v in self.headers.items() if n.lower() != "host"}
            answer = proxy.answer(self.path, headers)
            self.send_response(answer.status)
            for name, value in answer.headers:
                if name.lower() not in _NOT_FORWARDED:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            with contextlib.suppress(ConnectionError):  # the client has gone
                self._send_body(answer)
            self.close_connection = True

        def _send_body(self, answer: ProxyResponse) -> None:
            body = answer.body[: answer.sent]
            if not proxy.flowing.is_set():
                self.wfile.write(body[: proxy.held_after])
                body = body[proxy.held_after :]
                proxy.holding.set()
                proxy.flowing.wait(60)
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing on stderr."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    proxy.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield proxy
    finally:
        proxy.flowing.set()
        server.shutdown()
        server.server_close()
        thread.join()
