"""The cache of the archive: what was found for one build holds for the next, as long as it may."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from buildhub.archive.cache import LookupCache, NotCached, address
from buildhub.archive.locations import ReleaseLocation, location_of
from buildhub.archive.metadata_formats import Metadata
from buildhub.builds.recognise import recognise

KEY = "pub/firefox/releases/54.0/win64/{}/Firefox Setup 54.0.exe"
CANDIDATES = "pub/firefox/candidates/54.0-candidates/"
DATE, LATER = "2017-06-08T12:00:00Z", "2018-01-01T12:00:00Z"
METADATA = Metadata({"id": "20170608105825"}, {"product": "firefox"}, "release")


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.date = DATE

    def __call__(self) -> float:
        return datetime.fromisoformat(self.date).replace(tzinfo=UTC).timestamp()


def location(locale: str = "de") -> ReleaseLocation:
    build = recognise(KEY.format(locale))
    assert build
    found = location_of(build)
    assert isinstance(found, ReleaseLocation)
    return found


@pytest.fixture
def cache(tmp_path: Path) -> LookupCache:
    """One that was filled long after the files were published, by another run."""
    clock = Clock()
    clock.date = LATER
    before = LookupCache(tmp_path, "https://archive/", clock=clock)
    before.put_highest_build(CANDIDATES, 1, DATE)
    before.put(address(location().in_build(1)), METADATA, DATE)
    before.close()
    clock.date = "2018-02-01T12:00:00Z"
    return LookupCache(tmp_path, "https://archive/", clock=clock)


def test_adjacent_locales_have_the_same_metadata(cache: LookupCache) -> None:
    assert [cache.find(location(locale), DATE) for locale in ("ach", "de", "fr")] == [METADATA] * 3


def test_a_newer_file_of_a_version_has_its_builds_asked_for_again(cache: LookupCache) -> None:
    assert cache.find(location(), DATE) == METADATA
    assert isinstance(cache.find(location(), LATER), NotCached)


def test_a_higher_build_that_is_seen_is_another_location(cache: LookupCache) -> None:
    assert cache.find(location(), DATE) == METADATA
    cache.file_seen(f"{CANDIDATES}build2/win64/en-US/firefox-54.0.json", DATE)
    assert cache.find(location(), DATE) == NotCached(location().in_build(2))


def test_metadata_that_is_put_replaces_what_was_found(cache: LookupCache) -> None:
    other = METADATA._replace(channel="esr")
    assert cache.find(location(), DATE) == METADATA
    cache.put(address(location().in_build(1)), other, DATE)
    assert cache.find(location(), DATE) == other
