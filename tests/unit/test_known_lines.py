"""Lines that were found equal once are recognised without decoding them, as long as they are."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from buildhub import records
from buildhub.archive.metadata_formats import Metadata
from buildhub.builds.recognise import recognise
from buildhub.kinto.publisher import PublishCounts, Publisher
from buildhub.kinto.record_index import DIGEST_SIZE, RecordIndex, differs, digest, id_in
from buildhub.kinto.refresh import Changes
from tests.support.records import make_record, ndjson_compact
from tests.support.stub_kinto import StubKinto, client, each

RECORD = make_record(1)
ID = RECORD["data"]["id"]
DIGEST = digest(RECORD["data"])
LINE = ndjson_compact([RECORD]).rstrip()
OTHER = ndjson_compact([make_record(2)]).rstrip()
CHANGED = LINE.replace(b'"number":5', b'"number":6')
ANOTHER_DATE = LINE.replace(b"2017-06-14T00:41:56Z", b"2024-05-06T07:08:09Z")


@pytest.fixture
def index(tmp_path: Path) -> Iterator[RecordIndex]:
    """The server has what is in LINE."""
    with RecordIndex(tmp_path, "http://kinto.test") as index:
        index.mark_stored([(ID, DIGEST)])
        yield index


@pytest.fixture
def publisher(index: RecordIndex, server: StubKinto) -> Iterator[Publisher]:
    server.answers = [each(200, 200, 200)]
    with Publisher(client(), index=index, on_error=lambda sentence: None) as publisher:
        yield publisher


def add(publisher: Publisher, line: bytes) -> None:
    publisher.add(orjson.loads(line), "", line)


def test_a_record_begins_with_its_id():
    """As ``inventory-to-records`` prints it."""
    build = recognise("pub/firefox/releases/55.0/win64/fr/Firefox Setup 55.0.exe")
    assert build
    metadata = Metadata({}, {"product": "firefox"}, None)
    record = records.make_record(build, metadata, url="", size=1, date="")
    assert id_in(orjson.dumps(record)) == build.id


@pytest.mark.parametrize(
    ("line", "record_id"),
    [
        (b'{"data":{"id":"a_B-1","x":1}}', "a_B-1"),
        (b'{"data":{"id":"a"', "a"),
        (b'{"data": {"id":"a"}}', ""),
        (b' {"data":{"id":"a"}}', ""),
        (b'{"data":{"id": "a"}}', ""),
        (b'{"data":{"x":1,"id":"a"}}', ""),
        (b'{"data":{"id":"a\\u0062"}}', ""),
        (b'{"data":{"id":"a\\"b"}}', ""),
        (b'{"data":{"id":"a b"}}', ""),
        (b'{"data":{"id":"\xc3\xa9"}}', ""),
        (b'{"data":{"id":"\xff"}}', ""),
        (b'{"data":{"id":"a\x00"}}', ""),
        (b'{"data":{"id":""}}', ""),
        (b'{"data":{"id":7}}', ""),
        (b"", ""),
        (b"hello", ""),
    ],
)
def test_the_id_is_taken_from_the_beginning_of_a_line_or_not_at_all(line, record_id):
    assert id_in(line) == record_id


def test_a_line_is_known_once_its_record_was_found_equal(publisher, index):
    assert not publisher.skip_known([LINE])
    assert publisher.counts == PublishCounts()
    add(publisher, LINE)
    index.mark_stored([])  # writes what is to be remembered
    assert publisher.skip_known([LINE, LINE])
    assert publisher.counts == PublishCounts(unchanged=3)


@pytest.mark.parametrize(
    ("line", "known"),
    [
        (LINE, True),
        (ANOTHER_DATE, True),
        (LINE.replace(b',"ld":"link.exe"', b""), True),
        (LINE.replace(b"}}", b"} }"), True),
        (LINE + b"\r", True),
        (LINE[:-2] + b',"last_modified":7}}', True),
        # What is decoded is the last of two.
        (b'{"data":{"id":"x"},' + LINE[1:], False),
        (LINE.replace(b'"data":{', b'"data":{"id":"x",'), False),
        (CHANGED[:-1] + b"," + LINE[1:], True),
        (LINE[:-1] + b"," + CHANGED[1:], False),
        # Equal, but not what our own commands print.
        (LINE.replace(b":{", b": {", 1), False),
        (LINE.replace(b"firefox_beta", b"firefox\\u005fbeta", 1), False),
        (CHANGED, False),
        (OTHER, False),
    ],
)
def test_only_what_was_found_equal_is_known_the_next_time(publisher, index, line, known):
    add(publisher, line)
    publisher.flush()
    index.mark_stored([])
    assert publisher.skip_known([line]) is known
    for another in {LINE, CHANGED, ANOTHER_DATE, OTHER} - {line}:
        assert not publisher.skip_known([another])


def stored(index: RecordIndex) -> None:
    index.mark_stored([(ID, DIGEST)])


def stored_differently(index: RecordIndex) -> None:
    index.mark_stored([(ID, digest(orjson.loads(CHANGED)["data"]))])


def perhaps_stored(index: RecordIndex) -> None:
    index.invalidate([ID])


def changed_by_others(index: RecordIndex) -> None:
    index.learn(Changes(False, [{"last_modified": 5, **orjson.loads(CHANGED)["data"]}], [], None))


def deleted_by_others(index: RecordIndex) -> None:
    index.learn(Changes(False, [], [ID], None))


def forgotten(index: RecordIndex) -> None:
    index.learn(Changes(True, [], [], None))


def replaced_by_an_older_buildhub(index: RecordIndex) -> None:
    """An index that knows nothing of lines."""
    index.mark_stored([])
    with sqlite3.connect(index.path) as database:
        database.execute("INSERT OR REPLACE INTO known VALUES (?, ?)", (ID, DIGEST))
    database.close()


CHANGES = [
    stored,
    stored_differently,
    perhaps_stored,
    changed_by_others,
    deleted_by_others,
    forgotten,
    replaced_by_an_older_buildhub,
]


@pytest.mark.parametrize("written", [True, False], ids=["written", "not written yet"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_line_is_forgotten_when_its_record_changes(
    index: RecordIndex, change: Callable[[RecordIndex], None], written: bool
) -> None:
    index.remember_line(ID, LINE)
    if written:
        index.mark_stored([])
        assert index.ids_if_equal([LINE]) == [ID]
    change(index)
    assert index.ids_if_equal([LINE]) == []
    index.mark_stored([])
    assert index.ids_if_equal([LINE]) == []


@pytest.mark.parametrize("known", [None, b""], ids=["unknown", "perhaps stored"])
def test_no_line_is_remembered_of_what_the_server_may_not_have(index, known):
    index.mark_stored([] if known is None else [("x", known)])
    index.remember_line("x", b'{"data":{"id":"x"}}')
    index.mark_stored([])
    assert (index.digest("x"), index.ids_if_equal([b'{"data":{"id":"x"}}'])) == (known, [])


@pytest.mark.parametrize("line", [LINE.replace(b":", b": "), CHANGED.replace(b"firefox", b"x", 1)])
def test_a_line_that_could_not_be_looked_up_replaces_none(index, line):
    index.remember_line(ID, LINE)
    index.remember_line(ID, line)
    index.mark_stored([])
    assert index.ids_if_equal([LINE]) == [ID]


def test_a_digest_is_the_same_with_and_without_a_line(index):
    """Also for an older version of buildhub, which finds both where the digest alone was."""
    index.remember_line(ID, LINE)
    index.mark_stored([])
    assert index.digest(ID) == DIGEST
    with sqlite3.connect(index.path) as database:
        ((row,),) = database.execute("SELECT digest FROM known")
    database.close()
    assert len(row) > DIGEST_SIZE
    assert not differs(row, DIGEST)
    assert differs(row, digest(orjson.loads(CHANGED)["data"]))


def test_lines_are_known_to_the_next_run(index, tmp_path):
    index.remember_line(ID, LINE)
    index.close()
    with RecordIndex(tmp_path, "http://kinto.test") as again:
        assert again.ids_if_equal([LINE]) == [ID]


def test_of_many_lines_a_killed_run_loses_only_the_last(index, tmp_path):
    many = [make_record(number) for number in range(10_500)]
    index.mark_stored([(one["data"]["id"], digest(one["data"])) for one in many])
    for one in many:
        index.remember_line(one["data"]["id"], ndjson_compact([one]).rstrip())
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in tmp_path.glob("buildhub*"):
        (copy / file.name).write_bytes(file.read_bytes())
    with RecordIndex(copy, "http://kinto.test") as second:
        known = [bool(second.ids_if_equal([ndjson_compact([one]).rstrip()])) for one in many]
    assert all(known[:10_000])
    assert not any(known[10_000:])


@pytest.mark.parametrize(
    ("batch", "unknown"),
    [
        ([LINE, OTHER], "another record"),
        ([LINE, CHANGED], "another version"),
        ([CHANGED, LINE], "another version"),
        ([LINE, b"hello"], "a bad line"),
        ([LINE, b" "], "a blank line"),
        ([LINE, b'{"data":{"x":1}}'], "no id"),
        ([], "nothing"),
    ],
)
def test_lines_are_skipped_only_if_all_are_known(publisher, index, batch, unknown):
    index.remember_line(ID, LINE)
    index.mark_stored([])
    assert not publisher.skip_known(batch), unknown
    assert publisher.counts == PublishCounts()


def test_a_line_is_not_skipped_while_another_version_is_on_its_way(publisher, index, server):
    """Of one id, the last counts: open, in flight, and when it is stored."""
    index.remember_line(ID, LINE)
    index.mark_stored([])
    add(publisher, CHANGED)
    assert not publisher.skip_known([LINE])
    add(publisher, OTHER)
    add(publisher, OTHER)  # fills the batch
    assert not publisher.skip_known([LINE])
    publisher.flush()
    assert not publisher.skip_known([LINE])
    add(publisher, LINE)
    publisher.flush()
    assert server.ids()[-1] == [ID]
    assert publisher.counts == PublishCounts(created=0, updated=4)


def test_what_is_sent_nevertheless_is_not_remembered(publisher, index):
    """LINE equals what is known of the server, but has to be stored again after CHANGED."""
    add(publisher, CHANGED)
    add(publisher, LINE)
    publisher.flush()
    index.mark_stored([])
    assert index.ids_if_equal([LINE]) == []
    assert publisher.counts == PublishCounts(updated=2)


def test_a_line_whose_record_may_have_been_replaced_is_sent_again(index, server):
    index.remember_line(ID, LINE)
    server.answers = [(503, {}, {}), each(200)]
    with Publisher(client(retries=0), index=index, on_error=lambda _: None) as publisher:
        add(publisher, CHANGED)
        publisher.flush()
        assert not publisher.skip_known([LINE])
        add(publisher, LINE)
    assert publisher.counts == PublishCounts(updated=1, failed=1)


@pytest.mark.parametrize(
    ("options", "skipped"), [({}, True), ({"dry_run": True}, True), ({"rewrite": True}, False)]
)
def test_known_lines_are_skipped_unless_all_is_written(
    index: RecordIndex, server: StubKinto, options: dict[str, Any], skipped: bool
) -> None:
    index.remember_line(ID, LINE)
    index.mark_stored([])
    with Publisher(client(), index=index, on_error=lambda _: None, **options) as publisher:
        assert publisher.skip_known([LINE]) is skipped
    assert publisher.counts == PublishCounts(unchanged=int(skipped))


def test_without_an_index_no_line_is_known(server):
    with Publisher(client(), index=None, on_error=lambda _: None) as publisher:
        assert not publisher.skip_known([LINE])
