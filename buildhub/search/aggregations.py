"""Aggregations: parsed from a request, then one query for each of them, whatever it is inside of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from . import dates
from .errors import BadRequest, shown
from .fields import DATE, Field, field_of
from .query import MAX_DEPTH, Condition, condition, mapping, number, only, regexp, single

#: Aggregations in a request, and buckets in the answer to one of them.
MAX_AGGREGATIONS = 100
MAX_BUCKETS = 100_000

#: Runs a query and returns its rows.
Run = Callable[[str, Sequence[Any]], list[tuple[Any, ...]]]

_ORDERS = {"_count": "n", "_term": "key", "_key": "key"}


@dataclass(frozen=True)
class Scope:
    """The records that an aggregation is about: those of a table, for each bucket it is inside of.

    ``parents`` has the buckets' keys, from the outermost on, of the fields ``path``.
    """

    table: str
    condition: Condition
    path: tuple[Field, ...] = ()
    parents: tuple[tuple[Any, ...], ...] = ((),)

    @property
    def groups(self) -> str:
        """The columns of the parents' keys, each with a comma."""
        return "".join(f"p{number}, " for number in range(len(self.path)))

    def narrowed(self, condition: Condition) -> Scope:
        """Returns those records of the scope that fulfil a condition."""
        return Scope(self.table, self.condition & condition, self.path, self.parents)

    @property
    def source(self) -> Condition:
        """The FROM and WHERE of a query for this scope."""
        joined, keys = "", ()
        if self.path:
            lists = ", ".join(
                f"unnest(?::{field.type}[]) AS p{number}" for number, field in enumerate(self.path)
            )
            same = " AND ".join(f"{f.column} = p{number}" for number, f in enumerate(self.path))
            joined = f" JOIN (SELECT {lists}) ON {same}"
            keys = tuple(list(column) for column in zip(*self.parents, strict=True))
        sql, parameters = self.condition
        return Condition(f"FROM {self.table}{joined} WHERE {sql}", keys + parameters)


@dataclass(frozen=True)
class Aggregation:
    """An aggregation of a request. ``answer`` returns its result for each of the parents."""

    def answer(self, run: Run, scope: Scope) -> list[dict[str, Any]]:
        raise NotImplementedError


@dataclass(frozen=True)
class _Cardinality(Aggregation):
    field: Field

    def answer(self, run: Run, scope: Scope) -> list[dict[str, Any]]:
        counted = _numbers(run, scope, f"count(DISTINCT {self.field.column})")
        return [{"value": value} for value in counted]


@dataclass(frozen=True)
class _Filter(Aggregation):
    condition: Condition
    children: dict[str, Aggregation]

    def answer(self, run: Run, scope: Scope) -> list[dict[str, Any]]:
        scope = scope.narrowed(self.condition)
        counted = _numbers(run, scope, "count(*)")
        inner = aggregate(run, scope, self.children)
        return [
            {"doc_count": count, **children} for count, children in zip(counted, inner, strict=True)
        ]


@dataclass(frozen=True)
class _Terms(Aggregation):
    field: Field
    size: int
    order: str
    include: Condition
    children: dict[str, Aggregation]

    def answer(self, run: Run, scope: Scope) -> list[dict[str, Any]]:
        rows = self._rows(run, scope)
        keys = tuple(row[:-2] for row in rows)
        inner: Iterable[dict[str, Any]] = [{}] * len(rows)
        if rows and self.children:
            path = (*scope.path, self.field)
            inner = aggregate(run, Scope(scope.table, scope.condition, path, keys), self.children)
        found: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
        totals = {}
        for (*parent, key, count, total), children in zip(rows, inner, strict=True):
            found.setdefault(tuple(parent), []).append(self._bucket(key, count) | children)
            totals[tuple(parent)] = total
        return [_terms_result(found.get(one, []), totals.get(one, 0)) for one in scope.parents]

    def _rows(self, run: Run, scope: Scope) -> list[tuple[Any, ...]]:
        """Returns each parent's keys, a key, its count, and the count of all keys of the parent."""
        groups, column = scope.groups, self.field.column
        narrowed = scope.narrowed(Condition(f"{column} IS NOT NULL") & self.include)
        partition = f"PARTITION BY {groups.rstrip(', ')}" if groups else ""
        sql, parameters = narrowed.source
        rows = run(
            f"SELECT {groups}key, n, total FROM (SELECT *, sum(n) OVER ({partition})::BIGINT AS total,"
            f" row_number() OVER ({partition} ORDER BY {self.order}) AS place FROM"
            f" (SELECT {groups}{column} AS key, count(*) AS n {sql} GROUP BY {groups}{column}))"
            f" WHERE place <= ? ORDER BY {groups}place LIMIT {MAX_BUCKETS + 1}",
            (*parameters, self.size),
        )
        if len(rows) > MAX_BUCKETS:
            raise BadRequest(f"more than {MAX_BUCKETS} buckets", "too_many_buckets_exception")
        return rows

    def _bucket(self, key: Any, count: int) -> dict[str, Any]:
        if self.field.type != DATE:
            return {"key": key, "doc_count": count}
        text = key.isoformat(timespec="milliseconds") + "Z"
        return {"key": dates.milliseconds(key), "key_as_string": text, "doc_count": count}


