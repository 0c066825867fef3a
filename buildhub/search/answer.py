"""A search request → its answer, in the form of Elasticsearch."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from .aggregations import Aggregation, Run, Scope, direction, number, parse_aggregations
from .fields import FIELDS, BadRequest, Field, field_of, milliseconds, shown
from .query import Condition, condition, members, single

_MAX_SIZE, _MAX_FROM, _MAX_SORTS = 100_000, 10_000_000, 20


class Dialect(NamedTuple):
    """The table that is searched, and how dates look in the answer."""

    table: str
    date: Callable[[datetime], str]


#: The records as they are on the server, and as buildhub's successor has them.
OURS = Dialect("records", lambda date: date.isoformat() + "Z")
SUCCESSORS = Dialect("successor", lambda date: date.isoformat(timespec="microseconds") + "+00:00")


class Search(NamedTuple):
    """A search request that was checked."""

    query: Condition
    hits: Condition
    aggregations: Aggregation | None
    size: int
    start: int
    sorts: list[tuple[Field, str]]
    source: list[Field]  #: fields of each hit


def parse(request: object) -> Search:
    """Returns the search that the body of a request asks for. Raises :class:`BadRequest`."""
    body = dict(members(request, "request"))
    query = condition(body.pop("query", {"match_all": {}}), scoring=True)
    aggregations = body.pop("aggs" if "aggs" in body else "aggregations", None)
    search = Search(
        query,
        query & condition(body.pop("post_filter", {"match_all": {}})),
        parse_aggregations(aggregations, []) if aggregations else None,
        number(body.pop("size", 10), "size", _MAX_SIZE),
        number(body.pop("from", 0), "from", _MAX_FROM),
        _sorts(body.pop("sort", [])),
        _source(body.pop("_source", True)),
    )
    if body:
        raise BadRequest(f"unknown key [{shown(next(iter(body)))}] in the request")
    return search


def answer(run: Run, search: Search, dialect: Dialect) -> dict[str, Any]:
    """Returns the answer to a search. Raises what ``run`` raises."""
    start = time.monotonic()
    sql, parameters = search.hits
    ((total,),) = run(f"SELECT count(*) FROM {dialect.table} WHERE {sql}", parameters)
    result = {
        "timed_out": False,
        "_shards": {"total": 1, "successful": 1, "skipped": 0, "failed": 0},
        "hits": {"total": total, "max_score": None, "hits": _hits(run, search, dialect)},
    }
    if search.aggregations:
        (result["aggregations"],) = search.aggregations(run, Scope(dialect.table, search.query))
    return {"took": int((time.monotonic() - start) * 1000)} | result


def _sorts(given: object) -> list[tuple[Field, str]]:
    """Reads ``"field"``, ``{"field": "desc"}``, ``{"field": {"order": "desc"}}``, or a list."""
    sorts = []
    for one in given if isinstance(given, list) else [given]:
        name, order = single(one, "sort") if isinstance(one, dict) else (one, "asc")
        if isinstance(order, dict):
            order = members(order, "sort", "order").get("order", "asc")
        sorts.append((field_of(name), direction(order)))
    if len(sorts) > _MAX_SORTS:
        raise BadRequest(f"[sort] has more than {_MAX_SORTS} fields")
    return sorts


def _source(given: object) -> list[Field]:
    """Reads ``true``, ``false``, a name or pattern, a list of them, or includes and excludes."""
    if isinstance(given, bool):
        return list(FIELDS.values()) if given else []
    body = given if isinstance(given, dict) else {"includes": given}
    members(body, "_source", "includes", "excludes")
    excluded = _named(body.get("excludes", []))
    return [field for field in _named(body.get("includes", "*")) if field not in excluded]


def _named(patterns: object) -> list[Field]:
    """Returns the fields of these names or patterns, or in objects of these names."""
    found = set()
    for pattern in patterns if isinstance(patterns, list) else [patterns]:
        if not isinstance(pattern, str) or len(pattern) > 100:
            raise BadRequest(f"[_source] cannot have {shown(pattern)}")
        fitting = {n for n in FIELDS if any(fnmatchcase(p, pattern) for p in (n, n.split(".")[0]))}
        if not fitting:
            raise BadRequest(f"[_source] has an unknown field [{shown(pattern)}]")
        found |= fitting
    return [field for name, field in FIELDS.items() if name in found]


def _hits(run: Run, search: Search, dialect: Dialect) -> list[dict[str, Any]]:
    """Returns the page of hits; those that are equal in the order asked for come by their ids."""
    if not search.size:
        return []
    columns = [FIELDS["id"], *(field for field, _ in search.sorts), *search.source]
    order = [f"{field.column} {direction} NULLS LAST" for field, direction in search.sorts]
    sql, parameters = search.hits
    rows = run(
        f"SELECT {', '.join(field.column for field in columns)} FROM {dialect.table} WHERE {sql}"
        f" ORDER BY {', '.join([*order, 'id'])} LIMIT {search.size} OFFSET {search.start}",
        parameters,
    )
    return [_hit(row, search, dialect) for row in rows]


def _hit(row: tuple[Any, ...], search: Search, dialect: Dialect) -> dict[str, Any]:
    end = 1 + len(search.sorts)
    record = _record(search.source, row[end:], dialect)
    hit = {
        "_index": dialect.table,
        "_type": "record",
        "_id": row[0],
        "_score": None,
        "_source": record,
    }
    if search.sorts:
        sort = (milliseconds(one) if isinstance(one, datetime) else one for one in row[1:end])
        hit["sort"] = list(sort)
    return hit


def _record(fields: list[Field], values: tuple[Any, ...], dialect: Dialect) -> dict[str, Any]:
    """Returns a record of these fields, without those that are missing."""
    record: dict[str, Any] = {}
    for field, value in zip(fields, values, strict=True):
        if value is not None:
            *parents, name = field.name.split(".")
            target = record.setdefault(parents[0], {}) if parents else record
            target[name] = dialect.date(value) if isinstance(value, datetime) else value
    return record
