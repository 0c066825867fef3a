"""Events whose files, metadata or servers come late or not at all."""

from __future__ import annotations

import asyncio
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from buildhub.builds.recognise import recognise
from buildhub.records import Outcome
from tests.support.archive_files import File
from tests.support.archive_tree import candidate_tree, nightly_tree, release_tree
from tests.support.event_system import EventSystem
from tests.support.locales import LOCALES as LOCALES_OF_A_RELEASE
from tests.support.raw_server import serving
from tests.support.s3_events import created, in_sqs

pytestmark = pytest.mark.functional

LOCALES = ("en-US", "fr", "ja")

CANDIDATE = "pub/firefox/candidates/54.0-candidates/build1/win64"
EXE = f"{CANDIDATE}/fr/Firefox Setup 54.0.exe"
JSON = f"{CANDIDATE}/en-US/firefox-54.0.json"
NIGHTLY = "pub/firefox/nightly/2017/08/2017-08-08-10-00-25-mozilla-central"


def test_an_archive_that_does_not_exist_yet_is_awaited(system: EventSystem) -> None:
    system.archive.files.update(candidate_tree(platforms=("win64",)))
    system.archive.fail(EXE, 404, 404, 404)
    assert not system.deliver(EXE).failures
    assert len(system.records()) == 1


def test_metadata_that_does_not_exist_yet_is_awaited(system: EventSystem) -> None:
    system.archive.files.update(candidate_tree(platforms=("win64",)))
    system.archive.fail(JSON, 404, 404, 404)
    assert not system.deliver(JSON).failures
    assert len(system.records()) == 3


@pytest.mark.parametrize(("event", "number"), [(JSON, 3), (EXE, 1)])
def test_metadata_that_is_an_error_page_at_first_is_requested_again(
    system: EventSystem, event: str, number: int
) -> None:
    system.archive.files.update(candidate_tree(platforms=("win64",)))
    system.archive.fail(JSON, "html", "html")
    assert not system.deliver(event).failures
    assert len(system.records()) == number


def test_metadata_that_no_folder_has_is_not_awaited(system: EventSystem) -> None:
    """Metadata has an event of its own."""
    system.archive.files[EXE] = File(5)
    assert not system.deliver(EXE).failures
    assert system.archive.requests["GET", JSON] == 1


@pytest.mark.parametrize("event", [JSON, EXE])
def test_a_listing_that_never_shows_the_metadata_does_not_matter(
    system: EventSystem, event: str
) -> None:
    system.archive.files.update(candidate_tree(platforms=("win64",), locales=("en-US", "fr")))
    system.archive.lag(JSON, 1000)
    system.deliver(event)
    assert len(system.records()) == (2 if event == JSON else 1)


def test_a_listing_that_does_not_show_an_archive_yet_is_asked_again(system: EventSystem) -> None:
    """The folder of the locale is there, but nothing in it."""
    system.archive.files.update(candidate_tree(platforms=("win64",)))
    for locale in LOCALES:
        system.archive.lag(EXE.replace("/fr/", f"/{locale}/"), 2)
    system.deliver(JSON)
    assert len(system.records()) == 3


@pytest.mark.parametrize("folder", ["", "win64/", "win64/en-US/"])
def test_a_folder_that_is_not_listed_yet_is_asked_again(system: EventSystem, folder: str) -> None:
    system.archive.files.update(candidate_tree(platforms=("win64",)))
    system.archive.fail(JSON.partition("win64/")[0] + folder, 404, 404)
    system.deliver(JSON)
    assert len(system.records()) == 3


def test_a_nightly_is_found_although_its_large_folder_is_listed_from_a_cache(
    system: EventSystem,
) -> None:
    tree = nightly_tree(platforms=("linux-x86_64", "win64"), locales=("en-US",))
    system.archive.files.update(tree)
    for key in tree:
        system.archive.lag(key, 1000)
    system.deliver(*(key for key in tree if key.endswith("x86_64.json")))
    (data,) = system.records().values()
    assert data["target"]["platform"] == "linux-x86_64"


def test_a_localised_nightly_that_is_not_listed_yet_is_found(system: EventSystem) -> None:
    """Nothing shows that it is missing, so the folder is listed as often as allowed."""
    system.archive.files.update(nightly_tree(platforms=("win64",)))
    system.archive.lag(f"{NIGHTLY}-l10n/firefox-57.0a1.fr.win64.installer.exe", 3)
    system.deliver(f"{NIGHTLY}/firefox-57.0a1.en-US.win64.json")
    assert len(system.records()) == 3


def test_the_highest_build_counts_although_no_listing_shows_it_yet(system: EventSystem) -> None:
    system.archive.files.update(release_tree(platforms=("win64",), builds=(1, 2)))
    listing_of_builds = JSON.partition("build1")[0]
    system.archive.fail(listing_of_builds, *[404] * 20)
    system.deliver(JSON.replace("build1", "build2"))
    releases = [data for id_, data in system.records().items() if "rc" not in id_]
    assert [data["build"]["number"] for data in releases] == [2, 2, 2]


def test_what_does_not_come_in_time_fails_by_its_name_and_the_others_are_stored(
    system: EventSystem,
) -> None:
    system.archive.files.update(candidate_tree(platforms=("win64",)))
    absent = EXE.replace("/fr/", "/xx/")
    account = system.deliver(absent, EXE)
    assert list(account.failures) == [absent]
    assert absent in str(account.problem)
    assert len(system.records()) == 1
    # NB_RETRY_REQUEST is 3
    assert system.archive.requests["HEAD", absent] == 4


