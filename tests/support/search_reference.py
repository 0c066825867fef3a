"""Searches in plain Python, record by record: what the server's answers have to be equal to.

Written for the requests that tests make: it knows no errors and is in no hurry.
"""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

Record = dict[str, Any]
DATES = ("build.date", "download.date")
_EPOCH = datetime(1970, 1, 1)


def value_of(record: Record, field: str) -> Any:
    value: Any = record
    for name in field.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def search(records: list[Record], request: Record) -> Record:
    """The total, the hits and the aggregations."""
    found = [one for one in records if matches(one, request.get("query", {"match_all": {}}))]
    filter_ = request.get("post_filter", {"match_all": {}})
    hits = [one for one in found if matches(one, filter_, scoring=False)]
    hits.sort(key=lambda one: one["id"])
    sorts = request.get("sort", [])
    for sort in reversed(sorts if isinstance(sorts, list) else [sorts]):
        hits = _sorted(hits, sort)
    start = request.get("from", 0)
    page = hits[start : start + request.get("size", 10)]
    aggs = request.get("aggs") or request.get("aggregations") or {}
    return {
        "total": len(hits),
        "hits": [(one["id"], source(one, request.get("_source", True))) for one in page],
        "aggregations": aggregations(found, aggs),
    }


def _sorted(records: list[Record], sort: Any) -> list[Record]:
    field, order = next(iter(sort.items())) if isinstance(sort, dict) else (sort, "asc")
    order = order.get("order", "asc") if isinstance(order, dict) else order
    present = [one for one in records if value_of(one, field) is not None]
    missing = [one for one in records if value_of(one, field) is None]
    present.sort(key=lambda one: comparable(field, value_of(one, field)), reverse=order == "desc")
    return present + missing


def comparable(field: str, value: Any) -> Any:
    if field in DATES:
        return _date(value)
    return value.encode() if isinstance(value, str) else value


def _date(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=None)


def source(record: Record, wanted: Any) -> Record:
    """The record with the fields that ``_source`` names, by name or as ``build.*`` or ``build``."""
    if wanted is True:
        return record
    names = [] if wanted is False else [wanted] if isinstance(wanted, str) else wanted
    patterns = [re.compile(re.escape(one).replace(r"\*", ".*") + r"(\..*)?") for one in names]
    return _without(record, "", patterns)


def _without(record: Record, prefix: str, patterns: list[re.Pattern[str]]) -> Record:
    found = {}
    for name, value in record.items():
        if isinstance(value, dict):
            if inner := _without(value, f"{prefix}{name}.", patterns):
                found[name] = inner
        elif any(pattern.fullmatch(prefix + name) for pattern in patterns):
            found[name] = value
    return found


def matches(record: Record, query: Record, *, scoring: bool = True) -> bool:
    kind, body = next(iter(query.items()))
    if kind == "match_all":
        return True
    if kind == "bool":
        return _bool(record, body, scoring)
    if kind == "exists":
        return value_of(record, body["field"]) is not None
    field, wanted = next(iter(body.items()))
    value = value_of(record, field)
    if value is None:
        return False
    if isinstance(wanted, dict) and kind != "range":
        wanted = next(iter(wanted.values()))
    if kind == "range":
        return all(_in_range(field, value, name, bound) for name, bound in wanted.items())
    if kind == "terms":
        return any(_equals(field, value, one) for one in wanted)
    if kind == "regexp":
        return bool(python_pattern(wanted).fullmatch(value))
    if kind == "prefix":
        return value.startswith(wanted)
    assert kind in ("term", "match"), kind
    return _equals(field, value, wanted)


def _bool(record: Record, body: Record, scoring: bool) -> bool:
    def results(name: str) -> list[bool]:
        clauses = body.get(name, [])
        clauses = clauses if isinstance(clauses, list) else [clauses]
        inner = scoring and name in ("must", "should")
        return [matches(record, one, scoring=inner) for one in clauses]

    required = results("must") + results("filter")
    should = results("should")
    optional = not should or (scoring and required)
    return all(required) and not any(results("must_not")) and bool(optional or any(should))


def _equals(field: str, value: Any, wanted: Any) -> bool:
    if field in DATES:
        first, last = _interval(wanted)
        return first <= _date(value) <= last
    return str(value) == str(wanted)


def _in_range(field: str, value: Any, name: str, bound: Any) -> bool:
    if field in DATES:
        first, last = _interval(bound)
        bound, value = last if name in ("gt", "lte") else first, _date(value)
    elif isinstance(value, str):
        bound, value = str(bound).encode(), value.encode()
    return {
        "gt": value > bound, "gte": value >= bound, "lt": value < bound, "lte": value <= bound
    }[name]  # fmt: skip


