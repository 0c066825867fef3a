"""Events of the archive on a real Kinto and a stand-in of the archive: what is there after."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import re
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from buildhub.archive.client import Archive
from buildhub.builds.recognise import recognise
from buildhub.events.handler import EventHandler, Result
from buildhub.kinto.client import Client
from buildhub.records import Outcome
from tests.support.archive_files import File
from tests.support.archive_tree import candidate_tree, nightly_tree, release_tree
from tests.support.event_system import EventSystem
from tests.support.google_events import (
    cloud_event,
    cloud_event_of_message,
    printed,
    pulled,
    pushed,
)
from tests.support.locales import LOCALES as LOCALES_OF_A_RELEASE
from tests.support.pipeline_records import pipeline_records
from tests.support.s3_events import bridged, created, in_sns, in_sqs, removed

pytestmark = pytest.mark.functional

LOCALES = ("en-US", "fr", "ja")
MOBILE_LOCALES = ("en-US", "fr", "multi")
SOME_LOCALES = ("en-US", "ach", "af", "de", "es-ES", "fr", "it", "ja", "ja-JP-mac", "pt-BR", "ru")

CANDIDATE = "pub/firefox/candidates/54.0-candidates/build1/win64"
EXE = f"{CANDIDATE}/fr/Firefox Setup 54.0.exe"
JSON = f"{CANDIDATE}/en-US/firefox-54.0.json"
NIGHTLY = "pub/firefox/nightly/2017/08/2017-08-08-10-00-25-mozilla-central"


# All kinds of builds, in both orders

FUNNELCAKE = "pub/firefox/releases/56.0.1-funnelcake131"


def moved(tree: Mapping[str, File], old: str, new: str) -> dict[str, File]:
    """The same files under other keys."""
    return {key.replace(old, new): file for key, file in tree.items()}


def with_buildhub(**arguments: Any) -> dict[str, File]:
    return candidate_tree(metadata=("buildhub", "neighbours"), locales=LOCALES, **arguments)


#: What there is of the archive; and how many records that makes
KINDS: dict[str, tuple[Callable[[], dict[str, File]], int]] = {
    "candidates": (lambda: candidate_tree(locales=LOCALES), 15),
    "a tenth build": (lambda: candidate_tree(build=10, locales=LOCALES), 15),
    "release and candidates": (lambda: release_tree(locales=LOCALES), 45),
    "beta": (lambda: release_tree(version="55.0b3", locales=LOCALES), 45),
    "esr": (lambda: release_tree(version="52.5.0esr", locales=LOCALES), 45),
    "devedition": (lambda: release_tree("devedition", "55.0b1", locales=LOCALES), 45),
    "thunderbird": (lambda: release_tree("thunderbird", "52.5.0", locales=LOCALES), 45),
    "mobile": (
        lambda: release_tree(
            "mobile",
            "56.0b3",
            platforms=("android-api-15", "android-x86"),
            locales=MOBILE_LOCALES,
        ),
        18,
    ),
    "repacks": (
        lambda: release_tree(
            platforms=("win32", "win32-EME-free", "win64", "win64-sha1", "mac", "mac-EME-free"),
            locales=LOCALES,
        ),
        54,
    ),
    "linux packed with xz": (lambda: release_tree(version="136.0.1", locales=LOCALES), 45),
    "buildhub.json alone": (lambda: with_buildhub(), 15),
    "both kinds of metadata": (
        lambda: candidate_tree(metadata=("json", "buildhub", "neighbours"), locales=LOCALES),
        15,
    ),
    "funnelcake candidates": (
        lambda: moved(candidate_tree(version="49.0.1"), "build1/", "build1/funnelcake90/"),
        15,
    ),
    "funnelcake release": (
        lambda: release_tree(version="56.0.1-funnelcake131", platforms=("win32",)),
        9,
    ),
    "funnelcake release, a folder more": (
        lambda: moved(
            release_tree(version="56.0.1-funnelcake131", platforms=("win32", "win64")),
            f"{FUNNELCAKE}/",
            f"{FUNNELCAKE}/v1/",
        ),
        18,
    ),
    "flat release": (
        lambda: {
            "pub/firefox/releases/1.0rc1/firefox-1.0rc1.ca-AD.linux-i686.installer.tar.gz": File(9),
            **candidate_tree(version="1.0rc1", platforms=("linux-i686",), locales=()),
        },
        1,
    ),
    "a build id in _info.txt alone": (
        lambda: {
            **candidate_tree(metadata=(), locales=LOCALES),
            **{
                f"pub/firefox/candidates/54.0-candidates/build1/{name}_info.txt": File(
                    body=b"buildID=20170608105825"
                )
                for name in ("linux", "linux64", "macosx64", "win32", "win64")
            },
        },
        15,
    ),
    "nightly": (lambda: nightly_tree(locales=LOCALES), 15),
    "nightly with buildhub.json": (
        lambda: nightly_tree(metadata=("buildhub", "neighbours"), version="64.0a1"),
        15,
    ),
    "nightly of thunderbird": (lambda: nightly_tree("thunderbird", "59.0a1"), 15),
    "very old nightly": (
        lambda: nightly_tree(
            version="4.0b2pre", moment="2010-07-05-04", metadata=("txt", "neighbours")
        ),
        15,
    ),
    "nightly of mobile": (
        lambda: nightly_tree("mobile", platforms=("android-api-15",), locales=MOBILE_LOCALES),
        3,
    ),
    "nightly of mobile, mozilla-esr68": (
        lambda: moved(
            nightly_tree("mobile", "68.1a1", platforms=("android-api-16",), locales=MOBILE_LOCALES),
            "mozilla-central",
            "mozilla-esr68",
        ),
        3,
    ),
    "nightly of mobile, old id": (
        lambda: nightly_tree(
            "mobile", platforms=("android-api-15",), locales=("multi",), suffix="-old-id"
        ),
        1,
    ),
}


@pytest.mark.parametrize("metadata_first", [False, True], ids=["archives first", "metadata first"])
@pytest.mark.parametrize(("tree", "number"), KINDS.values(), ids=KINDS)
def test_both_orders_end_in_what_the_pipe_makes(
    system: EventSystem, tree: Callable[[], dict[str, File]], number: int, metadata_first: bool
) -> None:
    """Whichever comes first, nothing is stored and nothing fails until both are there."""
    files = tree()
    archives = {key: file for key, file in files.items() if recognise(key)}
    metadata = {key: file for key, file in files.items() if key not in archives}
    for part in (metadata, archives) if metadata_first else (archives, metadata):
        assert not system.records()
        system.archive.files.update(part)
        account = system.deliver(*part)
        assert not account.failures
    expected = pipeline_records(system.archive)
    assert len(expected) == number
    assert system.records() == expected


def test_one_event_at_a_time_is_enough(system: EventSystem) -> None:
    """The event of the metadata stores the builds that came before it; later ones find it."""
    system.archive.files.update(release_tree(platforms=("win64",), builds=(1,)))
    for key in sorted(system.archive.files):
        system.deliver(key)
    assert system.records() == pipeline_records(system.archive)


# Every wrapping

WRAPPINGS: dict[str, Callable[[str, str], Any]] = {
    "S3": lambda one, two: created(one, two),
    "SNS": lambda one, two: in_sns(created(one), created(two)),
    "SQS": lambda one, two: in_sqs(created(one), created(two)),
    "SQS around SNS": lambda one, two: in_sqs(
        in_sns(created(one), bare=True), in_sns(created(two), bare=True)
    ),
    "EventBridge": lambda one, two: [bridged(one), bridged(two)],
    "Pub/Sub, pushed": lambda one, two: [pushed(one), pushed(two, payload=False)],
    "Pub/Sub, pulled": lambda one, two: [pulled(one), pulled(two, payload=False)],
    "Pub/Sub, as gcloud prints it": lambda one, two: printed(pulled(one), pulled(two)),
    "CloudEvents": lambda one, two: [cloud_event(one), cloud_event_of_message(two)],
    "mixed": lambda one, two: {"Records": [*created(one)["Records"], bridged(two)]},
}


@pytest.mark.parametrize("wrap", WRAPPINGS.values(), ids=WRAPPINGS)
def test_every_wrapping(system: EventSystem, wrap: Callable[[str, str], Any]) -> None:
    system.archive.files.update(candidate_tree(platforms=("win64",), locales=("en-US", "fr", "ja")))
    account = system.service.handle(wrap(EXE, EXE.replace("/fr/", "/ja/")))
    assert account.as_dict() == {"handled": 2, "ignored": 0, "malformed": 0}
    assert {data["target"]["locale"] for data in system.records().values()} == {"fr", "ja"}


# What is none of our business

NO_BUSINESS = [
    "favicon.ico",
    "pub/addons/1/a.xpi",
    "pub/seamonkey/releases/2.48/win32/fr/SeaMonkey Setup 2.48.exe",
    f"{CANDIDATE}/en-US/firefox-54.0.mozinfo.json",
    f"{CANDIDATE}/en-US/firefox-54.0.test_packages.json",
    f"{CANDIDATE}/en-US/firefox-54.0_info.txt",
    f"{CANDIDATE}/en-US/firefox-54.0.checksums",
    f"{CANDIDATE}/fr/firefox-54.0.json",
    f"{NIGHTLY}/firefox-57.0a1.en-US.win64.mozinfo.json",
    f"{NIGHTLY}/firefox-57.0a1.en-US.win64.test_packages.json",
    f"{NIGHTLY}/firefox-57.0a1.en-US.win64_info.txt",
    f"{NIGHTLY}/firefox-57.0a1.fr.win64.json",
    f"{NIGHTLY.replace('mozilla-central', 'date')}/firefox-57.0a1.en-US.win64.json",
    "pub/firefox/nightly/latest-mozilla-central/firefox-57.0a1.en-US.win64.json",
    "pub/firefox/candidates/archived/54.0-candidates/build1/win64/en-US/firefox-54.0.json",
    "pub/firefox/releases/latest/README.txt",
]


@pytest.mark.parametrize("key", NO_BUSINESS)
def test_what_is_neither_build_nor_metadata_is_ignored_with_a_reason(
    system: EventSystem, caplog: pytest.LogCaptureFixture, key: str
) -> None:
    with caplog.at_level(logging.INFO, "buildhub"):
        account = system.deliver(key)
    assert account.as_dict() == {"handled": 0, "ignored": 1, "malformed": 0}
    assert system.archive.total == 0
    (line,) = caplog.messages
    assert line.startswith(f"{key}: ignored, no build: ")


def test_a_removal_is_ignored_and_the_record_stays(system: EventSystem) -> None:
    system.archive.files.update(candidate_tree(platforms=("win64",)))
    system.deliver(EXE)
    before = system.kinto.records()
    del system.archive.files[EXE]
    assert system.service.handle(removed(EXE)).ignored == 1
    assert len(before) == 1
    assert system.kinto.records() == before


def test_products_that_are_not_selected_are_ignored(system: EventSystem) -> None:
    system.archive.files.update(candidate_tree(platforms=("win64",)))
    account = system.container(PRODUCTS="mobile thunderbird").handle(created(EXE, JSON))
    assert (account.ignored, system.archive.total) == (2, 0)


def test_a_malformed_record_is_reported_and_the_others_are_handled(
    system: EventSystem, caplog: pytest.LogCaptureFixture
) -> None:
    system.archive.files.update(candidate_tree(platforms=("win64",)))
    event = created(JSON, EXE)
    del event["Records"][0]["s3"]["object"]["key"]
    account = system.service.handle(event)
    assert account.as_dict() == {"handled": 1, "ignored": 0, "malformed": 1}
    assert account.problem is None  # to send it again would not make it better
    assert len(system.records()) == 1
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "has no valid eventName or no key" in errors[0].getMessage()


def test_a_suspicious_record_is_not_stored(
    system: EventSystem, caplog: pytest.LogCaptureFixture
) -> None:
    body = b'{"buildid": "20170608105825", "moz_update_channel": "default"}'
    system.archive.files.update({JSON: File(body=body), EXE: File(3)})
    with caplog.at_level(logging.INFO, "buildhub"):
        assert not system.deliver(EXE).failures
    assert not system.records()
    assert "not stored, invalid channel 'default'" in caplog.text


# One folder, several files


@pytest.mark.parametrize("other", ["firefox-54.0.1.json", "buildhub.json"])
def test_several_metadata_files_in_one_folder_have_the_precedence_of_the_pipe(
    system: EventSystem, other: str
) -> None:
    """Also if the less trusted comes first: the other one's event corrects the record."""
    system.archive.files.update(candidate_tree(platforms=("win64",)))
    better = system.archive.files.pop(JSON)
    worse = candidate_tree(
        platforms=("win64",), metadata=("buildhub",), buildids={"win64": "20170101000000"}
    )
    worse_key = JSON.replace("firefox-54.0.json", "buildhub.json")
    other_key = JSON.replace("firefox-54.0.json", other)
    system.archive.files[other_key] = worse[worse_key]
    system.deliver(other_key)
    system.archive.files[JSON] = better
    system.deliver(JSON)
    assert system.records() == pipeline_records(system.archive)
    assert {data["build"]["id"] for data in system.records().values()} != {"20170101000000"}


