"""The HTTP server: requests of Elasticsearch's clients, answered from the copy."""

from __future__ import annotations

import asyncio
import functools
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

import orjson
from aiohttp import web

from .. import __version__
from ..errors import Fatal, Unreachable
from ..kinto.client import Client
from ..kinto.refresh import read_changes
from ..signals import CancellationToken
from .copy import Copy, Read
from .language import OURS, SUCCESSORS, Statement, query_string
from .values import BadRequest

logger = logging.getLogger(__name__)

_MAX_BODY = 1_000_000
#: Searches that run at the same time; the engine uses all processors for each.
_THREADS = 4
_CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Headers": "*",
    "Access-Control-Expose-Headers": "Age, ETag",
}
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def serve(
    copy: Copy,
    client: Client,
    cancellation: CancellationToken,
    address: tuple[str, int],
    refresh: float,
) -> None:
    """Answers requests and follows the collection, until ``cancellation`` ends both.

    Raises :class:`Interrupted` then, and :class:`Fatal` where the address cannot be used, or the
    collection cannot be read and there is no copy.
    """
    app = _application(copy, f"/v1/buckets/{client.bucket}/collections/{client.collection}/search")
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=3)
    await runner.setup()
    read = functools.partial(read_changes, client)
    try:
        await web.TCPSite(runner, *address).start()
        logger.info("Listening on %s.", runner.addresses)
        await asyncio.to_thread(_follow, copy, read, cancellation, refresh)
    except OSError as error:
        raise Fatal(f"Cannot listen on {address[0]}:{address[1]} ({error.strerror}).") from None
    finally:
        await runner.cleanup()


def _follow(copy: Copy, read: Read, cancellation: CancellationToken, pause: float) -> None:
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
                logger.warning("%s Until it can be read, answers are as old as the copy.", error)
            failing = True
        cancellation.raise_if_cancelled()
        cancellation.sleep(pause)


def _application(copy: Copy, path: str) -> web.Application:
    """Returns the application that answers searches, those in our dialect at ``path``."""
    threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="search")

    async def search(table: str, request: web.Request) -> web.Response:
        arguments = copy, table, await request.read(), request.query
        return await asyncio.get_running_loop().run_in_executor(threads, answer, *arguments)

    async def heartbeat(_: web.Request) -> web.Response:
        etag, age = await asyncio.to_thread(copy.row, "FROM freshness")
        return _response({"etag": etag, "age": age}, ETag=f'"{etag}"', Age=str(age))

    async def version(_: web.Request) -> web.Response:
        return _response({"name": "buildhub", "version": __version__})

    app = web.Application(client_max_size=_MAX_BODY, middlewares=[_errors_and_cors])
    for where, table in (("/api/search", SUCCESSORS), (path, OURS)):
        app.router.add_get(where, functools.partial(search, table))
        app.router.add_post(where, functools.partial(search, table))
    app.router.add_get("/__heartbeat__", heartbeat)
    app.router.add_get("/__version__", version)
    return app


def answer(copy: Copy, table: str, body: bytes, query: Mapping[str, str]) -> web.Response:
    """Answers a body, or ``?q=field:value``, ``?q=field=value`` and ``?field=value``.

    Raises :class:`BadRequest`.
    """
    start = time.monotonic()
    texts = [text if name == "q" else f'{name}="{text}"' for name, text in query.items()]
    request: object = {"query": {"bool": {"filter": [query_string(text) for text in texts]}}}
    try:
        statement = Statement(orjson.loads(body) if body else request, table)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"the body is not JSON: {error}") from None
    etag, age, total, hits, aggregations = copy.row(statement.sql, statement.parameters)
    result = {
        "took": int((time.monotonic() - start) * 1000),
        "timed_out": False,
        "_shards": {"total": 1, "successful": 1, "skipped": 0, "failed": 0},
        "hits": {"total": total, "max_score": None, "hits": orjson.Fragment(hits)},
    }
    if aggregations != "{}":
        result["aggregations"] = orjson.Fragment(aggregations)
    return _response(result, ETag=f'"{etag}"', Age=str(age))


def _response(body: object, status: int = 200, **headers: str) -> web.Response:
    content = orjson.dumps(body)
    return web.Response(
        body=content, status=status, headers=headers, content_type="application/json"
    )


@web.middleware
async def _errors_and_cors(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """Answers errors in the form of Elasticsearch, and pages of any origin."""
    try:
        asked_first = request.method == "OPTIONS"
        response = web.Response(status=204) if asked_first else await handler(request)
    except (BadRequest, web.HTTPException) as error:
        cause = {"type": "parsing_exception", "reason": error.reason}
        body = {"error": {"root_cause": [cause]} | cause, "status": error.status}
        response = _response(body, error.status)
        if isinstance(error, web.HTTPMethodNotAllowed):
            response.headers["Allow"] = error.headers["Allow"]
    response.headers.update(_CORS)
    return response
