"""A copy of records without a server, to search in."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson

from buildhub.kinto.refresh import Changes, Position
from buildhub.search.copy import Copy
from buildhub.search.server import answer

TARGET = "http://kinto.test/v1/buckets/b/collections/c"
ALL_READ = Position(newest_id="x", newest=1, clock=1, full=1, etag=1)


@contextlib.contextmanager
def copy_of(records: Sequence[dict[str, Any]], folder: Path, **options: Any) -> Iterator[Copy]:
    """A copy of these records, as one reading of a server made it."""
    copy = Copy(folder, TARGET, **options)
    refresh(copy, Changes(True, list(records), [], ALL_READ))
    with contextlib.closing(copy):
        yield copy


def refresh(copy: Copy, *pages: Changes) -> None:
    """Let the copy read these pages."""
    copy.refresh(lambda position, count: iter(pages))


def ask(copy: Copy, request: object, dialect: str) -> dict[str, Any]:
    """The answer to a request."""
    body = answer(copy, dialect, json.dumps(request).encode(), {}).body
    assert isinstance(body, bytes)
    found: dict[str, Any] = orjson.loads(body)
    return found


def compared(answer: dict[str, Any]) -> dict[str, Any]:
    """Returns the part of an answer that the reference has, too."""
    hits = answer["hits"]
    return {
        "total": hits["total"],
        "hits": [(hit["_id"], hit["_source"]) for hit in hits["hits"]],
        "aggregations": answer.get("aggregations", {}),
    }
