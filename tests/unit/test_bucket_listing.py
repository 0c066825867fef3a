"""The bucket is listed folder by folder, its objects become rows, and the work is shared."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import random
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote_plus, unquote_plus

import pytest

from buildhub.errors import Unreachable
from buildhub.http import Response
from buildhub.inventory.gcs import Bucket, rows
from buildhub.inventory.listing import BucketListing
from buildhub.inventory.selection import Section, Selection
from tests.support import bucket_tree
from tests.support.archive_keys import BUILDS
from tests.support.bucket_tree import made
from tests.support.gcs_server import BUCKET, GcsServer, Object

T = TypeVar("T")

KEYS = Path(__file__).parents[1] / "data" / "archive-keys.tsv.gz"

# ---- folders ----


def keys_of_builds() -> Iterator[str]:
    with gzip.open(KEYS, "rt") as lines:
        for line in lines:
            key, record = line.rstrip("\n").split("\t")[:2]
            if record != "-" and not key.startswith("#"):
                yield key
    yield from (f"pub/{key}" for key, *_ in BUILDS)


def test_every_build_of_the_table_is_in_a_folder_that_is_listed() -> None:
    missed = []
    for key in keys_of_builds():
        _, product, name, top = key.split("/")[:4]
        section = Section(product, name)
        if not top[0].isdigit() or section.left_out(key):
            missed.append(key)
    assert missed == []


@pytest.mark.parametrize(
    "key",
    [
        "pub/firefox/releases/55.0/update/win64/de/firefox-54.0-55.0.partial.mar",
        "pub/firefox/releases/1.5/contrib/firefox-1.5.tar.gz",
        "pub/firefox/releases/readme.txt",
        "pub/firefox/candidates/55.0-candidates/build1/partner-repacks/a/win32/de/Firefox.exe",
        "pub/firefox/candidates/55.0-candidates/build1/update/a.mar",
        "pub/firefox/nightly/2017/08/2017-08-05-10-03-34-mozilla-aurora/firefox-57.0a1.en-US.mac.dmg",
        "pub/firefox/nightly/2019/07/2019-07-13-09-37-05-mozilla-esr68/firefox-68.0.en-US.mac.dmg",
        "pub/mobile/nightly/2020/10/2020-10-13-09-37-05-mozilla-esr78-android-api-16/fennec.apk",
        "pub/firefox/nightly/2010/07/2010-07-05-04-mozilla-1.9.2/firefox-3.6.8pre.en-US.mac.dmg",
        "pub/firefox/nightly/2017/08/latest-mozilla-central/firefox-57.0a1.en-US.mac.dmg",
    ],
)
def test_folders_without_builds_are_left_out(key: str) -> None:
    section = Section(*key.split("/")[1:3])
    assert section.left_out(key)


@pytest.mark.parametrize(
    "key",
    [
        "pub/firefox/releases/55.0/SHA512SUMS",
        "pub/firefox/releases/55.0/update",
        "pub/firefox/releases/55.0/updates/a",
        "pub/firefox/candidates/55.0-candidates/update/a",
        "pub/firefox/nightly/2017/08/README",
        "pub/fenix/nightly/2026/07/2026-07-01-09-27-14-fenix-154.0a1-android/fenix.apk",
    ],
)
def test_everything_else_in_a_version_or_month_is_listed(key: str) -> None:
    section = Section(*key.split("/")[1:3])
    assert not section.left_out(key)


# ---- rows ----


def test_rows_are_those_of_the_standard_library() -> None:
    """Every character that a key can have, alone and beside others."""
    characters = [chr(code) for code in (*range(32, 127), 0xE9, 0x65E5, 0x1F98A, 0xFFFD)]
    names = ["".join(random.Random(n).choices(characters, k=30)) for n in range(500)] + characters
    objects = [made(name) for name in names]
    items = [one.resource(frozenset(("name", "size", "timeCreated", "md5Hash"))) for one in objects]
    expected = [bucket_tree.row(one) for one in objects]
    assert rows(BUCKET, items).decode().splitlines() == expected
    assert [unquote_plus(line.split('","')[1]) for line in expected] == names


@pytest.mark.parametrize("md5", ["", "a" * 32])
def test_checksums_of_a_page_where_some_are_missing(md5: str) -> None:
    one = made("a")._replace(md5=md5)
    objects = [one, made("b")]
    items = [
        each.resource(frozenset(("name", "size", "timeCreated", "md5Hash"))) for each in objects
    ]
    assert rows(BUCKET, items).decode().splitlines() == [bucket_tree.row(each) for each in objects]


# ---- the work of many requests ----


class ClockedLoop(asyncio.SelectorEventLoop):
    """An event loop whose time passes only while all wait: seconds cost nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self._real_select = self._selector.select  # type: ignore[attr-defined]
        self._selector.select = self._select  # type: ignore[attr-defined]

    def time(self) -> float:
        return self.now

    def _select(self, timeout: float | None = None) -> Any:
        self.now += timeout or 0
        return self._real_select(0)