def parse_aggregations(given: object) -> dict[str, Aggregation]:
    """Returns the aggregations of a request by their names. Raises :class:`BadRequest`."""
    return _parse_all(given, [], 0)


def aggregate(
    run: Run, scope: Scope, aggregations: dict[str, Aggregation]
) -> list[dict[str, Any]]:
    """Returns the results of all aggregations by their names, for each of the scope's parents."""
    results: list[dict[str, Any]] = [{} for _ in scope.parents]
    for name, aggregation in aggregations.items():
        for result, answer in zip(results, aggregation.answer(run, scope), strict=True):
            result[name] = answer
    return results


def direction(given: object, name: str) -> str:
    """Returns the direction of an order for SQL. Raises :class:`BadRequest`."""
    if given not in ("asc", "desc"):
        raise BadRequest(f"[{name}] has to be asc or desc, not {shown(given)}")
    return str(given).upper()


def _numbers(run: Run, scope: Scope, expression: str) -> list[int]:
    """Returns a number for each parent, 0 for one without records."""
    sql, parameters = scope.source
    rows = run(f"SELECT {scope.groups}{expression} {sql} GROUP BY ALL", parameters)
    found = {row[:-1]: row[-1] for row in rows}
    return [found.get(parent, 0) for parent in scope.parents]


def _terms_result(buckets: list[dict[str, Any]], total: int) -> dict[str, Any]:
    others = total - sum(bucket["doc_count"] for bucket in buckets)
    return {
        "doc_count_error_upper_bound": 0,
        "sum_other_doc_count": others,
        "buckets": buckets,
    }


def _parse_all(given: object, seen: list[str], depth: int) -> dict[str, Aggregation]:
    found = mapping(given, "aggs")
    seen.extend(found)
    if depth > MAX_DEPTH or len(seen) > MAX_AGGREGATIONS:
        raise BadRequest(
            f"more than {MAX_AGGREGATIONS} aggregations, or nested more than {MAX_DEPTH} deep"
        )
    return {name: _parse(name, body, seen, depth) for name, body in found.items()}


def _parse(name: str, given: object, seen: list[str], depth: int) -> Aggregation:
    body = dict(mapping(given, name))
    children = _parse_all(
        body.pop("aggs", body.pop("aggregations", {})), seen, depth + 1
    )
    kind, body = single(body, name)
    if kind == "terms":
        return _terms(body, children)
    if kind == "filter":
        return _Filter(condition(body, scoring=False), children)
    if kind == "cardinality" and not children:
        return _Cardinality(field_of(only(body, kind, "field").get("field")))
    raise BadRequest(f"[{name}] cannot be an aggregation {shown(kind)}, or not one with others inside")


def _terms(given: object, children: dict[str, Aggregation]) -> _Terms:
    body = only(given, "terms", "field", "size", "order", "include")
    include = body.get("include")
    field = field_of(body.get("field"), text=include is not None)
    return _Terms(
        field=field,
        size=number(body.get("size", 10), "size", MAX_BUCKETS, minimum=1),
        order=_order(body.get("order", {"_count": "desc"})),
        include=Condition() if include is None else regexp(field, include),
        children=children,
    )


def _order(given: object) -> str:
    """Returns the term of ORDER BY; buckets with the same count are in the order of their keys."""
    terms = []
    for one in given if isinstance(given, list) else [given]:
        name, order = single(one, "order")
        if name not in _ORDERS:
            raise BadRequest(f"[order] does not support [{shown(name)}]")
        terms.append(f"{_ORDERS[name]} {direction(order, 'order')}")
    return ", ".join([*terms[:10], "key"])
