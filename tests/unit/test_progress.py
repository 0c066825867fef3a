"""What the operator of a long run sees."""

from __future__ import annotations

from buildhub.commands.progress import status, table
from buildhub.load import InventoryResult
from buildhub.pipeline import PipelineCounts


def test_the_rate_is_known_while_the_run_goes_on() -> None:
    result = InventoryResult("firefox", rows=50_000, files=4, files_done=1, file="0f.csv.gz")
    result.began -= 10
    assert result.ended is None
    assert status(result).startswith("firefox: file 2 of 4 (0f.csv.gz), 50,000 rows, 0 records, ")
    rate = int(status(result).split()[-2].replace(",", ""))
    assert 0 < rate <= 5_000


def test_the_table_has_a_line_an_inventory_and_says_what_is_not_complete() -> None:
    firefox = InventoryResult("firefox", rows=1_234_567, pipeline=PipelineCounts(builds=7))
    firefox.pipeline.skipped["no metadata"] = 3
    archive = InventoryResult("archive", error="S3 does not answer.")
    head, first, second, sentence = table([firefox, archive]).splitlines()
    assert head.split()[:3] == ["inventory", "rows", "builds"]
    assert first.split()[:3] == ["firefox", "1,234,567", "7"]
    assert first.endswith("3 no metadata")
    assert second.endswith("none")
    assert sentence == "archive is not complete: S3 does not answer."
