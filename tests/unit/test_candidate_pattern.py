"""The patterns that look for candidates and their endings in the bytes of an inventory."""

from __future__ import annotations

import random
from urllib.parse import quote, quote_plus

import pytest

from buildhub.builds.recognise import candidate_pattern, ending_pattern, recognise
from tests.support.archive_keys import BUILDS, inventory


def swapped_extension(key: str) -> str:
    stem, _, extension = key.rpartition(".")
    return f"{stem}.{extension.swapcase()}"


@pytest.mark.parametrize("quoted", [True, False], ids=["quoted", "unquoted"])
@pytest.mark.parametrize("encode", [quote_plus, quote], ids=["plus", "percent"])
@pytest.mark.parametrize("spelled", [str, swapped_extension], ids=["as is", "upper case"])
def test_the_pattern_finds_every_build_of_the_table_whole(builds, quoted, encode, spelled):
    keys = [spelled(key) for key in builds]
    assert all(recognise(key) for key in keys)
    found = [
        match.group().decode()
        for match in candidate_pattern().finditer(inventory(keys, quoted=quoted, encode=encode))
    ]
    assert found == [encode(key, safe="/") for key in keys]


@pytest.mark.parametrize("quoted", [True, False], ids=["quoted", "unquoted"])
@pytest.mark.parametrize("spelled", [str, swapped_extension], ids=["as is", "upper case"])
def test_the_ending_of_every_candidate_is_found_once_and_of_few_other_keys(table, quoted, spelled):
    rows = inventory([spelled(key) for key in table], quoted=quoted)
    ends = [match.end() for match in candidate_pattern().finditer(rows)]
    found = [match.end() for match in ending_pattern().finditer(rows)]
    assert set(ends) <= set(found)
    assert len(found) < len(ends) * 1.2


def test_an_ending_is_found_at_the_end_of_the_data():
    assert ending_pattern().search(b'"1","pub/firefox/releases/1.0/firefox.exe')


@pytest.mark.parametrize("key", [f"pub/{key}" for key, *_ in BUILDS])
def test_the_pattern_finds_every_shape_where_the_key_is_the_last_column(key):
    rows = "".join(f'"12","{quote_plus(key, safe="/")}"\n' for _ in range(2)).encode()
    wanted = [quote_plus(key, safe="/").encode()] * 2
    assert candidate_pattern().findall(rows) == wanted
    assert candidate_pattern().findall(rows.replace(b'"', b"")) == wanted
    assert candidate_pattern().findall(rows.replace(b"\n", b"\r\n")) == wanted


def test_the_pattern_passes_by_most_keys_that_are_no_builds(table):
    others = [key for key, wanted in table.items() if not wanted]
    random.Random(2).shuffle(others)
    found = candidate_pattern().findall(inventory(others))
    assert len(found) < len(others) / 50
