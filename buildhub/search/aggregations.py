"""Aggregations: one query for each of a request, however many buckets it is inside of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from .fields import DATE, BadRequest, Field, field_of, milliseconds, shown
from .query import MAX_DEPTH, Condition, condition, members, regexp, single

#: Aggregations in a request, and buckets in the answer to one of them.
_MAX_AGGREGATIONS, _MAX_BUCKETS = 100, 100_000

_ORDERS = {"_count": "n", "_term": "key", "_key": "key"}

#: Runs a query and returns its rows.
Run = Callable[[str, Sequence[Any]], list[tuple[Any, ...]]]


class Scope(NamedTuple):
    """The records that an aggregation is about: those of each bucket (``parents``) it is inside of.

    A parent is the keys of the buckets, from the outermost on, in the fields ``path``.
    """

    table: str
    condition: Condition
    path: tuple[Field, ...] = ()
    parents: tuple[tuple[Any, ...], ...] = ((),)

    def select(self, columns: str) -> tuple[str, tuple[Any, ...]]:
        """Returns a query, grouped by all columns that are no aggregate, and its parameters."""
        numbered = list(enumerate(self.path))
        lists = ", ".join(f"unnest(?::{field.type}[]) AS p{n}" for n, field in numbered)
        same = " AND ".join(f"{field.column} = p{n}" for n, field in numbered)
        joined = f" JOIN (SELECT {lists}) ON {same}" if numbered else ""
        keys = tuple(map(list, zip(*self.parents, strict=True))) if numbered else ()
        sql = f"SELECT {self.groups}{columns} FROM {self.table}{joined}"
        return f"{sql} WHERE {self.condition.sql} GROUP BY ALL", keys + self.condition.parameters

    @property
    def groups(self) -> str:
        """The columns of the parents' keys, each with a comma."""
        return "".join(f"p{number}, " for number in range(len(self.path)))

    def narrowed(self, condition: Condition) -> Scope:
        """Returns the scope of those records that fulfil a condition."""
        return self._replace(condition=self.condition & condition)


#: Returns the results of an aggregation (or of several, by name), one for each parent.
Aggregation = Callable[[Run, Scope], list[dict[str, Any]]]


def parse_aggregations(given: object, seen: list[str], depth: int = 0) -> Aggregation:
    """Returns the aggregations of an object by their names. Raises :class:`BadRequest`."""
    bodies = members(given, "aggs")
    seen.extend(bodies)
    if depth > MAX_DEPTH or len(seen) > _MAX_AGGREGATIONS:
        raise BadRequest(
            f"more than {_MAX_AGGREGATIONS} aggregations, or {MAX_DEPTH} inside others"
        )
    parsed = {name: _parse(name, body, seen, depth + 1) for name, body in bodies.items()}

    def aggregate(run: Run, scope: Scope) -> list[dict[str, Any]]:
        results: list[dict[str, Any]] = [{} for _ in scope.parents]
        for name, aggregation in parsed.items() if results else ():
            for result, one in zip(results, aggregation(run, scope), strict=True):
                result[name] = one
        return results

    return aggregate


def direction(given: object) -> str:
    """Returns the direction of an order for SQL. Raises :class:`BadRequest`."""
    if given not in ("asc", "desc"):
        raise BadRequest(f"an order is asc or desc, not {shown(given)}")
    return str(given).upper()


def number(value: object, name: str, maximum: int, minimum: int = 0) -> int:
    """Returns a whole number that is in these bounds. Raises :class:`BadRequest`."""
    if isinstance(value, bool) or not isinstance(value, int) or not minimum <= value <= maximum:
        raise BadRequest(f"[{name}] has to be from {minimum} to {maximum}, not {shown(value)}")
    return value


