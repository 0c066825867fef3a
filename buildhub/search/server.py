"""The HTTP server: requests of Elasticsearch's clients, answered from the copy."""

from __future__ import annotations

import asyncio
import functools
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson
from aiohttp import web

from .. import __version__
from ..errors import Fatal, Unreachable
from ..kinto import Client, read_changes
from ..signals import CancellationToken
from .copy import Copy, Read, Row
from .queries import query_string
from .statement import OURS, SUCCESSORS, Dialect, statement
from .values import BadRequest

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
    app = web.Application(client_max_size=_MAX_BODY, middlewares=[_responses])

    def add_search(path: str, dialect: Dialect) -> None:
        async def search(request: web.Request) -> web.Response:
            call = functools.partial(_search, copy, dialect, await request.read(), request.query)
            return await asyncio.get_running_loop().run_in_executor(threads, call)

        app.router.add_get(path, search)
        app.router.add_post(path, search)

    async def heartbeat(_: web.Request) -> web.Response:
        return await asyncio.to_thread(_heartbeat, copy)

    async def version(_: web.Request) -> web.Response:
        return _json({"name": "buildhub", "version": __version__})

    add_search("/api/search", SUCCESSORS)
    add_search(f"/v1/buckets/{bucket}/collections/{collection}/search", OURS)
    app.router.add_get("/__heartbeat__", heartbeat)
    app.router.add_get("/__version__", version)
    return app


async def serve(
    copy: Copy,
    client: Client,
    cancellation: CancellationToken,
    host: str,
    port: int,
    refresh: float,
    anonymous: bool,
) -> None:
    """Answers requests and follows the collection, until ``cancellation`` ends both.

    Raises :class:`Interrupted` then, and :class:`Fatal` where the address cannot be used, or the
    collection cannot be read and there is no copy.
    """
    app = application(copy, client.bucket, client.collection)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=3)
    await runner.setup()
    check = cancellation.raise_if_cancelled
    read = functools.partial(read_changes, client, raise_if_cancelled=check, anonymous=anonymous)
    try:
        await web.TCPSite(runner, host, port).start()
        logger.info("Listening on %s.", runner.addresses)
        await asyncio.to_thread(_follow, copy, read, lambda: cancellation.sleep(refresh))
    except OSError as error:
        raise Fatal(f"Cannot listen on {host}:{port} ({error.strerror}).") from None
    finally:
        await runner.cleanup()


def _follow(copy: Copy, read: Read, pause: Callable[[], None]) -> None:
    """Refreshes the copy again and again; if that fails, the next time is tried again."""
    failing = False
    while True:
        try:
            copy.refresh(read)
            if failing:
                logger.warning("The collection can be read again: answers are up to date.")
            failing = False
        except (Fatal, Unreachable) as error:
            if isinstance(error, Fatal) and not copy.run("FROM freshness"):
                raise
            if not failing:
                logger.warning("%s Until then, answers are as old as the copy.", error)
            failing = True
        pause()


def answer(copy: Copy, request: object, dialect: Dialect) -> web.Response:
    """Answers the body of a request. Raises :class:`BadRequest`."""
    start = time.monotonic()
    etag, age, total, hits, aggregations = _row(copy, *statement(request, dialect))
    body = {
        "took": int((time.monotonic() - start) * 1000),
        "timed_out": False,
        "_shards": {"total": 1, "successful": 1, "skipped": 0, "failed": 0},
        "hits": {"total": total, "max_score": None, "hits": orjson.Fragment(hits)},
    }
    if aggregations != "{}":
        body["aggregations"] = orjson.Fragment(aggregations)
    return _json(body, headers=_headers(etag, age))


def _search(copy: Copy, dialect: Dialect, body: bytes, query: Mapping[str, str]) -> web.Response:
    """Answers a body, or ``?q=field:value``, ``?q=field=value`` and ``?field=value``."""
    texts = [text if name == "q" else f'{name}="{text}"' for name, text in query.items()]
    request: object = {"query": {"bool": {"filter": [query_string(text) for text in texts]}}}
    try:
        return answer(copy, orjson.loads(body) if body else request, dialect)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"the body is not JSON: {error}") from None


def _heartbeat(copy: Copy) -> web.Response:
    etag, age = _row(copy, "FROM freshness")
    return _json({"etag": etag, "age": age}, headers=_headers(etag, age))


def _row(copy: Copy, sql: str, parameters: Mapping[str, object] | None = None) -> Row:
    """Returns the row of a statement. Raises :class:`BadRequest` (503) while there is no copy."""
    for row in copy.run(sql, parameters):
        return row
    raise BadRequest("the copy of the collection is not complete yet", 503)


def _headers(etag: int, age: int) -> dict[str, str]:
    return {"ETag": f'"{etag}"', "Age": str(age)}


def _json(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(
        body=orjson.dumps(body), status=status, headers=headers, content_type="application/json"
    )


@web.middleware
async def _responses(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """Answers errors in the form of Elasticsearch, and pages of any origin (CORS)."""
    try:
        asked_first = request.method == "OPTIONS"
        response = web.Response(status=204) if asked_first else await handler(request)
    except BadRequest as error:
        response = _error(str(error), error.status)
        if error.status == 503:
            response.headers["Retry-After"] = "10"
    except web.HTTPException as error:
        response = _error(error.reason, error.status)
        if "Allow" in error.headers:
            response.headers["Allow"] = error.headers["Allow"]
    response.headers.update(_CORS)
    return response


def _error(reason: str, status: int) -> web.Response:
    cause = {"type": "parsing_exception", "reason": reason}
    return _json({"error": {"root_cause": [cause]} | cause, "status": status}, status)
