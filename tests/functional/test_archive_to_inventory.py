"""``archive-to-inventory`` in a real process, against a server that lists as Google's does."""

from __future__ import annotations

import json
import os
import random
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from buildhub.inventory.selection import LOWEST
from tests.support import bucket_tree, commands
from tests.support.archive_server import ArchiveServer
from tests.support.archive_tree import candidate_tree, release_tree
from tests.support.bucket_tree import Tree, made, rows
from tests.support.gcs_server import BUCKET, GcsServer, Object

BIN = Path(sys.executable).parent
COMMAND = str(BIN / "archive-to-inventory")
TREE = Tree()


@pytest.fixture(scope="module")
def _server() -> Iterator[GcsServer]:
    with GcsServer(TREE.objects, page_size=50) as server:
        yield server


@pytest.fixture
def server(_server: GcsServer) -> GcsServer:
    """The tree, in pages of fifty."""
    _server.reset()
    return _server


def environ(server: GcsServer, **more: str) -> dict[str, str]:
    return {
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "ARCHIVE_BUCKET": BUCKET,
        "STORAGE_EMULATOR_HOST": server.url,
        **more,
    }


def run(
    server: GcsServer, *arguments: str, status: int = 0, **more: str
) -> subprocess.CompletedProcess[str]:
    done = commands.run([COMMAND, *arguments], text=True, env=environ(server, **more))
    assert done.returncode == status, done.stderr
    return done


def listed(server: GcsServer, *arguments: str, **more: str) -> list[str]:
    return run(server, *arguments, **more).stdout.splitlines()


def wanted(choose: Callable[[str], bool], objects: list[Object] = TREE.wanted) -> list[str]:
    return rows(one for one in objects if choose(one.name))


@pytest.mark.parametrize(
    "jobs", ["1", "16", *(pytest.param(jobs, marks=pytest.mark.slow) for jobs in ("2", "100"))]
)
def test_rows_of_all_folders_with_builds_in_order_whatever_jobs_is(
    server: GcsServer, jobs: str
) -> None:
    assert listed(server, "--jobs", jobs) == rows(TREE.wanted)
    assert server.most_at_once <= int(jobs)


def test_the_summary_says_how_many_rows_and_requests(server: GcsServer) -> None:
    stderr = run(server).stderr
    requests = len(server.requests)
    assert stderr == f"archive-to-inventory: {len(TREE.wanted):,} rows, {requests:,} requests.\n"


def test_quiet_prints_nothing(server: GcsServer) -> None:
    assert run(server, "-q").stderr == ""


@pytest.mark.parametrize(
    "page_size", [7, *(pytest.param(size, marks=pytest.mark.slow) for size in (1, 1000))]
)
def test_empty_pages_with_a_token_are_no_end(page_size: int) -> None:
    tree = Tree(versions=2, days=30)
    with GcsServer(tree.objects, page_size=page_size, empty_every=2) as server:
        assert listed(server) == rows(tree.wanted)


ODD = (
    "pub/firefox/releases/3.6/win32/de/Firefox Setup 3.6 (beta).exe",
    "pub/firefox/releases/3.6/win32/de/a+b%20c~d*e'f\"g&h=i,j;k?l#m.exe",
    "pub/firefox/releases/3.6/win32/de/firefox-ü-日本語-🦊-\ufffd.exe",
    "pub/firefox/releases/3.6/win32/de/",
    "pub/firefox/releases/3.6.1/win32/de/Firefox.exe",
    "pub/firefox/releases/3.6a/win32/de/Firefox.exe",
    "pub/firefox/releases/3.6/update",
    "pub/firefox/releases/3.6/updates/a.mar",
    "pub/firefox/releases/3.6/latest.exe",
    "pub/firefox/nightly/2010/07/2010-07-04-05-mozilla-central/firefox-4.0b2pre.en-US.mac.dmg",
    "pub/firefox/nightly/2010/07/README",
    "pub/firefox/nightly/2026/07/2026-07-01-09-27-14-fenix-154.0a1-android-x86_64/fenix.apk",
)


