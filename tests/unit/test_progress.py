"""The progress of a long run is logged where stderr is not a terminal."""

from __future__ import annotations

import pytest

from buildhub.commands.progress import load_status, print_results
from buildhub.load.tasks import InventoryTask, LoadResult
from buildhub.pipeline.record_maker import PipelineCounts


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
    head, first, second, sentence = capfd.readouterr().err.splitlines()
    assert head.split()[:4] == ["inventory", "rows", "bad", "builds"]
    assert first.split()[:4] == ["firefox", "1,234,567", "2", "7"]
    figures = dict(zip(head.split(), first.split(), strict=False))
    assert figures["unfinished"] == "4", "7 builds, of which 3 are skipped"
    assert first.endswith("3 no metadata")
    assert second.endswith("none")
    assert sentence == "archive is not complete: S3 does not answer."
