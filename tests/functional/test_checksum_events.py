"""Events of files of sums: whichever comes first, the record has its sum in the end."""

from __future__ import annotations

from typing import Any

import pytest

from buildhub.builds.recognise import recognise
from tests.support.archive_files import File
from tests.support.archive_tree import candidate_tree, nightly_tree, release_tree
from tests.support.event_system import EventSystem
from tests.support.locales import LOCALES
from tests.support.pipeline_records import pipeline_records
from tests.support.sums import sha256, sums_of

pytestmark = pytest.mark.functional

TWO = ("en-US", "fr")
RELEASE = "pub/firefox/releases/54.0/"
SUMS = f"{RELEASE}SHA256SUMS"
EXE = f"{RELEASE}win64/fr/Firefox Setup 54.0.exe"
NIGHTLY = "pub/firefox/nightly/2017/08/2017-08-08-10-00-25-mozilla-central"


@pytest.fixture
def system(system: EventSystem) -> EventSystem:
    system.service = system.container(CHECKSUMS="true")
    return system


def builds(tree: dict[str, File]) -> list[str]:
    return [key for key in tree if recognise(key)]


def found_sums(system: EventSystem) -> dict[str, str | None]:
    return {
        one["download"]["url"].removeprefix(system.archive.url): one["download"].get("sha256")
        for one in system.records().values()
    }


TREES = {
    "release": lambda: release_tree(platforms=("win64", "mac"), locales=TWO),
    "candidates": lambda: candidate_tree(build=11, platforms=("win64", "win64-sha1"), locales=TWO),
    "nightly": lambda: nightly_tree(platforms=("win64", "linux-x86_64"), locales=TWO),
    "mobile": lambda: nightly_tree(
        "mobile", platforms=("android-api-15",), locales=("multi", "fr")
    ),
    "flat release": lambda: (
        {
            f"pub/firefox/releases/1.5/firefox-1.5.{locale}.linux-i686.tar.gz": File(5)
            for locale in TWO
        }
        | candidate_tree("firefox", "1.5", platforms=("linux-i686",), locales=())
    ),
}


@pytest.mark.parametrize("tree", TREES)
@pytest.mark.parametrize("first", ["builds", "sums"])
def test_both_orders_are_equal_to_the_pipe(system: EventSystem, tree: str, first: str) -> None:
    files = TREES[tree]()
    sums = sums_of(files)
    if first == "builds":
        system.archive.files.update(files)
        assert not system.deliver(*builds(files)).failures
        assert set(found_sums(system).values()) == {None}
        system.archive.files.update(sums)
        assert not system.deliver(*sums).failures
    else:
        system.archive.files.update(sums)
        assert not system.deliver(*sums).failures
        assert system.records() == {}
        system.archive.files.update(files)
        assert not system.deliver(*builds(files)).failures
    assert found_sums(system) == {key: sha256(key) for key in builds(files)}
    assert system.records() == pipeline_records(system.archive, CHECKSUMS="true")


def test_the_sums_of_a_release_name_its_builds_so_that_nothing_is_listed(
    system: EventSystem,
) -> None:
    """A large folder's listing lags behind for minutes; a file can be asked for at once."""
    tree = release_tree(platforms=("win64", "mac"), locales=LOCALES, builds=(1,))
    tree = {k: file for k, file in tree.items() if "/candidates/" not in k or "/en-US/" in k}
    tree |= sums_of({k: file for k, file in tree.items() if k.startswith(RELEASE)})
    system.archive.files.update(tree)
    assert not system.deliver(SUMS).failures
    assert len(found_sums(system)) == 2 * len(LOCALES)
    folders = {key for method, key in system.archive.requests if key.endswith("/")}
    assert not [folder for folder in folders if folder.startswith(RELEASE)]
    assert system.archive.requests["GET", SUMS] == 2


def test_builds_without_metadata_are_not_awaited(system: EventSystem) -> None:
    """Their metadata has an event of its own, which brings the sums as well."""
    files = nightly_tree(platforms=("win64",), locales=("en-US",))
    late = {key: files.pop(key) for key in list(files) if key.endswith(".json")}
    sums = sums_of(files)
    system.archive.files.update(files | sums)
    assert not system.deliver(*sums).failures
    assert system.records() == {}
    assert set(system.archive.requests.values()) == {1}
    system.archive.files.update(late)
    assert not system.deliver(*late).failures
    assert found_sums(system) == {key: sha256(key) for key in builds(files)}


@pytest.mark.parametrize("variables", [{}, {"CHECKSUMS": "true", "PRODUCTS": "thunderbird"}])
def test_sums_that_are_not_wanted_are_ignored(
    system: EventSystem, variables: dict[str, Any]
) -> None:
    files = release_tree(platforms=("win64",), locales=TWO, builds=(1,))
    system.archive.files.update(files | sums_of(files))
    system.service = system.container(**variables)
    result = system.deliver(SUMS, f"{NIGHTLY}/firefox-57.0a1.en-US.win64.checksums")
    assert (result.ignored, result.failures) == (2, {})
    assert system.archive.total == 0


@pytest.mark.parametrize("event", [EXE, SUMS])
@pytest.mark.parametrize("behaviour", [503, "html"])
def test_a_file_that_cannot_be_read_now_fails_its_event_and_the_record_is_there(
    system: EventSystem, event: str, behaviour: Any
) -> None:
    """The event comes again, and then the record gets its sum."""
    files = release_tree(platforms=("win64",), locales=TWO, builds=(1,))
    system.archive.files.update(files | sums_of(files))
    system.service = system.container(CHECKSUMS="true", NB_RETRY_REQUEST="0")
    system.archive.fail(SUMS, behaviour)
    failures = system.deliver(event).failures
    assert list(failures) == [event]
    assert f"{SUMS}: " in failures[event]
    if event == EXE:
        assert failures[EXE].startswith("it is stored without its sum: ")
        assert found_sums(system) == {EXE: None}
    assert not system.deliver(event).failures
    assert found_sums(system)[EXE] == sha256(EXE)


def test_a_stored_sum_outlives_an_event_that_cannot_read_it(system: EventSystem) -> None:
    files = release_tree(platforms=("win64",), locales=TWO, builds=(1,))
    system.archive.files.update(files | sums_of(files))
    assert not system.deliver(EXE).failures
    before = system.kinto.records()
    system.service = system.container(CHECKSUMS="true", NB_RETRY_REQUEST="0")
    system.archive.fail(SUMS, 503)
    assert list(system.deliver(EXE).failures) == [EXE]
    system.service = system.container()
    assert not system.deliver(EXE).failures
    assert system.kinto.records() == before
