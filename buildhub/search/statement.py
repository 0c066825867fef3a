"""A search request → one statement in SQL, whose only row is the answer."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from .queries import MAX_DEPTH, Bind, condition, matching, members, single
from .values import DATE, FIELDS, BadRequest, Field, field_of, shown

_MAX_SIZE, _MAX_FROM, _MAX_SORTS = 100_000, 10_000_000, 20

_ORDERS = {"_count": "n", "_term": "key", "_key": "key"}

#: Characters of the aggregations in SQL: a bound for hostile requests.
_MAX_AGGREGATIONS = 40_000


class Dialect(NamedTuple):
    """The table that is searched, and how dates look in its records."""

    table: str
    dates: str


#: The records as they are on the server, and as buildhub's successor has them.
OURS = Dialect("records", "%Y-%m-%dT%H:%M:%SZ")
SUCCESSORS = Dialect("successor", "%Y-%m-%dT%H:%M:%S.%f+00:00")


class Statement(NamedTuple):
    """A statement for one row: ETag and age of the copy, total, hits and aggregations as JSON.

    There is no row while there is no copy.
    """

    sql: str
    parameters: dict[str, object]


def statement(request: object, dialect: Dialect) -> Statement:
    """Returns the statement for the body of a request. Raises :class:`BadRequest`."""
    parameters: dict[str, object] = {}

    def bind(value: object) -> str:
        parameters[name := f"p{len(parameters)}"] = value
        return f"${name}"

    body = dict(members(request, "request"))
    aggregations = _aggregations(_children(body), bind)
    members(body, "request", "query", "post_filter", "size", "from", "sort", "_source")
    query, post_filter = (body.get(name, {"match_all": {}}) for name in ("query", "post_filter"))
    found = condition(query, bind, scoring=True)
    hits = f"{found} AND {condition(post_filter, bind)}"
    sql = (
        f"WITH found AS (SELECT * FROM {dialect.table} WHERE {found})"
        f" SELECT etag, age, (SELECT count(*) FROM {dialect.table} WHERE {hits}),"
        f" ({_hits(body, hits, dialect)}), json_object({', '.join(aggregations)})"
        " FROM freshness"
    )
    return Statement(sql, parameters)


def _number(body: dict[str, Any], name: str, default: int, maximum: int, minimum: int = 0) -> int:
    """Returns a member that is a whole number in these bounds. Raises :class:`BadRequest`."""
    value = body.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or not minimum <= value <= maximum:
        raise BadRequest(f"[{name}] has to be from {minimum} to {maximum}, not {shown(value)}")
    return value


def _direction(given: object) -> str:
    if given not in ("asc", "desc"):
        raise BadRequest(f"an order is asc or desc, not {shown(given)}")
    return str(given)


def _list(given: object) -> list[Any]:
    return given if isinstance(given, list) else [given]


def _hits(body: dict[str, Any], where: str, dialect: Dialect) -> str:
    """Returns the query for a page of hits; those that are equal in their order come by ids."""
    sorts = _sorts(body.get("sort", []))
    order = ", ".join([*(f"{one.column} {to} NULLS LAST" for one, to in sorts), "id"])
    keys = ", ".join(_number_of(field, field.column) for field, _ in sorts)
    hit = f"'_index': '{dialect.table}', '_type': 'record', '_id': id, '_score': NULL, "
    hit += f"'_source': {_record(_source(body.get('_source', True)), dialect)}"
    hit += f", 'sort': json_array({keys})" if keys else ""
    size, start = _number(body, "size", 10, _MAX_SIZE), _number(body, "from", 0, _MAX_FROM)
    return (
        f"SELECT to_json(coalesce(list({{{hit}}} ORDER BY {order}), []))"
        f" FROM (SELECT * FROM {dialect.table} WHERE {where} ORDER BY {order}"
        f" LIMIT {size} OFFSET {start})"
    )


def _sorts(given: object) -> list[tuple[Field, str]]:
    """Reads ``"field"``, ``{"field": "desc"}``, ``{"field": {"order": "desc"}}``, or a list."""
    sorts = []
    for one in _list(given):
        name, order = single(one, "sort") if isinstance(one, dict) else (one, "asc")
        if isinstance(order, dict):
            order = members(order, "sort", "order").get("order", "asc")
        sorts.append((field_of(name), _direction(order)))
    if len(sorts) > _MAX_SORTS:
        raise BadRequest(f"[sort] has more than {_MAX_SORTS} fields")
    return sorts


def _source(given: object) -> list[Field]:
    """Reads ``true``, ``false``, a name or pattern, a list of them, or includes and excludes."""
    if isinstance(given, bool):
        return list(FIELDS.values()) if given else []
    body = given if isinstance(given, dict) else {"includes": given}
    members(body, "_source", "includes", "excludes")
    wanted, excluded = _named(body.get("includes", "*")), _named(body.get("excludes", []))
    return [field for name, field in FIELDS.items() if name in wanted - excluded]


def _named(patterns: object) -> set[str]:
    """Returns the names of the fields of these names or patterns, or in objects of these names."""
    found = set()
    for pattern in _list(patterns):
        if not isinstance(pattern, str) or len(pattern) > 100:
            raise BadRequest(f"[_source] cannot have {shown(pattern)}")
        fitting = {n for n in FIELDS if any(fnmatchcase(p, pattern) for p in (n, n.split(".")[0]))}
        if not fitting:
            raise BadRequest(f"[_source] has an unknown field [{shown(pattern)}]")
        found |= fitting
    return found


def _record(fields: Sequence[Field], dialect: Dialect) -> str:
    """Returns the record with these fields in SQL, as JSON, without those that are missing."""
    objects: dict[str, dict[str, str]] = {"": {}}
    for field in fields:
        parent, _, name = field.name.rpartition(".")
        date = f"strftime({field.column}, '{dialect.dates}')"
        objects.setdefault(parent, {})[name] = date if field.type == DATE else field.column
    record = objects.pop("")
    record |= {name: f"nullif({_object(of)}, '{{}}')" for name, of in objects.items()}
    return _object(record)


def _object(values: dict[str, str]) -> str:
    pairs = ", ".join(f"'{name}', {value}" for name, value in values.items())
    return f"json_merge_patch('{{}}', json_object({pairs}))"  # which drops NULL


def _number_of(field: Field, sql: str) -> str:
    """Returns a value as aggregations and sorts have it: dates are milliseconds."""
    return f"epoch_ms({sql})" if field.type == DATE else sql


def _aggregations(given: object, bind: Bind, where: str = "true", depth: int = 0) -> list[str]:
    """Returns name and result of each aggregation of those of ``found`` that fulfil ``where``."""
    pairs: list[str] = []
    for name, body in members(given, "aggs").items():
        pairs += [bind(name), _aggregation(name, body, bind, where, depth + 1)]
        if depth > MAX_DEPTH or sum(map(len, pairs)) > _MAX_AGGREGATIONS:
            raise BadRequest(f"there are too many aggregations, or {MAX_DEPTH} inside each other")
    return pairs


def _aggregation(name: str, given: object, bind: Bind, where: str, depth: int) -> str:
    body = dict(members(given, name))
    children = _children(body)
    kind, options = single(body, name)
    if kind == "terms":
        return _terms(options, children, bind, where, depth)
    if kind == "filter":
        where += f" AND {condition(options, bind)}"
        pairs = ["'doc_count'", _count("*", where), *_aggregations(children, bind, where, depth)]
        return f"json_object({', '.join(pairs)})"
    if kind == "cardinality" and not children:
        field = field_of(members(options, kind, "field").get("field"))
        return f"json_object('value', {_count(f'DISTINCT {field.column}', where)})"
    raise BadRequest(
        f"[{name}] cannot be the aggregation [{shown(kind)}], or not with others inside"
    )


def _children(body: dict[str, Any]) -> object:
    """Takes the aggregations out of a body; the second of both names is left as an error."""
    return body.pop("aggs" if "aggs" in body else "aggregations", {})


def _count(what: str, where: str) -> str:
    return f"(SELECT count({what}) FROM found WHERE {where})"


def _terms(given: object, children: object, bind: Bind, where: str, depth: int) -> str:
    """Returns the buckets in SQL. Those inside are a subquery for each key, which DuckDB joins.

    There is no window function: in such a subquery it is about the keys of all others as well.
    """
    body = members(given, "terms", "field", "size", "order", "include")
    field = field_of(body.get("field"), text="include" in body)
    included = f"{where} AND {matching(field, body.get('include', '.*'), bind)}"
    bucket, key, order = f"b{depth}", f"b{depth}.key", _order(body.get("order", []))
    pairs = ["'key'", _number_of(field, key), "'doc_count'", f"{bucket}.n"]
    if field.type == DATE:
        pairs += ["'key_as_string'", f"strftime({key}, '%Y-%m-%dT%H:%M:%S.%gZ')"]
    pairs += _aggregations(children, bind, f"{where} AND {field.column} = {key}", depth)
    return (
        "(SELECT json_object('doc_count_error_upper_bound', 0, 'sum_other_doc_count',"
        f" {_count('*', included)} - coalesce(sum(n), 0)::BIGINT,"
        f" 'buckets', to_json(coalesce(list(json_object({', '.join(pairs)}) ORDER BY {order}), [])))"
        f" FROM (SELECT {field.column} AS key, count(*) AS n FROM found WHERE {included}"
        f" GROUP BY {field.column} ORDER BY {order}"
        f" LIMIT {_number(body, 'size', 10, _MAX_SIZE, minimum=1)}) {bucket})"
    )


def _order(given: object) -> str:
    """Returns the terms of ORDER BY: the highest count first, or as asked for; then by key."""
    terms: list[str] = []
    for one in _list(given):
        name, direction = single(one, "order")
        if name not in _ORDERS or len(terms) == len(_ORDERS):
            raise BadRequest(f"[order] does not support [{shown(name)}], or so many")
        terms.append(f"{_ORDERS[name]} {_direction(direction)}")
    return ", ".join([*(terms or ["n DESC"]), "key"])
