"""Hostile search requests: an answer or a refusal, never another error."""

from __future__ import annotations

import contextlib
import json
import os
import random
import time
from pathlib import Path
from typing import Any

from buildhub.search.answer import OURS, SUCCESSORS
from buildhub.search.fields import FIELDS, BadRequest
from buildhub.search.query import query_string
from tests.support.search_copy import ask, copy_of
from tests.support.search_records import REQUESTS, catalogue

#: Seconds; FUZZ_SECONDS asks for more.
SECONDS = float(os.environ.get("FUZZ_SECONDS", "5"))
ATOMS: list[Any] = [
    *(
        None,
        True,
        False,
        0,
        -1,
        1.5,
        2**63,
        10**400,
        "",
        "*",
        "now-1d/d",
        "now/w+9999w",
        "2017-13-99",
    ),
    *(
        "'; DROP TABLE records; --",
        '"id" = 1',
        "\x00",
        "\U0001f600",
        "(a*)*b",
        "((a{9}){9}){9}",
        "[^]",
    ),
    *(".*", '"', "\\", "a" * 1001, {}, [], [[]], {"": {}}, {"value": {}}, *FIELDS),
    *(
        "bool",
        "terms",
        "term",
        "match",
        "range",
        "regexp",
        "prefix",
        "exists",
        "filter",
        "match_all",
    ),
    *(
        "aggs",
        "size",
        "from",
        "sort",
        "_source",
        "order",
        "include",
        "_count",
        "cardinality",
        "asc",
    ),
]


def mutated(value: Any, choose: random.Random) -> Any:
    """The value with some parts replaced, dropped, renamed, or nested once more."""
    if choose.random() < 0.08:
        return choose.choice(ATOMS)
    if choose.random() < 0.03:
        return {choose.choice(["bool", "must", "aggs", "filter", "a"]): value}
    if isinstance(value, dict):
        names = ((choose.choice(ATOMS) if choose.random() < 0.05 else name) for name in value)
        return {
            str(name): mutated(one, choose) for name, one in zip(names, value.values(), strict=True)
        }
    return [mutated(one, choose) for one in value] if isinstance(value, list) else value


def test_a_hostile_request_gets_an_answer_or_a_refusal(tmp_path: Path) -> None:
    records = catalogue()
    seed = int(os.environ.get("FUZZ_SEED", "1"))
    choose, end, counts = random.Random(seed), time.monotonic() + SECONDS, [0, 0]
    with copy_of(records, tmp_path) as copy:
        while time.monotonic() < end:
            request = mutated(choose.choice(REQUESTS)["body"], choose)
            try:
                json.dumps(ask(copy, request, choose.choice([OURS, SUCCESSORS])))
                counts[0] += 1
            except BadRequest:
                counts[1] += 1
            with contextlib.suppress(BadRequest):
                query_string(str(choose.choice(ATOMS)) + ":" + str(choose.choice(ATOMS)))
        assert ask(copy, {"size": 0}, OURS)["hits"]["total"] == len(records)
    assert all(counts)
