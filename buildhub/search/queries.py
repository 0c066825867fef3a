"""Queries → conditions in SQL, in which each value is a parameter and each name a known column.

Where a field is missing, a condition may be NULL.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from .values import DATE, BadRequest, Field, field_of, shown, to_re2

#: Queries inside each other, and characters of a condition: bounds for hostile requests.
MAX_DEPTH, _MAX_LENGTH = 20, 100_000

#: Makes a value a parameter of the statement; returns its place in SQL.
Bind = Callable[[object], str]

#: The operator, and which end of an interval it compares with: ``gt`` a day is after all of it.
_COMPARISONS = {"gt": (">", 1), "gte": (">=", 0), "lt": ("<", 0), "lte": ("<=", 1)}
_QUERY_STRING = re.compile(r'([a-z_.]+)\s*[:=]\s*(?:"([^"\\]*)"|([^\s*?~^()\[\]{}"\\]+))')


def members(value: object, name: str, *known: str) -> dict[str, Any]:
    """Returns an object that has no other than the known members. Raises :class:`BadRequest`."""
    if not isinstance(value, dict):
        raise BadRequest(f"[{name}] has to be an object, not {shown(value)}")
    if unknown := [one for one in value if known and one not in known]:
        raise BadRequest(f"[{name}] does not support [{shown(unknown[0])}]")
    return value


def single(value: object, name: str) -> tuple[str, Any]:
    """Returns name and value of an object's only member. Raises :class:`BadRequest`."""
    if len(found := members(value, name)) != 1:
        raise BadRequest(f"[{name}] has to have one member, not {shown(list(found))}")
    return next(iter(found.items()))


def condition(query: object, bind: Bind, *, scoring: bool = False, depth: int = 0) -> str:
    """Returns the condition for a query. Raises :class:`BadRequest`.

    ``scoring`` is Elasticsearch's query context: only there the ``should`` beside a ``must`` or
    ``filter`` does not restrict what is found.
    """
    kind, body = single(query, "query")
    if depth > MAX_DEPTH:
        raise BadRequest("the query is too deep inside others")
    found = _bool(body, bind, scoring, depth + 1) if kind == "bool" else _leaf(kind, body, bind)
    if len(found) > _MAX_LENGTH:
        raise BadRequest("the query has too many clauses")
    return found


def query_string(text: str) -> dict[str, Any]:
    """Returns the query for ``field:value`` or ``field="value"``. Raises :class:`BadRequest`."""
    if match := _QUERY_STRING.fullmatch(text.strip()):
        return {"term": {match[1]: match[2] if match[3] is None else match[3]}}
    raise BadRequest(f"[q] has to be field:value, not {shown(text)}: post anything else")


def present(field: Field) -> str:
    """Returns the condition that a record has the field."""
    return f"{field.column} IS NOT NULL"


def matching(field: Field, pattern: object, bind: Bind) -> str:
    """Returns the condition that the whole value matches a regular expression of Lucene."""
    if pattern == ".*":
        return present(field)
    return f"regexp_full_match({field.column}, {bind(to_re2(pattern))})"


def _leaf(kind: str, body: object, bind: Bind) -> str:
    if kind == "exists":
        return present(field_of(members(body, kind, "field").get("field")))
    if kind == "match_all" and not members(body, kind):
        return "true"
    if kind not in _COMPILERS:
        raise BadRequest(f"no [query] registered for [{shown(kind)}], or not with members")
    name, value = single(body, kind)
    if isinstance(value, dict) and kind != "range":
        member = "query" if kind == "match" else "value"
        value = members(value, kind, member).get(member)
    return _COMPILERS[kind](field_of(name, text=kind in ("regexp", "prefix")), value, bind)


def _bool(body: object, bind: Bind, scoring: bool, depth: int) -> str:
    clauses = {
        name: [
            condition(one, bind, scoring=scoring and name in ("must", "should"), depth=depth)
            for one in (given if isinstance(given, list) else [given])
        ]
        for name, given in members(body, "bool", "filter", "must", "should", "must_not").items()
    }
    required = clauses.get("must", []) + clauses.get("filter", [])
    if should := clauses.get("should"):
        optional = ["true"] if scoring and required else []
        required.append(f"({' OR '.join(should + optional)})")
    required += [f"NOT coalesce({one}, false)" for one in clauses.get("must_not", [])]
    return f"({' AND '.join(required or ['true'])})"


def _equal(field: Field, value: object, bind: Bind) -> str:
    first, last = field.interval(value)
    return f"{field.column} BETWEEN {bind(first)} AND {bind(last)}"


def _one_of(field: Field, values: object, bind: Bind) -> str:
    if not isinstance(values, list):
        raise BadRequest(f"[terms] needs a list of values for [{field.name}]")
    if field.type == DATE:
        return f"({' OR '.join(_equal(field, one, bind) for one in values) or 'false'})"
    listed = bind([field.interval(one)[0] for one in values])
    return f"{field.column} IN (SELECT unnest({listed}::{field.type}[]))"


def _range(field: Field, bounds: object, bind: Bind) -> str:
    parts = [present(field)]
    for name, value in members(bounds, "range", *_COMPARISONS).items():
        operator, end = _COMPARISONS[name]
        parts.append(f"{field.column} {operator} {bind(field.interval(value)[end])}")
    return f"({' AND '.join(parts)})"


def _prefix(field: Field, value: object, bind: Bind) -> str:
    return f"starts_with({field.column}, {bind(field.interval(value)[0])})"


_COMPILERS: dict[str, Callable[[Field, Any, Bind], str]] = {
    "term": _equal,
    "match": _equal,
    "terms": _one_of,
    "range": _range,
    "regexp": matching,
    "prefix": _prefix,
}
