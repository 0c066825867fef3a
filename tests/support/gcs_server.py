"""A stand-in of Google Cloud Storage's listings: JSON API on loopback, anonymous and strict.

    with GcsServer(objects) as gcs:
        requests.get(f"{gcs.url}/storage/v1/b/{gcs.bucket}/o", params={"prefix": "pub/"})

It answers as Google does and refuses what Google would refuse, or what a
client has no reason to send. It counts requests, and fails, dawdles or sends empty pages when
told to. Each page is made when it is asked for, so that a large tree costs little memory.
"""

from __future__ import annotations

import asyncio
import base64
import json
import random
import re
import socket
import struct
import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import NamedTuple, Self

import orjson
from aiohttp import web

BUCKET = "archive-for-tests"

_PARAMETERS = frozenset(
    ("prefix", "delimiter", "startOffset", "endOffset", "pageToken", "maxResults", "fields")
)
_FIELDS = frozenset(
    ("nextPageToken", "prefixes", "items", "name", "size", "timeCreated", "md5Hash")
)
_KINDS = ("reset", "cut", "short", "429", "429 date", "503")


class Object(NamedTuple):
    """An object of the bucket."""

    name: str  #: raw key
    size: int  #: bytes
    created: str  #: ``2017-07-13T23:37:23.000Z``
    md5: str  #: hexadecimal; empty for a composite object, which has none

    def resource(self, fields: frozenset[str]) -> dict[str, str]:
        """Returns it as the API does: the fields asked for, sizes as text, md5 as base64."""
        full = {"name": self.name, "size": str(self.size), "timeCreated": self.created}
        if self.md5:
            full["md5Hash"] = base64.b64encode(bytes.fromhex(self.md5)).decode()
        return {name: value for name, value in full.items() if name in fields}


