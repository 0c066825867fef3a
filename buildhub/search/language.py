"""A search request → one statement in SQL, whose only row is the answer."""

from __future__ import annotations

import fnmatch
import re
from typing import Any

from .values import DATE, FIELDS, BadRequest, Field, field_of, to_re2

#: The tables that can be searched, and how dates look in their records: the records as they are on
#: the server, and as buildhub's successor has them.
OURS, SUCCESSORS = "records", "successor"
_DATES = {OURS: "%Y-%m-%dT%H:%M:%SZ", SUCCESSORS: "%Y-%m-%dT%H:%M:%S.%f+00:00"}

#: Bounds for hostile requests: the last two are characters of SQL.
_MAX_SIZE, _MAX_FROM, _MAX_ORDERS, _MAX_DEPTH = 100_000, 10_000_000, 20, 20
_MAX_CONDITION, _MAX_AGGREGATIONS = 100_000, 40_000

#: The operator, and which end of an interval it compares with: ``gt`` a day is after all of it.
_COMPARISONS = {"gt": (">", 1), "gte": (">=", 0), "lt": ("<", 0), "lte": ("<=", 1)}
_ORDERS = {"_count": "n", "_term": "key", "_key": "key"}
_ALL: dict[str, Any] = {"match_all": {}}
_QUERY_STRING = re.compile(r'([a-z_.]+)\s*[:=]\s*(?:"([^"\\]*)"|([^\s*?~^()\[\]{}"\\]+))')


def query_string(text: str) -> dict[str, Any]:
    """Returns the query for ``field:value`` or ``field="value"``. Raises :class:`BadRequest`."""
    if match := _QUERY_STRING.fullmatch(text.strip()):
        return {"term": {match[1]: match[2] if match[3] is None else match[3]}}
    raise BadRequest(f"[q] has to be field:value, not {text!r:.100}: post anything else")


