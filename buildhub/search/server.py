"""The HTTP server: requests of Elasticsearch's clients, answered from the copy."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson
from aiohttp import web

from .. import __version__
from ..errors import Fatal, Unreachable
from ..kinto.client import Client
from ..kinto.refresh import read_changes
from ..signals import CancellationToken
from .answer import OURS, SUCCESSORS, Dialect, answer, parse
from .copy import Copy, Freshness, Read
from .fields import BadRequest
from .query import query_string

logger = logging.getLogger(__name__)

_MAX_BODY = 1_000_000
#: Searches that run at the same time; the engine uses all processors for each.
_THREADS = 4

_CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, HEAD, OPTIONS, POST",
    "Access-Control-Allow-Headers": "*",
    "Access-Control-Expose-Headers": "Age, ETag, Retry-After",
    "Access-Control-Max-Age": "86400",
}
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def application(copy: Copy, bucket: str, collection: str) -> web.Application:
    """Returns the application that answers searches in the copy of a collection."""
    threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="search")

    def in_thread(function: Callable[..., web.Response], *arguments: Any) -> _Handler:
        async def handle(request: web.Request) -> web.Response:
            body, query = await request.read(), dict(request.query)
            call = functools.partial(function, copy, *arguments, body=body, query=query)
            return await asyncio.get_running_loop().run_in_executor(threads, call)

        return handle

    async def version(_: web.Request) -> web.Response:
        return _json({"name": "buildhub", "version": __version__})

    app = web.Application(client_max_size=_MAX_BODY, middlewares=[_cors, _errors])
    for path, dialect in {
        "/api/search": SUCCESSORS,
        f"/v1/buckets/{bucket}/collections/{collection}/search": OURS,
    }.items():
        app.router.add_get(path, in_thread(_search, dialect))
        app.router.add_post(path, in_thread(_search, dialect))
    app.router.add_get("/__heartbeat__", in_thread(_heartbeat))
    app.router.add_get("/__version__", version)
    return app


async def serve(
    copy: Copy,
    client: Client,
    cancellation: CancellationToken,
    host: str,
    port: int,
    refresh: float,
) -> None:
    """Answers requests and follows the collection, until ``cancellation`` ends both.

    Raises :class:`Interrupted` then, and :class:`Fatal` where the address cannot be used, or the
    collection cannot be read and there is no copy.
    """
    app = application(copy, client.bucket, client.collection)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=3)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        logger.info("Listening on %s.", runner.addresses)
        read = functools.partial(read_changes, client)
        await asyncio.to_thread(_follow, copy, read, functools.partial(cancellation.sleep, refresh))
    except OSError as error:
        raise Fatal(f"Cannot listen on {host}:{port} ({error.strerror}).") from None
    finally:
        await runner.cleanup()


def _follow(copy: Copy, read: Read, pause: Callable[[], None]) -> None:
    """Refreshes the copy again and again; if that fails, the next time is tried again."""
    while True:
        try:
            copy.refresh(read)
        except (Fatal, Unreachable) as error:
            if isinstance(error, Fatal) and not _is_complete(copy):
                raise
            logger.warning("%s Until then, answers are as old as the copy.", error)
        pause()


def _is_complete(copy: Copy) -> bool:
    with contextlib.suppress(BadRequest), copy.snapshot() as snapshot:
        return bool(snapshot.freshness())
    return False


def _search(copy: Copy, dialect: Dialect, *, body: bytes, query: dict[str, str]) -> web.Response:
    """Answers a body, or ``?q=field:value``, ``?q=field=value`` and ``?field=value``."""
    texts = [text if name == "q" else f'{name}="{text}"' for name, text in query.items()]
    request: object = {"query": {"bool": {"filter": [query_string(text) for text in texts]}}}
    try:
        search = parse(orjson.loads(body) if body else request)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"the body is not JSON: {error}") from None
    with copy.snapshot() as snapshot:
        freshness = snapshot.freshness()
        return _json(answer(snapshot.run, search, dialect), headers=_headers(freshness))


def _heartbeat(copy: Copy, **_: object) -> web.Response:
    with copy.snapshot() as snapshot:
        freshness = snapshot.freshness()
    return _json(freshness._asdict(), headers=_headers(freshness))


def _headers(freshness: Freshness) -> dict[str, str]:
    return {"ETag": f'"{freshness.etag}"', "Age": str(freshness.age)}


def _json(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(
        body=orjson.dumps(body), status=status, headers=headers, content_type="application/json"
    )


@web.middleware
async def _cors(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """Lets pages of any origin ask, also those that ask for permission first."""
    response = web.Response(status=204) if request.method == "OPTIONS" else await handler(request)
    response.headers.update(_CORS)
    return response


@web.middleware
async def _errors(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """Answers errors in the form of Elasticsearch."""
    try:
        return await handler(request)
    except BadRequest as error:
        reason, status = str(error), error.status
        headers = {"Retry-After": "10"} if status == 503 else {}
    except web.HTTPException as error:
        reason, status = error.reason, error.status
        headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
    cause = {"type": "parsing_exception", "reason": reason}
    return _json({"error": {"root_cause": [cause]} | cause, "status": status}, status, headers)