def test_metadata_in_multi_concerns_that_folder_alone(system: EventSystem) -> None:
    tree = candidate_tree("mobile", "56.0b3", platforms=("android-api-15",), locales=MOBILE_LOCALES)
    system.archive.files.update(tree)
    multi = "pub/mobile/candidates/56.0b3-candidates/build1/android-api-15/multi"
    key = f"{multi}/fennec-56.0b3.multi.android-arm.json"
    system.archive.files[key] = File(body=b"{}")
    system.deliver(key)
    (data,) = system.records().values()
    assert data["target"]["locale"] == "multi"


def test_a_later_build_changes_the_release(system: EventSystem) -> None:
    """And to hear of the earlier one once more changes nothing."""
    system.archive.files.update(release_tree(platforms=("win64",), builds=(9,)))
    first = JSON.replace("build1", "build9")
    system.deliver(first)
    assert {data["build"]["number"] for data in system.records().values()} == {9}
    system.archive.files.update(candidate_tree(build=10, platforms=("win64",)))
    system.deliver(JSON.replace("build1", "build10"))
    system.deliver(first)
    releases = [data for id_, data in system.records().items() if "rc" not in id_]
    assert [data["build"]["number"] for data in releases] == [10, 10, 10]
    assert system.records() == pipeline_records(system.archive)


