"""The index of what is on the server."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import responses

from buildhub.errors import Interrupted
from buildhub.kinto import (
    PublishCounts,
    Publisher,
    RecordIndex,
    refresh,
)
from tests.support.records import make_record
from tests.support.stub_kinto import RECORDS, Answer, StubKinto, client, each


def test_what_may_be_stored_is_not_taken_for_unchanged(server, tmp_path):
    """Version 1 is index. Version 2 fails, and may be stored: version 1 has to be sent again."""
    server.answers = [each(), (503, {}, {}), each(200)]
    with RecordIndex(tmp_path, "http://kinto.test") as index:
        with Publisher(client(retries=0), index=index, on_error=lambda sentence: None) as publisher:
            for number in (1, 2, 1):
                publisher.add(make_record(1, build={"number": number}), "")
                publisher.flush()
    assert publisher.counts == PublishCounts(created=1, updated=1, failed=1)


def test_what_was_noted_is_there_after_a_kill(tmp_path):
    first = RecordIndex(tmp_path, "http://kinto.test")
    first.mark_stored([("a", b"1" * 16)])
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in tmp_path.glob("buildhub*"):
        (copy / file.name).write_bytes(file.read_bytes())
    with RecordIndex(copy, "http://kinto.test") as second:
        assert (len(second), second.digest("a"), second.digest("b")) == (1, b"1" * 16, None)
    first.close()


def test_what_was_looked_up_ahead_is_right_after_a_change_too(tmp_path):
    with RecordIndex(tmp_path, "http://kinto.test") as index:
        index.mark_stored([("a", b"1"), ("b", b"2"), ("c", b"3")])
        index.preload(["a", "b", "new"])
        assert [index.digest(one) for one in ("a", "b", "c", "new")] == [b"1", b"2", b"3", None]
        index.mark_stored([("a", b"4"), ("new", b"5")])
        index.invalidate(["b"])
        assert [index.digest(one) for one in ("a", "b", "c", "new")] == [b"4", b"", b"3", b"5"]


class Collection:
    """A list of records that can be read in pages of two, and counted."""

    def __init__(self, mock: responses.RequestsMock) -> None:
        self.records: list[dict[str, Any]] = []
        self.asked: list[dict[str, str]] = []
        self.changed = 0
        self.before_count: Callable[[], object] = lambda: None
        mock.add_callback("GET", RECORDS, self._list)
        mock.add_callback("HEAD", RECORDS, self._count)

    def hold(self, *ids: str, since: int = 100) -> None:
        """Have these records, each a millisecond younger than the one before."""
        self.records = [{"id": id, "last_modified": since + place} for place, id in enumerate(ids)]
        self.changed = max(self.changed, since + len(ids) - 1)

    def _list(self, request: Any) -> Answer:
        self.asked.append(request.params)
        after = int(request.params.get("_token") or request.params.get("_since") or 0)
        rest = [one for one in self.records if one["last_modified"] > after]
        headers = {}
        if len(rest) > 2:
            headers = {"Next-Page": f"{RECORDS}?_token={rest[1]['last_modified']}"}
        return 200, headers, json.dumps({"data": rest[:2]})

    def _count(self, request: Any) -> Answer:
        self.before_count()
        headers = {"Total-Records": str(len(self.records)), "ETag": f'"{self.changed}"'}
        return 200, headers, ""


@pytest.fixture
def collection(server: StubKinto) -> Collection:
    return Collection(server.mock)


def test_a_refresh_that_is_stopped_goes_on_where_it_was(collection, tmp_path):
    collection.hold(*"abcdefg", since=1_000_000)
    with RecordIndex(tmp_path, "http://kinto.test") as index:
        with pytest.raises(Interrupted):
            refresh(index, client(), raise_if_cancelled=_interrupt)
        assert len(index) == 2
        refresh(index, client())
        assert len(index) == 7
    assert int(collection.asked[1]["_since"]) > 0


def _interrupt() -> None:
    raise Interrupted(2)


def test_a_record_that_others_store_meanwhile_does_not_make_it_read_everything_again(
    collection, tmp_path
):
    """One comes between the last page and the count: it is in the next difference."""
    names = "abcdefg"
    collection.hold(*names, since=1_000_000)
    with RecordIndex(tmp_path, "http://kinto.test") as index:
        refresh(index, client())
        collection.asked.clear()
        collection.before_count = lambda: (
            collection.asked and collection.hold(*names, "h", since=1_000_000)
        )
        refresh(index, client())
        assert index.digest("h")
        assert len(index) == 8
    starts = [int(asked["_since"]) for asked in collection.asked if "_token" not in asked]
    assert len(starts) == 2
    assert min(starts) > 0


def test_a_record_that_no_difference_shows_is_found_nevertheless(collection, tmp_path):
    """It was stored with a date of long ago. Everything is read, but only then."""
    collection.hold("a", "b", since=1_000_000)
    with RecordIndex(tmp_path, "http://kinto.test") as index:
        refresh(index, client())
        collection.asked.clear()
        collection.records.insert(0, {"id": "c", "last_modified": 1})
        refresh(index, client())
        assert index.digest("c")
    assert ["_since" in asked for asked in collection.asked] == [True, False, False]


def test_a_backup_that_came_back_is_noticed_though_it_has_as_many_records(collection, tmp_path):
    collection.hold("a", "b", since=50_000)
    with RecordIndex(tmp_path, "http://kinto.test") as index:
        refresh(index, client())
        newer = index.digest("a")
        collection.changed = 0
        collection.hold("a", "b", since=40_000)
        collection.records[0]["note"] = "as it was"
        refresh(index, client())
        assert index.digest("a") not in (None, newer)


def test_what_is_read_anew_each_time_is_what_may_have_been_overtaken(collection, tmp_path):
    """A slow transaction shows a record later than one that is dated after it."""
    collection.hold("a", "c", since=1_000_000)
    with RecordIndex(tmp_path, "http://kinto.test") as index:
        refresh(index, client())
        collection.records.insert(0, {"id": "b", "last_modified": 999_000})
        refresh(index, client())
        assert index.digest("b")
    first, second = (asked for asked in collection.asked if "_token" not in asked)
    assert "_since" not in first
    assert int(second["_since"]) < 999_000


def test_a_record_that_nobody_can_have_made_equals_nothing(collection, tmp_path):
    collection.hold("a")
    collection.records[0]["note"] = "half of a pair: \ud800"
    with RecordIndex(tmp_path, "http://kinto.test") as index:
        refresh(index, client())
        assert index.digest("a") == b""
