"""The whole run, as cron and Lambda start it: inventories in S3 → records in a real Kinto."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from buildhub.load.run import load_tasks
from buildhub.load.tasks import tasks_of
from buildhub.settings import Settings
from buildhub.signals import CancellationToken
from tests.support import commands, s3_bucket
from tests.support.archive_files import File
from tests.support.archive_server import ArchiveServer
from tests.support.archive_tree import nightly_tree, release_tree
from tests.support.hostile.faults import (
    ENDLESS,
    ENDLESS_IN_S3,
    cut_at,
    damaged,
    held_halfway,
    slow_down,
)
from tests.support.hostile.proxy import Behaviour, Exchange, HostileProxy
from tests.support.kinto_server import Kinto
from tests.support.lambda_runtime import LambdaRuntime, installed_here
from tests.support.s3_bucket import Bucket
from tests.support.to_kinto_command import known_lines

pytestmark = pytest.mark.functional

COMMAND = str(Path(sys.executable).with_name("latest-inventory-to-kinto"))
YESTERDAY, TODAY, TOMORROW = "2017-08-09T00-12Z", "2017-08-10T00-11Z", "2017-08-11T00-10Z"

SMALL = {"platforms": ("linux-x86_64", "win64"), "locales": ("en-US", "fr")}
FIREFOX = release_tree("firefox", "54.0", **SMALL) | nightly_tree("firefox", **SMALL)
OTHERS = release_tree("thunderbird", "52.2.0", (1,), **SMALL) | nightly_tree(
    "mobile", platforms=("android-api-15",), locales=("multi", "en-US")
)
LATER = nightly_tree("firefox", moment="2017-08-10-10-00-25", **SMALL)


def builds(tree: dict[str, File]) -> list[str]:
    """The keys of a tree that are to have a record."""
    return [key for key, file in tree.items() if file.body is None]


def csv(tree: dict[str, File], *, members: int = 1) -> bytes:
    """A file of an inventory that lists ``tree``, and what is no build beside it."""
    objects = [(key, file.size, f"{file.date[:-1]}.000Z") for key, file in tree.items()]
    objects.append(("pub/firefox/releases/54.0/SHA512SUMS", 1000, "2017-06-13T12:00:00.000Z"))
    return s3_bucket.packed(s3_bucket.rows(objects, "net-mozaws-prod-delivery-x"), members)


def halves(tree: dict[str, File]) -> list[bytes]:
    """``tree`` in two files, the second of several gzip members."""
    middle, items = len(tree) // 2, list(tree.items())
    return [csv(dict(items[:middle])), csv(dict(items[middle:]), members=3)]


class Run:
    """The command, what it talks to, and folders of its own."""

    def __init__(
        self, bucket: Bucket, s3: HostileProxy, archive: ArchiveServer, kinto: Kinto, folder: Path
    ) -> None:
        self.bucket, self.s3, self.archive, self.kinto = bucket, s3, archive, kinto
        self.cache = folder / "cache"
        self.variables = {
            "SERVER_URL": kinto.url,
            "ARCHIVE_URL": archive.url,
            "AWS_ENDPOINT_URL": s3.url,
            "CACHE_FOLDER": str(self.cache),
            "CSV_DOWNLOAD_DIRECTORY": str(folder / "csv"),
            "NB_RETRY_REQUEST": "1",
            "TIMEOUT_SECONDS": "30",
        }
        own = ("PATH", "HOME", "LANG", "PYTHONPATH")
        inherited = {name: os.environ[name] for name in own if name in os.environ}
        self.environ = inherited | self.variables

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return commands.run([COMMAND, *arguments], text=True, env=self.environ)

    @contextlib.contextmanager
    def started(self) -> Iterator[subprocess.Popen[bytes]]:
        process = subprocess.Popen(
            [COMMAND], env=self.environ, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait(timeout=30)

    def moments(self) -> dict[str, int]:
        """When each record was last written, by the key of its file."""
        return {
            one["download"]["url"].removeprefix(self.archive.url): one["last_modified"]
            for one in self.kinto.records().values()
        }

    def has_all(self, *trees: dict[str, File]) -> bool:
        return sorted(self.moments()) == sorted(key for tree in trees for key in builds(tree))


@pytest.fixture
def run(bucket: Bucket, kinto: Kinto, tmp_path: Path) -> Iterator[Run]:
    """Two inventories of today; yesterday's list files that do not exist."""
    absent = nightly_tree("firefox", moment="2016-01-01-10-00-25", **SMALL)
    bucket.add_inventory("firefox", YESTERDAY, [csv(absent)])
    bucket.add_inventory("firefox", TODAY, halves(FIREFOX))
    bucket.add_inventory("archive", TODAY, halves(OTHERS))
    with (
        HostileProxy(bucket.url) as s3,
        ArchiveServer(FIREFOX | OTHERS | LATER) as archive,
    ):
        yield Run(bucket, s3, archive, kinto, tmp_path)


