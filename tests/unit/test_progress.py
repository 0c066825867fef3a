"""The progress of a long run is logged where stderr is not a terminal."""

from __future__ import annotations

import pytest

from buildhub.commands.progress import load_status, print_results
from buildhub.load.tasks import InventoryTask, LoadResult, SectionTask
from buildhub.pipeline.record_maker import PipelineCounts

FAILED = "some builds failed or were refused, or rows were bad; the log names them."


def test_the_rate_is_known_while_the_run_is_in_progress() -> None:
    counts = PipelineCounts(rows=50_000)
    task = InventoryTask("firefox")
    result = LoadResult(task, pipeline=counts, step="file 2 of 4 (0f.csv.gz)", fraction=0.25)
    result.began -= 10
    assert result.ended is None
    status = load_status(result)
    assert status.startswith("firefox: file 2 of 4 (0f.csv.gz), 50,000 rows, 0 records, ")
    assert 0 < int(status.split()[-2].replace(",", "")) <= 5_000


def test_the_table_has_a_line_per_inventory_and_says_what_is_not_complete(
    capfd: pytest.CaptureFixture[str],
) -> None:
    firefox = LoadResult(
        InventoryTask("firefox"),
        pipeline=PipelineCounts(rows=1_234_567, bad_rows=2, builds=7),
    )
    firefox.pipeline.skipped["no metadata"] = 3
    archive = LoadResult(InventoryTask("archive"), error="S3 does not answer.")
    print_results([firefox, archive])
    head, first, second, *sentences = capfd.readouterr().err.splitlines()
    assert head.split()[:4] == ["inventory", "rows", "bad", "builds"]
    assert first.split()[:4] == ["firefox", "1,234,567", "2", "7"]
    figures = dict(zip(head.split(), first.split(), strict=False))
    assert figures["unfinished"] == "4", "7 builds, of which 3 are skipped"
    assert first.endswith("3 no metadata")
    assert second.endswith("none")
    assert sentences == [
        f"firefox is not complete: {FAILED}",
        "archive is not complete: S3 does not answer.",
    ]


def test_sections_that_are_not_complete_for_the_same_reason_share_a_sentence(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """In ``--summary`` each has it as its error."""
    tasks = [SectionTask("firefox", section) for section in ("candidates", "nightly", "releases")]
    tasks += [SectionTask("mobile", section) for section in ("candidates", "nightly", "releases")]
    results = [LoadResult(task) for task in tasks]
    results[1].published.failed = results[5].pipeline.failed = 1
    results[2].error = "S3 does not answer."
    results[3].remaining, results[4].remaining = tasks[3:5]
    print_results(results)
    ended = "the run ended before all of it was loaded."
    assert capfd.readouterr().err.splitlines()[7:] == [
        f"firefox/nightly, mobile/releases are not complete: {FAILED}",
        "firefox/releases is not complete: S3 does not answer.",
        f"mobile/candidates, mobile/nightly are not complete: {ended}",
    ]
    errors = [result.as_dict()["error"] for result in results]
    assert errors == [None, FAILED, "S3 does not answer.", ended, ended, FAILED]
