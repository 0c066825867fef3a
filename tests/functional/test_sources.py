"""Where rows come from makes no difference: the bucket, inventories of S3 and Google, ``ls``."""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

import pytest
import requests

from tests.support import commands, s3_bucket
from tests.support.archive_files import File
from tests.support.archive_server import ArchiveServer
from tests.support.archive_tree import nightly_tree, release_tree
from tests.support.bucket_tree import made
from tests.support.gcs_server import BUCKET, GcsServer
from tests.support.kinto_server import Kinto
from tests.support.lambda_runtime import LambdaRuntime, installed_here
from tests.support.ports import free_port

pytestmark = pytest.mark.functional

BIN = Path(sys.executable).parent
LOCALES = ("en-US", "fr", "ja")

NIGHTLIES = nightly_tree("firefox", locales=LOCALES) | nightly_tree(
    "mobile", platforms=("android-api-15",), locales=("multi", "en-US")
)
RELEASES = release_tree("firefox", "54.0", locales=LOCALES) | release_tree(
    "thunderbird", "52.2.0", (1,), platforms=("mac", "win64"), locales=LOCALES
)
#: Every section that must have builds has some.
ONE = {"platforms": ("win64",), "locales": ("en-US",)}
NIGHTLIES |= nightly_tree("thunderbird", **ONE)
RELEASES |= release_tree("devedition", "54.0b1", (1,), **ONE) | release_tree(
    "mobile", "54.0", (1,), platforms=("android-api-15",), locales=("multi", "en-US")
)
#: No build, and a key that each format writes in another way.
OTHER = {
    'pub/firefox/releases/54.0/contrib "1", ü+%20.txt': File(body=b"?", date="2017-06-13T12:00:00Z")
}
FILES = NIGHTLIES | RELEASES | OTHER
KEYS = sorted(key for key, file in FILES.items() if file.body is None)
SECTIONS = [
    f"{product}/{section}"
    for product in ("devedition", "firefox", "mobile", "thunderbird")
    for section in ("candidates", "nightly", "releases")
]

PIPE = "archive-to-inventory | inventory-to-records | to-kinto --skip"
RUN = "latest-inventory-to-kinto --source bucket"
#: Before a command.
ASSIGNMENT = re.compile(r"[A-Z_]+=").match