def columns(table: str) -> dict[str, dict[str, str]]:
    """The table's figures, by inventory."""
    lines = table.splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith("inventory "))
    names = lines[start].split()
    rows = [line.split(maxsplit=len(names) - 1) for line in lines[start + 1 : start + 3]]
    return {row[0]: dict(zip(names, row, strict=True)) for row in rows}


def test_an_empty_server_has_it_all_in_one_run(run: Run) -> None:
    done = run()
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert run.has_all(FIREFOX, OTHERS)
    table = columns(done.stderr)
    assert list(table) == ["firefox", "archive"]
    for inventory, tree in (("firefox", FIREFOX), ("archive", OTHERS)):
        expected = str(len(builds(tree)))
        assert table[inventory]["rows"] == str(len(tree) + 2)
        assert table[inventory]["builds"] == table[inventory]["created"] == expected
        assert table[inventory]["failed"] == table[inventory]["refused"] == "0"


def test_a_second_run_downloads_and_writes_nothing(run: Run) -> None:
    assert run().returncode == 0
    before_it, fetched = run.moments(), len(run.s3.fetched(".csv.gz"))
    done = run()
    assert done.returncode == 0, done.stderr
    assert run.moments() == before_it
    assert fetched == len(run.s3.fetched(".csv.gz")) == 4
    table = columns(done.stderr)
    assert table["firefox"]["unchanged"] == str(len(builds(FIREFOX)))
    assert table["firefox"]["created"] == table["firefox"]["updated"] == "0"


@pytest.mark.slow
def test_a_third_run_knows_the_lines_of_the_second(run: Run) -> None:
    for _ in range(3):
        done = run()
    assert known_lines(run.cache) == len(builds(FIREFOX)) + len(builds(OTHERS))
    assert columns(done.stderr)["firefox"]["unchanged"] == str(len(builds(FIREFOX)))
    assert columns(done.stderr)["archive"]["unchanged"] == str(len(builds(OTHERS)))


def test_tomorrow_only_what_is_new_is_written(run: Run) -> None:
    assert run().returncode == 0
    before_it = run.moments()
    keys = run.bucket.add_inventory("firefox", TOMORROW, [*halves(FIREFOX), csv(LATER)])
    run.s3.seen.clear()
    assert run().returncode == 0
    after = run.moments()
    assert {key: after[key] for key in before_it} == before_it
    assert sorted(after.keys() - before_it.keys()) == sorted(builds(LATER))
    assert [keys[-1] in seen.path for seen in run.s3.fetched(".csv.gz")] == [True]


@pytest.mark.slow
def test_a_folder_that_has_no_manifest_yet_is_passed_over(run: Run) -> None:
    run.bucket.put(s3_bucket.PREFIX.format("firefox") + f"{TOMORROW}/manifest.checksum", b"?")
    done = run()
    assert done.returncode == 0, done.stderr
    assert run.has_all(FIREFOX, OTHERS)


@pytest.mark.parametrize(
    ("broken", "other"),
    [("archive", FIREFOX), pytest.param("firefox", OTHERS, marks=pytest.mark.slow)],
    ids=["last", "first"],
)
def test_an_inventory_that_fails_does_not_stop_the_other(
    run: Run, broken: str, other: dict[str, File]
) -> None:
    run.bucket.add_inventory(broken, TOMORROW, [b"ORC"], fileFormat="ORC")
    done = run()
    assert done.returncode == 1
    assert f"{broken} is not complete: " in done.stderr
    assert "ORC" in done.stderr
    assert "Traceback" not in done.stderr
    assert run.has_all(other)


@pytest.mark.parametrize(
    "fault",
    [
        cut_at(100),
        *(pytest.param(fault, marks=pytest.mark.slow) for fault in (damaged, slow_down)),
    ],
    ids=["broken off", "damaged", "503"],
)
def test_a_download_that_fails_once_is_tried_again(run: Run, fault: Behaviour) -> None:
    run.s3.fault(".csv.gz", fault)
    done = run()
    assert done.returncode == 0, done.stderr
    assert len(run.s3.fetched(".csv.gz")) == 5
    assert run.has_all(FIREFOX, OTHERS)