# Many at once


def test_ninety_locales_are_few_requests_side_by_side(
    system: EventSystem, caplog: pytest.LogCaptureFixture
) -> None:
    """One to the archive for each, some listings, the metadata; four batches at least to Kinto."""
    system.archive.files.update(candidate_tree(platforms=("win64",), locales=LOCALES_OF_A_RELEASE))
    system.archive.await_heads(32)  # NB_PARALLEL_REQUESTS
    with caplog.at_level(logging.DEBUG, "urllib3"):
        system.deliver(JSON)
    assert len(system.records()) == 90
    assert system.archive.total <= 90 + 6
    assert system.archive.most_at_once == 32
    assert sum('"GET /v1/' in line or '"POST /v1/' in line for line in caplog.messages) <= 14


def test_metadata_that_comes_with_its_archives_is_read_once_for_all(system: EventSystem) -> None:
    system.archive.files.update(candidate_tree(platforms=("win64",), locales=SOME_LOCALES))
    system.deliver(*(key for key in system.archive.files if recognise(key)))
    assert len(system.records()) == len(SOME_LOCALES)
    assert system.archive.requests["GET", JSON] == 1


# Once and for all


def test_duplicates_store_nothing_again(system: EventSystem) -> None:
    system.archive.files.update(release_tree(platforms=("win64",), builds=(1,)))
    keys = [key for key in system.archive.files if recognise(key)]
    system.deliver(*keys, JSON)
    before = system.kinto.records()
    account = system.deliver(*keys, *keys, JSON, JSON)
    assert account.handled == 2 * len(keys) + 2
    assert system.kinto.records() == before  # last_modified included


