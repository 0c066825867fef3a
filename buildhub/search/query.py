"""Queries → conditions in SQL, in which each value is a parameter and each name a known column."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from .fields import BadRequest, Field, field_of, shown
from .regexp import translate

#: Queries inside each other, and characters of a condition: bounds for hostile requests.
MAX_DEPTH, _MAX_LENGTH = 20, 200_000

#: The operator, and which end of an interval it compares with: ``gt`` a day is after all of it.
_COMPARISONS = {"gt": (">", 1), "gte": (">=", 0), "lt": ("<", 0), "lte": ("<=", 1)}
_QUERY_STRING = re.compile(r'([a-z_.]+)\s*[:=]\s*(?:"([^"\\]*)"|([^\s*?~^()\[\]{}"\\]+))')


class Condition(NamedTuple):
    """An expression in SQL with its parameters. Where a field is missing, it may be NULL."""

    sql: str = "true"
    parameters: tuple[Any, ...] = ()

    def __and__(self, other: Condition) -> Condition:
        return _joined(" AND ", [self, other])


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


def condition(query: object, *, scoring: bool = False, depth: int = 0) -> Condition:
    """Returns the condition for a query. Raises :class:`BadRequest`.

    ``scoring`` is Elasticsearch's query context: only there the ``should`` beside a ``must`` or
    ``filter`` does not restrict what is found.
    """
    kind, body = single(query, "query")
    if depth > MAX_DEPTH or kind not in ("bool", *_KINDS):
        raise BadRequest(f"no [query] registered for [{shown(kind)}], or too deep inside others")
    found = _bool(body, scoring, depth + 1) if kind == "bool" else _KINDS[kind](body)
    if len(found.sql) > _MAX_LENGTH:
        raise BadRequest("the query has too many clauses")
    return found


def regexp(field: Field, pattern: object) -> Condition:
    """Returns the condition that the whole value matches a regular expression of Lucene."""
    if pattern == ".*":
        return Condition(f"{field.column} IS NOT NULL")
    return Condition(f"regexp_full_match({field.column}, ?)", (translate(pattern),))


def query_string(text: str) -> dict[str, Any]:
    """Returns the query for ``field:value`` or ``field="value"``. Raises :class:`BadRequest`."""
    if match := _QUERY_STRING.fullmatch(text.strip()):
        return {"term": {match[1]: match[2] if match[3] is None else match[3]}}
    raise BadRequest(f"[q] has to be field:value, not {shown(text)}: post anything else")


def _bool(body: object, scoring: bool, depth: int) -> Condition:
    clauses = {
        name: [
            condition(one, scoring=scoring and name in ("must", "should"), depth=depth)
            for one in (given if isinstance(given, list) else [given])
        ]
        for name, given in members(body, "bool", "filter", "must", "should", "must_not").items()
    }
    required = clauses.get("must", []) + clauses.get("filter", [])
    should = clauses.get("should")
    if should and not (scoring and required):
        required.append(_joined(" OR ", should))
    for sql, parameters in clauses.get("must_not", []):
        required.append(Condition(f"NOT coalesce({sql}, false)", parameters))
    return _joined(" AND ", required)


def _joined(operator: str, conditions: Sequence[Condition]) -> Condition:
    if len(conditions) < 2:
        return conditions[0] if conditions else Condition()
    sql = operator.join(one.sql for one in conditions)
    return Condition(f"({sql})", tuple(value for one in conditions for value in one.parameters))


def _field_and_value(body: object, name: str, *, text: bool = False) -> tuple[Field, Any]:
    """Reads ``{field: value}`` or ``{field: {"value": value}}``, of ``match`` ``"query"``."""
    key, value = single(body, name)
    if isinstance(value, dict):
        member = "query" if name == "match" else "value"
        value = members(value, name, member).get(member)
    return field_of(key, text=text), value


def _term(body: object, name: str = "term") -> Condition:
    field, value = _field_and_value(body, name)
    return Condition(f"{field.column} BETWEEN ? AND ?", field.interval(value))


def _terms(body: object) -> Condition:
    key, values = single(body, "terms")
    field = field_of(key)
    if not isinstance(values, list):
        raise BadRequest(f"[terms] needs a list of values for [{field.name}]")
    ends = [field.interval(value) for value in values]
    if any(first != last for first, last in ends):
        return _joined(" OR ", [Condition(f"{field.column} BETWEEN ? AND ?", one) for one in ends])
    listed = ([first for first, _ in ends],)
    return Condition(f"{field.column} IN (SELECT unnest(?::{field.type}[]))", listed)


def _range(body: object) -> Condition:
    key, bounds = single(body, "range")
    field = field_of(key)
    parts = [_exists({"field": key})]
    for name, value in members(bounds, "range", *_COMPARISONS).items():
        operator, end = _COMPARISONS[name]
        parts.append(Condition(f"{field.column} {operator} ?", (field.interval(value)[end],)))
    return _joined(" AND ", parts)


def _prefix(body: object) -> Condition:
    field, value = _field_and_value(body, "prefix", text=True)
    return Condition(f"starts_with({field.column}, ?)", field.interval(value)[:1])


def _exists(body: object) -> Condition:
    field = field_of(members(body, "exists", "field").get("field"))
    return Condition(f"{field.column} IS NOT NULL")


def _match_all(body: object) -> Condition:
    if members(body, "match_all"):
        raise BadRequest("[match_all] has no members")
    return Condition()


_KINDS: dict[str, Callable[[Any], Condition]] = {
    "term": _term,
    "match": lambda body: _term(body, "match"),
    "terms": _terms,
    "range": _range,
    "regexp": lambda body: regexp(*_field_and_value(body, "regexp", text=True)),
    "prefix": _prefix,
    "exists": _exists,
    "match_all": _match_all,
}
