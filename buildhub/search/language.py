"""A search request → one statement in SQL, whose rows are the answer."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatch
from typing import Any, NamedTuple

#: The tables that can be searched, and how dates look in their records: the records as they are on
#: the server, and as buildhub's successor has them.
OURS, SUCCESSORS = "records", "successor"
_DATES = {OURS: "%Y-%m-%dT%H:%M:%SZ", SUCCESSORS: "%Y-%m-%dT%H:%M:%S.%f+00:00"}

#: Bounds for hostile requests: of hits and buckets, of levels, of characters of SQL, and of a
#: regular expression's length, multiplied by its repetitions.
_MAX_SIZE, _MAX_DEPTH, _MAX_SQL, _MAX_PATTERN = 100_000, 20, 50_000, 10_000

TEXT, NUMBER, DATE = "VARCHAR", "BIGINT", "TIMESTAMP"

_DATE = re.compile(r"(\d{4}(?:-\d\d){0,2}(?:T[\d:.]+)?)(Z|[+-]\d\d:?\d\d)?", re.A)
_TIMES = "0001-01-01T00:00:00", "0001-01-01T23:59:59.999999"
_NOW = re.compile(r"now(?:([+-]\d{1,6})([wdhms]))?(?:/([wdhms]))?", re.A)
_UNITS = {one[0]: timedelta(**{one: 1}) for one in ("weeks", "days", "hours", "minutes", "seconds")}
_EPOCH, _MONDAY = datetime(1970, 1, 1, tzinfo=UTC), datetime(1, 1, 1, tzinfo=UTC)

#: Parts of regular expressions that Lucene and RE2 read differently unless they are complete.
_PART = re.compile(
    r"""
    "(?P<quoted>[^"]*)" | \\[^a-zA-Z0-9]
    | \[(?!\^\])\^?(?:\\[^a-zA-Z0-9]|(?!--)[^\]\[\\])+\]
    | (?:[?*+]|\{[0-9]{1,3}(?:,[0-9]{0,3})?\})(?![?*+{])
    | (?P<other>["\\\[\]{}~&<>\#@^$?*+]|\(\?)
    """,
    re.VERBOSE,
)

#: The operator, and which end of an interval it compares with: ``gt`` a day is after all of it.
_COMPARISONS = {"gt": (">", 1), "gte": (">=", 0), "lt": ("<", 0), "lte": ("<=", 1)}
_ORDERS = {"_count": "n", "_term": "key", "_key": "key"}
_QUERY_STRING = re.compile(r'([a-z_.]+)\s*[:=]\s*("?)([^\s*?~^()\[\]{}"\\]+)\2')


class BadRequest(Exception):
    """A request that is wrong, or uses what is not supported."""

    status = 400  #: of the response


class Field(NamedTuple):
    """A field of the records, which is a column of the copy."""

    name: str
    column: str  #: the name in SQL
    type: str

    def interval(self, value: object) -> list[Any]:
        """Returns the first and last value that is meant: of dates, a missing time is any time.

        Raises :class:`BadRequest` if the field cannot have such a value.
        """
        try:
            if isinstance(value, bool | float) or not isinstance(value, int | str):
                raise ValueError
            if self.type == DATE:
                return [one.astimezone(UTC).replace(tzinfo=None) for one in _moments(str(value))]
            return [str(value) if self.type == TEXT else int(value)] * 2
        except (ValueError, OverflowError):
            raise BadRequest(f"[{self.name}] cannot be {value!r:.100}") from None


#: The fields of a record by their names: all that the JSON schema of the catalogue has.
FIELDS = {
    name: Field(name, f'"{name}"', kind)
    for kind, names in {
        TEXT: "id source.product source.revision source.repository source.tree"
        " target.platform target.os target.locale target.version target.channel"
        " build.id build.as build.cc build.cxx build.ld build.host build.target"
        " download.url download.mimetype download.sha256",
        NUMBER: "last_modified schema build.number download.size",
        DATE: "build.date download.date",
    }.items()
    for name in names.split()
}
#: The same, as they are in a record: the types of an object's fields are under its name.
RECORD: dict[str, Any] = {}
for _field in FIELDS.values():
    _parent, _, _name = _field.name.rpartition(".")
    (RECORD.setdefault(_parent, {}) if _parent else RECORD)[_name] = _field.type


def field_of(name: object, *, text: bool = False) -> Field:
    """Returns the field of this name, a text field if ``text``. Raises :class:`BadRequest`."""
    field = FIELDS.get(name) if isinstance(name, str) else None
    if field is None or (text and field.type != TEXT):
        raise BadRequest(f"there is no {'text ' if text else ''}field [{name!s:.100}]")
    return field


def _moments(text: str) -> list[datetime]:
    """Reads ``2018``, ``2018-01-31T10Z``, milliseconds, and ``now-1d/d``."""
    if match := _NOW.fullmatch(text):
        count, unit, whole = match.groups()
        moment = datetime.now(UTC) + int(count or 0) * _UNITS[unit or "s"]
        if not whole:
            return [moment, moment]
        first = moment - (moment - _MONDAY) % _UNITS[whole]
        return [first, first + _UNITS[whole] - datetime.resolution]
    if match := _DATE.fullmatch(text):
        given, zone = match.groups("Z")
        return [datetime.fromisoformat(given + rest[len(given) :] + zone) for rest in _TIMES]
    return [_EPOCH + timedelta(milliseconds=int(text))] * 2


def to_re2(pattern: object) -> str:
    """Translates a regular expression of Lucene to RE2's syntax, which needs linear time.

    Parts in double quotes are literal, and so is a first ``*``. Raises :class:`BadRequest` for what
    RE2 reads differently (``~ & # @ ^ $ <1-9> \\d``) or is too long; the engine refuses others.
    """
    if isinstance(pattern, str):
        pattern = re.sub(r"\A[?*+](?![?*+{])", r"\\\g<0>", pattern)
        counts = re.findall(r"\{(?:\d+,)?(\d{1,3})", pattern)
        size = len(pattern) * math.prod(int(count) or 1 for count in counts)
        if size <= _MAX_PATTERN and not any(part["other"] for part in _PART.finditer(pattern)):
            return f"(?s){_PART.sub(_literal, pattern)}"
    raise BadRequest(f"the regular expression {pattern!r:.100} is not supported")


def _literal(part: re.Match[str]) -> str:
    return part[0] if part["quoted"] is None else f"(?:{re.escape(part['quoted'])})"


def query_string(name: str, text: str) -> dict[str, Any]:
    """Returns the query for ``?field=value`` or ``?q=field:value``. Raises :class:`BadRequest`."""
    if name != "q":
        return {"term": {name: text}}
    if match := _QUERY_STRING.fullmatch(text.strip()):
        return {"term": {match[1]: match[3]}}
    raise BadRequest(f"[q] has to be field:value, not {text!r:.100}: post anything else")


class Statement:
    """Compiles a request: its values become parameters, its names are known columns.

    The first row of ``sql`` has ETag and moment of the copy, the total, and the aggregations as
    JSON; the last column of the others is a hit. There is no row while there is no copy. Raises
    :class:`BadRequest`.
    """

    def __init__(self, request: object, table: str) -> None:
        self.parameters: dict[str, object] = {}
        self._table = table
        body = dict(_members(request, "request"))
        aggregations = self._aggregations(_children(body), "true", 0)
        _members(body, "request", "query", "post_filter", "size", "from", "sort", "_source")
        found = self._condition(body.get("query", {"match_all": {}}), scoring=True)
        hits = f"{found} AND {self._condition(body.get('post_filter', {'match_all': {}}))}"
        page = f" UNION ALL (SELECT * FROM ({self._hits(body, hits)}))"
        self.sql = (
            f"WITH found AS (SELECT * FROM {table} WHERE {found})"
            f" SELECT etag, read_at, (SELECT count(*) FROM {table} WHERE {hits}),"
            f" json_object({', '.join(aggregations)}) FROM state"
            f"{page if body.get('size') != 0 else ''}"
        )

    def _bind(self, value: object) -> str:
        self.parameters[name := f"p{len(self.parameters)}"] = value
        return f"${name}"

    def _condition(self, query: object, *, scoring: bool = False, depth: int = 0) -> str:
        """Returns the condition for a query, which may be NULL where a field is missing.

        ``scoring`` is Elasticsearch's query context: only there the ``should`` beside a ``must`` or
        ``filter`` does not restrict what is found.
        """
        kind, body = _single(query, "query", depth)
        found = self._bool(body, scoring, depth) if kind == "bool" else self._leaf(kind, body)
        if len(found) > _MAX_SQL:
            raise BadRequest("the query has too many clauses")
        return found

    def _bool(self, body: object, scoring: bool, depth: int) -> str:
        clauses = _members(body, "bool", "must", "filter", "should", "must_not")

        def conditions(name: str, scoring: bool = False) -> list[str]:
            given = _list(clauses.get(name, []))
            return [self._condition(one, scoring=scoring, depth=depth + 1) for one in given]

        required = conditions("must", scoring) + conditions("filter")
        if should := conditions("should", scoring):
            optional = ["true"] if scoring and required else []
            required.append(f"({' OR '.join(should + optional)})")
        required += [f"NOT coalesce({one}, false)" for one in conditions("must_not")]
        return f"({' AND '.join(required or ['true'])})"

    def _leaf(self, kind: str, body: object) -> str:
        if kind == "exists":
            return f"{field_of(_members(body, kind, 'field').get('field')).column} IS NOT NULL"
        if kind == "match_all" and body == {}:
            return "true"
        if kind not in ("term", "match", "terms", "range", "prefix", "regexp"):
            raise BadRequest(f"no [query] registered for [{kind:.100}: {body!r:.100}]")
        name, value = _single(body, kind)
        field = field_of(name, text=kind in ("prefix", "regexp"))
        if isinstance(value, dict) and kind != "range":
            member = "query" if kind == "match" else "value"
            value = _members(value, kind, member).get(member)
        if kind == "terms":
            return self._any_of(field, value)
        if kind == "regexp":
            return self._regexp(field, value)
        if kind == "prefix":
            return f"starts_with({field.column}, {self._bind(field.interval(value)[0])})"
        return self._range(field, value if kind == "range" else {"gte": value, "lte": value})

    def _any_of(self, field: Field, values: object) -> str:
        if not isinstance(values, list):
            raise BadRequest(f"[terms] needs a list of values for [{field.name}]")
        if field.type == DATE:
            days = (self._range(field, {"gte": one, "lte": one}) for one in values)
            return f"({' OR '.join(days) or 'false'})"
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
        """Returns the query for a page of hits; those that are equal in their order come by ids."""
        size, start = _number(body, "size", 10), _number(body, "from", 0)
        columns = {name: field.column for name, field in FIELDS.items()}
        order = _order(body.get("sort", []), "sort", columns, "id")
        source = _record(RECORD, _source(body.get("_source", True)), _DATES[self._table])
        return (
            f"SELECT NULL, NULL, NULL, to_json({{'_id': id, '_source': {source}}})"
            f" FROM {self._table} WHERE rowid IN (SELECT rowid FROM {self._table} WHERE {where}"
            f" ORDER BY {order} LIMIT {size} OFFSET {start}) ORDER BY {order}"
        )

    def _aggregations(self, given: object, where: str, depth: int) -> list[str]:
        """Returns name and result of each aggregation of those found that fulfil ``where``."""
        pairs: list[str] = []
        for name, body in _members(given, "aggs").items():
            pairs += [self._bind(name), self._aggregation(name, body, where, depth + 1)]
            if sum(map(len, pairs)) > _MAX_SQL:
                raise BadRequest("there are too many aggregations")
        return pairs

    def _aggregation(self, name: str, given: object, where: str, depth: int) -> str:
        body = dict(_members(given, name))
        children = _children(body)
        kind, options = _single(body, name, depth)
        if kind == "terms":
            return self._buckets(options, children, where, depth)
        if kind == "filter":
            where += f" AND {self._condition(options)}"
            pairs = ", ".join(["count(*)", *self._aggregations(children, where, depth)])
            return f"(SELECT json_object('doc_count', {pairs}) FROM found WHERE {where})"
        if kind == "cardinality" and not children:
            field = field_of(_members(options, kind, "field").get("field"))
            count = f"json_object('value', count(DISTINCT {field.column}))"
            return f"(SELECT {count} FROM found WHERE {where})"
        raise BadRequest(f"[{name:.100}]: [{kind:.100}] is not supported here")

    def _buckets(self, given: object, children: object, where: str, depth: int) -> str:
        """Returns the buckets of ``terms``; those inside are a subquery for each, which is joined.

        There is no window function: in such a subquery DuckDB mixes the keys of all buckets.
        """
        body = _members(given, "terms", "field", "size", "order", "include")
        field, key = field_of(body.get("field"), text="include" in body), f"b{depth}.key"
        included = f"{where} AND {self._regexp(field, body.get('include', '.*'))}"
        order = _order(body.get("order") or {"_count": "desc"}, "order", _ORDERS, "key")
        pairs = ["'key'", key, "'doc_count'", f"b{depth}.n"]
        if field.type == DATE:
            text = f"strftime({key}, '%Y-%m-%dT%H:%M:%S.%gZ')"
            pairs[1:2] = [f"epoch_ms({key})", "'key_as_string'", text]
        pairs += self._aggregations(children, f"{where} AND {field.column} = {key}", depth)
        return (
            "(SELECT json_object('buckets',"
            f" to_json(coalesce(list(json_object({', '.join(pairs)}) ORDER BY {order}), [])))"
            f" FROM (SELECT {field.column} AS key, count(*) AS n FROM found WHERE {included}"
            f" GROUP BY {field.column} ORDER BY {order}"
            f" LIMIT {_number(body, 'size', 10, minimum=1)}) b{depth})"
        )


def _members(value: object, name: str, *known: str) -> dict[str, Any]:
    """Returns an object that has no other than the known members."""
    if not isinstance(value, dict):
        raise BadRequest(f"[{name:.100}] has to be an object, not {value!r:.100}")
    if unknown := [one for one in value if known and one not in known]:
        raise BadRequest(f"[{name}] does not support [{unknown[0]:.100}]")
    return value


def _single(value: object, name: str, depth: int = 0) -> tuple[str, Any]:
    """Returns name and value of an object's only member; ``depth`` is of objects of its kind."""
    if depth > _MAX_DEPTH:
        raise BadRequest(f"[{name:.100}] is too deep: {_MAX_DEPTH} levels are allowed")
    if len(found := _members(value, name)) != 1:
        raise BadRequest(f"[{name:.100}] has to have one member, not {list(found)!r:.100}")
    return next(iter(found.items()))


def _list(given: object) -> list[Any]:
    return given if isinstance(given, list) else [given]


def _children(body: dict[str, Any]) -> object:
    """Takes the aggregations out of a body; the second of both names is left as an error."""
    return body.pop("aggs" if "aggs" in body else "aggregations", {})


def _number(body: dict[str, Any], name: str, default: int, minimum: int = 0) -> int:
    value = body.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or not minimum <= value <= _MAX_SIZE:
        raise BadRequest(f"[{name}] has to be from {minimum} to {_MAX_SIZE}, not {value!r:.100}")
    return value


def _order(given: object, name: str, columns: Mapping[str, str], last: str) -> str:
    """Reads ``"field"``, ``{"field": "desc"}``, ``{"field": {"order": "desc"}}``, or a list."""
    found: dict[str, str] = {}
    for one in _list(given):
        key, order = _single(one, name) if isinstance(one, dict) else (str(one), "asc")
        if isinstance(order, dict):
            order = _members(order, name, "order").get("order", "asc")
        if key not in columns or order not in ("asc", "desc"):
            raise BadRequest(f"[{name}] does not support [{key:.100}: {order!s:.100}]")
        found.setdefault(key, f"{columns[key]} {order} NULLS LAST")
    return ", ".join([*found.values(), last])


def _source(given: object) -> set[str]:
    """Reads ``true``, ``false``, names and patterns of fields, or of the objects they are in."""
    found: set[str] = set()
    for one in ["*"] if given is True else [] if given is False else _list(given):
        fitting = [name for name in FIELDS if fnmatch(f"{name}.", f"{one!s:.100}.*")]
        if not fitting:
            raise BadRequest(f"[_source] has an unknown field [{one!s:.100}]")
        found.update(fitting)
    return found


def _record(types: dict[str, Any], names: set[str], dates: str, prefix: str = "") -> str:
    """Returns the record with these fields in SQL, as JSON, without those that are missing."""
    pairs = []
    for name, kind in types.items():
        if isinstance(kind, dict):
            pairs.append(f"'{name}', nullif({_record(kind, names, dates, f'{name}.')}, '{{}}')")
        elif prefix + name in names:
            column = f'"{prefix}{name}"'
            value = f"strftime({column}, '{dates}')" if kind == DATE else column
            pairs.append(f"'{name}', {value}")
    return f"json_merge_patch('{{}}', json_object({', '.join(pairs)}))"  # which drops NULL
