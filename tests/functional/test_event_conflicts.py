"""Another writer changes a record between the moments at which it is fetched and put."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from buildhub.events.handler import MAX_PUTS
from tests.support.archive_tree import candidate_tree
from tests.support.event_system import EventSystem
from tests.support.hostile.proxy import Exchange, Fault, HostileProxy
from tests.support.kinto_server import Kinto
from tests.support.pipeline_records import pipeline_records
from tests.support.s3_events import created, in_sqs

pytestmark = pytest.mark.functional

FOLDER = "pub/firefox/candidates/54.0-candidates/build1/win64"
CONTESTED = f"{FOLDER}/fr/Firefox Setup 54.0.exe"
OTHER = f"{FOLDER}/ja/Firefox Setup 54.0.exe"
ID = "firefox_54-0rc1_win64_fr"


class OtherWriter:
    """Changes the contested record just before each of our first ``times`` batches that put it."""

    def __init__(self, kinto: Kinto, times: int) -> None:
        self._kinto = kinto
        self._times = times
        self.puts = 0  #: of ours

    def forward(self, exchange: Exchange) -> bool:
        if exchange.method == "POST" and f"/{ID}".encode() in exchange.body:
            self.puts += 1
            if self.puts <= self._times:
                self._change()
        exchange.send(exchange.forward())
        return True

    def _change(self) -> None:
        """A record of another build at the same id, as an older run may write it."""
        path = f"/buckets/build-hub/collections/releases/records/{ID}"
        record = json.loads(json.dumps(RECORD))
        record["download"]["size"] = self.puts
        self._kinto.call("PUT", path, json={"data": record})


RECORD = {
    "id": ID,
    "source": {"product": "firefox"},
    "target": {"platform": "win64", "locale": "fr", "version": "54.0rc1", "channel": "release"},
    "download": {
        "url": f"https://archive.example/{CONTESTED}",
        "mimetype": "application/msdos-windows",
        "size": 0,
        "date": "2017-06-09T10:20:30Z",
    },
}


@contextmanager
def contested(kinto: Kinto, times: int) -> Iterator[tuple[OtherWriter, HostileProxy]]:
    """A Kinto on which somebody else writes as well."""
    writer = OtherWriter(kinto, times)
    with HostileProxy(kinto.url, [Fault("pass", writer.forward)], seed=0, rate=1) as proxy:
        yield writer, proxy


@pytest.mark.parametrize("times", [1, MAX_PUTS - 1])
def test_a_record_that_others_change_is_made_and_put_anew(system: EventSystem, times: int) -> None:
    system.archive.files.update(candidate_tree(platforms=("win64",)))
    with contested(system.kinto, times) as (writer, proxy):
        result = system.container(SERVER_URL=proxy.url).handle(in_sqs(created(CONTESTED, OTHER)))
    assert result.failed == 0
    assert writer.puts == times + 1
    truth = pipeline_records(system.archive)
    assert system.records() == {one: r for one, r in truth.items() if one.endswith(("fr", "ja"))}


def test_a_record_that_others_keep_changing_is_a_named_failure(system: EventSystem) -> None:
    """The message goes back to its queue; what else is in the event is stored."""
    system.archive.files.update(candidate_tree(platforms=("win64",)))
    with contested(system.kinto, 1000) as (writer, proxy):
        result = system.container(SERVER_URL=proxy.url).handle(
            in_sqs(created(CONTESTED), created(OTHER))
        )
    assert writer.puts == MAX_PUTS
    assert result.failures == {
        CONTESTED: f"{CONTESTED} is not stored: other writers keep changing it"
    }
    assert result.failed_messages == ["message-0"]
    records = system.records()
    assert records[ID]["download"]["size"] == MAX_PUTS  # that of the other writer
    assert (
        records[ID.replace("fr", "ja")] == pipeline_records(system.archive)[ID.replace("fr", "ja")]
    )