class Sources:
    """An archive, its bucket, an inventory bucket and a Kinto; commands see them all."""

    def __init__(
        self,
        archive: ArchiveServer,
        gcs: GcsServer,
        s3: s3_bucket.Bucket,
        kinto: Kinto,
        folder: Path,
    ) -> None:
        self.archive, self.gcs, self.s3, self.kinto, self.folder = archive, gcs, s3, kinto, folder
        self.variables = {
            "ARCHIVE_URL": archive.url,
            "ARCHIVE_BUCKET": BUCKET,
            "STORAGE_EMULATOR_HOST": gcs.url,
            "AWS_ENDPOINT_URL": s3.url,
            "SERVER_URL": kinto.url,
            "CACHE_FOLDER": str(folder / "cache"),
            "CSV_DOWNLOAD_DIRECTORY": str(folder / "csv"),
            "NB_RETRY_REQUEST": "1",
        }
        self.environ = {"PATH": f"{BIN}:{os.environ['PATH']}", **self.variables}

    def __call__(self, command: str, stdin: str = "", status: int = 0) -> Any:
        done: subprocess.CompletedProcess[str]
        if "|" in command:
            done = subprocess.run(
                ["bash", "-o", "pipefail", "-c", command],
                input=stdin,
                capture_output=True,
                text=True,
                env=self.environ,
                timeout=120,
            )
        else:
            words = shlex.split(command)
            variables = dict(word.split("=", 1) for word in itertools.takewhile(ASSIGNMENT, words))
            env = self.environ | variables
            done = commands.run(words[len(variables) :], input=stdin, text=True, env=env)
        assert done.returncode == status, done.stderr
        return done

    def records(self, inventory: str) -> list[dict[str, Any]]:
        """The records of an inventory, in the order of their ids."""
        lines = self("inventory-to-records", inventory).stdout.splitlines()
        return sorted((json.loads(line)["data"] for line in lines), key=lambda data: data["id"])

    def moments(self) -> dict[str, int]:
        """When each record was last written, by the key of its file."""
        return {
            data["download"]["url"].removeprefix(self.archive.url): data["last_modified"]
            for data in self.kinto.records().values()
        }

    @contextlib.contextmanager
    def started(self, command: str) -> Iterator[subprocess.Popen[bytes]]:
        process = subprocess.Popen(
            command.split(), env=self.environ, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait(timeout=30)


@pytest.fixture
def sources(bucket: s3_bucket.Bucket, kinto: Kinto, tmp_path: Path) -> Iterator[Sources]:
    objects = [made(key, file.date)._replace(size=file.size) for key, file in FILES.items()]
    with ArchiveServer(FILES) as archive, GcsServer(objects, page_size=20) as gcs:
        yield Sources(archive, gcs, bucket, kinto, tmp_path)


# ---- the formats ----


def s3_csv(*, later: timedelta = timedelta(0)) -> str:
    """S3's inventory, not sorted; its dates may be those of another copy of the files."""
    objects = [
        (key, file.size, f"{datetime.fromisoformat(file.date) + later:%Y-%m-%dT%H:%M:%S}.000Z")
        for key, file in reversed(FILES.items())
    ]
    return s3_bucket.rows(objects, "net-mozaws-prod-delivery-firefox").decode()


def google_report() -> str:
    """Google's report: a header, raw keys, the columns in any order."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    header = ["project", "updated", "name", "timeCreated", "size"]
    for number, (key, file) in enumerate(FILES.items()):
        if number % 50 == 0:
            writer.writerow(header)  # of the next file, after zcat
        writer.writerow(["1", "2024-01-01T00:00:00Z", key, file.date, file.size])
    return text.getvalue()


def aws_ls() -> str:
    return "".join(
        f"{file.date[:10]} {file.date[11:19]} {file.size:>10} {key}\n"
        for key, file in FILES.items()
    )


def gcloud_ls() -> str:
    rows = [f"{file.size:>11}  {file.date}  gs://{BUCKET}/{key}\n" for key, file in FILES.items()]
    return "".join(rows) + f"TOTAL: {len(rows)} objects, 1234 bytes (1.2kiB)\n"


def test_all_formats_of_one_tree_give_the_same_records(sources: Sources) -> None:
    """The bucket lists no folder in which no builds lie; all else is the same, dates too."""
    listed = sources("archive-to-inventory").stdout
    assert sorted(unquote_plus(line.split('","')[1]) for line in listed.splitlines()) == sorted(
        FILES
    )
    records = sources.records(listed)
    assert (
        sorted(data["download"]["url"].removeprefix(sources.archive.url) for data in records)
        == KEYS
    )
    for data in records:
        file = FILES[data["download"]["url"].removeprefix(sources.archive.url)]
        assert (data["download"]["size"], data["download"]["date"]) == (file.size, file.date)
    for inventory in (s3_csv(), google_report(), aws_ls(), gcloud_ls()):
        assert sources.records(inventory) == records


def test_sizes_for_people_are_refused_and_not_guessed(sources: Sources) -> None:
    """``aws s3 ls --human-readable`` says 28.6 MiB: that is not a number of bytes."""
    line = aws_ls().splitlines()[0].replace(str(next(iter(FILES.values())).size), "28.6 MiB")
    done = sources("inventory-to-records", f"{line}\n", status=1)
    assert "the size '28.6 MiB' is not a number of bytes" in done.stderr
    assert done.stdout == ""


# ---- the second run ----


@pytest.mark.slow
def test_the_second_run_of_the_pipe_writes_nothing(sources: Sources) -> None:
    sources.kinto.make_collection()
    assert f"{len(KEYS)} created, 0 updated" in sources(PIPE).stderr
    moments = sources.moments()
    assert sorted(moments) == KEYS
    assert f"0 created, 0 updated, {len(KEYS)} unchanged" in sources(PIPE).stderr
    assert sources.moments() == moments


def table(stderr: str, heading: str) -> dict[str, dict[str, str]]:
    """The table's figures, by its first column."""
    lines = stderr.splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith(f"{heading} "))
    names = lines[start].split()
    rows = [line.split(maxsplit=len(names) - 1) for line in lines[start + 1 :]]
    return {row[0]: dict(zip(names, row, strict=True)) for row in rows}


def total(rows: dict[str, dict[str, str]], column: str) -> int:
    return sum(int(row[column].replace(",", "")) for row in rows.values())


