"""Following a collection: what changed, and everything where the copy can't be trusted."""

from __future__ import annotations

import json
from collections.abc import Callable
from email.utils import formatdate
from typing import Any

import pytest
import responses

from buildhub.errors import Interrupted
from buildhub.kinto.refresh import Position, read_changes
from buildhub.signals import CancellationToken
from tests.support.stub_kinto import RECORDS, Answer, StubKinto, client

MINUTE = 60_000
DAY = 24 * 60 * MINUTE
NOW = 1_800_000_000_000


class Collection:
    """A collection that can be read in pages of two, and counted."""

    def __init__(self, mock: responses.RequestsMock) -> None:
        self.records: dict[str, dict[str, Any]] = {}
        self.asked: list[dict[str, str]] = []
        self.clock = NOW
        self.etag = 0
        self.with_date = True
        self.before_count: Callable[[], object] = lambda: None
        mock.add_callback("GET", RECORDS, self._list)
        mock.add_callback("HEAD", RECORDS, self._count)

    def put(self, *ids: str, at: int | None = None, **data: Any) -> None:
        """Store records now, or with a date ``at``."""
        for one in ids:
            self.clock += 1
            modified = self.clock if at is None else at
            self.records[one] = {"id": one, "last_modified": modified, **data}
            self.etag = max(self.etag, modified)

    def delete(self, record_id: str) -> None:
        self.put(record_id, deleted=True)

    def pass_time(self, milliseconds: int) -> None:
        self.clock += milliseconds

    @property
    def live(self) -> dict[str, dict[str, Any]]:
        return {id: one for id, one in self.records.items() if "deleted" not in one}

    def _headers(self) -> dict[str, str]:
        date = {"Date": formatdate(self.clock / 1000, usegmt=True)} if self.with_date else {}
        return {"ETag": f'"{self.etag}"', **date}

    def _list(self, request: Any) -> Answer:
        self.asked.append(request.params)
        chosen = self.live
        if since := request.params.get("_since"):
            if int(since) > self.clock + DAY:
                return 400, {}, "{}"
            chosen = {k: v for k, v in self.records.items() if v["last_modified"] > int(since)}
        after = json.loads(request.params.get("gt_id", '""'))
        rest = [chosen[one] for one in sorted(chosen) if one > after]
        more = {"Next-Page": "http://x"} if len(rest) > 2 else {}
        return 200, self._headers() | more, json.dumps({"data": rest[:2]})

    def _count(self, request: Any) -> Answer:
        self.before_count()
        return 200, self._headers() | {"Total-Records": str(len(self.live))}, ""


class Copy:
    """A copy of a collection that is kept up to date."""

    def __init__(self, collection: Collection) -> None:
        self.collection = collection
        self.records: dict[str, dict[str, Any]] = {}
        self.saved = ""

    def follow(
        self,
        on_page: Callable[[], None] = lambda: None,
        cancellation: CancellationToken | None = None,
    ) -> list[str]:
        r"""Read what changed; \`\`since\`\` or \`\`all\`\` for each pass."""
        self.collection.asked.clear()
        for changes in read_changes(
            client(cancellation=cancellation),
            Position.from_json(self.saved),
            count=lambda: len(self.records),
        ):
            if changes.restart:
                self.records.clear()
            self.records |= {one["id"]: one for one in changes.changed}
            for one in changes.deleted:
                self.records.pop(one, None)
            if changes.position:
                self.saved = changes.position.to_json()
            on_page()
        passes = [asked for asked in self.collection.asked if "gt_id" not in asked]
        return ["since" if "_since" in asked else "all" for asked in passes]

    @property
    def is_right(self) -> bool:
        return self.records == self.collection.live


@pytest.fixture
def collection(server: StubKinto) -> Collection:
    return Collection(server.mock)


@pytest.fixture
def copy(collection: Collection) -> Copy:
    """Of a collection that has seven records for an hour."""
    collection.put(*"abcdefg")
    collection.pass_time(60 * MINUTE)
    copy = Copy(collection)
    assert copy.follow() == ["all"]
    collection.pass_time(60 * MINUTE)
    return copy


@pytest.fixture
def stopped() -> CancellationToken:
    """A program that was asked to stop: it reads one more page."""
    token = CancellationToken()
    token.cancel()
    return token


def test_what_did_not_change_is_not_read_again(collection, copy):
    assert copy.follow() == ["since"]
    assert collection.asked == [{"_sort": "id", "_limit": "10000", "_since": str(NOW + 6)}]
    assert copy.is_right


def test_what_was_changed_created_and_deleted_is_read(collection, copy):
    collection.put("b", "h", note="new")
    collection.delete("c")
    collection.delete("g")  # the newest record that was read
    assert (copy.follow(), copy.is_right) == (["since"], True)


def test_a_first_reading_that_is_stopped_goes_on_where_it_was(collection, stopped):
    collection.put(*"abcdefg")
    copy = Copy(collection)
    with pytest.raises(Interrupted):
        copy.follow(cancellation=stopped)
    assert list(copy.records) == ["a", "b"]
    collection.put("a", note="changed meanwhile")
    collection.delete("b")
    copy.follow()
    assert collection.asked[0]["gt_id"] == '"b"'
    assert copy.is_right


def test_a_difference_that_is_stopped_is_read_again(collection, copy, stopped):
    collection.put(*"abc", note="new")
    with pytest.raises(Interrupted):
        copy.follow(cancellation=stopped)
    assert (copy.follow(), copy.is_right) == (["since"], True)


