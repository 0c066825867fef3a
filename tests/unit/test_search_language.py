"""Each construct of the language against plain Python; all else is refused."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from buildhub.kinto.initialization import definition
from buildhub.search.copy import Copy
from buildhub.search.language import (
    FIELDS,
    OURS,
    BadRequest,
    Statement,
    field_of,
    query_string,
    to_re2,
)
from tests.support import search_reference as reference
from tests.support.search_copy import ask, compared, copy_of
from tests.support.search_records import catalogue

CATALOGUE = catalogue()[::5] + catalogue()[-8:]
CATALOGUE = list({one["id"]: one for one in CATALOGUE}.values())
TEXTS = sorted(name for name, field in FIELDS.items() if field.type == "VARCHAR")
NUMBERS = ["build.number", "download.size"]

VALUES = {
    name: sorted({v for one in CATALOGUE if (v := reference.value_of(one, name)) is not None})
    for name in FIELDS
}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Copy]:
    with copy_of(CATALOGUE, tmp_path_factory.mktemp("copy")) as copy:
        yield copy


def values(name: str) -> st.SearchStrategy[Any]:
    """Values that records have, some cut to make others; dates of a day too."""
    known = st.sampled_from(VALUES[name] or [""])
    if name in NUMBERS:
        return known | st.integers(0, 10) | known.map(str)
    if name in reference.DATES:
        return known | known.map(lambda date: date[:10]) | known.map(lambda date: date[:16])
    return known | known.map(lambda text: text[:-1]) | st.text(max_size=3)


def single(name: str) -> st.SearchStrategy[dict[str, Any]]:
    """Conditions on one field."""
    value = values(name)
    found = [
        value.map(lambda v: {"term": {name: v}}),
        value.map(lambda v: {"term": {name: {"value": v}}}),
        value.map(lambda v: {"match": {name: v}}),
        value.map(lambda v: {"match": {name: {"query": v}}}),
        st.lists(value, max_size=3).map(lambda v: {"terms": {name: v}}),
        st.dictionaries(st.sampled_from(["gt", "gte", "lt", "lte"]), bounds(name), max_size=2).map(
            lambda v: {"range": {name: v}}
        ),
        st.just({"exists": {"field": name}}),
    ]
    if name in TEXTS:
        found.append(values(name).map(lambda v: {"prefix": {name: v[:4]}}))
        found.append(patterns(name).map(lambda v: {"regexp": {name: v}}))
        found.append(patterns(name).map(lambda v: {"regexp": {name: {"value": v}}}))
    return st.one_of(found)


def bounds(name: str) -> st.SearchStrategy[Any]:
    return st.sampled_from(VALUES[name] or [1]) if name in NUMBERS else values(name)


def patterns(name: str) -> st.SearchStrategy[str]:
    """Regular expressions made of the field's values."""
    plain = st.sampled_from([re.sub(r"[^a-zA-Z0-9]", ".", text) for text in VALUES[name] or ["a"]])
    quoted = st.sampled_from(VALUES[name] or ["a"]).filter(lambda text: '"' not in text)
    part = st.one_of(
        plain,
        quoted.map(lambda text: f'"{text}"'),
        plain.map(lambda text: text[:3] + ".*"),
        plain.map(lambda text: f"({text[:30]}|x)?.{{0,3}}"),
        st.sampled_from(["[0-9]+", "[^a-z]+", "[a-z_.-]*", ".+", "\\.", "", "[0-9]{1,3}"]),
    )
    return st.lists(part, max_size=3).map("".join)


NAMES = st.sampled_from([*TEXTS, *NUMBERS, *reference.DATES])
LEAVES = NAMES.flatmap(single) | st.just({"match_all": {}})
QUERIES = st.recursive(
    LEAVES,
    lambda inner: st.dictionaries(
        st.sampled_from(["filter", "must", "should", "must_not"]),
        st.lists(inner, max_size=3) | inner,
        max_size=3,
    ).map(lambda clauses: {"bool": clauses}),
    max_leaves=6,
)
ORDERS = st.sampled_from(["asc", "desc"])


@st.composite
def terms(draw: st.DrawFn) -> dict[str, Any]:
    name = draw(NAMES)
    body: dict[str, Any] = {"field": name}
    if draw(st.booleans()):
        body["size"] = draw(st.integers(1, 5))
    if draw(st.booleans()):
        order = st.dictionaries(
            st.sampled_from(["_term", "_key", "_count"]), ORDERS, min_size=1, max_size=1
        )
        body["order"] = draw(order | st.lists(order, max_size=2))
    if name in TEXTS and draw(st.booleans()):
        body["include"] = draw(patterns(name))
    return {"terms": body}


