"""Whole runs over the bucket, by the command and by the Lambda, and what interrupts them."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.support import s3_bucket
from tests.support.gcs_server import BUCKET
from tests.support.hostile.proxy import Exchange, HostileProxy
from tests.support.kinto_server import Kinto
from tests.support.lambda_runtime import LambdaRuntime, installed_here
from tests.support.ports import free_port
from tests.support.sources import FILES, KEYS, PIPE, RUN, SECTIONS, Sources, s3_csv, table, total

pytestmark = pytest.mark.functional

#: Sections, and why they are not complete.
INCOMPLETE = re.compile(r"^(.+) (?:is|are) not complete: (.+)", re.MULTILINE)


# ---- the second run ----


@pytest.mark.slow
def test_the_second_run_of_the_pipe_writes_nothing(sources: Sources) -> None:
    sources.kinto.make_collection()
    assert f"{len(KEYS)} created, 0 updated" in sources(PIPE).stderr
    moments = sources.moments()
    assert sorted(moments) == KEYS
    assert f"0 created, 0 updated, {len(KEYS)} unchanged" in sources(PIPE).stderr
    assert sources.moments() == moments


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


def test_a_dry_run_and_check_over_the_bucket_write_nothing(sources: Sources) -> None:
    said = sources("SOURCE=bucket latest-inventory-to-kinto --dry-run").stderr
    assert said.startswith("latest-inventory-to-kinto (dry run): nothing was written.\nsection ")
    rows = table(said, "section")
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
    assert "\nfirefox/nightly, firefox/releases are not complete: the run ended" in done.stderr
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


@pytest.mark.parametrize("batch", [100, pytest.param(1, marks=pytest.mark.slow)])
def test_a_kinto_that_is_given_up_ends_the_run_which_names_the_sections_that_are_left(
    sources: Sources, batch: int
) -> None:
    """Three batches in a row without an answer may be those of three sections."""

    def gone(exchange: Exchange) -> bool:
        proxy.disconnect()
        return False

    summary = sources.folder / "summary.json"
    with HostileProxy(sources.kinto.url) as proxy:
        proxy.fault("/batch", Exchange.pass_on, gone)
        variables = f"NB_RETRY_REQUEST=0 SERVER_URL={proxy.url} BATCH_MAX_REQUESTS={batch}"
        done = sources(f"{variables} {RUN} --summary {summary}", status=1)
    assert done.stderr.count(" ERROR Section ") == 1, done.stderr
    *failed, (last, reason), (rest, end) = INCOMPLETE.findall(done.stderr)
    assert "gives no proper answer" in reason
    assert "the run ended before" in end
    assert rest.split(", ") == SECTIONS[SECTIONS.index(last) + 1 :]
    named = ", ".join(names for names, _ in [*failed, (last, ""), (rest, "")]).split(", ")
    sections = json.loads(summary.read_bytes())["sections"]
    assert [one["section"] for one in sections if one["error"]] == named
    assert named == SECTIONS[2:]  # those of a batch that was stored, and without builds, are


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
