"""A long run as its operator sees it: a bar on a terminal, a line a minute in cron, a table."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import click

from ..load import InventoryResult

#: Seconds between two lines where nobody watches.
LINE_EVERY = 60

#: Seconds between two looks of a terminal's line.
REDRAW_EVERY = 0.2


@contextmanager
def watching(show: bool) -> Iterator[Callable[[InventoryResult], None]]:
    """A function to call with a report as often as one likes; it writes to stderr, if at all."""
    if not show:
        yield lambda result: None
    elif sys.stderr.isatty():
        bar = _Bar()
        yield bar.show
        bar.end()
    else:
        yield _Lines().show


def status(result: InventoryResult) -> str:
    """``firefox: file 2 of 14 (0f…9c.csv.gz), 1,204,332 rows, 40,127 records, 52,000 rows/s``"""
    rate = result.rows / result.seconds if result.seconds else 0
    return (
        f"{result.inventory}: file {min(result.files_done + 1, result.files)} of {result.files}"
        f" ({result.file}), {result.rows:,} rows, {result.pipeline.records:,} records,"
        f" {rate:,.0f} rows/s"
    )


class _Clock:
    """Lets something happen at most once an interval."""

    def __init__(self, seconds: float, *, at_once: bool) -> None:
        self._seconds = seconds
        self._next = 0.0 if at_once else time.monotonic() + seconds

    def due(self) -> bool:
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + self._seconds
        return True


class _Lines:
    """For cron and logs."""

    def __init__(self) -> None:
        self._clock = _Clock(LINE_EVERY, at_once=False)

    def show(self, result: InventoryResult) -> None:
        if self._clock.due():
            click.echo(status(result), err=True)


class _Bar:
    """One line that is written over and over; its length is that of the files done."""

    WIDTH = 20

    def __init__(self) -> None:
        self._clock = _Clock(REDRAW_EVERY, at_once=True)

    def show(self, result: InventoryResult) -> None:
        if self._clock.due():
            done = self.WIDTH * result.files_done // max(result.files, 1)
            bar = "#" * done + "-" * (self.WIDTH - done)
            line = f"[{bar}] {status(result)}"[: shutil.get_terminal_size().columns - 1]
            click.echo(_CLEAR + line, nl=False, err=True)

    def end(self) -> None:
        click.echo(_CLEAR, nl=False, err=True)


#: To the line's start, and clear it.
_CLEAR = "\r\x1b[K"

_COLUMNS: dict[str, Callable[[InventoryResult], str]] = {
    "inventory": lambda r: r.inventory,
    "rows": lambda r: f"{r.rows:,}",
    "builds": lambda r: f"{r.pipeline.builds:,}",
    "created": lambda r: f"{r.published.created:,}",
    "updated": lambda r: f"{r.published.updated:,}",
    "unchanged": lambda r: f"{r.published.unchanged:,}",
    "refused": lambda r: f"{r.published.refused:,}",
    "failed": lambda r: f"{r.failed:,}",
    "seconds": lambda r: f"{r.seconds:,.1f}",
    "skipped": lambda r: r.pipeline.skipped_by_reason() or "none",
}


def table(results: Sequence[InventoryResult]) -> str:
    """What became of each inventory, a line each, under a head line."""
    rows = [list(_COLUMNS), *([column(r) for column in _COLUMNS.values()] for r in results)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_COLUMNS))]
    lines = [
        "  ".join(
            cell.ljust(width) if i in (0, len(widths) - 1) else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    lines += [f"{r.inventory} is not complete: {r.error}" for r in results if r.error]
    return "\n".join(lines)