class Statement:
    """Compiles a request: its values become parameters, its names are known columns.

    The row of ``sql`` has ETag and age of the copy, the total, and the hits and aggregations as
    JSON; there is none while there is no copy. Raises :class:`BadRequest`.
    """

    def __init__(self, request: object, table: str) -> None:
        self.parameters: dict[str, object] = {}
        self._table = table
        body = dict(_members(request, "request"))
        aggregations = self._aggregations(_children(body), "true", 0)
        _members(body, "request", "query", "post_filter", "size", "from", "sort", "_source")
        found = self._condition(body.get("query", _ALL), scoring=True)
        hits = f"{found} AND {self._condition(body.get('post_filter', _ALL))}"
        self.sql = (
            f"WITH found AS (SELECT * FROM {table} WHERE {found})"
            f" SELECT etag, age, (SELECT count(*) FROM {table} WHERE {hits}),"
            f" ({self._hits(body, hits)}), json_object({', '.join(aggregations)}) FROM freshness"
        )

    def _bind(self, value: object) -> str:
        self.parameters[name := f"p{len(self.parameters)}"] = value
        return f"${name}"

    def _condition(self, query: object, *, scoring: bool = False, depth: int = 0) -> str:
        """Returns the condition for a query, which may be NULL where a field is missing.

        ``scoring`` is Elasticsearch's query context: only there the ``should`` beside a ``must`` or
        ``filter`` does not restrict what is found.
        """
        kind, body = _single(query, "query")
        if depth > _MAX_DEPTH:
            raise BadRequest("the query is too deep inside others")
        found = self._bool(body, scoring, depth) if kind == "bool" else self._leaf(kind, body)
        if len(found) > _MAX_CONDITION:
            raise BadRequest("the query has too many clauses")
        return found

    def _bool(self, body: object, scoring: bool, depth: int) -> str:
        clauses: dict[str, list[str]] = {"must": [], "filter": [], "should": [], "must_not": []}
        for name, given in _members(body, "bool", *clauses).items():
            inner = scoring and name in ("must", "should")
            for one in _list(given):
                clauses[name].append(self._condition(one, scoring=inner, depth=depth + 1))
        required = clauses["must"] + clauses["filter"]
        if should := clauses["should"]:
            optional = ["true"] if scoring and required else []
            required.append(f"({' OR '.join(should + optional)})")
        required += [f"NOT coalesce({one}, false)" for one in clauses["must_not"]]
        return f"({' AND '.join(required or ['true'])})"

    def _leaf(self, kind: str, body: object) -> str:
        if kind == "exists":
            return f"{field_of(_members(body, kind, 'field').get('field')).column} IS NOT NULL"
        if kind == "match_all" and not _members(body, kind):
            return "true"
        if kind not in ("term", "match", "terms", "range", "prefix", "regexp"):
            raise BadRequest(f"no [query] registered for [{kind:.100}], or not with members")
        name, value = _single(body, kind)
        field = field_of(name, text=kind in ("prefix", "regexp"))
        if kind == "range":
            return self._range(field, value)
        if isinstance(value, dict):
            member = "query" if kind == "match" else "value"
            value = _members(value, kind, member).get(member)
        if kind == "terms":
            return self._any_of(field, value)
        if kind == "prefix":
            return f"starts_with({field.column}, {self._bind(field.interval(value)[0])})"
        return self._regexp(field, value) if kind == "regexp" else self._equal(field, value)

    def _equal(self, field: Field, value: object) -> str:
        first, last = field.interval(value)
        return f"{field.column} BETWEEN {self._bind(first)} AND {self._bind(last)}"

    def _any_of(self, field: Field, values: object) -> str:
        if not isinstance(values, list):
            raise BadRequest(f"[terms] needs a list of values for [{field.name}]")
        if field.type == DATE:
            return f"({' OR '.join(self._equal(field, one) for one in values) or 'false'})"
        listed = self._bind([field.interval(one)[0] for one in values])
        return f"{field.column} IN (SELECT unnest({listed}::{field.type}[]))"

    def _range(self, field: Field, bounds: object) -> str:
        parts = [f"{field.column} IS NOT NULL"]
        for name, value in _members(bounds, "range", *_COMPARISONS).items():
            operator, end = _COMPARISONS[name]
            parts.append(f"{field.column} {operator} {self._bind(field.interval(value)[end])}")
        return f"({' AND '.join(parts)})"

    def _regexp(self, field: Field, pattern: object) -> str:
        if pattern == ".*":
            return f"{field.column} IS NOT NULL"
        return f"regexp_full_match({field.column}, {self._bind(to_re2(pattern))})"

    def _hits(self, body: dict[str, Any], where: str) -> str:
        """Returns a page of hits in SQL; those that are equal in their order come by ids."""
        size, start = _number(body, "size", 10, _MAX_SIZE), _number(body, "from", 0, _MAX_FROM)
        sorts = [(field_of(name), order) for name, order in _orders(body, "sort")]
        order = ", ".join([*(f"{one.column} {to} NULLS LAST" for one, to in sorts), "id"])
        source = _record(_source(body.get("_source", True)), _DATES[self._table])
        hit = f"'_index': '{self._table}', '_type': 'record', '_id': id, '_score': NULL"
        if sorts:
            keys = ", ".join(_key(field, field.column) for field, _ in sorts)
            hit += f", 'sort': json_array({keys})"
        if not size:
            return "'[]'"
        return (
            f"SELECT to_json(coalesce(list({{{hit}, '_source': {source}}} ORDER BY {order}), []))"
            f" FROM (SELECT * FROM {self._table} WHERE {where}"
            f" ORDER BY {order} LIMIT {size} OFFSET {start})"
        )

    def _aggregations(self, given: object, where: str, depth: int) -> list[str]:
        """Returns name and result of each aggregation of those found that fulfil ``where``."""
        pairs: list[str] = []
        for name, body in _members(given, "aggs").items():
            pairs += [self._bind(name), self._aggregation(name, body, where, depth + 1)]
            if depth > _MAX_DEPTH or sum(map(len, pairs)) > _MAX_AGGREGATIONS:
                raise BadRequest(f"too many aggregations, or more than {_MAX_DEPTH} levels of them")
        return pairs

    def _aggregation(self, name: str, given: object, where: str, depth: int) -> str:
        body = dict(_members(given, name))
        children = _children(body)
        kind, options = _single(body, name)
        if kind == "terms":
            return self._buckets(options, children, where, depth)
        if kind == "filter":
            where += f" AND {self._condition(options)}"
            pairs = ["'doc_count'", _count("*", where), *self._aggregations(children, where, depth)]
            return f"json_object({', '.join(pairs)})"
        if kind == "cardinality" and not children:
            field = field_of(_members(options, kind, "field").get("field"))
            return f"json_object('value', {_count(f'DISTINCT {field.column}', where)})"
        raise BadRequest(f"[{name:.100}] cannot be [{kind:.100}], or not with others inside")

    def _buckets(self, given: object, children: object, where: str, depth: int) -> str:
        """Returns the buckets of ``terms``; those inside are a subquery for each, which is joined.

        There is no window function: in such a subquery DuckDB mixes the keys of all buckets.
        """
        body = _members(given, "terms", "field", "size", "order", "include")
        field, key = field_of(body.get("field"), text="include" in body), f"b{depth}.key"
        included = f"{where} AND {self._regexp(field, body.get('include', '.*'))}"
        orders = _orders(body, "order") or [("_count", "desc")]
        if unknown := [name for name, _ in orders if name not in _ORDERS]:
            raise BadRequest(f"[order] does not support [{unknown[0]!r:.100}]")
        order = ", ".join([*(f"{_ORDERS[name]} {to}" for name, to in orders), "key"])
        pairs = ["'key'", _key(field, key), "'doc_count'", f"b{depth}.n"]
        if field.type == DATE:
            pairs += ["'key_as_string'", f"strftime({key}, '%Y-%m-%dT%H:%M:%S.%gZ')"]
        pairs += self._aggregations(children, f"{where} AND {field.column} = {key}", depth)
        return (
            "(SELECT json_object('doc_count_error_upper_bound', 0, 'sum_other_doc_count',"
            f" {_count('*', included)} - coalesce(sum(n), 0)::BIGINT, 'buckets',"
            f" to_json(coalesce(list(json_object({', '.join(pairs)}) ORDER BY {order}), [])))"
            f" FROM (SELECT {field.column} AS key, count(*) AS n FROM found WHERE {included}"
            f" GROUP BY {field.column} ORDER BY {order}"
            f" LIMIT {_number(body, 'size', 10, _MAX_SIZE, minimum=1)}) b{depth})"
        )


