"""Progress and result of a run on stderr: live on a terminal, plain lines elsewhere.

``terminal`` and ``rich`` are imported on a terminal only.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:  # each command imports only the parts that it uses
    from ..kinto import PublishCounts
    from ..load import LoadResult
    from ..pipeline.record_maker import PipelineCounts

STDERR = 2

#: Seconds between two lines of progress where stderr is not a terminal.
LINE_INTERVAL = 60


@contextmanager
def pipe_display(show: bool, status: Callable[[float], str]) -> Iterator[None]:
    """Show ``status`` on a terminal while the block runs; elsewhere nothing.

    ``status`` gets the seconds since the start. It is called from another thread.
    """
    with contextlib.ExitStack() as stack:
        if show and os.isatty(STDERR):
            from . import terminal

            began = time.monotonic()
            stack.enter_context(terminal.live(lambda: (status(time.monotonic() - began), None)))
        yield


@contextmanager
def load_display(show: bool) -> Iterator[Callable[[LoadResult], None]]:
    """A function to call with a result after each step.

    On a terminal a bar is shown while the block runs, elsewhere a line is printed once a minute.
    """
    if not show:
        yield lambda result: None
    elif os.isatty(STDERR):
        from . import terminal

        latest: list[LoadResult] = []
        with terminal.live(lambda: _bar(latest[-1]) if latest else ("", None)):
            yield lambda result: latest.__setitem__(slice(None), [result])
    else:
        yield _Lines().show


def _bar(result: LoadResult) -> tuple[str, float | None]:
    return load_status(result), result.fraction


def records_status(counts: PipelineCounts, seconds: float) -> str:
    """``1,204,332 rows, 40,127 records, 52,000 rows/s``"""
    rate = counts.rows / seconds if seconds else 0
    return f"{counts.rows:,} rows, {counts.records:,} records, {rate:,.0f} rows/s"


def publish_status(counts: PublishCounts, seconds: float) -> str:
    """``40,127 records, 812 records/s``"""
    rate = counts.records / seconds if seconds else 0
    return f"{counts.records:,} records, {rate:,.0f} records/s"


def load_status(result: LoadResult) -> str:
    """``firefox: file 2 of 14 (0f…9c.csv.gz), 1,204,332 rows, 40,127 records, 52,000 rows/s``"""
    status = records_status(result.pipeline, result.seconds)
    return f"{result.name}: {result.step}, {status}"


class _Lines:
    """A line of progress per minute, for cron and logs."""

    def __init__(self) -> None:
        self._next = time.monotonic() + LINE_INTERVAL

    def show(self, result: LoadResult) -> None:
        now = time.monotonic()
        if now >= self._next:
            self._next = now + LINE_INTERVAL
            click.echo(load_status(result), err=True)


#: The columns after the name.
_FIGURES: dict[str, Callable[[LoadResult], str]] = {
    "rows": lambda r: f"{r.pipeline.rows:,}",
    "bad": lambda r: f"{r.pipeline.bad_rows:,}",
    "builds": lambda r: f"{r.pipeline.builds:,}",
    "created": lambda r: f"{r.published.created:,}",
    "updated": lambda r: f"{r.published.updated:,}",
    "unchanged": lambda r: f"{r.published.unchanged:,}",
    "refused": lambda r: f"{r.published.refused:,}",
    "failed": lambda r: f"{r.failed:,}",
    "unfinished": lambda r: f"{r.not_finished:,}",
    "seconds": lambda r: f"{r.seconds:,.1f}",
    "skipped": lambda r: r.pipeline.skipped_by_reason() or "none",
}

#: The columns of text; all others are numbers.
_TEXT_COLUMNS = ("inventory", "section", "skipped")


def print_results(results: Sequence[LoadResult]) -> None:
    """Print the counts of each inventory, or section, as a table, and which are not complete."""
    kind = results[0].task.kind if results else "inventory"
    names = [kind, *_FIGURES]
    rows = [[r.name, *(figure(r) for figure in _FIGURES.values())] for r in results]
    if os.isatty(STDERR):
        from . import terminal

        terminal.print_table(names, rows, left_aligned=_TEXT_COLUMNS)
    else:
        click.echo(_plain_table([names, *rows]), err=True)
    for result in results:
        if result.error:
            click.echo(f"{result.name} is not complete: {result.error}", err=True)


def _plain_table(rows: Sequence[Sequence[str]]) -> str:
    """One line per row, the first the names of the columns, which are aligned."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    left = [name in _TEXT_COLUMNS for name in rows[0]]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if is_left else cell.rjust(width)
            for cell, width, is_left in zip(row, widths, left, strict=True)
        ).rstrip()
        for row in rows
    )