class Clocked(Bucket):
    """The bucket of a server that is asked without a network; each page takes 0.1 s.

    The folders in a folder whose name ends with ``unreadable`` can't be listed.
    """

    def __init__(self, server: GcsServer, jobs: int, unreadable: str) -> None:
        super().__init__(server.bucket, parallel=jobs)
        self._server = server
        self._unreadable = unreadable
        self.asked = 0

    async def request(
        self,
        method: str,
        path: str,
        parse: Callable[[Response], T],
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> T:
        self.asked += 1
        async with self._limit:
            await asyncio.sleep(0.1)
        parameters = dict(query or {})
        if "delimiter" in parameters and parameters["prefix"].endswith(self._unreadable):
            raise Unreachable("HTTP 503")
        page = self._server.page(parameters, self._server.start(parameters))
        return parse(Response(200, {}, page))


def clocked_run(
    objects: list[Object], jobs: int, unreadable: str = "none"
) -> tuple[list[str], int, float]:
    """The rows, the requests, and the seconds that they took."""

    async def run() -> tuple[list[str], int, float]:
        bucket = Clocked(GcsServer(objects, page_size=20), jobs, unreadable)
        errors: list[str] = []
        selection = Selection(["firefox"])
        listing = BucketListing(bucket, selection, jobs=jobs, on_error=errors.append)
        found = b"".join([block async for block in listing.blocks()]).decode().splitlines()
        assert errors == []
        return found, bucket.asked, asyncio.get_running_loop().time()

    loop = ClockedLoop()
    try:
        return loop.run_until_complete(run())
    finally:
        loop.close()


def in_folders(versions: int, locales: int) -> list[Object]:
    """Versions of three platforms: five files a locale."""
    return [
        made(f"pub/firefox/releases/{50 + version}.0/{platform}/l{locale:02}/Firefox {number}.exe")
        for version in range(versions)
        for platform in ("linux-x86_64", "mac", "win64")
        for locale in range(locales)
        for number in range(5)
    ]


def candidates(versions: int, builds: int, locales: int) -> list[Object]:
    """Candidates of four platforms: four files a locale."""
    return [
        made(
            f"pub/firefox/candidates/{50 + version}.0-candidates/build{build}/{platform}/"
            f"l{locale:02}/Firefox {number}.exe"
        )
        for version in range(versions)
        for build in range(1, builds + 1)
        for platform in ("linux", "mac", "win32", "win64")
        for locale in range(locales)
        for number in range(4)
    ]


def flat(days: int, files: int) -> list[Object]:
    """Nightlies whose files lie in one folder a day."""
    return [
        made(
            f"pub/firefox/nightly/2017/07/2017-07-{day:02}-10-00-00-mozilla-central/firefox.{name}"
        )
        for day in range(1, days + 1)
        for name in (f"{chr(97 + n % 26)}{chr(97 + n // 26 % 26)}.{n}" for n in range(files))
    ]


def localised(days: int, locales: int, files: int) -> list[Object]:
    """Nightlies whose files lie in one folder a day, many files a locale."""
    return [
        made(
            f"pub/firefox/nightly/2017/07/2017-07-{day:02}-10-00-00-mozilla-central-l10n/"
            f"firefox-56.0a1.{chr(97 + locale // 26)}{chr(97 + locale % 26)}.p{number}.tar.bz2"
        )
        for day in range(1, days + 1)
        for locale in range(locales)
        for number in range(files)
    ]


@pytest.mark.parametrize(
    "tree",
    [
        lambda: in_folders(60, 45),
        pytest.param(lambda: in_folders(400, 6), marks=pytest.mark.slow),
        pytest.param(lambda: flat(30, 1300), marks=pytest.mark.slow),
        lambda: flat(20, 1000) + in_folders(30, 40),
    ],
    ids=["large folders", "small folders", "flat folders", "both"],
)
def test_the_requests_are_shared_by_all_connections(tree: Callable[[], list[Object]]) -> None:
    """The wall time is at most 1.2 times that of the requests divided by the connections."""
    objects = tree()
    found, count, seconds = clocked_run(objects, jobs=32)
    assert found == bucket_tree.rows(objects)
    assert count <= 1.1 * len(objects) / 20 + 60
    # The last page of each walk leaves its connection idle: two seconds of a short run.
    assert seconds <= 1.2 * count * 0.1 / 32 + 1


@pytest.mark.parametrize(
    "tree",
    [
        lambda: localised(1, 100, 300),
        pytest.param(lambda: in_folders(1, 2000), marks=pytest.mark.slow),
        lambda: localised(1, 100, 300) + in_folders(30, 10),
    ],
    ids=["flat folder", "version", "before others"],
)
def test_one_very_large_folder_is_shared_by_all_connections(
    tree: Callable[[], list[Object]],
) -> None:
    """One connection, or three, would need the time of hundreds of requests.

    In the first second the folder is found, and found to be large.
    """
    objects = tree()
    found, count, seconds = clocked_run(objects, jobs=16)
    assert found == bucket_tree.rows(objects)
    assert count <= 1.3 * len(objects) / 20 + 10
    assert seconds <= 1.4 * count * 0.1 / 16 + 1.5


@pytest.mark.parametrize(
    "objects", [localised(1, 100, 100), in_folders(1, 700)], ids=["flat folder", "version"]
)
def test_a_folder_of_five_hundred_pages_takes_little_longer_than_its_requests(
    objects: list[Object],
) -> None:
    """The time in which it is found, and found to be large, is included."""
    found, count, seconds = clocked_run(objects, jobs=16)
    assert found == bucket_tree.rows(objects)
    assert seconds <= 1.4 * count * 0.1 / 16


@pytest.mark.parametrize(
    "objects",
    [in_folders(12, 27), in_folders(5, 67), candidates(3, 3, 100)],
    ids=["twelve versions", "five versions", "builds"],
)
def test_fewer_large_folders_than_connections_are_shared_by_all(objects: list[Object]) -> None:
    """In the first 0.3 s the folders are found, and found to be large."""
    found, count, seconds = clocked_run(objects, jobs=16)
    assert found == bucket_tree.rows(objects)
    assert count <= 1.3 * len(objects) / 20
    assert seconds <= 1.2 * count * 0.1 / 16 + 0.3


def test_large_folders_of_the_same_day_are_shared_by_all_connections() -> None:
    """The second is found while the first one's part, which ends with the day, is read."""
    objects = localised(1, 50, 100)
    objects += [
        one._replace(name=one.name.replace("-10-00-00-mozilla", "-11-00-00-mozilla"))
        for one in objects
    ]
    found, count, seconds = clocked_run(objects, jobs=16)
    assert found == bucket_tree.rows(objects)
    assert seconds <= 1.4 * count * 0.1 / 16


class Stuck(Clocked):
    """The bucket of a server that does not answer where the date of a version is looked up."""

    async def request(self, *arguments: Any, **options: Any) -> Any:
        if options["query"]["maxResults"] == "1":
            self.asked += 1
            await asyncio.Event().wait()
        return await super().request(*arguments, **options)


def test_no_more_requests_are_under_way_than_connections_although_many_dates_are_looked_up() -> (
    None
):
    """A server that asks for patience would get them all again and again."""
    bucket = Stuck(GcsServer(in_folders(50, 1), page_size=1000), jobs=4, unreadable="none")
    selection = Selection(["firefox"], ["releases"], since=datetime(2017, 1, 1, tzinfo=UTC))
    listing = BucketListing(bucket, selection, jobs=4, on_error=pytest.fail)

    async def run() -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(anext(listing.blocks()), timeout=5)

    loop = ClockedLoop()
    loop.run_until_complete(run())
    loop.close()
    assert bucket.asked == 1 + 4


def test_a_large_folder_whose_folders_cannot_be_listed_is_read_page_by_page() -> None:
    """Its folders are listed to read them at the same time, and for nothing else."""
    objects = in_folders(1, 100) + localised(1, 50, 20)
    for unreadable in ("/50.0/", "/linux-x86_64/", "/firefox-56.0a1."):
        found, *_ = clocked_run(objects, jobs=16, unreadable=unreadable)
        assert found == bucket_tree.rows(objects)


def test_days_without_nightlies_cost_few_requests() -> None:
    """Where the days of a month begin is not listed, but known: most may be empty."""
    objects = flat(1, 30)
    found, count, _ = clocked_run(objects, jobs=16)
    assert found == bucket_tree.rows(objects)
    assert count <= 12


def test_one_connection_is_never_idle() -> None:
    objects = in_folders(5, 10)
    found, count, seconds = clocked_run(objects, jobs=1)
    assert found == bucket_tree.rows(objects)
    assert seconds == pytest.approx(count * 0.1)


def test_keys_are_encoded_as_s3_does() -> None:
    assert quote_plus("Firefox Setup 55.0 (1)+é.exe", safe="/") == (
        "Firefox+Setup+55.0+%281%29%2B%C3%A9.exe"
    )