METRICS = NAMES.map(lambda name: {"cardinality": {"field": name}})
BUCKETS = terms() | LEAVES.map(lambda query: {"filter": query})
AGGREGATIONS = st.recursive(
    st.dictionaries(st.sampled_from("ab"), METRICS | BUCKETS, max_size=2),
    lambda inner: st.dictionaries(
        st.sampled_from("cd"),
        st.tuples(BUCKETS, inner, st.sampled_from(["aggs", "aggregations"])).map(
            lambda parts: parts[0] | {parts[2]: parts[1]}
        ),
        max_size=2,
    ),
    max_leaves=4,
)
SORT = NAMES | st.tuples(NAMES, ORDERS).map(lambda pair: {pair[0]: pair[1]})
SORT |= st.tuples(NAMES, ORDERS).map(lambda pair: {pair[0]: {"order": pair[1]}})
SOURCES = st.booleans() | st.sampled_from([*FIELDS, "build", "b*", "*.id", "download.*", "*"])
REQUESTS = st.fixed_dictionaries(
    {},
    optional={
        "query": QUERIES,
        "post_filter": QUERIES,
        "aggs": AGGREGATIONS,
        "size": st.integers(0, 30),
        "from": st.integers(0, 20),
        "sort": SORT | st.lists(SORT, max_size=3),
        "_source": SOURCES | st.lists(SOURCES.filter(lambda one: isinstance(one, str)), max_size=3),
    },
)


def test_the_fields_are_those_of_the_schema() -> None:
    properties = definition("build-hub", "releases")[1]["data"]["schema"]["properties"]
    types = {"string": "VARCHAR", "integer": "BIGINT"}
    expected = {
        f"{parent}{name}": "TIMESTAMP" if one.get("format") == "date-time" else types[one["type"]]
        for parent, of in [("", properties)]
        + [
            (f"{name}.", one["properties"])
            for name, one in properties.items()
            if "properties" in one
        ]
        for name, one in of.items()
        if "properties" not in one
    }
    assert {name: field.type for name, field in FIELDS.items()} == expected


@given(request=REQUESTS)
@settings(
    max_examples=3 * settings.default.max_examples,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=True,
)
def test_any_request_of_the_language_is_answered_as_plain_python_does(
    copy: Copy, request: dict[str, Any]
) -> None:
    assert compared(ask(copy, request, OURS)) == reference.search(CATALOGUE, request)


TOO_DEEP: dict[str, Any] = {"match_all": {}}
for _ in range(30):
    TOO_DEEP = {"bool": {"must": [TOO_DEEP]}}
DEEP_AGGS: dict[str, Any] = {}
for _ in range(500):
    DEEP_AGGS = {"a": {"filter": {"match_all": {}}, "aggs": DEEP_AGGS}}