def _parse(name: str, given: object, seen: list[str], depth: int) -> Aggregation:
    body = dict(members(given, name))
    children = body.pop("aggs" if "aggs" in body else "aggregations", {})
    inner = parse_aggregations(children, seen, depth)
    kind, options = single(body, name)
    if kind == "terms":
        return _terms(options, inner)
    if kind == "filter":
        return _filter(condition(options), inner)
    if kind == "cardinality" and not children:
        field = field_of(members(options, kind, "field").get("field"))
        return lambda run, scope: [
            {"value": value} for value in _numbers(run, scope, f"count(DISTINCT {field.column})")
        ]
    raise BadRequest(
        f"[{name}] cannot be the aggregation [{shown(kind)}], or not with others inside"
    )


def _numbers(run: Run, scope: Scope, expression: str) -> list[int]:
    """Returns a number for each parent, 0 for one without records."""
    found = {row[:-1]: row[-1] for row in run(*scope.select(expression))}
    return [found.get(parent, 0) for parent in scope.parents]


def _filter(wanted: Condition, inner: Aggregation) -> Aggregation:
    def aggregate(run: Run, scope: Scope) -> list[dict[str, Any]]:
        scope = scope.narrowed(wanted)
        counted = zip(_numbers(run, scope, "count(*)"), inner(run, scope), strict=True)
        return [{"doc_count": count} | children for count, children in counted]

    return aggregate


def _terms(given: object, inner: Aggregation) -> Aggregation:
    body = members(given, "terms", "field", "size", "order", "include")
    field = field_of(body.get("field"), text="include" in body)
    size = number(body.get("size", 10), "size", _MAX_BUCKETS, minimum=1)
    order = _order(body.get("order", []))
    wanted = regexp(field, body.get("include", ".*"))

    def aggregate(run: Run, scope: Scope) -> list[dict[str, Any]]:
        rows = run(*_top(scope.narrowed(wanted), field, order, size))
        if len(rows) > _MAX_BUCKETS:
            raise BadRequest(f"more than {_MAX_BUCKETS} buckets")
        keys = tuple(row[:-2] for row in rows)
        children = inner(run, scope._replace(path=(*scope.path, field), parents=keys))
        found: dict[Any, dict[str, Any]] = {parent: _no_buckets() for parent in scope.parents}
        for (*parent, key, count, others), child in zip(rows, children, strict=True):
            result = found[tuple(parent)]
            result["sum_other_doc_count"] = others
            result["buckets"].append(_key(field, key) | {"doc_count": count} | child)
        return list(found.values())

    return aggregate


def _top(scope: Scope, field: Field, order: str, size: int) -> tuple[str, tuple[Any, ...]]:
    """Returns a query for each parent's first keys: parent, key, count, count of all other keys."""
    groups = scope.groups
    parent = f"PARTITION BY {groups[:-2]}" if groups else ""
    inner, parameters = scope.select(f"{field.column} AS key, count(*) AS n")
    ranked = f"SELECT *, row_number() OVER ({parent} ORDER BY {order}) AS place FROM ({inner})"
    others = f"sum(n) FILTER (WHERE place > {size}) OVER ({parent})"
    return (
        f"SELECT {groups}key, n, coalesce({others}, 0)::BIGINT FROM ({ranked})"
        f" QUALIFY place <= {size} ORDER BY {groups}place LIMIT {_MAX_BUCKETS + 1}"
    ), parameters


def _order(given: object) -> str:
    """Returns the terms of ORDER BY: the highest count first, or as asked for; then by key."""
    terms: list[str] = []
    for one in given if isinstance(given, list) else [given]:
        name, order = single(one, "order")
        if name not in _ORDERS or len(terms) == len(_ORDERS):
            raise BadRequest(f"[order] does not support [{shown(name)}], or so many")
        terms.append(f"{_ORDERS[name]} {direction(order)}")
    return ", ".join([*(terms or ["n DESC"]), "key"])


def _no_buckets() -> dict[str, Any]:
    return {"doc_count_error_upper_bound": 0, "sum_other_doc_count": 0, "buckets": []}


def _key(field: Field, key: Any) -> dict[str, Any]:
    if field.type != DATE:
        return {"key": key}
    return {
        "key": milliseconds(key),
        "key_as_string": key.isoformat(timespec="milliseconds") + "Z",
    }
