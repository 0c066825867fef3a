"""Where rows come from makes no difference: the bucket, inventories of S3 and Google, ``ls``."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta
from urllib.parse import unquote_plus

import pytest

from tests.support import s3_bucket
from tests.support.bucket_tree import made
from tests.support.gcs_server import BUCKET
from tests.support.sources import FILES, KEYS, RUN, Sources, s3_csv

pytestmark = pytest.mark.functional


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