#: Requests, and what the refusal names.
REFUSED: list[tuple[Any, str]] = [
    ([], "request"),
    ({"suggest": {}}, "suggest"),
    ({"query": {}}, "query"),
    ({"query": {"fuzzy": {"build.id": "2"}}}, "fuzzy"),
    ({"query": {"match_all": {}, "term": {"id": "x"}}}, "query"),
    ({"query": {"match_all": {"boost": 2}}}, "match_all"),
    ({"query": {"term": {"build.idd": "2"}}}, "build.idd"),
    ({"query": {"term": {'build.id" = 1 --': "2"}}}, "build.id"),
    ({"query": {"term": {"build.id": None}}}, "build.id"),
    ({"query": {"term": {"build.id": True}}}, "build.id"),
    ({"query": {"term": {"build.id": ["2"]}}}, "build.id"),
    ({"query": {"term": {"build.id": {"value": "2", "boost": 1}}}}, "boost"),
    ({"query": {"term": {"build.number": "one"}}}, "build.number"),
    ({"query": {"term": {"download.size": 1.5}}}, "download.size"),
    ({"query": {"term": {"build.date": "yesterday"}}}, "build.date"),
    ({"query": {"term": {"build.date": "2017-02-30"}}}, "build.date"),
    ({"query": {"term": {"build.date": "now-1x"}}}, "build.date"),
    ({"query": {"term": {"build.date": 10**18}}}, "build.date"),
    ({"query": {"terms": {"build.id": "2"}}}, "terms"),
    ({"query": {"range": {"build.id": {"from": "2"}}}}, "from"),
    ({"query": {"range": {"build.date": {"gte": "now-1M"}}}}, "build.date"),
    ({"query": {"regexp": {"build.date": "2.*"}}}, "build.date"),
    ({"query": {"prefix": {"build.number": "2"}}}, "build.number"),
    ({"query": {"bool": {"minimum_should_match": 1}}}, "minimum_should_match"),
    ({"query": {"bool": {"must": ["x"]}}}, "query"),
    ({"query": {"exists": {"field": "build"}}}, "build"),
    ({"query": {"query_string": {"query": "*"}}}, "query_string"),
    ({"query": TOO_DEEP}, "too deep"),
    ({"query": {"bool": {"should": [{"term": {"id": "x"}}] * 9000}}}, "too many clauses"),
    ({"size": -1}, "size"),
    ({"size": 100_001}, "size"),
    ({"size": "10"}, "size"),
    ({"size": True}, "size"),
    ({"from": -1}, "from"),
    ({"sort": "_score"}, "_score"),
    ({"sort": {"build.id": "down"}}, "down"),
    ({"sort": {"build.id": {"order": "asc", "mode": "min"}}}, "mode"),
    ({"sort": [["id"]]}, "sort"),
    ({"_source": "build.idd"}, "build.idd"),
    ({"_source": 1}, "_source"),
    ({"_source": {"includes": ["build.id"], "filter": []}}, "filter"),
    ({"aggs": {"a": {}}}, "a"),
    ({"aggs": {"a": {"avg": {"field": "download.size"}}}}, "avg"),
    ({"aggs": {"a": {"terms": {"field": "build"}}}}, "build"),
    ({"aggs": {"a": {"terms": {"field": "build.id", "size": 0}}}}, "size"),
    ({"aggs": {"a": {"terms": {"field": "build.id", "missing": "x"}}}}, "missing"),
    ({"aggs": {"a": {"terms": {"field": "build.id", "include": ["2"]}}}}, "regular expression"),
    ({"aggs": {"a": {"terms": {"field": "build.date", "include": "2"}}}}, "build.date"),
    ({"aggs": {"a": {"terms": {"field": "build.id", "order": {"b": "asc"}}}}}, "order"),
    (
        {"aggs": {"a": {"cardinality": {"field": "id"}, "aggs": {"b": {"terms": {}}}}}},
        "cardinality",
    ),
    ({"aggs": {"a": {"terms": {"field": "id"}, "filter": {"match_all": {}}}}}, "a"),
    ({"aggs": DEEP_AGGS}, "20"),
    ({"aggs": {str(n): {"cardinality": {"field": "id"}} for n in range(1001)}}, "too many"),
    ({"aggs": {"a": {"terms": {"field": "id"}}}, "aggregations": {}}, "aggregations"),
]


@pytest.mark.parametrize(("request_", "named"), REFUSED, ids=itertools.count())
def test_what_is_not_supported_is_refused_and_named(request_: Any, named: str) -> None:
    with pytest.raises(BadRequest, match=re.escape(named)):
        Statement(request_, OURS)


#: Patterns, texts that they match, and texts that they do not.
PATTERNS = [
    ('[0-9]+".0b"[0-9]+', ["57.0b9"], ["57x0b9", "57.0b", "57.0b9rc1"]),
    (r"[0-9]+\.[0-9]+(\.[0-9]+)?", ["57.0", "57.0.1"], ["57", "57.0b1", "x57.0"]),
    ("57.*", ["57", "57.0", "57\n"], ["157"]),
    ("a|bc", ["a", "bc"], ["abc", "ac"]),
    ('"a|b"', ["a|b"], ["a", "b"]),
    ('""', [""], ["a"]),
    ("[^a-c]x", ["dx", "\nx"], ["ax", "x"]),
    ("[a-]", ["a", "-"], ["b"]),
    (r"[\]\-a]", ["]", "-", "a"], ["\\"]),
    ('["]', ['"'], ["a"]),
    (r"[+*.^&]", ["+", "*", ".", "^", "&"], ["a"]),
    ("a{2}", ["aa"], ["a", "aaa"]),
    ("a{2,}", ["aa", "aaaa"], ["a"]),
    ("a{1,2}", ["a", "aa"], ["", "aaa"]),
    (r"\{a\}\"\\", ['{a}"\\'], ["a"]),
    ("a b-c_d/e:f", ["a b-c_d/e:f"], ["ab-c_d/e:f"]),
    ("é|ß", ["é", "ß"], ["e"]),
    ("", [""], ["a"]),
    ("*", ["*"], ["", "a"]),
    ("+1", ["+1"], ["1"]),
    (r"[a\_é\\\[|]+", ["a_é\\[|"], ["b"]),
    ("(a|b){2}c?", ["ab", "bac"], ["a", "abb"]),
    ("[a-b-c]", ["a", "b", "-", "c"], ["d"]),
    ("[^-]", ["a"], ["-"]),
    (r"[&&~~||\n]".replace(r"\n", "\n"), ["&", "~", "|", "\n"], ["a"]),
]
BAD_PATTERNS = [
    *(
        "a**",
        "**",
        "a+?",
        "(*a)",
        "(?:a)",
        "(?i)a",
        "(a",
        "a)",
        "a)(",
        "[a",
        "[]",
        "[^]",
        "a]",
        "{2}",
    ),
    *("a{", "a{,2}", "a{2,1}", "a{2}{3}", "a{1001}", "(a{100}){100}", "[b-a]", '"a', "a\\", r"\d"),
    *(
        r"[\w]",
        "~a",
        "a&b",
        "<1-9>",
        "#",
        "a@b",
        "^a$",
        "[[a]",
        "a}",
        "a" * 10_001,
        "[+--]",
        "(a{1000})" * 2,
        "(" + "a" * 600 + "){20}",
    ),
    *(None, 1, ["a"]),
]