def test_a_run_over_the_bucket_has_a_line_for_each_section_and_the_second_writes_nothing(
    sources: Sources,
) -> None:
    first = table(sources(RUN).stderr, "section")
    assert list(first) == SECTIONS
    assert total(first, "rows") == len(FILES)
    assert total(first, "created") == total(first, "builds") == len(KEYS)
    for name, row in first.items():
        product, section = name.split("/")
        prefix = f"pub/{product}/{section}/"
        assert int(row["created"]) == sum(key.startswith(prefix) for key in KEYS)
    moments = sources.moments()
    assert sorted(moments) == KEYS
    second = table(sources(RUN).stderr, "section")
    assert (total(second, "created"), total(second, "updated")) == (0, 0)
    assert total(second, "unchanged") == len(KEYS)
    assert sources.moments() == moments


def test_dates_that_differ_between_bucket_and_s3_are_no_change(sources: Sources) -> None:
    """Today's bucket was filled from another one: S3 has older dates of the same files."""
    sources(RUN)
    moments = sources.moments()
    inventory = s3_bucket.packed(s3_csv(later=timedelta(days=-900)).encode())
    sources.s3.add_inventory("firefox", "2024-04-30T00-11Z", [inventory])
    done = sources("latest-inventory-to-kinto --inventory firefox")
    (row,) = table(done.stderr, "inventory").values()
    assert (row["created"], row["updated"], row["unchanged"]) == ("0", "0", str(len(KEYS)))
    done = sources("inventory-to-records | to-kinto --skip", s3_csv(later=timedelta(days=9)))
    assert f"0 created, 0 updated, {len(KEYS)} unchanged" in done.stderr
    assert sources.moments() == moments


# ---- the whole run over the bucket ----


def test_products_and_since_choose_what_is_listed(sources: Sources) -> None:
    command = f"{RUN} --product fennec --product firefox --since 2017-06-12"
    rows = table(sources(command).stderr, "section")
    assert list(rows) == [name for name in SECTIONS if name.startswith(("firefox", "mobile"))]
    # Candidates of 9 June are within the three days before, as with archive-to-inventory.
    assert sorted(sources.moments()) == [
        key for key in KEYS if key.startswith(("pub/firefox/", "pub/mobile/"))
    ]
    rows = table(sources(f"{RUN} --since 2017-08-01").stderr, "section")
    assert {name for name, row in rows.items() if row["rows"] != "0"} == {
        "firefox/nightly",
        "mobile/nightly",
        "thunderbird/nightly",
    }


def test_a_file_that_is_too_old_is_skipped_with_min_age(sources: Sources) -> None:
    done = sources(f"MIN_AGE_LAST_MODIFIED_HOURS=24 {RUN}")
    rows = table(done.stderr, "section")
    assert total(rows, "created") == 0
    assert rows["firefox/releases"]["skipped"].endswith(" too old")


@pytest.mark.slow
def test_a_dry_run_and_check_over_the_bucket_write_nothing(sources: Sources) -> None:
    rows = table(sources("SOURCE=bucket latest-inventory-to-kinto --dry-run").stderr, "section")
    assert total(rows, "created") == len(KEYS)
    assert sources.kinto.call("GET", "/buckets").json()["data"] == []
    assert len(sources(f"{RUN} --check", status=1).stdout.splitlines()) == min(100, len(KEYS))
    sources(RUN)
    assert sources(f"{RUN} --check").stdout == ""


def test_a_page_that_stays_unreadable_fails_its_section_alone(sources: Sources) -> None:
    sources.gcs.unreadable.add("pub/firefox/releases/0")
    done = sources(f"NB_RETRY_REQUEST=0 {RUN}", status=1)
    assert "firefox/releases is not complete: 1 of its pages could not be listed" in done.stderr
    assert sorted(sources.moments()) == [key for key in KEYS if "firefox/releases" not in key]


def test_a_bucket_that_is_not_there_is_said_once_and_ends_the_run(sources: Sources) -> None:
    done = sources(f"ARCHIVE_BUCKET=nothing {RUN} --product firefox", status=1)
    assert done.stderr.count("is not complete: ") == 1
    assert "Check ARCHIVE_BUCKET" in done.stderr
    assert done.stderr.count(" ERROR ") == 1
    assert len(sources.gcs.requests) == 1
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("variable", "sentence"),
    [
        ("STORAGE_EMULATOR_HOST", f"The bucket {BUCKET} cannot be listed"),
        ("ARCHIVE_URL", "check ARCHIVE_URL"),
    ],
)
def test_an_unreachable_server_is_said_once_and_not_once_per_section(
    sources: Sources, variable: str, sentence: str
) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    done = sources(f"NB_RETRY_REQUEST=0 {variable}={url} {RUN}", status=1)
    assert done.stderr.count(" ERROR ") == 1, done.stderr
    assert sentence in done.stderr
    assert done.stderr.count("is not complete: ") == 1
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("variable", ["STORAGE_EMULATOR_HOST", "ARCHIVE_URL", "SERVER_URL"])
def test_https_on_a_port_that_speaks_http_is_said_at_once(sources: Sources, variable: str) -> None:
    """With so many retries the test would not end."""
    url = sources.archive.url.replace("http:", "https:")
    done = sources(f"NB_RETRY_REQUEST=50 {variable}={url} {RUN}", status=1)
    assert done.stderr.count(" ERROR ") == 1, done.stderr
    assert "TLS failed" in done.stderr
    assert "begins with http://" in done.stderr


