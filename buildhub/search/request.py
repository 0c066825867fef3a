"""The body of a search request → what is searched for, checked as a whole."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import NamedTuple

import orjson

from .aggregations import Aggregation, direction, parse_aggregations
from .errors import BadRequest, shown
from .fields import FIELDS, Field, field_of
from .query import Condition, condition, number, only, single

MAX_SIZE = 100_000
MAX_FROM = 10_000_000
_MAX_SORTS = 20


class Sort(NamedTuple):
    """A field to sort by; records without it come last."""

    field: Field
    order: str

    @property
    def sql(self) -> str:
        """The term of ORDER BY."""
        return f"{self.field.column} {self.order} NULLS LAST"


class Search(NamedTuple):
    """A search request."""

    query: Condition
    post_filter: Condition
    aggregations: dict[str, Aggregation]
    size: int
    start: int
    sorts: list[Sort]
    source: list[Field]  #: fields of each hit


def parse(body: bytes) -> Search:
    """Returns the search of a request's body. Raises :class:`BadRequest`."""
    try:
        request = orjson.loads(body or b"{}")
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"the body is not JSON: {error}", "json_parse_exception") from None
    return parse_request(request)


def parse_request(request: object) -> Search:
    """Returns the search of a request. Raises :class:`BadRequest`."""
    found = only(
        request,
        "request",
        *("query", "post_filter", "aggs", "aggregations", "size", "from", "sort", "_source"),
    )
    if "aggs" in found and "aggregations" in found:
        raise BadRequest("[request] has both [aggs] and [aggregations]")
    return Search(
        query=condition(found.get("query", {"match_all": {}})),
        post_filter=condition(found.get("post_filter", {"match_all": {}}), scoring=False),
        aggregations=parse_aggregations(found.get("aggs", found.get("aggregations", {}))),
        size=number(found.get("size", 10), "size", MAX_SIZE),
        start=number(found.get("from", 0), "from", MAX_FROM),
        sorts=_sorts(found.get("sort", [])),
        source=_source(found.get("_source", True)),
    )


def _sorts(given: object) -> list[Sort]:
    sorts = given if isinstance(given, list) else [given]
    if len(sorts) > _MAX_SORTS:
        raise BadRequest(f"[sort] has more than {_MAX_SORTS} fields")
    return [_sort(one) for one in sorts]


def _sort(given: object) -> Sort:
    """Reads ``"field"``, ``{"field": "desc"}`` or ``{"field": {"order": "desc"}}``."""
    name, order = single(given, "sort") if isinstance(given, dict) else (given, "asc")
    if isinstance(order, dict):
        order = only(order, "sort", "order").get("order", "asc")
    return Sort(field_of(name), direction(order, "sort"))


def _source(given: object) -> list[Field]:
    """Reads ``true``, ``false``, a name or pattern, a list of them, or includes and excludes."""
    if isinstance(given, bool):
        given = {} if given else []
    if not isinstance(given, dict):
        given = {"includes": given}
    patterns = only(given, "_source", "includes", "include", "excludes", "exclude")
    included = _patterns(patterns.get("includes", patterns.get("include", "*")))
    excluded = _patterns(patterns.get("excludes", patterns.get("exclude", [])))
    return [
        field
        for field in FIELDS.values()
        if _matches(field, included) and not _matches(field, excluded)
    ]


def _patterns(given: object) -> list[str]:
    patterns = given if isinstance(given, list) else [given]
    for pattern in patterns:
        if not isinstance(pattern, str) or not (
            "*" in pattern or any(_matches(field, [pattern]) for field in FIELDS.values())
        ):
            raise BadRequest(f"[_source] has an unknown field {shown(pattern)}")
    return patterns


def _matches(field: Field, patterns: list[str]) -> bool:
    """Tells whether a pattern fits the field's name, or that of the object it is in."""
    names = (field.name, field.name.partition(".")[0])
    return any(fnmatchcase(name, pattern) for name in names for pattern in patterns)
