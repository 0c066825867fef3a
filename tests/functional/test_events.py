"""Events of the archive on a real Kinto and a stand-in of the archive: what is there after."""

from __future__ import annotations

import asyncio
import logging
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from buildhub.archive.client import Archive
from buildhub.builds.recognise import recognise
from buildhub.events.handler import EventHandler
from buildhub.kinto import Client, Outcome, store
from buildhub.settings import PRODUCT_FOLDERS
from tests.support.archive_files import File
from tests.support.archive_tree import candidate_tree, nightly_tree, release_tree
from tests.support.locales import LOCALES as LOCALES_OF_A_RELEASE
from tests.support.piped import piped
from tests.support.s3_events import bridged, created, in_sns, in_sqs, removed
from tests.support.world import World

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
    world: World, tree: Callable[[], dict[str, File]], number: int, metadata_first: bool
) -> None:
    """Whichever comes first, nothing is stored and nothing fails until both are there."""
    files = tree()
    archives = {key: file for key, file in files.items() if recognise(key)}
    metadata = {key: file for key, file in files.items() if key not in archives}
    for part in (metadata, archives) if metadata_first else (archives, metadata):
        assert not world.records()
        world.archive.files.update(part)
        account = world.deliver(*part)
        assert not account.failures
    expected = piped(world.archive)
    assert len(expected) == number
    assert world.records() == expected


def test_one_event_at_a_time_is_enough(world: World) -> None:
    """The metadata wakes those that came before it; who comes later finds it."""
    world.archive.files.update(release_tree(platforms=("win64",), builds=(1,)))
    for key in sorted(world.archive.files):
        world.deliver(key)
    assert world.records() == piped(world.archive)


# Every wrapping

WRAPPINGS: dict[str, Callable[[str, str], Any]] = {
    "S3": lambda one, two: created(one, two),
    "SNS": lambda one, two: in_sns(created(one), created(two)),
    "SQS": lambda one, two: in_sqs(created(one), created(two)),
    "SQS around SNS": lambda one, two: in_sqs(
        in_sns(created(one), bare=True), in_sns(created(two), bare=True)
    ),
    "EventBridge": lambda one, two: [bridged(one), bridged(two)],
    "mixed": lambda one, two: {"Records": [*created(one)["Records"], bridged(two)]},
}


@pytest.mark.parametrize("wrap", WRAPPINGS.values(), ids=WRAPPINGS)
def test_every_wrapping(world: World, wrap: Callable[[str, str], Any]) -> None:
    world.archive.files.update(candidate_tree(platforms=("win64",), locales=("en-US", "fr", "ja")))
    account = world.service.handle(wrap(EXE, EXE.replace("/fr/", "/ja/")))
    assert account.as_dict() == {"handled": 2, "ignored": 0, "malformed": 0}
    assert {data["target"]["locale"] for data in world.records().values()} == {"fr", "ja"}


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
    world: World, caplog: pytest.LogCaptureFixture, key: str
) -> None:
    with caplog.at_level(logging.INFO, "buildhub"):
        account = world.deliver(key)
    assert account.as_dict() == {"handled": 0, "ignored": 1, "malformed": 0}
    assert world.archive.total == 0
    (line,) = caplog.messages
    assert line.startswith(f"{key}: ignored, no build: ")


def test_a_removal_is_ignored_and_the_record_stays(world: World) -> None:
    world.archive.files.update(candidate_tree(platforms=("win64",)))
    world.deliver(EXE)
    before = world.kinto.records()
    del world.archive.files[EXE]
    assert world.service.handle(removed(EXE)).ignored == 1
    assert len(before) == 1
    assert world.kinto.records() == before


def test_products_that_are_not_wanted_are_ignored(world: World) -> None:
    world.archive.files.update(candidate_tree(platforms=("win64",)))
    account = world.container(PRODUCTS="mobile thunderbird").handle(created(EXE, JSON))
    assert (account.ignored, world.archive.total) == (2, 0)


