"""Requests of real clients, on both paths, against a search in plain Python."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from buildhub.search.copy import Copy
from buildhub.search.language import OURS, SUCCESSORS
from tests.support import search_reference as reference
from tests.support.search_copy import ask, compared, copy_of
from tests.support.search_records import REQUESTS, catalogue

CATALOGUE = catalogue()
SUCCESSOR = reference.successor(CATALOGUE)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Copy]:
    with copy_of(CATALOGUE, tmp_path_factory.mktemp("copy")) as copy:
        yield copy


def with_successors_dates(record: dict[str, Any]) -> dict[str, Any]:
    record = {name: dict(v) if isinstance(v, dict) else v for name, v in record.items()}
    for name in ("build", "download"):
        if "date" in record.get(name, {}):
            record[name]["date"] = record[name]["date"].replace("Z", ".000000+00:00")
    return record


def expected(request: dict[str, Any], dialect: str) -> dict[str, Any]:
    found = reference.search(CATALOGUE if dialect == OURS else SUCCESSOR, request)
    if dialect == SUCCESSORS:
        found["hits"] = [(one, with_successors_dates(record)) for one, record in found["hits"]]
    return found


@pytest.mark.parametrize("dialect", [OURS, SUCCESSORS], ids=["ours", "successor"])
@pytest.mark.parametrize("request_", REQUESTS, ids=lambda r: f"{r['client']}: {r['question']}")
def test_a_request_of_a_real_client_is_answered(
    copy: Copy, request_: dict[str, Any], dialect: str
) -> None:
    body = request_["body"]
    answer = compared(ask(copy, body, dialect))
    assert answer == expected(body, dialect)
    devedition = request_["question"] == "devedition" and dialect == SUCCESSORS
    assert bool(answer["total"]) is not devedition