def test_empty_pages_of_a_listing_hide_nothing(run: Run) -> None:
    run.s3.fault("list-type=2", ENDLESS_IN_S3)
    done = run()
    assert done.returncode == 0, done.stderr
    assert run.has_all(FIREFOX, OTHERS)
    assert len(run.s3.fetched("continuation-token=")) == ENDLESS


def test_a_run_leaves_another_alone(run: Run) -> None:
    run.cache.mkdir()
    lock = run.cache / "buildhub-run.lock"
    with lock.open("w") as file:
        file.write("4711\n")
        file.flush()
        fcntl.flock(file, fcntl.LOCK_EX)
        done = run()
    assert done.returncode == 1
    assert f"Another run is in progress (process 4711, lock {lock})" in done.stderr
    assert "Traceback" not in done.stderr
    assert not run.s3.seen
    assert run().returncode == 0
    assert run.has_all(FIREFOX, OTHERS)


def test_a_killed_run_is_completed_by_the_next(run: Run) -> None:
    run.s3.fault(".csv.gz", Exchange.pass_on, held_halfway)
    with run.started() as process:
        assert run.s3.holding.wait(30)
        deadline = time.monotonic() + 30
        some: dict[str, int] = {}
        while not some and time.monotonic() < deadline:
            time.sleep(0.05)
            with contextlib.suppress(requests.HTTPError):  # no collection yet
                some = run.moments()
        process.send_signal(signal.SIGKILL)
        assert process.wait(timeout=30) == -signal.SIGKILL
    run.s3.flowing.set()
    some = run.moments()
    assert 0 < len(some) < len(builds(FIREFOX))
    done = run()
    assert done.returncode == 0, done.stderr
    assert run.has_all(FIREFOX, OTHERS)
    assert {key: run.moments()[key] for key in some} == some


@pytest.mark.slow
def test_a_kinto_that_is_down_for_five_seconds_is_awaited(run: Run) -> None:
    run.s3.fault(".csv.gz", Exchange.pass_on, held_halfway)
    with HostileProxy(run.kinto.url) as proxy:
        run.environ |= {"SERVER_URL": proxy.url, "NB_RETRY_REQUEST": "5"}
        with run.started() as process:
            assert run.s3.holding.wait(30)
            proxy.disconnect()
            run.s3.flowing.set()
            time.sleep(5)
            proxy.reconnect()
            assert process.wait(timeout=60) == 0
        assert proxy.rejected > 1
    assert run.has_all(FIREFOX, OTHERS)


@pytest.mark.slow
def test_a_dry_run_writes_nothing(run: Run) -> None:
    assert run("--inventory", "archive").returncode == 0
    before_it = run.moments()
    done = run("--dry-run")
    assert done.returncode == 0, done.stderr
    assert run.moments() == before_it
    table = columns(done.stderr)
    assert table["firefox"]["created"] == str(len(builds(FIREFOX)))
    assert table["archive"]["unchanged"] == str(len(builds(OTHERS)))


def test_check_answers_whether_the_catalogue_is_complete(run: Run) -> None:
    """On a server that was never initialized everything is missing; afterwards nothing is."""
    done = run("--check", "--inventory", "archive")
    assert done.returncode == 1, done.stderr
    assert len(done.stdout.splitlines()) == min(100, len(builds(OTHERS)))
    assert all(line.startswith("created\t") for line in done.stdout.splitlines())
    assert run.kinto.call("GET", "/buckets").json()["data"] == []
    assert run("--inventory", "archive").returncode == 0
    done = run("--check", "--inventory", "archive")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_check_without_an_inventory_is_not_an_answer(run: Run) -> None:
    done = run("--check", "--inventory", "nonexistent")
    assert (done.returncode, done.stdout) == (2, "")


@pytest.fixture
def container(run: Run, tmp_path: Path) -> Iterator[LambdaRuntime]:
    variables = run.variables | {"NB_PARALLEL_REQUESTS": "1"}
    handler = "buildhub.lambda_s3_inventory.lambda_handler"
    with installed_here(handler, tmp_path, variables) as container:
        yield container


def test_the_lambda_returns_its_figures(run: Run, container: LambdaRuntime) -> None:
    answer = container.invoke({})
    assert run.has_all(FIREFOX, OTHERS)
    assert list(answer) == ["inventories"]
    assert [(one["inventory"], one["manifest"]) for one in answer["inventories"]] == [
        ("firefox", TODAY),
        ("archive", TODAY),
    ]
    assert [one["created"] for one in answer["inventories"]] == [
        len(builds(FIREFOX)),
        len(builds(OTHERS)),
    ]
    assert not any(one["error"] or one["failed"] for one in answer["inventories"])