@pytest.mark.parametrize(("pattern", "matching", "others"), PATTERNS)
def test_a_regular_expression_matches_whole_values(
    copy: Copy, pattern: str, matching: list[str], others: list[str]
) -> None:
    for text in matching + others:
        parameters = {"text": text, "pattern": to_re2(pattern)}
        ((found,),) = copy.run("SELECT regexp_full_match($text, $pattern)", parameters)
        assert found is (text in matching), text


@pytest.mark.parametrize("pattern", BAD_PATTERNS, ids=itertools.count())
def test_a_regular_expression_that_is_wrong_or_too_much_is_refused(
    copy: Copy, pattern: object
) -> None:
    with pytest.raises(BadRequest, match="regular expression"):
        copy.run("SELECT regexp_full_match('x', $pattern)", {"pattern": to_re2(pattern)})


#: Dates in requests, and the first and last moment that they stand for.
DATES = [
    ("2017", "2017-01-01T00:00:00", "2017-01-01T23:59:59.999999"),
    ("2017-07", "2017-07-01T00:00:00", "2017-07-01T23:59:59.999999"),
    ("2017-07-13", "2017-07-13T00:00:00", "2017-07-13T23:59:59.999999"),
    ("2017-07-13T13:06", "2017-07-13T13:06:00", "2017-07-13T13:06:59.999999"),
    ("2017-07-13T13:06:18Z", "2017-07-13T13:06:18", "2017-07-13T13:06:18.999999"),
    ("2017-07-13T13:06:18.250Z", "2017-07-13T13:06:18.250", "2017-07-13T13:06:18.250999"),
    ("2017-07-13T13:06:18+02:00", "2017-07-13T11:06:18", "2017-07-13T11:06:18.999999"),
    (1499951178000, "2017-07-13T13:06:18", "2017-07-13T13:06:18"),
    ("1499951178000", "2017-07-13T13:06:18", "2017-07-13T13:06:18"),
]


@pytest.mark.parametrize(("value", "first", "last"), DATES)
def test_a_date_stands_for_all_moments_that_it_fits(value: Any, first: str, last: str) -> None:
    found = field_of("build.date").interval(value)
    assert [one.isoformat() for one in found] == [
        reference.datetime.fromisoformat(one).isoformat() for one in (first, last)
    ]


def test_a_date_may_be_relative_to_now() -> None:
    field = field_of("build.date")
    first, last = field.interval("now-1d/d")
    week, _ = field.interval("now/w")
    now, same = field.interval("now")
    assert (first.hour, first.second, last.hour, last.second) == (0, 0, 23, 59)
    assert first < last < same
    assert (now - first).days in (1, 2)
    assert (week.weekday(), (now - week).days // 7) == (0, 0)
    assert field.interval("now-48h")[0] < field.interval("now-1d")[0]


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ("build.id:20170713130618", "build.id", "20170713130618"),
        ("build.id=20170713130618", "build.id", "20170713130618"),
        ('target.version:"57.0b1"', "target.version", "57.0b1"),
        ("source.tree:releases/mozilla-beta", "source.tree", "releases/mozilla-beta"),
        ("build.date:2017-07-13T13:06:18Z", "build.date", "2017-07-13T13:06:18Z"),
    ],
)
def test_a_query_string_is_a_field_and_a_value(text: str, field: str, value: str) -> None:
    assert query_string("q", text) == {"term": {field: value}}


@pytest.mark.parametrize(
    "text", ["", "x", "build.id:2*", "build.id:[1 TO 2]", "a:b AND c:d", '"a"', 'id:"a']
)
def test_any_other_query_string_is_refused(text: str) -> None:
    with pytest.raises(BadRequest, match="field:value"):
        query_string("q", text)