def _members(value: object, name: str, *known: str) -> dict[str, Any]:
    """Returns an object that has no other than the known members."""
    if not isinstance(value, dict):
        raise BadRequest(f"[{name:.100}] has to be an object, not {value!r:.100}")
    if unknown := [one for one in value if known and one not in known]:
        raise BadRequest(f"[{name}] does not support [{unknown[0]:.100}]")
    return value


def _single(value: object, name: str) -> tuple[str, Any]:
    """Returns name and value of an object's only member."""
    if len(found := _members(value, name)) != 1:
        raise BadRequest(f"[{name:.100}] has to have one member, not {list(found)!r:.100}")
    return next(iter(found.items()))


def _list(given: object) -> list[Any]:
    return given if isinstance(given, list) else [given]


def _children(body: dict[str, Any]) -> object:
    """Takes the aggregations out of a body; the second of both names is left as an error."""
    return body.pop("aggs" if "aggs" in body else "aggregations", {})


def _number(body: dict[str, Any], name: str, default: int, maximum: int, minimum: int = 0) -> int:
    """Returns a member that is a whole number in these bounds."""
    value = body.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or not minimum <= value <= maximum:
        raise BadRequest(f"[{name}] has to be from {minimum} to {maximum}, not {value!r:.100}")
    return value


def _orders(body: dict[str, Any], name: str) -> list[tuple[Any, str]]:
    """Reads ``"field"``, ``{"field": "desc"}``, ``{"field": {"order": "desc"}}``, or a list."""
    pairs: list[tuple[Any, str]] = []
    for one in _list(body.get(name, [])):
        key, order = _single(one, name) if isinstance(one, dict) else (one, "asc")
        if isinstance(order, dict):
            order = _members(order, name, "order").get("order", "asc")
        if order not in ("asc", "desc") or len(pairs) == _MAX_ORDERS:
            raise BadRequest(f"[{name}] is up to {_MAX_ORDERS} of asc or desc, not {order!r:.100}")
        pairs.append((key, order))
    return pairs


def _source(given: object) -> list[Field]:
    """Reads ``true``, ``false``, a name or pattern, a list of them, or includes and excludes."""
    if isinstance(given, bool):
        given = "*" if given else []
    body = given if isinstance(given, dict) else {"includes": given}
    _members(body, "_source", "includes", "excludes")
    wanted = _named(body.get("includes", "*")) - _named(body.get("excludes", []))
    return [field for name, field in FIELDS.items() if name in wanted]


def _named(patterns: object) -> set[str]:
    """Returns the names of the fields of these names or patterns, or in objects of these names."""
    found: set[str] = set()
    for one in [f"{pattern!s:.100}" for pattern in _list(patterns)]:
        if not (fitting := {*fnmatch.filter(FIELDS, one), *fnmatch.filter(FIELDS, f"{one}.*")}):
            raise BadRequest(f"[_source] has an unknown field [{one}]")
        found |= fitting
    return found


def _record(fields: list[Field], dates: str) -> str:
    """Returns the record with these fields in SQL, as JSON, without those that are missing."""
    objects: dict[str, dict[str, str]] = {"": {}}
    for field in fields:
        parent, _, name = field.name.rpartition(".")
        date = f"strftime({field.column}, '{dates}')"
        objects.setdefault(parent, {})[name] = date if field.type == DATE else field.column
    record = objects.pop("")
    record |= {name: f"nullif({_object(of)}, '{{}}')" for name, of in objects.items()}
    return _object(record)


def _object(values: dict[str, str]) -> str:
    pairs = ", ".join(f"'{name}', {value}" for name, value in values.items())
    return f"json_merge_patch('{{}}', json_object({pairs}))"  # which drops NULL


def _key(field: Field, sql: str) -> str:
    """Returns a value as buckets and sorts have it: dates are milliseconds."""
    return f"epoch_ms({sql})" if field.type == DATE else sql


def _count(what: str, where: str) -> str:
    return f"(SELECT count({what}) FROM found WHERE {where})"
