"""An HTTP proxy in front of a real server that breaks exchanges: as a test says, or by a seed.

    with HostileProxy(archive.url) as proxy:
        proxy.fault("manifest.json", cut_at(10), slow_down)  # the next two requests to such a path
        ...  # proxy.url takes the place of archive.url

    with HostileProxy(archive.url, ARCHIVE_FAULTS, seed=7, rate=0.2) as proxy:
        ...

Which fault an exchange suffers depends on the seed, the request and how often that was made
before, not on what happens at the same time: a failure can be replayed.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import random
import re
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from http.server import BaseHTTPRequestHandler
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

#: Hop-by-hop headers, the length, which is written anew, and those that ask for compression.
_NOT_FORWARDED = {
    "accept-encoding",
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "transfer-encoding",
}

#: Milliseconds, as in ``_since``: which fault a request meets does not depend on them.
_TIME = re.compile(r"\d{13}")

#: Seconds for which a silent server is silent; clients give up long before.
SILENCE = 60


class Response(NamedTuple):
    """A response: of the server, or what the client is to get in its place."""

    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str:
        """The value of a header, or an empty string."""
        return next((v for n, v in self.headers if n.lower() == name.lower()), "")

    def with_header(self, name: str, value: str) -> Response:
        others = [one for one in self.headers if one[0].lower() != name.lower()]
        return self._replace(headers=[*others, (name, value)])


@dataclass
class Exchange:
    """A request, and the means to answer it well or badly."""

    proxy: HostileProxy
    client: socket.socket
    method: str
    path: str
    headers: Sequence[tuple[str, str]]
    body: bytes
    random: random.Random  #: of this exchange alone

    def forward(self, body: bytes | None = None) -> Response:
        """The response of the server to the request, with another ``body`` if one is given."""
        connection = http.client.HTTPConnection(self.proxy.server, timeout=60)
        body = self.body if body is None else body
        left_out = _NOT_FORWARDED | ({"range"} if self.proxy.ignores_range else set())
        headers = {n: v for n, v in self.headers if n.lower() not in left_out}
        with contextlib.closing(connection):
            connection.request(self.method, self.path, body=body or None, headers=headers)
            response = connection.getresponse()
            return Response(response.status, response.getheaders(), response.read())

    def send(self, response: Response, *, length: int | None = None, times: int = 1) -> None:
        """Send a response; ``length`` is what its header claims if that is not the truth."""
        body = b"" if self.method == "HEAD" else response.body
        self.client.sendall((self.head(response, length) + body) * times)

    def pass_on(self, response: Response | None = None) -> bool:
        """Send the server's response, or the one given; as long as it is held, only the start."""
        response = response or self.forward()
        at = self.proxy.held_after
        if self.proxy.flowing.is_set() or len(response.body) < at:
            self.send(response)
            return True
        self.client.sendall(self.head(response) + response.body[:at])
        self.proxy.holding.set()
        self.proxy.flowing.wait(SILENCE)
        self.client.sendall(response.body[at:])
        return True

    def head(self, response: Response, length: int | None = None) -> bytes:
        """Status line and headers, with the length of the body or the one given."""
        if length is None:
            length = len(response.body)
            if self.method == "HEAD" and (honest := response.header("Content-Length")):
                length = int(honest)
        lines = [f"HTTP/1.1 {response.status} {http.client.responses.get(response.status, '?')}"]
        lines += [f"{n}: {v}" for n, v in response.headers if n.lower() not in _NOT_FORWARDED]
        if response.status not in (204, 304):
            lines.append(f"Content-Length: {length}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    def reset(self) -> bool:
        """Have the connection end with a reset."""
        reset(self.client)
        return False

    def silence(self, seconds: float = SILENCE) -> None:
        """Say nothing until the client goes, the time is over or the proxy ends."""
        self.proxy.wait(self.client, seconds)


#: What answers an exchange; returns whether the connection stays open.
Behaviour = Callable[[Exchange], bool]


class Fault(NamedTuple):
    """A way to break an exchange."""

    name: str
    behaviour: Behaviour
    applies: Callable[[Exchange], bool] = lambda exchange: True
    limit: int = 1_000_000  #: how often in the life of a proxy
    special: bool = False  #: whether only some kinds of exchanges can suffer it
    #: Whether clients can't tell what they get from the truth.
    credible: bool = False


class SeenRequest(NamedTuple):
    """A request that came in."""

    path: str
    range: str | None  #: the header of that name


class HostileProxy:
    """The proxy, from ``with`` to the end of its block; ``calm()`` ends the faults of the seed.

    ``rate`` is the share of the exchanges that are broken by one of ``faults``. ``injected`` counts
    these by name, ``log`` lists them in their order. ``seen`` lists the requests.
    """

    def __init__(
        self,
        server_url: str,
        faults: Sequence[Fault] = (),
        *,
        seed: object = "",
        rate: float = 0,
    ) -> None:
        parts = urlsplit(server_url)
        self.server = parts.netloc
        self.faults = faults
        self.seed = seed
        self.rate = rate
        self.injected: Counter[str] = Counter()
        self.log: list[str] = []
        self.exchanges = 0
        self.seen: list[SeenRequest] = []
        #: Clear, it holds responses back once their header and ``held_after`` bytes are sent.
        self.flowing = threading.Event()
        self.flowing.set()
        self.held_after = 0
        self.holding = threading.Event()  #: set when a response has been held back
        self.ignores_range = False
        self.rejected = 0  #: connections that came while it was disconnected
        self._connected = True
        self._due: list[tuple[str, Behaviour]] = []
        self._occurrences: Counter[tuple[str, str]] = Counter()
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self._listener.getsockname()[1]
        self.url = parts._replace(netloc=f"127.0.0.1:{self.port}").geturl()

    def calm(self) -> None:
        """Break nothing from now on."""
        self.rate = 0
        self._due.clear()

    def fault(self, part_of_path: str, *behaviours: Behaviour) -> None:
        """The next requests to such a path are answered so, one by each of ``behaviours``."""
        self._due += [(part_of_path, behaviour) for behaviour in behaviours]

    def fetched(self, part_of_path: str) -> list[SeenRequest]:
        """The requests to such a path so far."""
        return [seen for seen in self.seen if part_of_path in seen.path]

    def disconnect(self) -> None:
        """Break all connections, and each new one, until :meth:`reconnect`."""
        with self._lock:
            self._connected = False
            connections, self._connections = self._connections, set()
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def reconnect(self) -> None:
        self._connected = True

    @property
    def credible(self) -> int:
        """Returns the number of injected faults that clients can't detect."""
        return sum(self.injected[fault.name] for fault in self.faults if fault.credible)

    def out_of_service(self, seconds: float) -> None:
        """Reset all connections and refuse new ones for a while, as a server that restarts."""
        with self._lock:
            if self._listener.fileno() < 0:
                return  # it is out of service already
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            connections, self._connections = self._connections, set()
        for connection in connections:
            reset(connection)
            with contextlib.suppress(OSError):  # its thread may be reading: this wakes it
                connection.shutdown(socket.SHUT_RDWR)
        threading.Thread(target=self._back_in_service, args=(seconds,), daemon=True).start()

    def _back_in_service(self, seconds: float) -> None:
        self._ended.wait(seconds)
        while not self._ended.is_set():
            with contextlib.suppress(OSError):  # somebody else may have the port for a moment
                self._listener = socket.create_server(("127.0.0.1", self.port), backlog=128)
                self._accepting()
                return
            self._ended.wait(0.05)

    def wait(self, client: socket.socket, seconds: float) -> None:
        """Until the client has gone, the proxy ends, or so many seconds have passed."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self._ended.wait(0.05):
            with contextlib.suppress(BlockingIOError):
                if not client.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT):
                    return

    def answer(self, exchange: Exchange) -> bool:
        """Answer an exchange, well or badly; returns whether its connection stays open."""
        fault = self._fault(exchange)
        return fault.behaviour(exchange) if fault else exchange.pass_on()

    def _fault(self, exchange: Exchange) -> Fault | None:
        with self._lock:
            self.exchanges += 1
            request_range = next((v for n, v in exchange.headers if n.lower() == "range"), None)
            self.seen.append(SeenRequest(exchange.path, request_range))
            if due := next((due for due in self._due if due[0] in exchange.path), None):
                self._due.remove(due)
                return Fault(due[0], due[1])
            request = (exchange.method, _TIME.sub("", exchange.path))
            self._occurrences[request] += 1
            exchange.random = self._random(*request, self._occurrences[request])
            if exchange.random.random() >= self.rate:
                return None
            fault = self._draw(exchange)
            if fault is None or self.injected[fault.name] >= fault.limit:
                return None
            self.injected[fault.name] += 1
            self.log.append(
                f"{datetime.now():%H:%M:%S} {exchange.method} {exchange.path}: {fault.name}"
            )
            return fault

    def _draw(self, exchange: Exchange) -> Fault | None:
        """A fault for this exchange: half of the time one of its own kind, if there is one."""
        usable = [fault for fault in self.faults if fault.applies(exchange)]
        special = [fault for fault in usable if fault.special]
        draw_special = exchange.random.random() < 0.5
        chosen = special if special and draw_special else usable
        return exchange.random.choice(chosen) if chosen else None

    def _random(self, *parts: object) -> random.Random:
        text = "|".join(map(str, (self.seed, *parts)))
        return random.Random(hashlib.sha256(text.encode()).digest())

    def __enter__(self) -> Self:
        self._accepting()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ended.set()
        self.flowing.set()
        with self._lock, contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
        for connection in list(self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accepting(self) -> None:
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with self._lock:
                if not self._connected:
                    self.rejected += 1
                    connection.close()
                    continue
                self._connections.add(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with connection, contextlib.suppress(OSError, ValueError):
            _Handler(connection, ("127.0.0.1", 0), self)  # type: ignore[arg-type]
        with self._lock:
            self._connections.discard(connection)


class _Handler(BaseHTTPRequestHandler):
    """Parses the requests of a connection."""

    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        proxy: Any = self.server
        exchange = Exchange(
            proxy, self.connection, self.command, self.path, self.headers.items(), body,
            random.Random(),
        )  # fmt: skip
        self.close_connection = not proxy.answer(exchange) or self.close_connection

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _answer  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on stderr."""


def reset(connection: socket.socket) -> None:
    """Have the other end of a connection see a reset when it is closed."""
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