def test_odd_keys_are_form_encoded_and_sorted_by_their_bytes() -> None:
    objects = [made(key) for key in ODD]
    with GcsServer(objects, page_size=3) as server:
        assert listed(server) == rows(objects)


def test_an_object_without_md5_has_an_empty_one() -> None:
    composite = made("pub/firefox/releases/55.0/mac/de/Firefox 55.0.dmg")._replace(md5="")
    objects = [made("pub/firefox/releases/55.0/SHA256SUMS"), composite]
    with GcsServer(objects) as server:
        assert listed(server) == rows(objects)


def test_objects_in_no_folder_at_all_are_left_out() -> None:
    objects = [made("pub/firefox/releases/55.0/mac/de/Firefox 55.0.dmg")]
    others = [made("pub/firefox/releases/5.txt"), made("pub/firefox/releases/56.txt")]
    with GcsServer(objects + others) as server:
        assert listed(server) == rows(objects)


def test_an_empty_bucket_gives_nothing() -> None:
    with GcsServer([]) as server:
        assert listed(server) == []


# ---- what is chosen ----


def test_product_section_and_products_variable(server: GcsServer) -> None:
    arguments = ("--product", "thunderbird", "--section", "releases", "--section", "nightly")
    expected = wanted(lambda key: bool(re.match("pub/thunderbird/(releases|nightly)/", key)))
    assert listed(server, *arguments) == expected
    assert listed(server, *arguments[2:], PRODUCTS="thunderbird") == expected


def test_product_names_mean_their_folders() -> None:
    objects = [made("pub/mobile/releases/55.0/android/de/fennec-55.0.de.android-arm.apk")]
    with GcsServer(objects) as server:
        assert listed(server, PRODUCTS="firefox,fennec") == rows(objects)


def test_versions_are_globs_for_releases_and_candidates(server: GcsServer) -> None:
    assert listed(server, "--version", "5[0-3].*", "--version", "57.0b2") == wanted(
        lambda key: bool(re.search(r"(releases|candidates)/(5[0-3]\.0|57\.0b2)", key))
    )
    assert listed(server, "--version", "52.*", "--section", "nightly", "--section", "releases") == (
        wanted(lambda key: bool(re.search(r"nightly/|releases/52\.0", key)))
    )


def test_versions_may_be_a_list_and_one_that_fits_nothing_is_said(server: GcsServer) -> None:
    done = run(server, "--version", "50.0,52.0 999.*", "--section", "releases")
    assert done.stdout.splitlines() == wanted(
        lambda key: bool(re.search(r"releases/5[02]\.0/", key))
    )
    assert "--version 999.* fits no version that is listed" in done.stderr
    assert "--version 5" not in done.stderr


def test_since_and_until_choose_the_days_of_nightlies(server: GcsServer) -> None:
    got = listed(server, "--section", "nightly", "--since", "2016-12-24", "--until", "2017-02-01")
    days = [re.search(r"/(\d{4}-\d\d-\d\d)-\d\d-\d\d", line)[1] for line in got]  # type: ignore[index]
    assert got == wanted(
        lambda key: (
            "2016-12-24" <= key.split("/")[5][:10] <= "2017-02-01" if "/nightly/" in key else False
        )
    )
    assert (days[0], max(days)) == ("2016-12-25", "2017-01-30")
    outside = [one for one in server.requests if "2016/11" in str(one) or "2017/03" in str(one)]
    assert outside == []


def test_since_chooses_versions_and_builds_by_their_first_object(server: GcsServer) -> None:
    got = listed(server, "--since", "2017-05-22", "--section", "releases", "--product", "firefox")
    # 58.0 appeared on 20 May, within three days before; 57.0b2 in March.
    assert got == wanted(lambda key: bool(re.match("pub/firefox/releases/5[89]", key)))
    # The second build of 59.0b2 is of the same day as the first.
    got = listed(server, "--since", "2017-07-01", "--section", "candidates")
    assert got == wanted(lambda key: "candidates/59.0b2" in key)
    got = listed(server, "--until", "2016-01-01", "--section", "candidates")
    assert got == wanted(lambda key: bool(re.search("candidates/5[01]", key)))


