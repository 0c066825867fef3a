"""Finding the newest inventory in a real S3 API on loopback."""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import threading
import time
from collections.abc import Iterator

import pytest

from buildhub.errors import BadInput, Fatal, Unreachable
from buildhub.inventory.s3_inventories import Inventories, ObjectNotFound
from tests.support import s3_bucket
from tests.support.hostile.faults import changed, cut_at, slow_down
from tests.support.hostile.proxy import HostileProxy
from tests.support.raw_server import Answer, response, serving
from tests.support.s3_bucket import BUCKET, PREFIX, Bucket, archive_inventories

pytestmark = pytest.mark.functional

FILES = [s3_bucket.packed(b'"b","k","1","2017-08-01T00:00:00.000Z","e"\n')]


@pytest.fixture
def proxy(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> Iterator[HostileProxy]:
    with HostileProxy(bucket.url) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        yield proxy


@pytest.fixture
def inventories(proxy: HostileProxy) -> Inventories:
    return archive_inventories(timeout_seconds=5, retries=3)


def test_the_newest_date_is_taken_whatever_lies_beside_it(
    bucket: Bucket, inventories: Inventories
) -> None:
    bucket.add_inventory("firefox", "2017-08-01T00-12Z", [b"old"])
    (key,) = bucket.add_inventory("firefox", "2017-08-02T00-11Z", FILES)
    bucket.add_inventory("archive", "2017-08-03T00-10Z", [b"another inventory"])
    for sibling in ("zzz", "2018-01-01", "2018-01-01T00-00Z.old", "dt=2018-01-01T00-00Z"):
        bucket.put(f"{PREFIX.format('firefox')}{sibling}/manifest.json", b"{}")

    manifest = inventories.newest_manifest("firefox")

    assert manifest.date == "2017-08-02T00-11Z"
    assert manifest.source_bucket == "net-mozaws-prod-delivery-firefox"
    assert manifest.columns == ("Bucket", "Key", "Size", "LastModifiedDate", "ETag")
    assert [(file.key, file.size) for file in manifest.files] == [(key, len(FILES[0]))]


def test_all_pages_of_a_listing_are_read(
    bucket: Bucket,
    proxy: HostileProxy,
    inventories: Inventories,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for day in range(1, 8):
        bucket.add_inventory("archive", f"2017-08-0{day}T00-11Z", FILES)
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "2")

    assert inventories.newest_manifest("archive").date == "2017-08-07T00-11Z"
    assert len(proxy.fetched("list-type=2")) > 3


def test_a_date_without_a_manifest_yet_means_the_one_before(
    bucket: Bucket, inventories: Inventories
) -> None:
    bucket.add_inventory("firefox", "2017-08-01T00-12Z", FILES)
    bucket.put(f"{PREFIX.format('firefox')}2017-08-02T00-11Z/manifest.checksum", b"")

    assert inventories.newest_manifest("firefox").date == "2017-08-01T00-12Z"


def test_one_day_can_be_requested(bucket: Bucket, inventories: Inventories) -> None:
    """An invocation of the Lambda goes on where the one before stopped, also after midnight."""
    bucket.add_inventory("firefox", "2017-08-01T00-12Z", FILES)
    bucket.add_inventory("firefox", "2017-08-02T00-11Z", FILES)

    assert inventories.manifest_of("firefox", "2017-08-01T00-12Z").date == "2017-08-01T00-12Z"
    with pytest.raises(ObjectNotFound, match=r"2017-07-31T00-12Z/manifest\.json is not there"):
        inventories.manifest_of("firefox", "2017-07-31T00-12Z")
    with pytest.raises(BadInput, match="'hive' is not the date of an inventory"):
        inventories.manifest_of("firefox", "hive")


def test_an_unknown_inventory_is_one_sentence_with_advice(
    bucket: Bucket, inventories: Inventories
) -> None:
    bucket.add_inventory("firefox", "2017-08-01T00-12Z", FILES)

    with pytest.raises(Fatal, match=r"No inventory thunderbird below http.*check INVENTORIES"):
        inventories.newest_manifest("thunderbird")


def test_dates_that_all_lack_a_manifest_are_one_sentence(
    bucket: Bucket, inventories: Inventories
) -> None:
    for day in ("01", "02"):
        bucket.put(f"{PREFIX.format('firefox')}2017-08-{day}T00-12Z/x", b"")

    with pytest.raises(Fatal, match=r"none of its newest 2 folders has a manifest\.json"):
        inventories.newest_manifest("firefox")


@pytest.mark.parametrize("file_format", ["ORC", "Parquet"])
def test_a_format_that_cannot_be_read_is_refused(
    bucket: Bucket, inventories: Inventories, file_format: str
) -> None:
    bucket.add_inventory("firefox", "2017-08-01T00-12Z", FILES, fileFormat=file_format)

    with pytest.raises(Fatal, match=f"files are {file_format}, but only CSV"):
        inventories.newest_manifest("firefox")


def test_a_malformed_manifest_is_a_sentence_with_its_address(
    bucket: Bucket, inventories: Inventories
) -> None:
    key = f"{PREFIX.format('firefox')}2017-08-01T00-12Z/manifest.json"
    bucket.put(key, b"<html>")

    with pytest.raises(BadInput, match=rf"{BUCKET}/{key} is not an inventory manifest"):
        inventories.newest_manifest("firefox")


def test_s3_may_be_busy_for_a_while(
    bucket: Bucket, proxy: HostileProxy, inventories: Inventories
) -> None:
    bucket.add_inventory("firefox", "2017-08-01T00-12Z", FILES)
    proxy.fault("list-type=2", slow_down, slow_down)
    proxy.fault("manifest.json", slow_down)

    assert inventories.newest_manifest("firefox").date == "2017-08-01T00-12Z"


def test_a_manifest_may_break_off(
    bucket: Bucket, proxy: HostileProxy, inventories: Inventories
) -> None:
    bucket.add_inventory("firefox", "2017-08-01T00-12Z", FILES)
    proxy.fault("manifest.json", cut_at(10), cut_at(0))

    assert inventories.newest_manifest("firefox").date == "2017-08-01T00-12Z"


def test_s3_that_stays_busy_is_a_sentence(bucket: Bucket, proxy: HostileProxy) -> None:
    proxy.fault("list-type=2", *[slow_down] * 2)

    with pytest.raises(Unreachable, match=rf"{proxy.url}/{BUCKET}/.* answers 503 SlowDown"):
        archive_inventories(timeout_seconds=5, retries=1).newest_manifest("firefox")


def test_no_server_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")

    with pytest.raises(Unreachable, match=r"http://127\.0\.0\.1:9/.* does not answer"):
        archive_inventories(timeout_seconds=1, retries=0).newest_manifest("firefox")


def test_another_server_than_s3_is_a_sentence(
    bucket: Bucket, proxy: HostileProxy, inventories: Inventories
) -> None:
    proxy.fault("list-type=2", changed(lambda page: page._replace(status=404, body=b"<html>hello")))

    with pytest.raises((Fatal, Unreachable), match="AWS_ENDPOINT_URL"):
        inventories.newest_manifest("firefox")


@pytest.mark.parametrize(
    ("name", "value"), [("AWS_ENDPOINT_URL", "nowhere"), ("AWS_PROFILE", "no-such-profile")]
)
def test_aws_settings_that_cannot_be_used_are_a_sentence(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(Fatal, match="AWS's own settings"):
        archive_inventories(timeout_seconds=1, retries=0)


# Servers that behave badly on purpose


def cut(connection: socket.socket, request: bytes) -> bool:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n<?xml version='1.0'?><List")
    return False


def cut_error(connection: socket.socket, request: bytes) -> bool:
    connection.sendall(
        b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 5000\r\n\r\n<Error><Code>Acc"
    )
    return False


def half_a_chunk(connection: socket.socket, request: bytes) -> bool:
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n<List")
    return False


def reset(connection: socket.socket, request: bytes) -> bool:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return False


def nonsense(connection: socket.socket, request: bytes) -> bool:
    connection.sendall(response(b"<html>\0<b>not XML"))
    return True


def not_http(connection: socket.socket, request: bytes) -> bool:
    connection.sendall(b"220 mail.example.org ESMTP\r\n\r\n")
    return False


def trickling(connection: socket.socket, request: bytes) -> bool:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n")
    with contextlib.suppress(OSError):
        while True:
            connection.sendall(b" ")
            time.sleep(0.1)
    return False


@pytest.mark.parametrize(
    "answer", [cut, cut_error, half_a_chunk, reset, nonsense, not_http, trickling]
)
def test_a_listing_that_breaks_is_tried_again_and_then_a_sentence(
    answer: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(answer) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url.rstrip("/"))
        with pytest.raises(Unreachable, match=rf"{server.url}.*check the network and AWS_ENDPOINT"):
            archive_inventories(timeout_seconds=0.5, retries=1).newest_manifest("firefox")
        assert len(server.requests) == 2


def test_a_refusal_that_is_cut_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(connection: socket.socket, request: bytes) -> bool:
        connection.sendall(
            b"HTTP/1.1 403 Forbidden\r\nContent-Length: 5000\r\n\r\n<Error><Code>Acc"
        )
        return False

    with serving(refused) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url.rstrip("/"))
        with pytest.raises(Fatal, match=r"answers 403 .*the bucket is public"):
            archive_inventories(timeout_seconds=5, retries=1).newest_manifest("firefox")


@pytest.mark.parametrize(
    "answer",
    [
        cut,
        cut_error,
        half_a_chunk,
        reset,
        not_http,
        pytest.param(trickling, marks=pytest.mark.slow),
    ],
)
def test_a_listing_may_break_once(
    bucket: Bucket, answer: Answer, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket.add_inventory("firefox", "2017-08-01T00-12Z", FILES)
    host, port = bucket.url.removeprefix("http://").split(":")
    broken = threading.Event()

    def once(connection: socket.socket, request: bytes) -> bool:
        if not broken.is_set():
            broken.set()
            return answer(connection, request)
        with socket.create_connection((host, int(port))) as server:
            head = re.sub(rb"(?i)\r\nconnection: [^\r]*", b"", request)
            server.sendall(head + b"\r\nConnection: close\r\n\r\n")
            while data := server.recv(1 << 16):
                connection.sendall(data)
        return False

    with serving(once) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url.rstrip("/"))
        manifest = archive_inventories(timeout_seconds=5, retries=2).newest_manifest("firefox")
    assert manifest.date == "2017-08-01T00-12Z"
