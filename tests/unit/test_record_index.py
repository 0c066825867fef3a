"""The index of what is on the server."""

from __future__ import annotations

from buildhub.kinto import Changes, PublishCounts, Publisher, RecordIndex
from tests.support.records import make_record
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
        index.preload(["a", "b", "new"])
        assert [index.digest(one) for one in ("a", "b", "c", "new")] == [b"1", b"2", b"3", None]
        index.mark_stored([("a", b"4"), ("new", b"5")])
        index.invalidate(["b"])
        assert [index.digest(one) for one in ("a", "b", "c", "new")] == [b"4", b"", b"3", b"5"]


def test_a_record_that_nobody_can_have_made_equals_nothing(tmp_path):
    with RecordIndex(tmp_path, "http://kinto.test") as index:
        index.learn(Changes(True, [{"id": "a", "note": "half of a pair: \ud800"}], [], None))
        assert index.digest("a") == b""