def test_a_record_that_others_store_meanwhile_does_not_make_it_read_everything_again(
    collection, copy
):
    """One comes between the last page and the count: it is in the next difference."""
    collection.before_count = lambda: collection.asked and collection.put("h")
    assert set(copy.follow()) == {"since"}
    collection.before_count = lambda: None
    assert (copy.follow(), copy.is_right) == (["since"], True)


def test_records_that_others_create_all_the_time_do_not_make_it_read_everything_again(
    collection, copy
):
    """There is one more at each count, so no count is that of the copy."""
    collection.before_count = lambda: collection.put(f"new-{collection.clock}")
    assert set(copy.follow()) == {"since"}
    collection.before_count = lambda: None
    assert (copy.follow(), copy.is_right) == (["since"], True)


def test_a_collection_that_others_fill_again_after_a_flush_is_noticed(collection, copy):
    """They write all the time, the newest record that was read first."""
    collection.records = {}
    collection.put("g", note="again")
    collection.before_count = lambda: collection.put(f"new-{collection.clock}")
    assert copy.follow()[:3] == ["since", "since", "all"]
    collection.before_count = lambda: None
    assert (copy.follow(), copy.is_right) == (["since"], True)


def test_what_changes_while_everything_is_read_is_read_too(collection):
    collection.put(*"abcdefg")
    copy = Copy(collection)
    changes = iter([lambda: collection.put("a", note="later")])
    copy.follow(lambda: next(changes, lambda: None)())
    assert copy.is_right


RESTORED = {
    "and nothing was written since": lambda collection: None,
    "and a record was written": lambda collection: collection.put("c", note="since"),
    "and one was created": lambda collection: collection.put("x"),
    "and one was deleted": lambda collection: collection.delete("e"),
}


@pytest.mark.parametrize("event", RESTORED.values(), ids=RESTORED)
@pytest.mark.parametrize("hours", [0, 5], ids=["at once", "later"])
def test_a_backup_that_was_restored_is_noticed(
    collection: Collection, copy: Copy, event: Callable[[Collection], None], hours: int
) -> None:
    """The collection's own time is later than what was read as soon as anybody writes."""
    backup = dict(collection.records), collection.etag
    collection.put("a", "d", note="after the backup")
    collection.pass_time(20 * MINUTE)
    assert copy.follow() == ["since"]
    collection.records, collection.etag = backup
    collection.pass_time(hours * 60 * MINUTE)
    event(collection)
    assert copy.follow() == ["since", "all"]
    assert copy.is_right


def test_a_collection_that_was_deleted_and_filled_again_is_noticed(collection, copy):
    collection.records = {}
    collection.put(*"gfedcba")
    collection.put(*"tuvwxyz")
    for one in "tuvwxyz":
        del collection.records[one]
    collection.put(*"abcdefg", note="other")
    copy.follow()
    assert copy.is_right


def test_a_collection_that_was_flushed_is_noticed(collection, copy):
    collection.records = {}
    copy.follow()
    assert copy.is_right


def test_a_transaction_that_ends_late_is_not_missed(collection, copy):
    """Its record is dated before others that were read already."""
    begun = collection.clock
    collection.pass_time(MINUTE)
    collection.put("b", note="meanwhile")
    collection.pass_time(3 * MINUTE)
    copy.follow()
    collection.put("c", at=begun, note="shown late")
    for _ in range(2):
        assert (copy.follow(), copy.is_right) == (["since"], True)


def test_what_was_stored_a_minute_ago_is_read_again_only_until_it_has_aged(collection):
    collection.put(*"abcdefg")
    copy = Copy(collection)
    copy.follow()
    read = []
    for _ in range(3):
        collection.pass_time(9 * MINUTE)
        assert copy.follow() == ["since"]
        read.append(len(collection.asked))
    assert read == [4, 4, 1]  # pages of two: seven records, seven, and the newest one


def test_a_record_that_no_difference_shows_is_found_nevertheless(collection, copy):
    """It was stored with a date of long ago. Everything is read, but only then."""
    collection.put("x", at=NOW - DAY)
    assert (copy.follow(), copy.is_right) == (["since", "all"], True)
    assert copy.follow() == ["since"]


def test_everything_is_read_again_after_a_week(collection, copy):
    collection.records["a"]["note"] = "changed where no difference shows it"
    for day in range(9):
        passes = copy.follow()
        assert passes == (["all"] if day == 7 else ["since"])
        collection.pass_time(DAY)
    assert copy.is_right


@pytest.mark.parametrize("with_date", [True, False])
def test_records_that_are_dated_ahead_are_no_hindrance(collection, copy, with_date):
    """Kinto refuses times that are more than a day ahead of its clock."""
    collection.with_date = with_date
    ahead = collection.clock + 90 * DAY
    for number, one in enumerate("bdfhik"):
        collection.put(one, at=ahead + number)
    for _ in range(3):
        copy.follow()
        assert copy.is_right
        collection.put("c", at=collection.etag + 1, note="after it")


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "{}", '{"newest": 1}', '{"newest": "abc"}', "[" * 100_000]
)
def test_a_position_that_is_unusable_is_the_beginning(text):
    assert Position.from_json(text) == Position()


def test_a_position_survives_as_text():
    position = Position("a", 1, 2, 3, 4, "b")
    assert Position.from_json(position.to_json()) == position