def test_nothing_is_waited_for_longer_than_the_invocation_lasts(system: EventSystem) -> None:
    system.archive.files.update(candidate_tree(platforms=("win64",)))
    slow = EXE.replace("/fr/", "/ja/")
    system.archive.fail(slow, "hang")
    account = system.service.handle(created(slow, EXE), seconds_left=1.5)
    assert account.failures == {slow: "there was no time left for it"}
    assert len(system.records()) == 1
    system.archive.show(slow)
    assert not system.deliver(slow).failures


def test_an_archive_that_is_down_fails_by_name(system: EventSystem) -> None:
    container = system.container(NB_RETRY_REQUEST="0", ARCHIVE_URL="http://127.0.0.1:9/")
    account = container.handle(created(EXE, JSON))
    assert sorted(account.failures) == sorted([EXE, JSON])


def test_a_kinto_that_is_down_fails_by_name_and_nothing_is_lost(system: EventSystem) -> None:
    system.archive.files.update(candidate_tree(platforms=("win64",)))
    container = system.container(NB_RETRY_REQUEST="0", SERVER_URL="http://127.0.0.1:9/v1")
    account = container.handle(created(EXE))
    assert list(account.failures) == [EXE]
    assert "check that it is running" in account.failures[EXE]
    assert not system.deliver(EXE).failures
    assert len(system.records()) == 1


def test_a_silent_kinto_holds_up_no_later_invocation(system: EventSystem) -> None:
    """The threads of the requests that were given up are free again, however few there are."""
    system.archive.files.update(candidate_tree(platforms=("win64",)))
    quiet = threading.Event()

    def silent(connection: socket.socket, request: bytes) -> bool:
        quiet.set()
        return not connection.recv(1)  # until the client closes it

    with serving(silent) as server:
        container = system.container(SERVER_URL=f"{server.url}v1", NB_RETRY_REQUEST="3")
        loop = container._runner.get_loop()
        loop.set_default_executor(ThreadPoolExecutor(1))
        account = container.handle(created(EXE), seconds_left=1)
        assert account.failures == {EXE: "there was no time left for it"}
        assert quiet.is_set()
        done = loop.run_in_executor(None, lambda: "free")
        assert loop.run_until_complete(asyncio.wait_for(done, 30)) == "free"


def test_of_many_that_wait_those_that_fail_do_not_keep_the_others(system: EventSystem) -> None:
    system.archive.files.update(candidate_tree(platforms=("win64",)))
    system.archive.fail(EXE, 403, 403)
    account = system.deliver(JSON)
    assert list(account.failures) == [JSON]
    assert EXE in account.failures[JSON]
    assert {data["target"]["locale"] for data in system.records().values()} == {"en-US", "ja"}


def test_metadata_that_hangs_fails_all_that_depend_on_it_by_name(system: EventSystem) -> None:
    """They share one lookup: that the first runs out of time must not take it from the others."""
    tree = candidate_tree(platforms=("win64",), locales=LOCALES_OF_A_RELEASE[:40])
    system.archive.files.update(tree)
    builds = [key for key in tree if recognise(key)]
    system.archive.fail(JSON, *["hang"] * 50)
    result = system.service.handle(in_sqs(*map(created, builds)), seconds_left=2)
    assert result.failures == dict.fromkeys(builds, "there was no time left for it")
    assert result.failed_messages == [f"message-{n}" for n in range(40)]
    assert all(key in str(result.problem) for key in builds)


def test_a_metadata_event_that_hangs_fails_by_name(system: EventSystem) -> None:
    """Although some of its builds are stored."""
    system.archive.files.update(candidate_tree(platforms=("win64",)))
    system.archive.fail(EXE, "hang")
    system.archive.lag(EXE, 1000)
    result = system.service.handle(created(JSON), seconds_left=2)
    assert list(result.failures) == [JSON]
    assert {data["target"]["locale"] for data in system.records().values()} == {"en-US", "ja"}


def test_an_archive_that_goes_down_is_one_sentence(
    system: EventSystem, caplog: pytest.LogCaptureFixture
) -> None:
    """The metadata is read, then every other request fails: the archive is given up."""
    tree = candidate_tree(platforms=("win64",), locales=LOCALES_OF_A_RELEASE[:40])
    system.archive.files.update(tree)
    builds = [key for key in tree if recognise(key)]
    folders = {key.rpartition("/")[0] + "/" for key in tree}
    for path in (*builds, *folders - {JSON.rpartition("/")[0] + "/"}):
        system.archive.fail(path, *[503] * 3)
    result = system.container(NB_RETRY_REQUEST="0").handle(created(JSON))
    assert list(result.failures) == [JSON]
    assert "The archive does not answer" in result.failures[JSON]
    assert "TaskGroup" not in caplog.text + str(result.problem)
    assert not [record for record in caplog.records if record.exc_info]


def test_an_archive_that_is_given_up_has_the_same_words_for_all(system: EventSystem) -> None:
    keys = [EXE.replace("/fr/", f"/{locale}/") for locale in LOCALES_OF_A_RELEASE[:40]]
    container = system.container(NB_RETRY_REQUEST="0", ARCHIVE_URL="http://127.0.0.1:9/")
    result = container.handle(created(*keys))
    assert sorted(result.failures) == sorted(keys)
    assert str(result.problem).count("The archive does not answer") == 1


def test_the_counts_are_those_of_files_and_of_builds(system: EventSystem) -> None:
    system.archive.files.update(candidate_tree(platforms=("win64",)))
    assert system.deliver(JSON, "favicon.ico").builds == {Outcome.CREATED: 3}
    result = system.deliver(JSON, EXE, EXE)
    assert (result.handled, result.builds) == (3, {Outcome.UNCHANGED: 4})