def test_a_rebuilt_file_updates_its_record(system: EventSystem) -> None:
    system.archive.files.update(candidate_tree(platforms=("win64",)))
    system.deliver(JSON)
    system.archive.files[EXE] = File(77, "2017-06-10T00:00:00Z")
    system.deliver(EXE)
    data = system.records()["firefox_54-0rc1_win64_fr"]
    assert (data["download"]["size"], data["download"]["date"]) == (77, "2017-06-10T00:00:00Z")
    assert system.records() == pipeline_records(system.archive)


def test_a_warm_container_remembers_nothing(system: EventSystem) -> None:
    """Neither that there was no metadata, nor its content."""
    tree = candidate_tree(platforms=("win64",))
    system.archive.files.update({EXE: tree[EXE]})
    system.deliver(EXE)
    assert not system.records()
    system.archive.files.update(tree)
    system.deliver(EXE)
    assert system.records()["firefox_54-0rc1_win64_fr"]["build"]["id"] != "20170609000000"
    rebuilt = candidate_tree(platforms=("win64",), buildids={"win64": "20170609000000"})
    system.archive.files.update(rebuilt)
    system.deliver(EXE)
    assert system.records()["firefox_54-0rc1_win64_fr"]["build"]["id"] == "20170609000000"


# Two containers