@pytest.mark.slow
def test_what_the_lambda_has_no_time_for_is_done_by_the_next(
    run: Run, container: LambdaRuntime
) -> None:
    run.archive.latency = 3
    answer = container.invoke({}, seconds=12)
    assert [task["inventory"] for task in answer["remaining"]] == ["firefox", "archive"]
    assert not run.has_all(FIREFOX, OTHERS)
    run.archive.latency = 0
    answer = container.invoke(answer)
    assert "remaining" not in answer
    assert run.has_all(FIREFOX, OTHERS)
    assert container.cold_starts == 1


#: The Lambda with invocations whose time is over at once, each with the result of the one before.
WITHOUT_TIME = """
import json
from buildhub.lambda_s3_inventory import lambda_handler
class Context:
    def get_remaining_time_in_millis(self):
        return 0
event, invocations = {}, 0
try:
    for invocations in range(1, 100):
        event = json.loads(json.dumps(lambda_handler(event, Context())))
        print(json.dumps(event))
except Exception as error:
    print(json.dumps(f"{invocations}: {error}"))
"""


#: The Lambda with a context that does not know the time, as some runtimes and tests have.
WITHOUT_CLOCK = """
import json
from buildhub.lambda_s3_inventory import lambda_handler
print(json.dumps(lambda_handler({}, object())))
"""


@pytest.mark.slow
def test_a_lambda_whose_context_does_not_know_the_time_has_no_limit(run: Run) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_CLOCK], env=run.environ, capture_output=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "remaining" not in json.loads(done.stdout)
    assert run.has_all(FIREFOX, OTHERS)


def test_a_lambda_without_time_returns_everything_as_remaining_but_not_for_ever(
    run: Run, container: LambdaRuntime
) -> None:
    assert run().returncode == 0
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TIME], env=run.environ, capture_output=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    first, *_, last = map(json.loads, done.stdout.splitlines())
    assert last.startswith("5: Nothing was loaded in 5 invocations, one after the other")
    answer = first
    everything = {"manifest": None, "files": None}
    assert answer["remaining"] == [
        {"inventory": "firefox", **everything},
        {"inventory": "archive", **everything},
    ]
    answer = container.invoke(answer)
    assert "remaining" not in answer
    unchanged = sum(one["unchanged"] for one in answer["inventories"])
    assert unchanged == len(builds(FIREFOX)) + len(builds(OTHERS))


def test_what_was_read_of_the_server_before_a_stop_is_kept(run: Run) -> None:
    """The next run, or a warm Lambda, goes on there."""
    assert run().returncode == 0
    before = set(run.cache.iterdir())
    cancellation = CancellationToken(grace=60)

    def stop(exchange: Exchange) -> bool:
        cancellation.cancel()
        return exchange.pass_on()

    with HostileProxy(run.kinto.url) as kinto, contextlib.closing(cancellation):
        kinto.fault("/records?", stop)
        variables = {"SERVER_URL": kinto.url, "INITIALIZE_SERVER": "no"}
        settings = Settings.from_environment(run.variables | variables)
        results = load_tasks(settings, tasks_of(settings), cancellation)
    assert [result.remaining for result in results] == tasks_of(settings)
    (index,) = set(run.cache.glob("*.sqlite3")) - before
    with contextlib.closing(sqlite3.connect(index)) as database:
        ((known,),) = database.execute("SELECT count(*) FROM known")
    assert known == len(builds(FIREFOX)) + len(builds(OTHERS))


@pytest.mark.parametrize(
    ("options", "status"), [((), 1), (("--check",), 2), (("--since", "7d"), 0)]
)
def test_a_run_without_a_single_build_has_failed(
    run: Run, options: tuple[str, ...], status: int
) -> None:
    """That is how a source which stops delivering would go unnoticed."""
    for name in ("firefox", "archive"):
        run.bucket.add_inventory(name, TODAY, [csv({"pub/firefox/releases/55.0/README": File(5)})])
    done = run(*options)
    assert done.returncode == status
    assert ("no build was found" in done.stderr) == (status != 0)


def test_inventories_of_a_bucket_of_one_s_own_are_loaded(run: Run) -> None:
    """S3 writes them below PREFIX/SOURCE/CONFIGURATION; the keys in the manifest are whole."""
    run.bucket.add_inventory_of_own("mine", "lists/mirror/daily/", TODAY, [csv(LATER)])
    done = run(
        "--inventory-bucket", "mine", "--inventory-prefix", "lists/{inventory}/daily",
        "--inventory", "mirror",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert run.has_all(LATER)