def test_a_malformed_record_is_told_and_the_others_are_handled(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.archive.files.update(candidate_tree(platforms=("win64",)))
    event = created(JSON, EXE)
    del event["Records"][0]["s3"]["object"]["key"]
    account = world.service.handle(event)
    assert account.as_dict() == {"handled": 1, "ignored": 0, "malformed": 1}
    assert account.problem is None  # to send it again would not make it better
    assert len(world.records()) == 1
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "has no eventName or no key" in errors[0].getMessage()


def test_a_suspicious_record_is_not_stored(world: World, caplog: pytest.LogCaptureFixture) -> None:
    body = b'{"buildid": "20170608105825", "moz_update_channel": "default"}'
    world.archive.files.update({JSON: File(body=body), EXE: File(3)})
    with caplog.at_level(logging.INFO, "buildhub"):
        assert not world.deliver(EXE).failures
    assert not world.records()
    assert "not stored for its suspicious channel 'default'" in caplog.text


# One folder, several files


@pytest.mark.parametrize("other", ["firefox-54.0.1.json", "buildhub.json"])
def test_several_metadata_files_in_one_folder_are_believed_as_in_the_pipe(
    world: World, other: str
) -> None:
    """Also if the less trusted comes first: the other one's event corrects the record."""
    world.archive.files.update(candidate_tree(platforms=("win64",)))
    better = world.archive.files.pop(JSON)
    worse = candidate_tree(
        platforms=("win64",), metadata=("buildhub",), buildids={"win64": "20170101000000"}
    )
    worse_key = JSON.replace("firefox-54.0.json", "buildhub.json")
    other_key = JSON.replace("firefox-54.0.json", other)
    world.archive.files[other_key] = worse[worse_key]
    world.deliver(other_key)
    world.archive.files[JSON] = better
    world.deliver(JSON)
    assert world.records() == piped(world.archive)
    assert {data["build"]["id"] for data in world.records().values()} != {"20170101000000"}


def test_metadata_in_multi_concerns_that_folder_alone(world: World) -> None:
    tree = candidate_tree("mobile", "56.0b3", platforms=("android-api-15",), locales=MOBILE_LOCALES)
    world.archive.files.update(tree)
    multi = "pub/mobile/candidates/56.0b3-candidates/build1/android-api-15/multi"
    key = f"{multi}/fennec-56.0b3.multi.android-arm.json"
    world.archive.files[key] = File(body=b"{}")
    world.deliver(key)
    (data,) = world.records().values()
    assert data["target"]["locale"] == "multi"


def test_a_later_build_changes_the_release(world: World) -> None:
    """And to hear of the earlier one once more changes nothing."""
    world.archive.files.update(release_tree(platforms=("win64",), builds=(9,)))
    first = JSON.replace("build1", "build9")
    world.deliver(first)
    assert {data["build"]["number"] for data in world.records().values()} == {9}
    world.archive.files.update(candidate_tree(build=10, platforms=("win64",)))
    world.deliver(JSON.replace("build1", "build10"))
    world.deliver(first)
    releases = [data for id_, data in world.records().items() if "rc" not in id_]
    assert [data["build"]["number"] for data in releases] == [10, 10, 10]
    assert world.records() == piped(world.archive)


# Files and listings that lag behind their events


def test_an_archive_that_is_not_there_yet_is_waited_for(world: World) -> None:
    world.archive.files.update(candidate_tree(platforms=("win64",)))
    world.archive.fail(EXE, 404, 404, 404)
    assert not world.deliver(EXE).failures
    assert len(world.records()) == 1


def test_metadata_that_is_not_there_yet_is_waited_for(world: World) -> None:
    world.archive.files.update(candidate_tree(platforms=("win64",)))
    world.archive.fail(JSON, 404, 404, 404)
    assert not world.deliver(JSON).failures
    assert len(world.records()) == 3


@pytest.mark.parametrize(("event", "number"), [(JSON, 3), (EXE, 1)])
def test_metadata_that_is_an_error_page_at_first_is_asked_for_again(
    world: World, event: str, number: int
) -> None:
    world.archive.files.update(candidate_tree(platforms=("win64",)))
    world.archive.fail(JSON, "html", "html")
    assert not world.deliver(event).failures
    assert len(world.records()) == number


def test_an_archive_without_metadata_is_not_waited_for(world: World) -> None:
    """Metadata has an event of its own."""
    world.archive.files[EXE] = File(5)
    assert not world.deliver(EXE).failures
    assert world.archive.requests["GET", JSON] == 1


@pytest.mark.parametrize("event", [JSON, EXE])
def test_a_listing_that_never_shows_the_metadata_does_not_matter(world: World, event: str) -> None:
    world.archive.files.update(candidate_tree(platforms=("win64",), locales=("en-US", "fr")))
    world.archive.lag(JSON, 1000)
    world.deliver(event)
    assert len(world.records()) == (2 if event == JSON else 1)


def test_a_listing_that_does_not_show_an_archive_yet_is_asked_again(world: World) -> None:
    """The folder of the locale is there, but nothing in it."""
    world.archive.files.update(candidate_tree(platforms=("win64",)))
    for locale in LOCALES:
        world.archive.lag(EXE.replace("/fr/", f"/{locale}/"), 2)
    world.deliver(JSON)
    assert len(world.records()) == 3


@pytest.mark.parametrize("folder", ["", "win64/", "win64/en-US/"])
def test_a_folder_that_is_not_listed_yet_is_asked_again(world: World, folder: str) -> None:
    world.archive.files.update(candidate_tree(platforms=("win64",)))
    world.archive.fail(JSON.partition("win64/")[0] + folder, 404, 404)
    world.deliver(JSON)
    assert len(world.records()) == 3


def test_a_nightly_is_found_although_its_large_folder_is_listed_from_a_cache(world: World) -> None:
    tree = nightly_tree(platforms=("linux-x86_64", "win64"), locales=("en-US",))
    world.archive.files.update(tree)
    for key in tree:
        world.archive.lag(key, 1000)
    world.deliver(*(key for key in tree if key.endswith("x86_64.json")))
    (data,) = world.records().values()
    assert data["target"]["platform"] == "linux-x86_64"


def test_a_localised_nightly_that_is_not_listed_yet_is_found(world: World) -> None:
    """Nothing tells that it is missing, so the folder is looked into as often as allowed."""
    world.archive.files.update(nightly_tree(platforms=("win64",)))
    world.archive.lag(f"{NIGHTLY}-l10n/firefox-57.0a1.fr.win64.installer.exe", 3)
    world.deliver(f"{NIGHTLY}/firefox-57.0a1.en-US.win64.json")
    assert len(world.records()) == 3


def test_the_highest_build_counts_although_no_listing_shows_it_yet(world: World) -> None:
    world.archive.files.update(release_tree(platforms=("win64",), builds=(1, 2)))
    listing_of_builds = JSON.partition("build1")[0]
    world.archive.fail(listing_of_builds, *[404] * 20)
    world.deliver(JSON.replace("build1", "build2"))
    releases = [data for id_, data in world.records().items() if "rc" not in id_]
    assert [data["build"]["number"] for data in releases] == [2, 2, 2]


def test_what_does_not_come_in_time_fails_by_its_name_and_the_others_are_stored(
    world: World,
) -> None:
    world.archive.files.update(candidate_tree(platforms=("win64",)))
    absent = EXE.replace("/fr/", "/xx/")
    account = world.deliver(absent, EXE)
    assert list(account.failures) == [absent]
    assert absent in str(account.problem)
    assert len(world.records()) == 1
    # NB_RETRY_REQUEST is 3
    assert world.archive.requests["HEAD", absent] == 4


def test_nothing_is_waited_for_longer_than_the_invocation_lasts(world: World) -> None:
    world.archive.files.update(candidate_tree(platforms=("win64",)))
    slow = EXE.replace("/fr/", "/ja/")
    world.archive.fail(slow, "hang")
    account = world.service.handle(created(slow, EXE), seconds_left=1.5)
    assert account.failures == {slow: "there was no time left for it"}
    assert len(world.records()) == 1
    world.archive.show(slow)
    assert not world.deliver(slow).failures


def test_an_archive_that_is_down_fails_by_name(world: World) -> None:
    container = world.container(NB_RETRY_REQUEST="0", ARCHIVE_URL="http://127.0.0.1:9/")
    account = container.handle(created(EXE, JSON))
    assert list(account.failures) == [EXE, JSON]


def test_a_kinto_that_is_down_fails_by_name_and_nothing_is_lost(world: World) -> None:
    world.archive.files.update(candidate_tree(platforms=("win64",)))
    container = world.container(NB_RETRY_REQUEST="0", SERVER_URL="http://127.0.0.1:9/v1")
    account = container.handle(created(EXE))
    assert list(account.failures) == [EXE]
    assert "check that it is running" in account.failures[EXE]
    assert not world.deliver(EXE).failures
    assert len(world.records()) == 1


def test_of_many_that_wait_those_that_fail_do_not_keep_the_others(world: World) -> None:
    world.archive.files.update(candidate_tree(platforms=("win64",)))
    world.archive.fail(EXE, 403, 403)
    account = world.deliver(JSON)
    assert list(account.failures) == [JSON]
    assert EXE in account.failures[JSON]
    assert {data["target"]["locale"] for data in world.records().values()} == {"en-US", "ja"}


# Many at once


def test_ninety_locales_are_few_requests_side_by_side(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """One to the archive for each, some listings, the metadata; four batches at least to Kinto."""
    world.archive.files.update(candidate_tree(platforms=("win64",), locales=LOCALES_OF_A_RELEASE))
    world.archive.latency = 0.01
    with caplog.at_level(logging.DEBUG, "urllib3"):
        world.deliver(JSON)
    assert len(world.records()) == 90
    assert world.archive.total <= 90 + 6
    assert 16 < world.archive.most_at_once <= 32
    assert sum('"GET /v1/' in line or '"POST /v1/' in line for line in caplog.messages) <= 14


def test_metadata_that_comes_with_its_archives_is_read_once_for_all(world: World) -> None:
    world.archive.files.update(candidate_tree(platforms=("win64",), locales=SOME_LOCALES))
    world.deliver(*(key for key in world.archive.files if recognise(key)))
    assert len(world.records()) == len(SOME_LOCALES)
    assert world.archive.requests["GET", JSON] == 1


# Once and for all


def test_duplicates_store_nothing_again(world: World) -> None:
    world.archive.files.update(release_tree(platforms=("win64",), builds=(1,)))
    keys = [key for key in world.archive.files if recognise(key)]
    world.deliver(*keys, JSON)
    before = world.kinto.records()
    account = world.deliver(*keys, *keys, JSON, JSON)
    assert account.handled == 2 * len(keys) + 2
    assert world.kinto.records() == before  # last_modified included


def test_a_rebuilt_file_updates_its_record(world: World) -> None:
    world.archive.files.update(candidate_tree(platforms=("win64",)))
    world.deliver(JSON)
    world.archive.files[EXE] = File(77, "2017-06-10T00:00:00Z")
    world.deliver(EXE)
    data = world.records()["firefox_54-0rc1_win64_fr"]
    assert (data["download"]["size"], data["download"]["date"]) == (77, "2017-06-10T00:00:00Z")
    assert world.records() == piped(world.archive)


def test_a_warm_container_knows_nothing_from_before(world: World) -> None:
    """Neither that there was no metadata, nor what it said."""
    tree = candidate_tree(platforms=("win64",))
    world.archive.files.update({EXE: tree[EXE]})
    world.deliver(EXE)
    assert not world.records()
    world.archive.files.update(tree)
    world.deliver(EXE)
    assert world.records()["firefox_54-0rc1_win64_fr"]["build"]["id"] != "20170609000000"
    rebuilt = candidate_tree(platforms=("win64",), buildids={"win64": "20170609000000"})
    world.archive.files.update(rebuilt)
    world.deliver(EXE)
    assert world.records()["firefox_54-0rc1_win64_fr"]["build"]["id"] == "20170609000000"


# Two containers


def test_two_containers_at_once_store_each_record_once(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.archive.files.update(candidate_tree(platforms=("win64",), locales=SOME_LOCALES))
    archives = [key for key in world.archive.files if recognise(key)]
    second = world.container()
    with caplog.at_level(logging.INFO, "buildhub"):
        at_once(lambda: world.deliver(JSON), lambda: second.handle(created(*archives)))
    assert world.records() == piped(world.archive)
    said = " ".join(caplog.messages)
    assert "updated" not in said
    by_metadata = re.search(r"(\d+) created", said)
    assert int(by_metadata[1] if by_metadata else 0) + said.count(": created") == len(archives)


def at_once(*functions: Callable[[], object]) -> None:
    """Run functions in threads that start at the same moment."""
    with ThreadPoolExecutor(len(functions)) as pool:
        barrier = threading.Barrier(len(functions))
        runs = [pool.submit(lambda f=f: (barrier.wait(), f())) for f in functions]
        for run in runs:
            run.result()


@pytest.mark.parametrize("stored_before", [False, True], ids=["new", "stored before"])
@pytest.mark.parametrize("moment", ["before the look at Kinto", "before the write"])
def test_who_saw_an_older_archive_does_not_undo_what_another_container_stored(
    world: World, stored_before: bool, moment: str
) -> None:
    """It looked, then the file was rebuilt and the other container was faster."""
    world.archive.files.update(candidate_tree(platforms=("win64",)))
    if stored_before:
        world.deliver(EXE)
        world.archive.files[EXE] = File(66, "2017-06-10T00:00:00Z")
    client = Client.from_settings(world.service.settings)

    def other_container(size: int) -> None:
        world.archive.files[EXE] = File(size, "2017-06-11T00:00:00Z")
        assert not world.deliver(EXE).failures

    def slow_store(records: Sequence[Any], refresh: Callable[..., Any]) -> Sequence[Outcome]:
        def slow_look_again(ids: Sequence[str]) -> Sequence[Any]:
            made = refresh(ids)
            if moment == "before the write" and world.archive.files[EXE].size == 77:
                other_container(88)
            return made

        other_container(77)
        return store(client, records, refresh=slow_look_again)

    async def slow_container() -> str:
        async with Archive(world.archive.url) as archive:
            events = EventHandler(archive, slow_store, products=PRODUCT_FOLDERS, retries=0)
            return await events.handle(EXE)

    asyncio.run(slow_container())
    (data,) = world.records().values()
    assert data == piped(world.archive)[data["id"]]
    assert data["download"]["size"] == (77 if moment == "before the look at Kinto" else 88)
