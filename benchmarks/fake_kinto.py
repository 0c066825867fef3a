"""A server that looks like Kinto to buildhub and costs next to nothing: what is measured is ours.

It has any number of records without holding one, and accepts batches without storing them, if
wanted only so many records per second at first. In a process of its own::

    with running(records=1_000_000) as url:
        ...
"""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.connection
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson

from tests.support.records import make_record

BATCH_SIZE = 25
#: Of the last change (ms): what ``_since`` compares with.
CHANGED = 1_700_000_000_000

#: Stands for the number of a record in templates; all numbers are equally long.
FIRST = 90_000_000


@dataclass(frozen=True)
class Behaviour:
    """The number of its records, how many it accepts per second, and for how long."""

    records: int = 0
    rate: float = 0
    slow_seconds: float = 0


def record(number: int) -> dict[str, Any]:
    """The ``number``-th record of the collection, as ``to-kinto`` is given it."""
    return make_record(FIRST + number)


def ndjson(count: int, start: int = 0) -> Iterator[bytes]:
    """The records as lines, a thousand at a time."""
    line = orjson.dumps(record(0), option=orjson.OPT_APPEND_NEWLINE)
    for first in range(start, start + count, 1000):
        last = min(first + 1000, start + count)
        yield b"".join(_numbered(line, number) for number in range(first, last))


@contextlib.contextmanager
def running(**behaviour: Any) -> Iterator[str]:
    """The URL of such a server; see :class:`Behaviour`."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=_serve, args=(Behaviour(**behaviour), theirs), daemon=True
    )
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}/v1"
    finally:
        process.terminate()
        process.join()


def _numbered(template: bytes, number: int) -> bytes:
    return template.replace(b"%d" % FIRST, b"%d" % (FIRST + number))


def _serve(behaviour: Behaviour, port: multiprocessing.connection.Connection) -> None:
    handler = type("Handler", (_Handler,), {"behaviour": behaviour})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    port.send(server.server_port)
    server.serve_forever()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    behaviour: Behaviour
    first_batch: float | None = None
    stored = 0  #: records of batches, if each has another id
    bodies: list[bytes] = []  #: the same, as they came

    def do_GET(self) -> None:
        path = urlsplit(self.path)
        query = parse_qs(path.query)
        if "in_id" in query and "_since" in query:
            self._reply(
                {"data": [{"id": orjson.loads(query["in_id"][0]), "last_modified": CHANGED}]}
            )
        elif "in_id" in query:  # what batches stored is not held
            self._reply({"data": []})
        elif "_since" in query:
            self._send(b'{"data":[%b]}' % b",".join(self._changes()), {})
        elif path.path.endswith("/records"):
            self._page(query)
        else:
            self._reply({"settings": {"batch_max_requests": BATCH_SIZE}, "user": {}, "data": {}})

    def do_HEAD(self) -> None:
        self._reply(None, {"Total-Records": str(self.behaviour.records + self.stored)})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        requests = orjson.loads(body)["requests"]
        handler = type(self)
        handler.first_batch = handler.first_batch or time.monotonic()
        if time.monotonic() - handler.first_batch < self.behaviour.slow_seconds:
            time.sleep(len(requests) / self.behaviour.rate)
        handler.stored += len(requests)
        handler.bodies += [orjson.dumps(one["body"]) for one in requests]
        self._reply({"responses": [{"status": 201, "body": one["body"]} for one in requests]})

    def _page(self, query: dict[str, list[str]]) -> None:
        total, start = self.behaviour.records, 0
        if "gt_id" in query:
            start = int(query["gt_id"][0].split("_")[2].split("-")[0]) - FIRST + 1
        last = min(start + int(query.get("_limit", ["10000"])[0]), total)
        template = orjson.dumps(record(0)["data"] | {"schema": CHANGED, "last_modified": CHANGED})
        page = b",".join(_numbered(template, number) for number in range(start, last))
        self._send(b'{"data":[%b]}' % page, {"Next-Page": self.path} if last < total else {})

    def _changes(self) -> Iterator[bytes]:
        """Returns what a refresh has to find: the newest record it read, and what was stored."""
        server = {"schema": CHANGED, "last_modified": CHANGED}
        if self.behaviour.records:
            yield orjson.dumps(record(0)["data"] | server)
        for body in self.bodies:
            yield orjson.dumps(orjson.loads(body)["data"] | server)

    def _reply(self, body: Any, headers: dict[str, str] | None = None) -> None:
        self._send(b"" if body is None else orjson.dumps(body), headers or {})

    def _send(self, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(200)
        for name, value in {"ETag": f'"{CHANGED}"', **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Quiet."""