def test_the_first_object_is_not_the_one_named_like_the_folder() -> None:
    objects = list(bucket_tree.release("firefox", "55.0", datetime.now(UTC)))
    objects.append(made("pub/firefox/releases/55.0/", "2015-01-01T00:00:00.000Z"))
    with GcsServer(objects) as server:
        assert listed(server, "--since", "2d") == rows(objects)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--since", "last week"), "'last week' is not a valid date"),
        (("--until", "2017-13-01"), "'2017-13-01' is not a valid date"),
        (("--section", "beta"), "'beta' is not one of"),
        (("--product", "netscape"), "'netscape' is not a known product"),
        (("--jobs", "0"), "'0' is not a whole number from 1 to"),
        (("--storage-emulator-host", "ftp://x"), "is not a valid URL"),
    ],
)
def test_usage(server: GcsServer, arguments: tuple[str, ...], message: str) -> None:
    assert message in run(server, *arguments, status=2).stderr
    assert server.requests == []


def test_version_without_a_value_prints_the_programs(server: GcsServer) -> None:
    assert re.fullmatch(r"archive-to-inventory \d+\.\S+\n", run(server, "-V").stdout)


def test_the_storage_host_is_given_with_or_without_http(server: GcsServer) -> None:
    host = server.url.removeprefix("http://")
    assert listed(server, "--version", "55.*", STORAGE_EMULATOR_HOST=host)


# ---- requests ----


def test_requests_of_a_whole_listing(server: GcsServer) -> None:
    """1.1 x the pages of what is wanted, and one a version, build and month of nightlies."""
    listed(server)
    pages = -(-len(TREE.wanted) // server.page_size)
    folders = {
        match[0]
        for one in TREE.wanted
        if (match := re.match(r".*/releases/.+?/|.*/build\d+/|.*/nightly/\d+/\d+/", one.name))
    } | {one.name.split("/build")[0] for one in TREE.wanted if "/build" in one.name}
    assert len(server.requests) <= 1.1 * pages + len(folders)


def test_requests_of_two_days_of_ten_years() -> None:
    """2 % of a whole listing's, and one a version and build."""
    tree = Tree(datetime.now(UTC) - timedelta(hours=20), products=["firefox"], days=3650, every=1)
    with GcsServer(tree.objects, page_size=50) as server:
        got = listed(server, "--since", "2d")
        pages = -(-len(tree.wanted) // server.page_size)
        versions, builds = 10 + 10, 10 + 1
        assert got
        assert len(server.requests) <= 0.02 * 1.1 * pages + versions + builds


def test_one_huge_flat_folder_is_listed_by_many_at_once() -> None:
    """The pages of one folder follow each other, unless it is cut."""
    root = "pub/firefox/nightly/2017/07/2017-07-01-03-02-04-mozilla-central/firefox-56.0a1"
    objects = [
        made(f"{root}.{a}{b}.{n}.dmg") for a in "abdefhiklmnps" for b in "aest" for n in range(50)
    ]
    with GcsServer(objects, page_size=10, delay=0.01) as server:
        assert listed(server) == rows(objects)
        assert server.most_at_once > 4
        assert len(server.requests) <= 1.3 * len(objects) / 10 + 3


# ---- failures ----


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))]
)
def test_the_rows_are_the_same_if_a_fifth_of_the_answers_fail(seed: int) -> None:
    tree = Tree(versions=5, days=100)
    with GcsServer(tree.objects, page_size=30, faults=0.2, seed=seed) as server:
        assert listed(server) == rows(tree.wanted)
        assert server.failed > len(server.requests) / 10