def _interval(text: str) -> tuple[datetime, datetime]:
    """Whole dates, dates with minutes or seconds, and ``now-Nd/d``."""
    if match := re.fullmatch(r"now-(\d+)d/d", text):
        day = datetime.now(UTC).replace(tzinfo=None) - timedelta(days=int(match[1]))
        first = day.replace(hour=0, minute=0, second=0, microsecond=0)
        return first, first + timedelta(days=1, microseconds=-1)
    first = _date(text)
    length = {10: timedelta(days=1), 16: timedelta(minutes=1)}.get(len(text), timedelta(seconds=1))
    return first, first + length - timedelta(microseconds=1)


def python_pattern(text: str) -> re.Pattern[str]:
    """Lucene's syntax, as far as it has quoted parts, and what Python has as well."""
    parts = re.split(r'"([^"]*)"', text)
    translated = [re.escape(part) if number % 2 else part for number, part in enumerate(parts)]
    return re.compile("".join(translated), re.DOTALL)


def aggregations(records: list[Record], aggs: Record) -> Record:
    return {name: _aggregation(records, dict(body)) for name, body in aggs.items()}


def _aggregation(records: list[Record], body: Record) -> Record:
    children = body.pop("aggs", None) or body.pop("aggregations", None) or {}
    ((kind, options),) = body.items()
    if kind == "filter":
        records = [one for one in records if matches(one, options, scoring=False)]
        return {"doc_count": len(records)} | aggregations(records, children)
    values = [value_of(one, options["field"]) for one in records]
    counts = Counter(value for value in values if value is not None)
    if kind == "cardinality":
        return {"value": len(counts)}
    assert kind == "terms", kind
    if "include" in options:
        pattern = python_pattern(options["include"])
        counts = Counter({key: n for key, n in counts.items() if pattern.fullmatch(key)})
    keys = _ordered(counts, options)[: options.get("size", 10)]
    buckets = []
    for key in keys:
        inside = [one for one in records if value_of(one, options["field"]) == key]
        buckets.append(
            _key(options["field"], key)
            | {"doc_count": counts[key]}
            | aggregations(inside, children)
        )
    return {"buckets": buckets}


def _ordered(counts: Counter[Any], options: Record) -> list[Any]:
    keys = sorted(counts, key=lambda key: comparable(options["field"], key))
    orders = options.get("order") or {"_count": "desc"}
    for order in reversed(orders if isinstance(orders, list) else [orders]):
        ((name, direction),) = order.items()
        by_key = name in ("_term", "_key")
        keys.sort(
            key=lambda key: comparable(options["field"], key) if by_key else counts[key],
            reverse=direction == "desc",
        )
    return keys


def _key(field: str, key: Any) -> Record:
    if field not in DATES:
        return {"key": key}
    moment = _date(key)
    text = moment.isoformat(timespec="milliseconds") + "Z"
    return {"key": (moment - _EPOCH) // timedelta(milliseconds=1), "key_as_string": text}


def successor(records: list[Record]) -> list[Record]:
    """The catalogue as buildhub's successor had it; dates are left as they are."""

    def candidate(record: Record) -> bool:
        return "/candidates/" in record["download"]["url"]

    def version(record: Record) -> str:
        plain = re.sub(
            r"rc\d+(-funnelcake\d+)?$", lambda m: m[1] or "", record["target"]["version"]
        )
        return plain if candidate(record) else record["target"]["version"]

    def build(record: Record) -> tuple[str, str, str]:
        return record["source"]["product"], version(record), record["target"]["platform"]

    candidates = {build(one) for one in records if candidate(one)}
    found = []
    for one in records:
        platform = one["target"]["platform"]
        if one["target"]["locale"] not in ("en-US", "multi") or platform.endswith(
            ("-eme-free", "-sha1")
        ):
            continue
        if "/releases/" in one["download"]["url"] and build(one) in candidates:
            continue
        target, source_ = {**one["target"], "version": version(one)}, dict(one["source"])
        target["platform"] = {"win64-aarch64": "win64"}.get(
            platform, platform.replace("macosx", "mac")
        )
        if source_["product"] == "devedition":
            source_["product"], target["channel"] = "firefox", "aurora"
        if "tree" in source_:
            source_["tree"] = source_["tree"].removeprefix("releases/")
        download = {**one["download"], "mimetype": "application/octet-stream"}
        found.append({**one, "target": target, "source": source_, "download": download})
    return found