def test_a_wrong_password_is_said_once_and_ends_the_run(
    sources: Sources, accounts_kinto: Kinto
) -> None:
    """Nothing is requested of the bucket, nor of the archive."""
    accounts_kinto.make_collection()
    done = sources(f"SERVER_URL={accounts_kinto.url} AUTH=user:pass-word {RUN}", status=1)
    assert done.stderr.count(" ERROR ") == 1, done.stderr
    assert "does not accept these credentials (401)" in done.stderr
    assert "pass-word" not in done.stderr
    assert not sources.gcs.requests
    assert not sources.archive.requests


def test_another_user_than_the_owner_is_said_once_and_ends_the_run(
    sources: Sources, strict_kinto: Kinto
) -> None:
    """basicauth takes any password, and makes another user of it."""
    strict_kinto.make_collection()
    done = sources(f"SERVER_URL={strict_kinto.url} AUTH=user:pass-word {RUN}", status=1)
    assert done.stderr.count(" ERROR ") == 1, done.stderr
    assert "does not let these credentials" in done.stderr
    assert "pass-word" not in done.stderr
    assert not sources.gcs.requests
    assert not sources.archive.requests


def test_a_run_over_the_bucket_that_was_killed_is_completed_by_the_next(sources: Sources) -> None:
    sources.gcs.silent = ("pub/thunderbird/",)
    with sources.started(RUN) as process:
        deadline = time.monotonic() + 60
        some: dict[str, int] = {}
        while not some and time.monotonic() < deadline:
            time.sleep(0.02)
            with contextlib.suppress(requests.HTTPError):  # no collection yet
                some = sources.moments()
        process.send_signal(signal.SIGKILL)
        assert process.wait(timeout=30) == -signal.SIGKILL
    some = sources.moments()
    assert 0 < len(some) < len(KEYS)
    sources.gcs.silent = ()
    sources(RUN)
    moments = sources.moments()
    assert sorted(moments) == KEYS
    assert {key: moments[key] for key in some} == some


def test_a_signal_ends_a_run_over_a_bucket_that_is_silent(sources: Sources) -> None:
    sources.gcs.silent = ("",)
    with sources.started(RUN) as process:
        while not sources.gcs.requests:
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 128 + signal.SIGTERM


# ---- the Lambda ----


@pytest.fixture
def container(sources: Sources, tmp_path: Path) -> Iterator[LambdaRuntime]:
    """The inventory Lambda with SOURCE=bucket."""
    variables = sources.variables | {"SOURCE": "bucket"}
    handler = "buildhub.lambda_s3_inventory.lambda_handler"
    with installed_here(handler, tmp_path, variables) as container:
        yield container


def test_the_lambda_lists_the_bucket_if_source_says_so(
    sources: Sources, container: LambdaRuntime
) -> None:
    answer = container.invoke({})
    assert list(answer) == ["inventories"]
    assert [one["section"] for one in answer["inventories"]] == SECTIONS
    assert sum(one["created"] for one in answer["inventories"]) == len(KEYS)
    assert sorted(sources.moments()) == KEYS


@pytest.mark.slow
def test_invocations_that_run_out_of_time_are_taken_up_until_nothing_remains(
    sources: Sources, container: LambdaRuntime
) -> None:
    """Folders whose records are stored are not listed again; in the end no record is missing."""
    sources.gcs.delay, sources.gcs.page_size = 0.4, 4
    answer: dict[str, Any] = {}
    continued = []
    for _ in range(50):
        sources.gcs.reset()
        answer = container.invoke(answer, seconds=5)
        if continued and (start_after := continued[-1][1]):
            walks = [one for one in sources.gcs.listings(False) if one["prefix"] in start_after]
            assert all(one["startOffset"] >= start_after for one in walks)
        if "remaining" not in answer:
            break
        first = answer["remaining"][0]
        continued.append((f"{first['product']}/{first['section']}", first["start_after"]))
    assert "remaining" not in answer
    assert any(start_after for _, start_after in continued)
    assert continued == sorted(continued)
    assert sorted(sources.moments()) == KEYS


