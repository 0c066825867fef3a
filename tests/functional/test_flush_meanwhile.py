"""A collection that is flushed or deleted while ``to-kinto`` writes: never exit 0 with a gap."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support import commands
from tests.support.hostile.proxy import Exchange, Fault, HostileProxy
from tests.support.kinto_server import Kinto
from tests.support.records import make_record, ndjson

pytestmark = pytest.mark.functional

COMMAND = Path(sys.executable).with_name("to-kinto")
BUCKET = "/buckets/build-hub"
COLLECTION = f"{BUCKET}/collections/releases"
RECORDS = [make_record(number) for number in range(100)]

Event = Callable[[Kinto], Any]


def flush(kinto: Kinto) -> None:
    kinto.flush()


def flush_and_make_anew(kinto: Kinto) -> None:
    kinto.flush()
    kinto.make_collection()


def delete_collection(kinto: Kinto) -> None:
    kinto.call("DELETE", COLLECTION)


def delete_collection_and_make_anew(kinto: Kinto) -> None:
    kinto.call("DELETE", COLLECTION)
    kinto.make_collection()


def delete_bucket_and_make_anew(kinto: Kinto) -> None:
    kinto.call("DELETE", BUCKET)
    kinto.make_collection()


def once_after(method: str, path: str, number: int, event: Event, kinto: Kinto) -> Fault:
    """Something that happens to the server after the ``number``-th such request."""
    seen: list[str] = []

    def forward(exchange: Exchange) -> bool:
        response = exchange.forward()
        if exchange.method == method and path in exchange.path:
            seen.append(exchange.path)
            if len(seen) == number:
                event(kinto)
        exchange.send(response)
        return True

    return Fault("once", forward)


def to_kinto(url: str, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    environment = {"SERVER_URL": url, "CACHE_FOLDER": str(folder)}
    return commands.run(["to-kinto", *options], input=ndjson(RECORDS), env=environment, text=True)


def through(fault: Fault, kinto: Kinto, folder: Path, *options: str) -> tuple[int, str]:
    """Status and last sentence of ``to-kinto`` through a proxy where ``fault`` happens."""
    with HostileProxy(kinto.url, [fault], seed=1, rate=1) as proxy:
        done = to_kinto(proxy.url, folder, *options)
    return done.returncode, done.stderr


@pytest.mark.parametrize("options", [(), ("--skip",)], ids=["all", "skip"])
@pytest.mark.parametrize(
    "event",
    [
        flush,
        pytest.param(flush_and_make_anew, marks=pytest.mark.slow),
        delete_collection,
        pytest.param(delete_collection_and_make_anew, marks=pytest.mark.slow),
        pytest.param(delete_bucket_and_make_anew, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("batch", [2, 4], ids=["in the middle", "after the last batch"])
def test_a_collection_that_vanishes_is_reported_and_the_next_run_stores_everything(
    kinto: Kinto, tmp_path: Path, batch: int, event: Event, options: tuple[str, ...]
) -> None:
    kinto.make_collection()
    fault = once_after("POST", "/batch", batch, event, kinto)
    status, stderr = through(fault, kinto, tmp_path, *options)
    assert status == 1
    assert "was flushed or deleted" in stderr or "has no collection" in stderr
    kinto.make_collection()
    assert to_kinto(kinto.url, tmp_path, *options).returncode == 0
    assert len(kinto.records()) == len(RECORDS)


def test_with_skip_a_flush_is_noticed_though_nothing_has_to_be_sent(
    kinto: Kinto, tmp_path: Path
) -> None:
    kinto.make_collection()
    assert to_kinto(kinto.url, tmp_path).returncode == 0
    fault = once_after("HEAD", "/records", 2, flush_and_make_anew, kinto)
    status, stderr = through(fault, kinto, tmp_path, "--skip")
    assert status == 1
    assert "100 unchanged" in stderr
    assert "was flushed or deleted" in stderr


@pytest.mark.parametrize("options", [(), ("--skip",)], ids=["all", "skip"])
def test_a_record_that_somebody_deletes_meanwhile_is_not_taken_for_a_flush(
    kinto: Kinto, tmp_path: Path, options: tuple[str, ...]
) -> None:
    def delete_first(kinto: Kinto) -> None:
        kinto.call("DELETE", f"{COLLECTION}/records/{RECORDS[0]['data']['id']}")

    kinto.make_collection()
    fault = once_after("POST", "/batch", 2, delete_first, kinto)
    status, stderr = through(fault, kinto, tmp_path, *options)
    assert (status, stderr.startswith("to-kinto: 100 created")) == (0, True)