class Refusal(Exception):
    """A request that Google would answer with this status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class GcsServer:
    """The server, in a thread of its own, from ``with`` to the end of its block.

    ``page_size`` is the most that a page holds, whatever ``maxResults`` says (Google promises no
    more than that a page may be shorter); ``delay`` are the seconds that each answer takes;
    every ``empty_every``-th answer is an empty page with a token; ``faults`` is the part of the
    answers that fail, by the random numbers of ``seed``.
    """

    def __init__(
        self,
        objects: Iterable[Object],
        *,
        bucket: str = BUCKET,
        page_size: int = 1000,
        delay: float = 0,
        empty_every: int = 0,
        faults: float = 0,
        seed: int = 0,
    ) -> None:
        self.bucket = bucket
        self.page_size = page_size
        self.delay = delay
        self.empty_every = empty_every
        self.faults = faults
        self.odd: dict[str, dict[str, str]] = {}  #: name → fields that are something else
        self.unreadable: set[str] = set()  #: startOffsets for which the answer is always 503
        self.compares_folders = False  #: leave out folders before startOffset, as emulators do
        self.silent: tuple[str, ...] = ()  #: prefixes that are not answered while they are here
        self.requests: list[dict[str, str]] = []  #: the parameters of each, in order
        self.failed = 0  #: faults so far
        self.most_at_once = 0  #: the highest number of requests under way at one moment
        self._under_way = 0
        self._random = random.Random(seed)
        self._answered: Counter[str] = Counter()
        self._in_a_row: Counter[str] = Counter()
        self._objects: list[Object] = []
        self.put(objects)

    def put(self, objects: Iterable[Object]) -> None:
        """Add objects; one that is there already is replaced."""
        by_name = {one.name: one for one in (*self._objects, *objects)}
        # Strings in the order of their code points are in that of their UTF-8 bytes.
        self._objects = [by_name[name] for name in sorted(by_name)]
        self._names = [one.name for one in self._objects]

    def remove(self, prefix: str) -> None:
        """Delete the objects whose names start like that."""
        self._objects = [one for one in self._objects if not one.name.startswith(prefix)]
        self._names = [one.name for one in self._objects]

    @property
    def url(self) -> str:
        """Where it is: what ``STORAGE_EMULATOR_HOST`` has to be."""
        return f"http://127.0.0.1:{self._port}"

    def listings(self, delimited: bool) -> list[dict[str, str]]:
        """The requests with, or without, a delimiter."""
        return [one for one in self.requests if ("delimiter" in one) is delimited]

    def reset(self) -> None:
        """Count anew."""
        self.requests.clear()
        self.failed = 0
        self.most_at_once = 0

    # From here on: the server's thread.

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        parameters = dict(request.query)
        self.requests.append(parameters)
        self._under_way += 1
        self.most_at_once = max(self.most_at_once, self._under_way)
        try:
            if self.delay:
                await asyncio.sleep(self.delay)
            while parameters.get("prefix", "").startswith(self.silent):
                await asyncio.sleep(0.02)
            if parameters.get("startOffset") in self.unreadable:
                return _error(503, "Backend Error")
            if fault := self._fault(request.raw_path):
                return await self._fail(request, fault)
            return web.Response(
                body=self._listing(request, parameters), content_type="application/json"
            )
        except Refusal as refusal:
            return _error(refusal.status, str(refusal))
        except ConnectionResetError:  # the client has gone
            return web.Response()
        finally:
            self._under_way -= 1

    def _listing(self, request: web.BaseRequest, parameters: dict[str, str]) -> bytes:
        self._check(request, parameters)
        start = self.start(parameters)
        self._answered[request.raw_path] += 1
        empty = self.empty_every and len(self.requests) % self.empty_every == 0
        if empty and self._answered[request.raw_path] == 1:
            return _dump(_fields(parameters), [], [], _token(parameters, start))
        return self.page(parameters, start)

    def page(self, parameters: dict[str, str], start: str) -> bytes:
        """The answer to a proper request, from the name ``start`` on."""
        prefix, delimiter = parameters.get("prefix", ""), parameters.get("delimiter")
        at_most = min(int(parameters.get("maxResults", 1000)), self.page_size)
        end = parameters.get("endOffset") or None
        fields = _fields(parameters)
        items: list[dict[str, str]] = []
        prefixes: list[str] = []
        index = bisect_left(self._names, max(start, prefix))
        while index < len(self._names) and (name := self._names[index]).startswith(prefix):
            if end is not None and name >= end:
                break
            if len(items) + len(prefixes) == at_most:
                return _dump(fields, items, prefixes, _token(parameters, name))
            cut = name.find(delimiter, len(prefix)) if delimiter else -1
            if cut < 0:
                items.append(self._objects[index].resource(fields) | self.odd.get(name, {}))
                index += 1
            else:
                assert delimiter
                folder = name[: cut + len(delimiter)]
                if folder >= parameters.get("startOffset", "") or not self.compares_folders:
                    prefixes.append(folder)
                index = bisect_left(self._names, _successor(folder), index)
        return _dump(fields, items, prefixes)

    def _check(self, request: web.BaseRequest, parameters: Mapping[str, str]) -> None:
        """Raise :class:`Refusal` for what is not a listing of this bucket as Google takes it."""
        if request.method != "GET" or request.path != f"/storage/v1/b/{self.bucket}/o":
            raise Refusal(404, f"Not found: {request.method} {request.path}")
        if "Authorization" in request.headers:
            raise Refusal(401, "Anonymous callers have no credentials.")
        if unknown := set(parameters) - _PARAMETERS:
            raise Refusal(400, f"Unknown parameters: {sorted(unknown)}")
        if len(request.query) != len(parameters):
            raise Refusal(400, "A parameter is repeated.")
        most = parameters.get("maxResults", "1000")
        if not most.isdecimal() or not 1 <= int(most) <= 1000:
            raise Refusal(400, f"Invalid maxResults: {most}")

    def start(self, parameters: dict[str, str]) -> str:
        """Where the page begins; raises :class:`Refusal` for a token that was not issued."""
        if (token := parameters.get("pageToken")) is None:
            return parameters.get("startOffset", "")
        try:
            issued = json.loads(base64.b64decode(token, validate=True))
            next_name, others = issued["next"], issued["parameters"]
        except (ValueError, KeyError, TypeError):
            raise Refusal(400, "Invalid pageToken.") from None
        if others != {k: v for k, v in parameters.items() if k != "pageToken"}:
            raise Refusal(400, "The pageToken belongs to a request with other parameters.")
        return str(next_name)

    def _fault(self, path: str) -> str | None:
        """Returns the fault of this response; never three in a row for one URL."""
        if self._random.random() >= self.faults or self._in_a_row[path] == 2:
            self._in_a_row[path] = 0
            return None
        self._in_a_row[path] += 1
        self.failed += 1
        return self._random.choice(_KINDS)

    async def _fail(self, request: web.BaseRequest, fault: str) -> web.StreamResponse:
        if fault == "short":  # what is there is not all of it, although HTTP is content
            return web.Response(body=b'{"items": [{"name": "pub/fir', content_type="text/plain")
        if fault == "503":
            return _error(503, "Backend Error")
        if fault.startswith("429"):
            soon = format_datetime(datetime.now(UTC) + timedelta(seconds=1), usegmt=True)
            return _error(429, "Slow down", {"Retry-After": soon if "date" in fault else "0"})
        transport = request.transport
        assert transport is not None
        response = web.StreamResponse(headers={"Content-Length": "4096"})
        if fault == "cut":
            await response.prepare(request)
            await response.write(b'{"items": [{"name": "pub/firefox/')
        else:
            no_lingering = struct.pack("ii", 1, 0)  # close() then sends a reset
            connection = transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, no_lingering)
        transport.close()
        return response if fault == "cut" else web.Response()

    async def _run(self, started: threading.Event) -> None:
        runner = web.ServerRunner(web.Server(self._answer, access_log=None), shutdown_timeout=0.01)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=512).start()
        self._port: int = runner.addresses[0][1]
        self._closing = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        started.set()
        await self._closing.wait()
        await runner.cleanup()

    def __enter__(self) -> Self:
        started = threading.Event()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._run(started)), name="gcs", daemon=True
        )
        self._thread.start()
        started.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._closing.set)
        self._thread.join()


def _fields(parameters: Mapping[str, str]) -> frozenset[str]:
    """The fields that are asked for; raises :class:`Refusal` for one that there is not."""
    if "fields" not in parameters:
        return _FIELDS
    names = frozenset(re.split(r"[,()]+", parameters["fields"])) - {""}
    if unknown := names - _FIELDS:
        raise Refusal(400, f"Invalid field selection: {sorted(unknown)}")
    return names


def _token(parameters: Mapping[str, str], next_name: str) -> str:
    others = {name: value for name, value in parameters.items() if name != "pageToken"}
    issued = json.dumps({"next": next_name, "parameters": others})
    return base64.b64encode(issued.encode()).decode()


def _dump(
    fields: frozenset[str],
    items: list[dict[str, str]],
    prefixes: list[str],
    token: str | None = None,
) -> bytes:
    """The answer's body: what was asked for, each part left out where it is empty."""
    parts = {"nextPageToken": token, "prefixes": prefixes, "items": items}
    return orjson.dumps({k: v for k, v in parts.items() if v and k in fields})


def _successor(prefix: str) -> str:
    """The first name behind all that start with ``prefix``."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)


def _error(status: int, message: str, headers: Mapping[str, str] | None = None) -> web.Response:
    content = {"error": {"code": status, "message": message}}
    return web.Response(
        status=status,
        body=json.dumps(content).encode(),
        content_type="application/json",
        headers=headers,
    )
