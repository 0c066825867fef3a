"""A copy of the server that was kept between two runs is not believed where it is outdated."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from tests.support import postgres
from tests.support.kinto_server import Kinto, running_kinto
from tests.support.records import make_record, ndjson
from tests.support.to_kinto_command import (
    COLLECTION,
    RECORDS,
    Command,
    data_of,
    stored,
    summary,
    wait_for,
)

pytestmark = [pytest.mark.functional, pytest.mark.xdist_group("stale copies")]

slow = pytest.mark.slow  # the same promise, once more

MINUTE = 60_000
DAY = 24 * 60 * MINUTE

on_postgres = pytest.param(
    "PostgreSQL",
    marks=[
        pytest.mark.slow,
        pytest.mark.skipif(not postgres.programs(), reason="PostgreSQL is not installed"),
    ],
)


@pytest.fixture(scope="module")
def _postgres_kinto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kinto]:
    folder = tmp_path_factory.mktemp("postgres")
    with (
        postgres.running_postgres() as url,
        running_kinto(folder, postgres.kinto_settings(url)) as kinto,
    ):
        yield kinto


@pytest.fixture(params=["memory", on_postgres])
def to_kinto(request: pytest.FixtureRequest, tmp_path: Path) -> Command:
    """With an empty collection."""
    name = "_postgres_kinto" if request.param == "PostgreSQL" else "kinto"
    kinto: Kinto = request.getfixturevalue(name)
    restore(kinto, [])
    return Command(kinto, tmp_path)


def restore(kinto: Kinto, backup: Iterable[dict]) -> None:
    """Have these records, with the dates that they had, and nothing else."""
    kinto.flush()
    kinto.make_collection()
    for record in sorted(backup, key=lambda one: one["last_modified"]):
        kinto.call("PUT", f"{RECORDS}/{record['id']}", json={"data": record})


def dated(records: Iterable[dict], first: int) -> list[dict]:
    """Records as the server has them, a second apart."""
    return [one["data"] | {"last_modified": first + n * 1000} for n, one in enumerate(records)]


def now() -> int:
    return int(time.time() * 1000)


def nothing(kinto: Kinto) -> None:
    """Nobody wrote since."""


def another_record(kinto: Kinto) -> None:
    kinto.call("PUT", f"{RECORDS}/other", json={"data": {"x": 1}})


def an_old_record(kinto: Kinto) -> None:
    kinto.call("PATCH", f"{RECORDS}/{make_record(7)['data']['id']}", json={"data": {"x": 1}})


def an_old_record_and_back(kinto: Kinto) -> None:
    an_old_record(kinto)
    record = make_record(7)
    kinto.call("PUT", f"{RECORDS}/{record['data']['id']}", json=record)


@pytest.mark.parametrize(
    "write",
    [
        another_record,
        pytest.param(nothing, marks=slow),
        pytest.param(an_old_record, marks=slow),
        pytest.param(an_old_record_and_back, marks=slow),
    ],
)
@pytest.mark.parametrize("learned", ["by writing", pytest.param("by reading", marks=slow)])
def test_a_server_that_was_restored_from_a_backup_gets_every_update_again(
    to_kinto: Command, write: Callable[[Kinto], None], learned: str
) -> None:
    """Also if the updates were this run's own: they are not in the backup."""
    kinto = to_kinto.kinto
    records = [make_record(n) for n in range(20)]
    restore(kinto, dated(records, now() - DAY))
    assert to_kinto(ndjson(records), "--skip").stderr == summary(unchanged=20)
    backup = list(kinto.records().values())
    for record in records[:5]:
        record["data"]["download"]["size"] += 1
    if learned == "by reading":
        to_kinto(ndjson(records))
    to_kinto(ndjson(records), "--skip")
    restore(kinto, backup)
    write(kinto)
    assert to_kinto(ndjson(records), "--check").returncode == 1
    assert b" 5 updated" in to_kinto(ndjson(records), "--skip").stderr or write is an_old_record
    kept = [one for one in stored(kinto) if one["id"] != "other"]
    assert kept == data_of(*records)
    assert to_kinto(ndjson(records), "--check").returncode == 0


def test_a_backup_that_is_restored_in_the_middle_of_a_run_is_noticed_by_the_next(
    to_kinto: Command,
) -> None:
    """The records that the run stored before are gone, those that it stored after it are there."""
    kinto = to_kinto.kinto
    records = [make_record(n) for n in range(50)]
    restore(kinto, dated(records, now() - DAY))
    to_kinto(ndjson(records), "--skip")
    backup = list(kinto.records().values())
    for record in records:
        record["data"]["download"]["size"] += 1
    with to_kinto.start("--skip") as process:
        process.stdin.write(ndjson(records[:25]))
        process.stdin.flush()
        wait_for(lambda: sum(map(is_new, kinto.records().values())) == 25)
        restore(kinto, backup)
        process.stdin.write(ndjson(records[25:]))
        _, messages = process.communicate()
    assert messages == summary(updated=50)
    assert to_kinto(ndjson(records), "--skip").stderr == summary(updated=25, unchanged=25)
    assert stored(kinto) == data_of(*records)


def is_new(record: dict) -> bool:
    return record["last_modified"] > now() - 10 * MINUTE


def test_a_record_whose_transaction_ended_late_is_compared_as_it_is(to_kinto: Command) -> None:
    """It is dated minutes before others that had been read already."""
    kinto = to_kinto.kinto
    records = [make_record(n) for n in range(20)]
    restore(kinto, dated(records, now() - 9 * MINUTE))
    assert to_kinto(ndjson(records), "--skip").stderr == summary(unchanged=20)
    late = records[3]["data"] | {"note": "late", "last_modified": now() - 9 * MINUTE + 4500}
    kinto.call("PUT", f"{RECORDS}/{late['id']}", json={"data": late})
    assert kinto.records()[late["id"]]["last_modified"] == late["last_modified"]
    assert to_kinto(ndjson(records), "--skip").stderr == summary(updated=1, unchanged=19)
    assert stored(kinto) == data_of(*records)


@pytest.mark.parametrize("days", [2, pytest.param(400, marks=slow)])
def test_a_record_that_is_dated_ahead_is_no_hindrance(to_kinto: Command, days: int) -> None:
    """Kinto refuses times that are more than a day ahead of its clock, also in its own tokens."""
    kinto = to_kinto.kinto
    records = [make_record(n) for n in range(30)]
    restore(kinto, dated(records[:10], now() + days * DAY))
    assert to_kinto(ndjson(records), "--skip").stderr == summary(created=20, unchanged=10)
    records[5]["data"]["download"]["size"] += 1
    assert to_kinto(ndjson(records), "--skip").stderr == summary(updated=1, unchanged=29)
    kinto.call("DELETE", f"{RECORDS}/{records[9]['data']['id']}")
    assert to_kinto(ndjson(records), "--skip").stderr == summary(created=1, unchanged=29)
    assert stored(kinto) == data_of(*records)


def test_a_collection_that_was_deleted_and_filled_again_is_noticed(to_kinto: Command) -> None:
    """By somebody else, with as many records, of which one differs."""
    kinto = to_kinto.kinto
    records = [make_record(n) for n in range(10)]
    to_kinto(ndjson(records), "--skip")
    kinto.call("DELETE", COLLECTION)
    kinto.make_collection()
    changed = make_record(3, note="other")
    to_kinto(ndjson([*records[:3], changed, *records[4:]]))
    assert to_kinto(ndjson(records), "--skip").stderr == summary(updated=1, unchanged=9)
    assert stored(kinto) == data_of(*records)
