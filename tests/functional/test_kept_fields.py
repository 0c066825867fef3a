"""A tool of the toolchain or a sum that is stored, and not known any more, outlives every write."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from buildhub.kinto.batch import fetch_stored, put_if_unchanged
from buildhub.kinto.client import Client
from buildhub.kinto.initialization import definition, initialize
from tests.support.kinto_server import Kinto
from tests.support.records import make_record, ndjson
from tests.support.to_kinto_command import COLLECTION, Command, summary

pytestmark = pytest.mark.functional

SUM = "0123456789abcdef" * 4


def with_sum(record: dict[str, Any]) -> dict[str, Any]:
    record["data"]["download"]["sha256"] = SUM
    return record


def rich(number: int) -> dict[str, Any]:
    return with_sum(make_record(number))


def poor(number: int, build_number: int = 6) -> dict[str, Any]:
    """Returns the records of a year later, with changes."""
    record = make_record(number)
    del record["data"]["build"]["ld"], record["data"]["build"]["cc"]
    record["data"]["build"]["number"] = build_number
    return record


@pytest.fixture
def client(kinto: Kinto) -> Client:
    client = Client(kinto.url, "user:pass", "build-hub", "releases")
    initialize(client)
    return client


Write = Callable[[Command, Client, list[dict[str, Any]]], None]


def to_kinto(command: Command, client: Client, records: list[dict[str, Any]]) -> None:
    assert command(ndjson(records)).returncode == 0


def to_kinto_skip(command: Command, client: Client, records: list[dict[str, Any]]) -> None:
    assert command(ndjson(records), "--skip").returncode == 0


def event(command: Command, client: Client, records: list[dict[str, Any]]) -> None:
    stored = fetch_stored(client, [one["data"]["id"] for one in records])
    put_if_unchanged(client, records, stored)


@pytest.mark.parametrize("write", [to_kinto, to_kinto_skip, event])
def test_an_update_keeps_what_is_stored_and_not_known_now(
    kinto: Kinto, client: Client, tmp_path: Path, write: Write
) -> None:
    command = Command(kinto, tmp_path)
    write(command, client, [rich(n) for n in range(30)])
    write(command, client, [poor(n) for n in range(40)])
    records = kinto.records()
    for number in range(40):
        expected = rich(number) if number < 30 else poor(number)
        expected["data"]["build"]["number"] = 6
        found = records[expected["data"]["id"]]
        assert found.items() >= expected["data"].items()
    assert command(ndjson(poor(n) for n in range(40)), "--check").returncode == 0
    done = command(ndjson(poor(n) for n in range(40)), "--skip")
    assert done.stderr == summary(unchanged=40)


@pytest.mark.parametrize("write", [to_kinto, to_kinto_skip, event])
def test_a_toolchain_of_another_build_and_a_sum_of_another_file_are_not_kept(
    kinto: Kinto, client: Client, tmp_path: Path, write: Write
) -> None:
    command = Command(kinto, tmp_path)
    write(command, client, [rich(1)])
    record = poor(1)
    record["data"]["build"]["id"] = "20170612224035"
    record["data"]["download"]["size"] = 7
    write(command, client, [record])
    (found,) = kinto.records().values()
    assert (found["build"], found["download"]) == (
        record["data"]["build"], record["data"]["download"],
    )  # fmt: skip


@pytest.mark.parametrize("write", [to_kinto_skip, event])
def test_a_record_that_gains_a_sum_is_updated_and_one_that_loses_it_is_not(
    kinto: Kinto, client: Client, tmp_path: Path, write: Write
) -> None:
    command = Command(kinto, tmp_path)
    write(command, client, [make_record(1)])
    write(command, client, [rich(1)])
    after = kinto.records()
    assert next(iter(after.values()))["download"]["sha256"] == SUM
    write(command, client, [make_record(1)])
    assert kinto.records() == after


def test_a_server_whose_schema_does_not_know_sums_is_reported_once(
    kinto: Kinto, client: Client, tmp_path: Path
) -> None:
    """Sums are left out, until the schema is updated; then they are stored."""
    _, collection = definition("build-hub", "releases")
    schema = collection["data"]["schema"]
    del schema["properties"]["download"]["properties"]["sha256"]
    kinto.call("PATCH", COLLECTION, json={"data": {"schema": schema}})
    command = Command(kinto, tmp_path)
    records = ndjson(rich(n) for n in range(60))
    done = command(records, "--skip")
    *messages, _ = done.stderr.decode().splitlines()
    assert (done.returncode, len(messages)) == (0, 1)
    assert "does not know download.sha256 yet: sums are left out. Run latest" in messages[0]
    for _ in range(2):
        assert command(records, "--skip").stderr.endswith(summary(unchanged=60))
    initialize(client)
    assert command(records, "--skip").stderr == summary(updated=60)
    assert all(one["download"]["sha256"] == SUM for one in kinto.records().values())