def test_a_page_that_stays_unreadable_is_named_and_the_rest_is_listed(server: GcsServer) -> None:
    start = "pub/firefox/releases/55.0b2/"
    server.unreadable.add(start)
    try:
        arguments = ("--section", "releases", "--since", "2016-01-01", "--until", "2017-08-02")
        done = run(server, *arguments, status=1, NB_RETRY_REQUEST="0")
    finally:
        server.unreadable.clear()
    assert f"Not listed: the objects from {start} to " in done.stderr
    assert "HTTP 503 (1 attempt)" in done.stderr
    assert done.stderr.endswith(" 1 pages not listed.\n")
    lines = done.stdout.splitlines()
    assert lines == wanted(
        lambda key: bool(re.search(r"/releases/5[2-9]", key)) and not key.startswith(start)
    )


def test_a_version_whose_date_stays_unreadable_is_listed(server: GcsServer) -> None:
    version = "pub/firefox/releases/55.0b2/"
    arguments = ("--section", "releases", "--since", "2017-08-01")
    assert version not in run(server, *arguments).stdout
    server.unreadable.add(version + LOWEST)
    try:
        done = run(server, *arguments, NB_RETRY_REQUEST="0")
    finally:
        server.unreadable.clear()
    listed = [line for line in done.stdout.splitlines() if f'"{version}' in line]
    assert listed
    assert listed == wanted(lambda key: key.startswith(version))


@pytest.mark.parametrize(
    ("field", "value"), [("md5Hash", "x"), ("timeCreated", "soon"), ("size", "")]
)
@pytest.mark.parametrize("arguments", [(), ("--since", "2017-01-01")])
def test_an_impossible_object_costs_only_itself(
    field: str, value: str, arguments: tuple[str, ...]
) -> None:
    names = [f"pub/firefox/releases/55.0/mac/{locale}/Firefox 55.0.dmg" for locale in "abc"]
    odd, *others = [made(name) for name in names]
    with GcsServer([odd, *others]) as server:
        server.odd[odd.name] = {field: value}
        done = run(server, *arguments, status=1)
    assert done.stdout.splitlines() == rows(others)
    assert f"Not listed: {odd.name}: its size, date or checksum is not valid." in done.stderr
    assert "1 bad objects" in done.stderr


def test_an_impossible_date_of_the_first_object_hides_no_version() -> None:
    odd, other = [made(f"pub/firefox/releases/55.0/mac/{one}/Firefox.dmg") for one in "ab"]
    with GcsServer([odd, other]) as server:
        server.odd[odd.name] = {"timeCreated": "2017"}
        assert rows([other])[0] in listed(server, "--since", "2017-01-01")


def test_a_bucket_that_cannot_be_reached_is_one_sentence() -> None:
    with GcsServer([]) as server:
        pass
    stderr = run(server, status=1, NB_RETRY_REQUEST="1").stderr
    assert stderr.count("cannot be listed; check STORAGE_EMULATOR_HOST and the network") == 1
    assert "Not listed" not in stderr


def test_a_bucket_that_is_not_there_ends_the_run(server: GcsServer) -> None:
    done = run(server, status=1, ARCHIVE_BUCKET="another")
    assert "HTTP 404: Not found" in done.stderr
    assert "ARCHIVE_BUCKET" in done.stderr


def test_a_service_that_is_down_ends_the_run() -> None:
    with GcsServer([]) as server:
        pass
    done = run(server, "--section", "releases", status=1, NB_RETRY_REQUEST="0")
    assert "Not listed" in done.stderr or "cannot be listed" in done.stderr


# ---- interruptions ----


@pytest.mark.parametrize(
    "start_after",
    [
        "pub/firefox/releases/53.0b2/mac/de/x",
        *(pytest.param(key, marks=pytest.mark.slow) for key in ("pub/mobile", "z")),
    ],
)
def test_start_after_is_exclusive(server: GcsServer, start_after: str) -> None:
    assert listed(server, "--start-after", start_after) == wanted(lambda key: key > start_after)
    key = TREE.wanted[100].name
    assert listed(server, "--start-after", key) == wanted(lambda other: other > key)


@pytest.mark.slow
def test_versions_before_start_after_count_as_found(server: GcsServer) -> None:
    options = ("--product", "firefox", "--version", "50.*,56.*")
    done = run(server, *options, "--start-after", "pub/firefox/releases/54.0/mac")
    assert "fits no version" not in done.stderr


