"""Queries → conditions in SQL, in which each value is a parameter and each name a known column."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from .errors import BadRequest, shown
from .fields import DATE, Field, field_of
from .regexp import translate

#: Queries inside each other, and characters of a condition: bounds for hostile requests.
MAX_DEPTH = 20
MAX_LENGTH = 200_000

_COMPARISONS = {"gt": (">", 1), "gte": (">=", 0), "lt": ("<", 0), "lte": ("<=", 1)}


class Condition(NamedTuple):
    """An expression in SQL with its parameters. Where a field is missing, it may be NULL."""

    sql: str = "true"
    parameters: tuple[Any, ...] = ()

    def __and__(self, other: Condition) -> Condition:
        return _joined(" AND ", [self, other])


def condition(query: object, *, scoring: bool = True, depth: int = 0) -> Condition:
    """Returns the condition for a query. Raises :class:`BadRequest`.

    ``scoring`` is Elasticsearch's query context: only there the ``should`` of a ``bool`` with ``must``
    or ``filter`` says nothing about which records match.
    """
    if depth > MAX_DEPTH:
        raise BadRequest(f"queries are nested more than {MAX_DEPTH} deep")
    kind, body = single(query, "query")
    if kind == "bool":
        found = _bool(mapping(body, "bool"), scoring, depth + 1)
    elif kind in _LEAVES:
        found = _LEAVES[kind](body)
    else:
        raise BadRequest(f"no [query] registered for [{shown(kind)}]")
    if len(found.sql) > MAX_LENGTH:
        raise BadRequest("the query has too many clauses", "too_many_clauses")
    return found


def mapping(value: object, name: str) -> dict[str, Any]:
    """Returns the value if it is an object. Raises :class:`BadRequest`."""
    if not isinstance(value, dict):
        raise BadRequest(f"[{name}] has to be an object, not {shown(value)}")
    return value


def single(value: object, name: str) -> tuple[str, Any]:
    """Returns name and value of an object with one member. Raises :class:`BadRequest`."""
    found = mapping(value, name)
    if len(found) != 1:
        raise BadRequest(f"[{name}] has to have one member, not {shown(list(found))}")
    return next(iter(found.items()))


def only(value: object, name: str, *members: str) -> dict[str, Any]:
    """Returns the value if it is an object without other members. Raises :class:`BadRequest`."""
    found = mapping(value, name)
    for member in found:
        if member not in members:
            raise BadRequest(f"[{name}] does not support [{shown(member)}]")
    return found


def number(value: object, name: str, maximum: int, minimum: int = 0) -> int:
    """Returns the value if it is a whole number in these bounds. Raises :class:`BadRequest`."""
    if isinstance(value, bool) or not isinstance(value, int) or not minimum <= value <= maximum:
        raise BadRequest(
            f"[{name}] has to be a number from {minimum} to {maximum}, not {shown(value)}",
            "illegal_argument_exception",
        )
    return value


def regexp(field: Field, pattern: object) -> Condition:
    """Returns the condition that the whole value matches a regular expression of Lucene."""
    translated = translate(pattern)
    if pattern == ".*":
        return Condition(f"{field.column} IS NOT NULL")
    return Condition(f"regexp_full_match({field.column}, ?)", (translated,))


def _bool(body: dict[str, Any], scoring: bool, depth: int) -> Condition:
    clauses = {
        name: [
            condition(one, scoring=scoring and name in ("must", "should"), depth=depth)
            for one in (value if isinstance(value, list) else [value])
        ]
        for name, value in only(body, "bool", "filter", "must", "should", "must_not").items()
    }
    required = [*clauses.get("must", []), *clauses.get("filter", [])]
    should = clauses.get("should")
    if should and not (scoring and required):
        required.append(_joined(" OR ", should))
    missing = [
        Condition(f"NOT coalesce({sql}, false)", parameters)
        for sql, parameters in clauses.get("must_not", [])
    ]
    return _joined(" AND ", required + missing)


def _joined(operator: str, conditions: Iterable[Condition]) -> Condition:
    found = list(conditions)
    if len(found) < 2:
        return found[0] if found else Condition()
    sql = operator.join(one.sql for one in found)
    return Condition(f"({sql})", tuple(value for one in found for value in one.parameters))


def _term(body: object, name: str = "term", member: str = "value") -> Condition:
    field, value = _field_and_value(body, name, member)
    return _equals(field, value)


def _field_and_value(
    body: object, name: str, member: str, *, text: bool = False
) -> tuple[Field, Any]:
    """Reads ``{field: value}`` or ``{field: {member: value}}``."""
    key, value = single(body, name)
    field = field_of(key, text=text)
    if isinstance(value, dict):
        value = only(value, name, member).get(member)
    return field, value


def _equals(field: Field, value: object) -> Condition:
    if field.type == DATE:
        return Condition(f"{field.column} BETWEEN ? AND ?", field.interval(value))
    return Condition(f"{field.column} = ?", (field.value(value),))


def _terms(body: object) -> Condition:
    key, values = single(body, "terms")
    field = field_of(key)
    if not isinstance(values, list):
        raise BadRequest(f"[terms] needs a list of values for [{field.name}]")
    if field.type == DATE:
        return _joined(" OR ", [_equals(field, one) for one in values] or [Condition("false")])
    return Condition(
        f"{field.column} IN (SELECT unnest(?::{field.type}[]))",
        ([field.value(value) for value in values],),
    )


def _range(body: object) -> Condition:
    key, bounds = single(body, "range")
    field = field_of(key)
    parts = [Condition(f"{field.column} IS NOT NULL")]
    for name, value in only(bounds, "range", *_COMPARISONS).items():
        operator, end = _COMPARISONS[name]
        bound = field.interval(value)[end] if field.type == DATE else field.value(value)
        parts.append(Condition(f"{field.column} {operator} ?", (bound,)))
    return _joined(" AND ", parts)


def _regexp(body: object) -> Condition:
    return regexp(*_field_and_value(body, "regexp", "value", text=True))


def _prefix(body: object) -> Condition:
    field, value = _field_and_value(body, "prefix", "value", text=True)
    return Condition(f"starts_with({field.column}, ?)", (field.value(value),))


def _exists(body: object) -> Condition:
    field = field_of(only(body, "exists", "field").get("field"))
    return Condition(f"{field.column} IS NOT NULL")


def _match_all(body: object) -> Condition:
    only(body, "match_all")
    return Condition()


_LEAVES: dict[str, Callable[[Any], Condition]] = {
    "term": _term,
    "match": lambda body: _term(body, "match", "query"),
    "terms": _terms,
    "range": _range,
    "regexp": _regexp,
    "prefix": _prefix,
    "exists": _exists,
    "match_all": _match_all,
}
_QUERY_STRING = re.compile(r'\s*(?P<field>[a-z_.]+)\s*[:=]\s*(?:"(?P<quoted>[^"\\]*)"|(?P<word>\S+))\s*')


def query_string(text: str) -> dict[str, Any]:
    """Returns the query for ``field:value``, ``field="value"`` and such. Raises :class:`BadRequest`."""
    match = _QUERY_STRING.fullmatch(text)
    if not match or set(match["word"] or "") & set('*?~^()[]{}"\\'):
        raise BadRequest(
            f"[q] has to be field:value, not {shown(text)}; for anything else, post a request"
        )
    value = match["word"] if match["quoted"] is None else match["quoted"]
    return {"term": {match["field"]: value}}
