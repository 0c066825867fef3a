"""The HTTP server: requests of Elasticsearch's clients, answered from the copy."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import orjson
from aiohttp import web
from aiohttp.typedefs import Handler

from .. import __version__
from ..errors import Fatal, Unreachable
from ..kinto.client import Client
from ..kinto.refresh import read_changes
from ..signals import CancellationToken
from .copy import Copy
from .language import OURS, SUCCESSORS, BadRequest, Statement, query_string

logger = logging.getLogger(__name__)

_CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Headers": "*",
    "Access-Control-Expose-Headers": "Age, ETag",
}


async def serve(
    folder: Path,
    client: Client,
    cancellation: CancellationToken,
    address: tuple[str, int],
    refresh: float,
) -> None:
    """Answers requests from a copy in ``folder`` and follows the collection.

    Raises :class:`Interrupted` when ``cancellation`` ends both, and :class:`Fatal` where folder or
    address cannot be used, or the collection cannot be read and there is no copy.
    """
    with contextlib.closing(Copy(folder, client.target)) as copy:
        runner = web.AppRunner(_application(copy, client), access_log=None, shutdown_timeout=3)
        await runner.setup()
        try:
            await web.TCPSite(runner, *address).start()
            await asyncio.to_thread(_follow, copy, client, cancellation, refresh)
        except OSError as error:
            raise Fatal(f"Cannot listen on {address[0]}:{address[1]} ({error.strerror}).") from None
        finally:
            await runner.cleanup()


def _follow(copy: Copy, client: Client, cancellation: CancellationToken, pause: float) -> None:
    """Refreshes the copy again and again; if that fails, the next time is tried again."""
    failing = False
    while True:
        try:
            copy.refresh(functools.partial(read_changes, client))
            if failing:
                logger.warning("The collection can be read again: answers are up to date.")
            failing = False
        except (Fatal, Unreachable) as error:
            if isinstance(error, Fatal) and not copy.run("FROM state"):
                raise
            if not failing:
                logger.warning("%s Meanwhile, answers are as old as the copy, or 503.", error)
            failing = True
        cancellation.raise_if_cancelled()
        cancellation.sleep(pause)


def _application(copy: Copy, client: Client) -> web.Application:
    """Returns the application that answers searches in both dialects."""
    # The engine uses all processors for each search.
    threads = ThreadPoolExecutor(4, thread_name_prefix="search")

    async def search(table: str, request: web.Request) -> web.Response:
        arguments = copy, table, await request.read(), request.query
        return await asyncio.get_running_loop().run_in_executor(threads, answer, *arguments)

    async def heartbeat(_: web.Request) -> web.Response:
        return await asyncio.to_thread(answer, copy, OURS, b'{"size": 0}', {})

    async def version(_: web.Request) -> web.Response:
        return _response({"name": "buildhub", "version": __version__})

    app = web.Application(client_max_size=1_000_000, middlewares=[_errors_and_cors])
    app.router.add_get("/__heartbeat__", heartbeat)
    app.router.add_get("/__version__", version)
    for table, path in (SUCCESSORS, "/api/search"), (OURS, f"/v1{client.collection_path}/search"):
        app.router.add_get(path, functools.partial(search, table))
        app.router.add_post(path, functools.partial(search, table))
    return app


def answer(copy: Copy, table: str, body: bytes, query: Mapping[str, str]) -> web.Response:
    """Answers a body, or ``?q=field:value`` and ``?field=value``. Raises :class:`BadRequest`."""
    terms = [query_string(name, text) for name, text in query.items()]
    try:
        request = orjson.loads(body) if body else {"query": {"bool": {"filter": terms}}}
        statement = Statement(request, table)
    except (orjson.JSONDecodeError, RecursionError) as error:
        raise BadRequest(f"the body is not JSON, or is too deep: {error}") from None
    if not (rows := copy.run(statement.sql, statement.parameters)):
        raise web.HTTPServiceUnavailable(reason="the copy of the collection is not complete yet")
    (etag, read_at, total, aggregations), *hits = rows
    found = [orjson.Fragment(hit) for *_, hit in hits]
    result = {
        "hits": {"total": total, "max_score": None, "hits": found},
        "aggregations": orjson.Fragment(aggregations),
    }
    return _response(result, ETag=f'"{etag}"', Age=str(max(0, int(time.time() - read_at))))


def _response(body: object, status: int = 200, **headers: str) -> web.Response:
    return web.json_response(body=orjson.dumps(body), status=status, headers=headers)


@web.middleware
async def _errors_and_cors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answers errors in the form of Elasticsearch, and pages of any origin."""
    try:
        asked_first = request.method == "OPTIONS"
        response = web.Response(status=204) if asked_first else await handler(request)
    except (BadRequest, web.HTTPException) as error:
        cause = {"type": "parsing_exception", "reason": str(error)}
        body = {"error": {"root_cause": [cause]} | cause, "status": error.status}
        response = _response(body, error.status)
        if isinstance(error, web.HTTPMethodNotAllowed):
            response.headers["Allow"] = error.headers["Allow"]
    response.headers.update(_CORS)
    return response