@pytest.mark.parametrize(
    "options",
    [("--since", "2017-06-01"), ("--start-after", "pub/firefox/releases/54.0/mac/x"), ()],
    ids=repr,
)
def test_the_rows_are_the_same_where_folders_are_compared_with_the_start(
    server: GcsServer, options: tuple[str, ...]
) -> None:
    """Google lists a folder if something in it is behind the start; emulators differ."""
    expected = run(server, *options).stdout
    server.compares_folders = True
    try:
        assert run(server, *options).stdout == expected
    finally:
        server.compares_folders = False


def test_killed_and_continued_ten_times_no_row_is_missing_and_none_twice(tmp_path: Path) -> None:
    chance = random.Random(11)
    arguments: list[str] = []
    interruptions = 0
    with (
        GcsServer(TREE.objects, page_size=20, delay=0.02) as server,
        open(tmp_path / "out", "wb+") as out,
    ):
        while interruptions < 10:
            process = subprocess.Popen(
                [COMMAND, "-j", "4", *arguments],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                env=environ(server),
            )
            assert process.stdout
            assert process.stderr
            for _ in range(chance.randrange(200, 400)):
                out.write(process.stdout.readline())
            process.send_signal(chance.choice([signal.SIGTERM, signal.SIGINT]))
            rest, stderr = process.communicate(timeout=30)
            out.write(rest)
            assert process.returncode in (130, 143), stderr
            found = re.search(rb"--start-after (.+)\n", stderr)
            assert found, stderr
            arguments = ["--start-after", *shlex.split(found[1].decode())]
            interruptions += 1
        out.write(run(server, *arguments).stdout.encode())
        out.seek(0)
        assert out.read().decode().splitlines() == rows(TREE.wanted)


def test_a_signal_ends_it_while_nobody_reads_and_the_output_ends_with_a_line() -> None:
    tree = Tree(every=1)
    with GcsServer(tree.objects) as server:
        process = subprocess.Popen(
            [COMMAND],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            env=environ(server),
        )
        assert process.stdout
        first = process.stdout.readline()  # the pipe is full now, or soon
        process.terminate()
        rest, stderr = process.communicate(timeout=30)
    assert process.returncode == 143
    assert rest.endswith(b"\n")
    lines = (first + rest).decode().splitlines()
    assert lines == rows(tree.wanted)[: len(lines)]
    assert b"--start-after " in stderr


def test_interrupted_before_the_first_row() -> None:
    with GcsServer(TREE.objects, delay=30) as server:
        process = subprocess.Popen(
            [COMMAND], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environ(server)
        )
        while not server.requests:
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=20)
    assert process.returncode == 130
    assert b"Ended before the first row." in stderr


def test_a_closed_output_ends_it_quietly(server: GcsServer) -> None:
    script = f"{COMMAND} | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, env=environ(server), timeout=60
    )
    assert done.stdout.splitlines() == [rows(TREE.wanted)[0], "141"]
    assert "Traceback" not in done.stderr


# ---- the pipe ----


def test_the_pipe_gives_the_records(tmp_path: Path) -> None:
    files = release_tree("firefox", "54.0", builds=(1,)) | candidate_tree("firefox", "54.0")
    objects = [made(key, file.date)._replace(size=file.size) for key, file in files.items()]
    with ArchiveServer(files) as archive, GcsServer(objects) as server:
        more = {"ARCHIVE_URL": archive.url, "CACHE_FOLDER": str(tmp_path)}
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", "archive-to-inventory | inventory-to-records"],
            capture_output=True,
            text=True,
            env=environ(server, **more),
            timeout=60,
        )
    assert done.returncode == 0, done.stderr
    downloads = [json.loads(line)["data"]["download"] for line in done.stdout.splitlines()]
    assert {one["url"].removeprefix(archive.url) for one in downloads} == {
        key for key in files if key.endswith((".bz2", ".dmg", ".exe"))
    }
    assert all(one["size"] == files[one["url"].removeprefix(archive.url)].size for one in downloads)
