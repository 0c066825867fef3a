"""Fenix, Focus and Klar, which have no metadata of their own: the pipe and the events."""

from __future__ import annotations

import random

import pytest

from buildhub.settings import PRODUCT_FOLDERS
from tests.functional.test_event_convergence import history, live_through
from tests.support.archive_files import File
from tests.support.archive_tree import nightly_tree
from tests.support.event_system import EventSystem
from tests.support.pipeline_records import pipeline_records

pytestmark = pytest.mark.functional

PRODUCTS = ("firefox", "fenix", "focus")
DATE = "2026-07-01-09-27-14"
MONTH = "nightly/2026/07"


def apk(app: str, version: str, abi: str) -> str:
    folder = f"{app}-{version}-android" + ("" if abi == "universal" else f"-{abi}")
    return f"{folder}/{app}-{version}.multi.android-{abi}.apk"


NIGHTLIES = {
    f"pub/fenix/{MONTH}/{DATE}-{apk('fenix', '154.0a1', 'arm64-v8a')}": (
        f"fenix_nightly_{DATE}_154-0a1_android-arm64-v8a_multi"
    ),
    f"pub/fenix/{MONTH}/{DATE}-{apk('fenix', '154.0a1', 'universal')}": (
        f"fenix_nightly_{DATE}_154-0a1_android-universal_multi"
    ),
    f"pub/focus/{MONTH}/{DATE}-{apk('focus', '154.0a1', 'x86_64')}": (
        f"focus_nightly_{DATE}_154-0a1_android-x86_64_multi"
    ),
    f"pub/focus/{MONTH}/{DATE}-{apk('klar', '154.0a1', 'x86')}": (
        f"klar_nightly_{DATE}_154-0a1_android-x86_multi"
    ),
}
BETA = f"pub/fenix/releases/97.0.0-beta.2/android/{apk('fenix', '97.0.0-beta.2', 'x86')}"
OTHERS = {
    BETA: "fenix_beta_97-0-0-beta-2_android-x86_multi",
    f"pub/fenix/candidates/143.0.4-candidates/build2/android/{apk('fenix', '143.0.4', 'x86_64')}": (
        "fenix_143-0-4rc2_android-x86_64_multi"
    ),
    f"pub/fenix/releases/144.0b3/android/{apk('fenix', '144.0b3', 'arm64-v8a')}": (
        "fenix_beta_144-0b3_android-arm64-v8a_multi"
    ),
    f"pub/focus/releases/143.0.4/android/{apk('klar', '143.0.4', 'arm64-v8a')}": (
        "klar_143-0-4_android-arm64-v8a_multi"
    ),
}
METADATA = (
    f"pub/firefox/{MONTH}/{DATE}-mozilla-central/firefox-154.0a1.en-US.linux-x86_64.json",
    f"pub/firefox/{MONTH}/{DATE}-mozilla-central/firefox-154.0a1.en-US.win64.buildhub.json",
)


def firefox() -> dict[str, File]:
    platforms = ("linux-x86_64", "win64")
    return nightly_tree(
        version="154.0a1",
        moment=DATE,
        platforms=platforms,
        locales=("en-US", "fr"),
        metadata=("json", "buildhub", "neighbours"),
    )


def apps() -> dict[str, File]:
    files = {key: File(size=90_000_000) for key in {**NIGHTLIES, **OTHERS}}
    aab = f"pub/fenix/releases/144.0b3/android/{apk('fenix', '144.0b3', 'x86')}"
    return files | {aab.replace(".apk", ".aab"): File(size=9)}


@pytest.fixture
def system(system: EventSystem) -> EventSystem:
    """With a container that reads the apps too."""
    system.service = system.container(PRODUCTS="firefox fenix klar")
    return system


def test_the_pipe_makes_their_records_where_products_names_them(system: EventSystem) -> None:
    system.archive.files |= firefox() | apps()
    records = pipeline_records(system.archive, PRODUCTS)
    for key, record_id in NIGHTLIES.items():
        record = records[record_id]
        assert record["build"] == {"id": "20260701092714", "date": "2026-07-01T09:27:14Z"}
        assert record["source"]["tree"] == "mozilla-central"
        assert record["source"]["product"] == record_id.partition("_")[0]
        assert record["source"]["revision"]
        assert record["target"]["channel"] == "nightly"
        assert record["download"]["url"] == system.archive.url + key
    old_beta, candidate, beta, klar = (records[record_id] for record_id in OTHERS.values())
    assert candidate["build"] == {"number": 2}
    assert "build" not in beta | old_beta
    assert old_beta["target"]["version"] == "97.0.0-beta.2"
    assert beta["target"]["channel"] == "beta"
    assert klar["source"] == {"product": "klar"}
    assert len(records) == len(NIGHTLIES) + len(OTHERS) + 4
    assert len(pipeline_records(system.archive, PRODUCT_FOLDERS)) == 4


@pytest.mark.parametrize("metadata", METADATA)
@pytest.mark.parametrize("first", ["metadata", "apps"])
def test_events_end_in_the_records_of_the_pipe(
    system: EventSystem, first: str, metadata: str
) -> None:
    files = firefox()
    steps = [{metadata: files[metadata]}, apps()]
    for step in steps if first == "metadata" else reversed(steps):
        system.archive.files |= step
        assert not system.deliver(*step).failures
    records = system.records()
    assert records == pipeline_records(system.archive, PRODUCTS)
    assert records.keys() == {*NIGHTLIES.values(), *OTHERS.values()}
    assert all("id" in records[record_id]["build"] for record_id in NIGHTLIES.values())


def test_without_firefox_in_products_its_metadata_updates_the_apps_alone(
    system: EventSystem,
) -> None:
    system.service = system.container(PRODUCTS="fenix")
    system.archive.files |= apps() | firefox()
    assert not system.deliver(*NIGHTLIES).failures
    assert not system.deliver(*METADATA).failures
    records = system.records()
    assert {record["source"]["product"] for record in records.values()} == {"fenix"}
    assert len(records) == 2


def test_metadata_of_firefox_looks_for_no_app_that_is_not_read(system: EventSystem) -> None:
    system.service = system.container()
    system.archive.files |= apps() | firefox()
    assert not system.deliver(*METADATA).failures
    assert not [path for _, path in system.archive.requests if "/fenix/" in path]


@pytest.mark.parametrize("seed", range(5))
def test_any_order_ends_in_the_records_of_the_pipe(system: EventSystem, seed: int) -> None:
    """Also where listings lag behind."""
    luck = random.Random(seed)
    files = firefox() | apps()
    late = luck.sample(sorted(files), 6)
    for key in late:
        system.archive.lag(key, luck.randint(1, 3))
    live_through(system, history(files, luck, repeats=3))
    for key in late:
        system.archive.lag(key, 0)
    assert system.records() == pipeline_records(system.archive, PRODUCTS)
