"""A stand-in of archive.mozilla.org: real HTTP on loopback, for tests, the demo and benchmarks.

    with ArchiveServer({"pub/a b.json": File(body=b"{}")}) as archive:
        requests.get(archive.url + "pub/a%20b.json")

It answers as archive.mozilla.org does: listings in the form of 2018 or of today, files,
`HEAD`. It counts requests, and misbehaves on demand.
"""

from __future__ import annotations

import asyncio
import json
import math
import mimetypes
import random
import re
import socket
import struct
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Literal, Self
from urllib.parse import unquote

from aiohttp import web

from tests.support.archive_files import File, Tree

__all__ = ["ArchiveServer", "File", "Misbehaviour"]

ERROR_PAGE = b"<!DOCTYPE html><html><body><h1>Service Unavailable</h1></body></html>"

#: What :meth:`ArchiveServer.fail` takes, besides the number of a status.
Misbehaviour = int | Literal["reset", "hang", "cut", "html"]


class ArchiveServer:
    """The server, in a thread of its own, from ``with`` to the end of its block.

    ``style`` is the listings' form, ``latency`` the seconds that each answer takes, ``port`` 0
    for any that is free (``OSError`` if the one asked for is taken).
    """

    def __init__(
        self,
        files: Mapping[str, File],
        *,
        style: Literal["2018", "today"] = "today",
        latency: float = 0,
        port: int = 0,
    ) -> None:
        self.files = Tree(files)
        self.style = style
        self.latency = latency
        self.requests: Counter[tuple[str, str]] = Counter()  #: (method, raw key or folder/)
        self.user_agents: Counter[str] = Counter()
        self.most_at_once = 0  #: the highest number of requests under way at one moment
        self.every_build_folder = False  #: whether any build folder of candidates exists
        self.answered: list[str] = []  #: paths in the order of the answers
        self._under_way = 0
        self._delays: random.Random | None = None
        self._awaited_heads = self._heads = 0
        self._heads_came: asyncio.Event | None = None
        self._unavailable: dict[str, tuple[float, str]] = {}
        self._error: OSError | None = None
        self._port = port
        self._failures: defaultdict[str, deque[tuple[Misbehaviour, str | None]]]
        self._failures = defaultdict(deque)
        self._bodies: defaultdict[str, deque[bytes]] = defaultdict(deque)
        self._hidden: set[str] = set()
        self._lags: Counter[str] = Counter()

    @property
    def url(self) -> str:
        """Where it is: what ``ARCHIVE_URL`` has to be."""
        return f"http://127.0.0.1:{self._port}/"

    @property
    def total(self) -> int:
        """The number of requests since the start, or since :meth:`reset`."""
        return self.requests.total()

    def reset(self) -> None:
        """Count anew."""
        self.requests.clear()
        self.user_agents.clear()
        self.most_at_once = 0

    def fail(
        self, path: str, *behaviours: Misbehaviour, retry_after: str | int | None = None
    ) -> None:
        """The next answers for ``path`` are these, those after them are as usual.

        A status, ``reset`` (the connection is dropped), ``hang`` (no answer, ever), ``cut``
        (half of the body is missing) or ``html`` (an error page with status 200).
        """
        after = None if retry_after is None else str(retry_after)
        self._failures[path].extend((behaviour, after) for behaviour in behaviours)

    def answer(self, path: str, *bodies: bytes) -> None:
        """The next answers for ``path`` are these bodies, with status 200 and an honest length."""
        self._bodies[path].extend(bodies)

    def hide(self, path: str) -> None:
        """Answer 404 for this key or folder, although listings name it, until :meth:`show`."""
        self._hidden.add(path)

    def show(self, path: str) -> None:
        """Undo :meth:`hide`."""
        self._hidden.discard(path)

    def lag(self, key: str, listings: int) -> None:
        """The next so many listings of its folder do not show ``key`` yet; a GET finds it."""
        self._lags[key] = listings

    def await_heads(self, number: int) -> None:
        """Hold back the answers to HEAD of builds until so many wait at the same moment."""
        self._awaited_heads = number

    def answer_in_random_order(self, seed: int) -> None:
        """Delay each answer by a random part of 50 ms."""
        self._delays = random.Random(seed)

    def unavailable(self, path: str, seconds: int, *, date: bool = False) -> None:
        """Answer 503 for so long, with a ``Retry-After`` in seconds or as a date."""
        until = time.time() + seconds
        if date:
            until = math.ceil(until)  # a date has no fractions
            after = format_datetime(datetime.fromtimestamp(until, UTC), usegmt=True)
        self._unavailable[path] = (until, after if date else str(seconds))

    # From here on: the server's thread.

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        path = unquote(request.raw_path.partition("?")[0])[1:]
        self.requests[request.method, path] += 1
        self.user_agents[request.headers.get("User-Agent", "")] += 1
        self._under_way += 1
        self.most_at_once = max(self.most_at_once, self._under_way)
        try:
            await self._wait(request.method, path)
            until, after = self._unavailable.get(path, (0, ""))
            if time.time() < until:
                return web.Response(status=503, headers={"Retry-After": after})
            if self._failures[path]:
                return await self._misbehave(request, path, *self._failures[path].popleft())
            if self._bodies[path]:
                body = self._bodies[path].popleft()
                return web.Response(body=body, content_type="application/json")
            if path in self._hidden:
                return _not_found()
            return await self._serve(request, path)
        except ConnectionResetError:  # the client has gone
            return web.Response()
        finally:
            self._under_way -= 1
            self.answered.append(path)

    async def _wait(self, method: str, path: str) -> None:
        """Pass the time that answers are to take."""
        await asyncio.sleep(self._delays.uniform(0, 0.05) if self._delays else self.latency)
        if method == "HEAD" and self._awaited_heads and not path.endswith(".json"):
            self._heads_came = self._heads_came or asyncio.Event()
            self._heads += 1
            if self._heads == self._awaited_heads:
                self._heads_came.set()
            await self._heads_came.wait()

    async def _serve(self, request: web.BaseRequest, path: str) -> web.StreamResponse:
        if path in self.files:
            return await _send(request, path, self.files[path])
        folder = path if not path or path.endswith("/") or self.style == "today" else path + "/"
        names = self.files.entries(folder) if not folder or folder.endswith("/") else None
        if self.every_build_folder and re.search(r"-candidates/build\d+/$", folder):
            names = names or ["win32/"]
        if names is None:
            return _not_found()
        if request.headers.get("Accept") != "application/json":
            page = "".join(f'<a href="/{folder}{name}">{name}</a>' for name in names)
            return web.Response(text=f"<!DOCTYPE html>{page}", content_type="text/html")
        listing = self._listing(folder, names)
        return web.Response(body=json.dumps(listing).encode(), content_type="application/json")

    def _listing(self, folder: str, names: list[str]) -> dict[str, list[object]]:
        files: list[object] = []
        for name in names:
            if self._lags[folder + name] > 0:
                self._lags[folder + name] -= 1
            elif not name.endswith("/"):
                file = self.files[folder + name]
                size = file.size if self.style == "2018" else _rounded(file.size)
                files.append({"name": name, "size": size, "last_modified": file.date})
        return {"prefixes": [name for name in names if name.endswith("/")], "files": files}

    async def _misbehave(
        self, request: web.BaseRequest, path: str, behaviour: Misbehaviour, retry_after: str | None
    ) -> web.StreamResponse:
        if behaviour == "html":
            return web.Response(body=ERROR_PAGE, content_type="text/html")
        if isinstance(behaviour, int):
            headers = {} if retry_after is None else {"Retry-After": retry_after}
            return web.Response(
                status=behaviour, body=ERROR_PAGE, content_type="text/html", headers=headers
            )
        if behaviour == "hang":
            await asyncio.sleep(86_400)
        if behaviour == "cut":
            response = web.StreamResponse(headers={"Content-Length": "64"})
            await response.prepare(request)
            await response.write(b'{"buildid": "2017')
        transport = request.transport
        assert transport is not None
        if behaviour == "reset":
            no_lingering = struct.pack("ii", 1, 0)  # close() then sends a reset
            connection = transport.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, no_lingering)
        transport.close()
        return response if behaviour == "cut" else web.Response()

    async def _run(self, started: threading.Event) -> None:
        runner = web.ServerRunner(
            web.Server(self._answer, access_log=None),
            shutdown_timeout=0.01,
        )
        try:
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", self._port)
            await site.start()
            self._port = runner.addresses[0][1]
            self._closing = asyncio.Event()
            self._loop = asyncio.get_running_loop()
            started.set()
            await self._closing.wait()
        except OSError as error:
            self._error = error
        finally:
            await runner.cleanup()
            started.set()

    def __enter__(self) -> Self:
        self._error = None
        started = threading.Event()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._run(started)), name="archive", daemon=True
        )
        self._thread.start()
        started.wait()
        if self._error:
            raise self._error
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._closing.set)
        self._thread.join()


def _not_found() -> web.Response:
    return web.Response(status=404, text="404 Not Found")


def _rounded(size: int) -> int | str:
    """A size as today's listings write it: 1023, "12K", "62M", "2G"."""
    if size < 1024:
        return size
    amount, unit = size / 1024, "K"
    for larger in "MGT":
        if amount >= 1024:
            amount, unit = amount / 1024, larger
    return f"{amount:.0f}{unit}"


async def _send(request: web.BaseRequest, path: str, file: File) -> web.StreamResponse:
    by_extension = mimetypes.guess_type(path)[0] or "application/octet-stream"
    response = web.StreamResponse(
        status=file.status,
        headers={
            "Content-Type": file.content_type or by_extension,
            "Content-Length": str(file.size),
            "Last-Modified": format_datetime(datetime.fromisoformat(file.date), usegmt=True),
        },
    )
    await response.prepare(request)
    if request.method == "GET":
        if file.body is not None:
            await response.write(file.body)
        else:
            await _send_zeros(response, file.size)
    await response.write_eof()
    return response


async def _send_zeros(response: web.StreamResponse, size: int) -> None:
    zeros = bytes(1 << 16)
    while size > 0:
        await response.write(zeros[:size])
        size -= len(zeros)
