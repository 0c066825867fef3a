"""The copy of a collection: what searches see while it is read, and after that fails."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from buildhub.errors import Fatal
from buildhub.kinto.refresh import Changes, Position
from buildhub.search.copy import Copy
from buildhub.search.language import OURS, BadRequest
from tests.support.search_copy import ALL_READ, TARGET, ask, copy_of, refresh

HALF = dataclasses.replace(ALL_READ, etag=3, after="b")
LATER = dataclasses.replace(ALL_READ, etag=5)


def record(name: str, last_modified: int = 1, product: str = "firefox") -> dict[str, Any]:
    return {"id": name, "last_modified": last_modified, "source": {"product": product}}


def ids(copy: Copy) -> list[str]:
    hits = ask(copy, {"size": 100}, OURS)["hits"]
    assert hits["total"] == len(hits["hits"])
    return [hit["_id"] for hit in hits["hits"]]


def etag(copy: Copy) -> int:
    ((found,),) = copy.run("SELECT etag FROM state")
    assert isinstance(found, int)
    return found


def broken(copy: Copy, *pages: Changes) -> None:
    """A reading that ends in the middle."""

    def read(position: Position, count: Any) -> Iterator[Changes]:
        yield from pages
        raise Fatal("Kinto is away.")

    with pytest.raises(Fatal, match="away"):
        copy.refresh(read)


def test_a_difference_is_seen_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    page = Changes(False, [record("c"), record("a", 2, "fenix")], ["b"], None)
    with copy_of([record("a"), record("b")], tmp_path) as copy:
        broken(copy, page)
        assert (ids(copy), etag(copy)) == (["a", "b"], 1)
        refresh(copy, page, Changes(False, [], ["unknown"], LATER))
        assert (ids(copy), etag(copy)) == (["a", "c"], 5)
        found = ask(copy, {"query": {"term": {"source.product": "fenix"}}}, OURS)
        assert [hit["_id"] for hit in found["hits"]["hits"]] == ["a"]


def test_while_a_reading_is_under_way_the_copy_is_as_before(tmp_path: Path) -> None:
    seen = []
    with copy_of([record("a"), record("b")], tmp_path) as copy:

        def pages(position: Position, count: Any) -> Iterator[Changes]:
            for page in (
                Changes(False, [record("c")], ["b"], None),
                Changes(True, [record("d")], [], HALF),
                Changes(False, [record("e")], [], dataclasses.replace(HALF, after="d")),
                Changes(False, [], [], LATER),
            ):
                yield page
                seen.append((count(), ids(copy), etag(copy)))

        copy.refresh(pages)
        assert seen == [(records, ["a", "b"], 1) for records in (2, 1, 2, 2)]
        assert (ids(copy), etag(copy)) == (["d", "e"], 5)


def test_a_process_goes_on_with_the_copy_that_is_complete(tmp_path: Path) -> None:
    with copy_of([record("a")], tmp_path) as copy:
        broken(copy, Changes(True, [record("b")], [], HALF))
        assert (ids(copy), etag(copy)) == (["a"], 1)
    seen: list[tuple[Position, int]] = []

    def rest(position: Position, count: Any) -> Iterator[Changes]:
        seen.append((position, count()))
        yield Changes(False, [record("c")], [], LATER)

    with contextlib.closing(Copy(tmp_path, TARGET)) as copy:
        assert (ids(copy), etag(copy)) == (["a"], 1)
        copy.refresh(rest)
        assert seen == [(ALL_READ, 1)]
        assert (ids(copy), etag(copy)) == (["a", "c"], 5)


def test_what_was_read_before_a_restart_is_dropped(tmp_path: Path) -> None:
    with copy_of([record("a")], tmp_path) as copy:
        difference = Changes(False, [record("of another server")], [], None)
        refresh(copy, difference, Changes(True, [record("b")], [], LATER))
        assert ids(copy) == ["b"]
        refresh(copy, Changes(True, [record("c")], [], HALF), Changes(True, [], [], LATER))
        assert ids(copy) == []


def test_a_record_that_comes_again_is_there_once(tmp_path: Path) -> None:
    with copy_of([record("a", 5)], tmp_path) as copy:
        again = Changes(False, [record("a", 5)], [], LATER)
        refresh(copy, again, again)
        assert (ids(copy), etag(copy)) == (["a"], 5)


def test_before_the_first_copy_is_complete_there_is_no_answer(tmp_path: Path) -> None:
    with contextlib.closing(Copy(tmp_path, TARGET)) as copy:
        broken(copy, Changes(True, [record("b")], [], HALF))
        with pytest.raises(web.HTTPServiceUnavailable, match="not complete"):
            ids(copy)


def test_values_of_a_wrong_type_do_not_stop_the_copy(tmp_path: Path) -> None:
    odd = record("a") | {
        "build": {"id": 2017, "date": "yesterday", "number": "x"},
        "source": "firefox",
        "download": {"size": 2e10, "date": None, "url": "\u0000\U0001f600"},
        "more": [1],
    }
    with copy_of([odd, record("b")], tmp_path) as copy:
        (hit,) = ask(copy, {"query": {"term": {"id": "a"}}}, OURS)["hits"]["hits"]
    assert hit["_source"] == {
        "id": "a",
        "last_modified": 1,
        "build": {"id": "2017"},
        "download": {"size": 20_000_000_000, "url": "\u0000\U0001f600"},
    }


def test_a_damaged_file_is_set_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with copy_of([record("a")], tmp_path):
        pass
    (path,) = tmp_path.glob("*.duckdb")
    path.write_bytes(b"no database" * 1000)
    with caplog.at_level(logging.WARNING), copy_of([record("b")], tmp_path) as copy:
        assert ids(copy) == ["b"]
    assert "set aside" in caplog.text
    assert path.with_name(f"{path.name}.damaged-1").read_bytes().startswith(b"no database")


def test_a_folder_that_cannot_be_used_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Fatal, match="Cannot use"):
        Copy(tmp_path / "file" / "folder", TARGET)


def test_a_search_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    endless = "SELECT count(*) FROM range(100000000000) a WHERE hash(a.range) = 1"
    with copy_of([record("a")], tmp_path, time_limit=0.2) as copy:
        with pytest.raises(BadRequest, match="too long"):
            copy.run(endless)
        assert ids(copy) == ["a"]


def test_the_engine_reaches_neither_files_nor_the_network(tmp_path: Path) -> None:
    (tmp_path / "secret.csv").write_text("a\n1\n")
    with copy_of([record("a")], tmp_path) as copy:
        for sql in (
            f"SELECT * FROM read_csv('{tmp_path}/secret.csv')",
            f"ATTACH '{tmp_path}/other.duckdb'",
            "SET enable_external_access = true",
        ):
            with pytest.raises(Exception, match=r"disabled|locked|not allowed|annot"):
                copy.run(sql)
