"""Fuzzing of everything that reads what others write: it answers or complains, never crashes.

``pytest`` tries some examples of each target. ``make fuzz`` goes on for ``FUZZ_SECONDS`` with each,
600 unless set; hypothesis keeps what it finds in ``.hypothesis`` and tries it first the next time.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import functools
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import islice, pairwise
from pathlib import Path

import orjson
import pytest
import requests
import responses
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from buildhub.archive.client import Archive, FolderContents
from buildhub.archive.metadata_formats import FORMATS
from buildhub.builds.explain import explain
from buildhub.builds.recognise import Build, candidate_pattern, ending_pattern, recognise
from buildhub.errors import BadInput, BuildhubError
from buildhub.events.messages import FilePublished, unwrap
from buildhub.inventory.gcs import Bucket
from buildhub.inventory.listing import BucketListing
from buildhub.inventory.reader import InventoryReader
from buildhub.inventory.row_formats import Schema
from buildhub.inventory.s3_inventories import Manifest
from buildhub.inventory.selection import Selection
from buildhub.kinto.batch import send
from buildhub.kinto.client import Client
from buildhub.search.copy import Copy
from buildhub.search.language import OURS, SUCCESSORS, BadRequest, query_string
from buildhub.streams import blocks
from tests.fuzz.mutations import as_json, like, mutated
from tests.sample.selection import table
from tests.support.archive_metadata import Origin, candidate_metadata
from tests.support.kinto_server import running_kinto
from tests.support.raw_server import SameAnswer
from tests.support.s3_events import bridged, created, in_sns, in_sqs
from tests.support.search_copy import ask, copy_of
from tests.support.search_records import REQUESTS, catalogue
from tests.support.search_server import COLLECTION, running, until
from tests.support.search_server import OURS as SEARCH_OURS
from tests.support.search_server import SUCCESSORS as SEARCH_SUCCESSORS

SECONDS = float(os.environ.get("FUZZ_SECONDS", "0"))

SEARCH_BODIES = [one["body"] for one in REQUESTS]
SEARCHES = [json.dumps(body).encode() for body in SEARCH_BODIES]
KEYS = [key.encode() for key, _ in islice(table(), 0, None, 7)]
ROWS = [
    b'"b","%s","37219504","2017-07-13T23:37:23.000Z","ff391f7201575ab2ba518fce20d45596"\n'
    % key.replace(b" ", b"+")
    for key in KEYS[::50]
]
OTHER_INVENTORIES = [
    b"name,size,timeCreated\npub/firefox/releases/55.0/SHA1SUMS,1,2017-07-13T23:37:23Z\n",
    b"  12  2017-07-13T23:37:23Z  gs://b/pub/firefox/releases/55.0/mac/fr/Firefox 55.0.dmg\n",
    b"2017-07-13 23:37:23  12 pub/firefox/releases/55.0/mac/fr/Firefox 55.0.dmg\n",
]
KEY = "pub/firefox/releases/55.0/mac/fr/Firefox 55.0.dmg"
EVENTS = [
    created(KEY), in_sns(created(KEY)), in_sqs(created(KEY), in_sns(created(KEY))), bridged(KEY)
]  # fmt: skip
LISTING = {
    "prefixes": ["build1/", "fr/"],
    "files": [{"name": "a.json", "size": "12K", "last_modified": "2017-03-07T12:07:51Z"}],
}
PAGE = {
    "nextPageToken": "CgVhLmpzb24=",
    "prefixes": ["pub/firefox/releases/55.0/"],
    "items": [
        {
            "name": f"pub/firefox/releases/55.0/{name}",
            "size": "37219504",
            "timeCreated": "2017-07-13T23:37:23.000Z",
            "md5Hash": "/zkfcgF1Vqt0LNoPZX8Rlg==",
        }
        for name in ("SHA1SUMS", "mac/fr/Firefox 55.0.dmg")
    ],
}
MANIFEST = {
    "sourceBucket": "net-mozaws-prod-delivery-firefox",
    "fileFormat": "CSV",
    "fileSchema": "Bucket, Key, Size, LastModifiedDate, ETag",
    "files": [{"key": "a/b.csv.gz", "size": 8_000_000, "MD5checksum": "0" * 32}],
}
BATCH = {
    "responses": [
        {"status": 201, "headers": {"Retry-After": "0"}, "body": {"data": {"id": "a"}}},
        {"status": 200, "headers": {}, "body": {"message": "no", "error": "x"}},
    ]
}


def chunked(data: bytes, cuts: list[int]) -> Iterator[bytes]:
    """``data`` in pieces that end at ``cuts``."""
    positions = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    for start, end in pairwise(positions):
        yield data[start:end]


def read(data: bytes, cuts: list[int], schema: Schema | None) -> object:
    """All that a reader makes of the data."""
    reports: list[str] = []
    reader = InventoryReader(candidate_pattern(), schema, reports.append, ending=ending_pattern())
    try:
        rows = [r for found in reader.entries(blocks(chunked(data, cuts)), "a") for r in found]
    except BadInput as error:
        return str(error)
    assert reader.bad_rows == len(reports)
    return rows, reader.rows, reports


@given(
    st.lists(mutated(ROWS), max_size=8).map(b"".join) | mutated(OTHER_INVENTORIES),
    st.lists(st.integers(0, 1 << 20), max_size=6),
    st.sampled_from([None, Schema.parse("Bucket, Key, Size, LastModifiedDate, ETag")]),
)
def inventory_rows(data: bytes, cuts: list[int], schema: Schema | None) -> None:
    """Any chunking of any bytes gives the same rows, counts and reports."""
    assert read(data, cuts, schema) == read(data, [], schema)


@given(mutated(KEYS) | st.binary(max_size=60))
def keys(data: bytes) -> None:
    """A key is a build or not, and ``explain`` agrees; whatever is a build is found in a row."""
    key = data.decode("utf-8", "replace")
    build = recognise(key)
    assert build is None or isinstance(build, Build)
    assert explain(key).startswith("build:" if build else "no build:")
    if build:
        row = b'"b","' + key.replace(" ", "+").encode() + b'","1"'
        found = candidate_pattern().search(row)
        assert found
        assert found.end() in [ending.end() for ending in ending_pattern().finditer(row)]


METADATA = [
    file.body
    for file in candidate_metadata(
        "", Origin("firefox", "54.0", "win64", "20170608105825"), ["json", "buildhub"], date=""
    ).values()
]
METADATA += [
    b"20170608105825\nhttps://hg.mozilla.org/mozilla-central/rev/e832ed037a3c",
    b"2007091104 e832ed037a3c",
]


@given(mutated(METADATA), st.sampled_from(sorted(FORMATS)))
def metadata(data: bytes, ending: str) -> None:
    """A metadata file is understood or not; what comes out fits into a record."""
    found = FORMATS[ending](data, "firefox")
    if found:
        assert found.build["id"].isdecimal()
        json.dumps([found.build, found.source, found.channel]).encode("utf-8")


@given(st.one_of([like(event) for event in EVENTS]))
def events(event: object) -> None:
    """Any JSON is a list of messages."""
    published = [one for one in unwrap(event) if isinstance(one, FilePublished)]
    assert all(one.message is None or one.message for one in published)


@given(mutated([as_json(LISTING)]) | like(LISTING).map(as_json))
def listings(body: bytes) -> None:
    """A listing is read as far as it can be, or the archive is reported."""
    asyncio.run(_list(body))


async def _list(body: bytes) -> None:
    async with Archive(SERVER.answering(body), retries=0, timeout=10) as archive:
        with contextlib.suppress(BuildhubError):
            listing = await archive.listing("pub/firefox/")
            assert isinstance(listing, FolderContents)
            assert all(isinstance(name, str) for name in listing.files)


@given(mutated([as_json(PAGE)]) | like(PAGE).map(as_json))
def bucket_pages(body: bytes) -> None:
    """A page of the bucket gives whole rows and folders, or is reported as unreadable."""
    asyncio.run(_list_bucket(body))


async def _list_bucket(body: bytes) -> None:
    for since in (None, datetime(2017, 1, 1, tzinfo=UTC)):
        selection = Selection(["firefox"], since=since)
        async with Bucket("b", host=SERVER.answering(body).rstrip("/"), retries=0) as bucket:
            listing = BucketListing(bucket, selection, jobs=1, on_error=lambda sentence: None)
            with contextlib.suppress(BuildhubError):
                async with contextlib.aclosing(listing.blocks()) as blocks:
                    async for found in blocks:
                        assert all(line.count(b'"') == 10 for line in found.splitlines())
                        assert found.endswith(b"\n")


@given(mutated([as_json(MANIFEST)]) | like(MANIFEST).map(as_json))
def manifests(body: bytes) -> None:
    """A manifest is whole, or an error says what is wrong with it."""
    with contextlib.suppress(BuildhubError):
        found = Manifest.parse(body, "firefox", "2017-08-02T00-11Z", key="public/", where="here")
        assert found.files
        json.dumps([[file.key, file.md5] for file in found.files]).encode("utf-8")
        assert all(file.size >= 0 and file.key.encode("utf-8") for file in found.files)
        Schema.parse(", ".join(found.columns))


@given(mutated([as_json(BATCH)]) | like(BATCH).map(as_json), st.sampled_from([200, 400, 503]))
def kinto_answers(body: bytes, status: int) -> None:
    """Any answer to a batch is understood, or an error of ours."""
    with responses.RequestsMock() as server:
        server.add("POST", "http://kinto/v1/batch", body=body, status=status)
        client = Client("http://kinto/v1", "user:pass", "b", "c", retries=0)
        requests = [{"method": "PUT", "path": "/a"}, {"method": "PUT", "path": "/b"}]
        with contextlib.suppress(BuildhubError):
            assert len(send(client, requests)) == 2


@functools.cache
def search_copy() -> Copy:
    """A copy with a few records, for all searches."""
    folder = tempfile.TemporaryDirectory(prefix="fuzz")
    atexit.register(folder.cleanup)
    stack = contextlib.ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(copy_of(catalogue()[::60], Path(folder.name)))


@given(mutated(SEARCHES) | st.one_of([like(one) for one in SEARCH_BODIES]).map(as_json), st.text())
def searches(body: bytes, text: str) -> None:
    """A search is answered or refused, and changes nothing in the copy."""
    for dialect in (OURS, SUCCESSORS):
        with contextlib.suppress(BadRequest, orjson.JSONDecodeError):
            ask(search_copy(), orjson.loads(body), dialect)
    for query in (text, f"build.id:{text}", f'build.id="{text}"'):
        with contextlib.suppress(BadRequest):
            ask(search_copy(), {"query": query_string("q", query)}, OURS)
    assert search_copy().run("SELECT count(*) FROM records") == [(len(catalogue()[::60]),)]


@functools.cache
def search_server() -> str:
    """The address of a ``kinto-to-search`` that has a copy with one record."""
    stack = contextlib.ExitStack()
    atexit.register(stack.close)
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fuzz")))
    kinto = stack.enter_context(running_kinto(folder))
    kinto.make_collection()
    record = {"data": {"source": {"product": "firefox"}, "target": {"locale": "en-US"}}}
    kinto.call("PUT", f"{COLLECTION}/records/a", json=record)
    search = stack.enter_context(running(kinto.url, folder / "copy"))
    until(lambda: search.get("/__heartbeat__"))
    return search.url


@given(
    mutated(SEARCHES) | st.one_of([like(one) for one in SEARCH_BODIES]).map(as_json),
    st.text(st.characters(codec="utf-8"), max_size=50),
    st.sampled_from([SEARCH_SUCCESSORS, SEARCH_OURS]),
)
def searches_over_http(body: bytes, text: str, path: str) -> None:
    """A real server answers or refuses, and has the same record afterwards."""
    url = search_server() + path
    answers = [requests.post(url, data=body, timeout=60)]
    for query in ({"q": text}, {"q": f'build.id:"{text}"'}, {text: text}):
        answers.append(requests.get(url, params=query, timeout=60))
    for answer in answers:
        assert answer.status_code in (200, 400), answer.text
        assert ("hits" if answer.status_code == 200 else "error") in answer.json()
    assert requests.get(search_server() + SEARCH_OURS, timeout=60).json()["hits"]["total"] == 1


TARGETS: list[Callable[[], None]] = [
    inventory_rows, keys, metadata, events, listings, kinto_answers, bucket_pages, manifests,
    searches, searches_over_http,
]  # fmt: skip
SERVER = SameAnswer()


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.__name__)
def test_nothing_that_others_write_is_a_crash(target: Callable[[], None]) -> None:
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]
    # Each of the bucket's takes 0.1 s, as it makes a client; each search is several.
    usual = settings.default.max_examples
    slow = {bucket_pages: min(20, usual), searches: usual, searches_over_http: usual}
    examples = 2000 if SECONDS else slow.get(target, 100)
    run = settings(max_examples=examples, deadline=None, suppress_health_check=checks)(target)
    deadline = time.monotonic() + SECONDS
    with SERVER:
        run()
        while time.monotonic() < deadline:
            run()