def test_two_containers_at_once_store_each_record_once(
    system: EventSystem, caplog: pytest.LogCaptureFixture
) -> None:
    """Kinto's memory backend sometimes answers 503 to one of two writers.

    The request is repeated then, and a record that it had stored is counted as unchanged: the
    counts are compared where nothing had to be repeated, the records always.
    """
    tree = candidate_tree(platforms=("win64",), locales=SOME_LOCALES)
    archives = [key for key in tree if recognise(key)]
    for _ in range(10):
        system.reset()
        caplog.clear()
        system.archive.files.update(tree)
        second = system.container()
        with caplog.at_level(logging.INFO, "buildhub"):
            at_once(lambda: system.deliver(JSON), lambda s=second: s.handle(created(*archives)))
        assert system.records() == pipeline_records(system.archive)
        log = " ".join(caplog.messages)
        assert "updated" not in log
        if "trying again" not in log:
            break
    by_metadata = re.search(r"(\d+) created", log)
    assert int(by_metadata[1] if by_metadata else 0) + log.count(": created") == len(archives)


def at_once(*functions: Callable[[], object]) -> None:
    """Run functions in threads that start at the same moment."""
    with ThreadPoolExecutor(len(functions)) as pool:
        barrier = threading.Barrier(len(functions))
        runs = [pool.submit(lambda f=f: (barrier.wait(), f())) for f in functions]
        for run in runs:
            run.result()


@pytest.mark.parametrize("stored_before", [False, True], ids=["new", "stored before"])
@pytest.mark.parametrize("moment", ["before it reads", "before it writes"])
def test_a_record_made_from_an_older_archive_does_not_replace_a_newer_one(
    system: EventSystem, stored_before: bool, moment: str
) -> None:
    """The archive was read, then the file was rebuilt, and another container was faster."""
    system.archive.files.update(candidate_tree(platforms=("win64",)))
    if stored_before:
        system.deliver(EXE)
        system.archive.files[EXE] = File(66, "2017-06-10T00:00:00Z")
    settings = dataclasses.replace(system.service.settings, nb_retry_request=0)
    waits_at = "GET" if moment == "before it reads" else "POST"

    class SlowClient(Client):
        """Another container stores the build before this one's first read, or first write."""

        def request(self, method: str, path: str, **arguments: Any) -> Any:
            if method == waits_at and system.archive.files[EXE].size != 77:
                system.archive.files[EXE] = File(77, "2017-06-11T00:00:00Z")
                assert not system.deliver(EXE).failures
            return super().request(method, path, **arguments)

    async def slow_container() -> list[Result]:
        client = SlowClient(
            settings.server_url, settings.auth, settings.bucket, settings.collection
        )
        async with (
            Archive(system.archive.url) as archive,
            EventHandler(archive, client, settings) as handler,
        ):
            return await handler.handle(EXE)

    (result,) = asyncio.run(slow_container())
    assert result.outcome is not Outcome.FAILED
    (data,) = system.records().values()
    assert data == pipeline_records(system.archive)[data["id"]]
    assert data["download"]["size"] == 77


def test_an_expired_json_and_another_date_leave_the_record_as_it_was(system: EventSystem) -> None:
    """The .json of a candidate is deleted after a year; the buildhub.json beside it says less."""
    system.archive.files |= {
        EXE: File(size=1000, date="2017-06-09T10:20:30Z"),
        JSON: File(body=b'{"buildid": "20170608105825", "cc": "cl", "ld": "link"}'),
    }
    assert not system.deliver(EXE).failures
    before = system.kinto.records()
    assert len(before) == 1
    del system.archive.files[JSON]
    buildhub = JSON.replace("firefox-54.0.json", "buildhub.json")
    system.archive.files |= {
        EXE: File(size=1000, date="2023-05-06T07:08:09Z"),
        buildhub: File(body=b'{"build": {"id": "20170608105825", "cc": "cl"}}'),
    }
    assert not system.deliver(EXE, buildhub).failures
    assert system.kinto.records() == before
    system.archive.files[EXE] = File(size=1001, date="2023-05-06T07:08:09Z")
    assert not system.deliver(EXE).failures
    (record,) = system.kinto.records().values()
    assert record["download"]["size"] == 1001
