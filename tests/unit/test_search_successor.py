"""The catalogue as buildhub's successor had it: each rule with a record that it is about."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from buildhub.kinto.refresh import Changes
from buildhub.search.copy import Copy
from buildhub.search.language import SUCCESSORS
from tests.support.search_copy import ALL_READ, ask, copy_of, refresh
from tests.support.search_records import make

BETA = ("firefox", "beta", "57.0b9")
ID, OTHER_ID = "20171016185129", "20171015000000"


def found(copy: Copy) -> dict[str, dict[str, Any]]:
    hits = ask(copy, {"size": 100}, SUCCESSORS)["hits"]["hits"]
    return {hit["_id"]: hit["_source"] for hit in hits}


def stored(record: dict[str, Any], last_modified: int = 1) -> dict[str, Any]:
    return record | {"last_modified": last_modified}


#: A build, a field, and its value in the view; None if the view does not have the build.
RULES: list[tuple[tuple[Any, ...], str, str | None]] = [
    ((*BETA, 0, ID, "win64", "en-US"), "target.platform", "win64"),
    ((*BETA, 0, ID, "win64", "multi"), "target.locale", "multi"),
    ((*BETA, 0, ID, "win64", "de"), "id", None),
    ((*BETA, 0, ID, "win64", "ja-JP-mac"), "id", None),
    ((*BETA, 0, ID, "win64-eme-free", "en-US"), "id", None),
    ((*BETA, 0, ID, "macosx-EME-free", "en-US"), "id", None),
    ((*BETA, 0, ID, "win32-sha1", "en-US"), "id", None),
    ((*BETA, 0, ID, "macosx", "en-US"), "target.platform", "mac"),
    ((*BETA, 0, ID, "macosx64", "en-US"), "target.platform", "mac64"),
    ((*BETA, 0, ID, "win64-aarch64", "en-US"), "target.platform", "win64"),
    ((*BETA, 0, ID, "linux-aarch64", "en-US"), "target.platform", "linux-aarch64"),
    ((*BETA, 0, ID, "win64", "en-US"), "source.tree", "mozilla-beta"),
    ((*BETA, 0, ID, "win64", "en-US"), "download.mimetype", "application/octet-stream"),
    ((*BETA, 0, ID, "win64", "en-US"), "build.date", "2017-10-16T18:51:29.000000+00:00"),
    ((*BETA, 0, ID, "win64", "en-US"), "download.date", "2017-10-16T23:56:29.000000+00:00"),
    ((*BETA, 2, ID, "win64", "en-US"), "target.version", "57.0b9"),
    ((*BETA, 12, ID, "win64", "en-US"), "target.version", "57.0b9"),
    (("firefox", "esr", "52.6.0esr", 2, ID, "win64", "en-US"), "target.version", "52.6.0esr"),
    (
        ("firefox", "release", "49.0.1-funnelcake90", 3, ID, "win32", "en-US"),
        "target.version",
        "49.0.1-funnelcake90",
    ),
    (("firefox", "release", "4.0rc1", 0, ID, "win32", "en-US"), "target.version", "4.0rc1"),
    (("firefox", "release", "4.0rc1", 2, ID, "win32", "en-US"), "target.version", "4.0rc1"),
    (("firefox", "nightly", "58.0a1", 0, ID, "win64", "en-US"), "source.tree", "mozilla-central"),
    (("devedition", "aurora", "57.0b9", 1, ID, "win64", "en-US"), "source.product", "firefox"),
    (("devedition", "beta", "57.0b9", 1, ID, "win64", "en-US"), "target.channel", "aurora"),
    (("thunderbird", "release", "52.9", 0, ID, "win32", "en-US"), "source.product", "thunderbird"),
]


@pytest.mark.parametrize(("build", "field", "value"), RULES)
def test_a_record_is_as_the_successor_had_it(
    tmp_path: Path, build: tuple[Any, ...], field: str, value: str | None
) -> None:
    with copy_of([stored(make(*build))], tmp_path) as copy:
        records = found(copy)
    if value is None:
        assert records == {}
    else:
        (record,) = records.values()
        for name in field.split("."):
            record = record[name]
        assert record == value


#: A candidate that does or does not stand for the release of :data:`BETA` on win64.
CANDIDATES = [
    (("firefox", "beta", "57.0b9", 1, OTHER_ID, "win64", "en-US"), True),
    (("firefox", "beta", "57.0b9", 12, ID, "win64", "de"), True),
    (("firefox", "release", "57.0b9", 1, ID, "win64", "en-US"), True),
    (("firefox", "beta", "57.0b9", 1, ID, "win64-aarch64", "en-US"), False),
    (("firefox", "beta", "57.0b9", 1, ID, "win32", "en-US"), False),
    (("firefox", "beta", "57.0b8", 1, ID, "win64", "en-US"), False),
    (("devedition", "aurora", "57.0b9", 1, ID, "win64", "en-US"), False),
    (("firefox", "release", "57.0b9rc1", 0, ID, "win64", "en-US"), False),
]


@pytest.mark.parametrize(("candidate", "stands_for_it"), CANDIDATES)
def test_a_release_is_there_only_without_a_candidate(
    tmp_path: Path, candidate: tuple[Any, ...], stands_for_it: bool
) -> None:
    release, other = make(*BETA, 0, ID, "win64", "en-US"), make(*candidate)
    with copy_of([stored(release)], tmp_path) as copy:
        assert release["id"] in found(copy)
        # The candidate comes after its release …
        refresh(copy, Changes(False, [stored(other, 2)], [], ALL_READ))
        assert (release["id"] in found(copy)) is not stands_for_it
        # … and is deleted.
        refresh(copy, Changes(False, [], [other["id"]], ALL_READ))
        assert release["id"] in found(copy)


def test_a_nightly_is_there_whatever_candidates_are(tmp_path: Path) -> None:
    nightly = make("firefox", "nightly", "57.0b9", 0, ID, "win64", "en-US")
    candidate = make(*BETA, 1, ID, "win64", "en-US")
    with copy_of([stored(nightly), stored(candidate)], tmp_path) as copy:
        assert found(copy).keys() == {nightly["id"], candidate["id"]}