def test_a_build_whose_metadata_did_not_come_in_time_remains(
    sources: Sources, container: LambdaRuntime
) -> None:
    """Though the listing was ahead of it."""
    sources.archive.latency = 300
    for seconds in (4, 8, 16, 32):  # a busy machine lists slowly
        answer = container.invoke({}, seconds=seconds)
        if answer["inventories"][0]["rows"]:
            break
    remaining = {f"{one['product']}/{one['section']}": one for one in answer["remaining"]}
    assert remaining[SECTIONS[0]]["start_after"] < KEYS[0]
    assert answer["inventories"][0]["rows"] > 0
    sources.archive.latency = 0
    answer = container.invoke(answer)
    assert "remaining" not in answer
    assert sorted(sources.moments()) == KEYS


def test_remaining_that_no_invocation_returned_is_refused(container: LambdaRuntime) -> None:
    with pytest.raises(Exception, match="'remaining' is not what an earlier run returned"):
        container.invoke({"remaining": [{"product": "firefox", "section": "beta"}]})


# ---- sources that stop delivering ----


@pytest.mark.parametrize(
    ("days", "options", "is_stale"),
    [
        (4, "", True),
        (4, "--since 2d", True),
        pytest.param(1, "", False, marks=pytest.mark.slow),
        (1, "--since 2h", False),
    ],
)
def test_builds_older_than_three_days_in_today_s_inventory_are_a_warning_that_names_the_bucket(
    sources: Sources, days: int, options: str, is_stale: bool
) -> None:
    """Since April 2024 S3's inventories have been made every day, and list no new installers."""
    now, newest = datetime.now(UTC), max(FILES[key].date for key in KEYS)
    later = now - timedelta(days=days) - datetime.fromisoformat(newest)
    rows = s3_bucket.packed(s3_csv(later=later).encode())
    sources.s3.add_inventory("firefox", f"{now:%Y-%m-%dT%H-%MZ}", [rows])
    done = sources(f"latest-inventory-to-kinto --inventory firefox {options}")
    warnings = [line for line in done.stderr.splitlines() if "--source bucket" in line]
    assert len(warnings) == is_stale
    date = f"{now - timedelta(days=days):%Y-%m-%dT%H:}"
    assert all("firefox was published more than 3 days ago" in line for line in warnings)
    assert all(date in line for line in warnings)


@pytest.mark.parametrize(
    ("options", "status"),
    [("", 1), pytest.param("--check", 2, marks=pytest.mark.slow), ("--since 9999d", 0)],
)
def test_a_section_that_must_have_builds_and_has_none_fails_the_run(
    sources: Sources, options: str, status: int
) -> None:
    """The others are loaded. Developer Edition has no nightlies, which is no failure."""
    gone = "pub/thunderbird/nightly/"
    sources.gcs.remove(gone)
    if options == "--check":
        sources(RUN, status=1)  # what there is is stored
    done = sources(f"{RUN} {options}", status=status)
    errors = [line for line in done.stderr.splitlines() if " ERROR " in line]
    assert len(errors) == (status > 0)
    assert all("Section thunderbird/nightly: no build was found" in line for line in errors)
    if not options:
        assert sorted(sources.moments()) == [key for key in KEYS if not key.startswith(gone)]


@pytest.mark.parametrize(("beside", "warnings"), [([], 1), (["mozilla-central"], 0)])
def test_an_unknown_tree_in_today_s_nightlies_is_one_warning(
    sources: Sources, beside: list[str], warnings: int
) -> None:
    """Not beside a known tree, and not if it is older than a month."""
    now = datetime.now(UTC)
    sources.gcs.put(
        made(f"pub/{product}/nightly/{day:%Y/%m/%Y-%m-%d}-09-27-14-{tree}/{name}.dmg", day)
        for product in ("firefox", "thunderbird")
        for day, trees in ((now, ["main", "main-l10n", *beside]), (now - timedelta(99), ["old"]))
        for tree in trees
        for name in "ab"
    )
    done = sources(f"{RUN} --product firefox --product thunderbird --dry-run")
    found = [line for line in done.stderr.splitlines() if "unknown trees" in line]
    assert len(found) == warnings
    assert all(f"{now:%Y-%m-%d}-09-27-14-main" in line for line in found)
    assert all("(4 folders)" in line for line in found)
