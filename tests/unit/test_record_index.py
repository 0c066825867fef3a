"""The index of what is on the server."""

from __future__ import annotations

import contextlib
import sqlite3

import pytest

from buildhub.kinto.publisher import PublishCounts, Publisher
from buildhub.kinto.record_index import RecordIndex, digest
from buildhub.kinto.refresh import Changes, Position
from tests.support.records import make_record, ndjson_compact
from tests.support.stub_kinto import client, each


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
        lines = [b'{"data":{"id":"%s"' % one for one in (b"a", b"b", b"new")]
        assert index.ids_if_equal([*lines, b"of another kind"]) == []
        assert [index.digest(one) for one in ("a", "b", "c", "new")] == [b"1", b"2", b"3", None]
        index.mark_stored([("a", b"4"), ("new", b"5")])
        index.invalidate(["b"])
        assert [index.digest(one) for one in ("a", "b", "c", "new")] == [b"4", b"", b"3", b"5"]


def test_a_record_that_nobody_can_have_made_equals_nothing(tmp_path):
    with RecordIndex(tmp_path, "http://kinto.test") as index:
        index.learn(Changes(True, [{"id": "a", "note": "half of a pair: \ud800"}], [], None))
        assert index.digest("a") == b""


def test_an_id_with_half_a_surrogate_pair_is_kept_without_it(tmp_path):
    with RecordIndex(tmp_path, "http://kinto.test") as index:
        index.learn(Changes(True, [{"id": "a\ud800", "x": 1}, {"id": "b"}], [], None))
        assert len(index) == 2
        index.learn(Changes(False, [], ["a\ud800"], None))
        assert len(index) == 1


@pytest.mark.parametrize(
    "odd",
    [
        "UPDATE known SET digest = 'abc'",
        "UPDATE known SET digest = 1e400",
        "UPDATE known SET digest = 7",
        "UPDATE known SET digest = x'ff'",
        "UPDATE known SET digest = ''",
        "UPDATE state SET position = 'abc'",
        "UPDATE state SET position = 1e400",
        "UPDATE state SET position = x'ff'",
        "UPDATE state SET position = replace(position, ': 5', ': 1e400')",
        "UPDATE state SET position = replace(position, ': 5', ': 9999999999999999999999')",
        "UPDATE state SET position = replace(position, ': 5', ': -5')",
        "DELETE FROM state",
        "DROP TABLE state",
        "DROP TABLE known",
    ],
)
def test_an_index_with_odd_values_is_used_as_far_as_it_goes(server, tmp_path, odd):
    """Records are sent again, or everything is read again; nothing fails."""
    record = make_record(1)
    row = (record["data"]["id"], digest(record["data"]))
    with RecordIndex(tmp_path, "http://kinto.test") as index:
        index.learn(Changes(True, [], [], Position("a", 5, 5, 5, 5)))
        index.mark_stored([row])
    with contextlib.closing(sqlite3.connect(index.path)) as database, database:
        database.execute(odd)
    server.answers = [each(200)]
    line = ndjson_compact([record]).rstrip()
    with RecordIndex(tmp_path, "http://kinto.test") as index:
        assert (index.position == Position()) is ("known SET" not in odd)
        with Publisher(client(), index=index, on_error=lambda sentence: None) as publisher:
            publisher.skip_known([line])
            publisher.add(record, "", line)
        assert publisher.counts.ok
        index.learn(Changes(True, [], [], Position("b", 6, 6, 6, 6)))
    with RecordIndex(tmp_path, "http://kinto.test") as index:
        assert index.position == Position("b", 6, 6, 6, 6)
