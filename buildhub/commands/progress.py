"""Shows progress and result of a run on stderr: live on a terminal (by ``rich``), else in lines."""

from __future__ import annotations

import contextlib
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from .. import logs, streams
from . import runner

if TYPE_CHECKING:  # each command imports only the parts that it uses
    from rich.console import Console, RenderableType
    from rich.text import Text

    from ..load.tasks import LoadResult

#: Seconds between two lines of progress where stderr is not a terminal.
LINE_INTERVAL = 60

_REFRESHES_PER_SECOND = 4
_BAR_WIDTH = 20

#: Differences that ``--check`` prints; all are counted.
MAX_DIFFERENCES = 100


@contextmanager
def pipe_display(name: str, counts: object, *units: str, prints: bool = False) -> Iterator[None]:
    """Shows these attributes of ``counts`` on a terminal while the block runs, but not with ``-q``.

    Nor if the program ``prints`` its results, and does so on a terminal.
    """
    began = time.monotonic()

    def line() -> str:
        return f"{name}: {_figures(counts, units, time.monotonic() - began)}"

    with contextlib.ExitStack() as stack:
        hidden = runner.is_quiet() or (prints and os.isatty(runner.STDOUT))
        if os.isatty(runner.STDERR) and not hidden:
            stack.enter_context(_live(lambda: _text(line())))
        yield


@contextmanager
def load_display() -> Iterator[Callable[[LoadResult], None]]:
    """Yields a function to call with a result after each step.

    On a terminal a bar is shown while the block runs, elsewhere a line is printed once a minute.
    """
    if runner.is_quiet():
        yield lambda result: None
    elif os.isatty(runner.STDERR):
        latest: deque[LoadResult] = deque(maxlen=1)
        with _live(lambda: _bar(latest[0]) if latest else ""):
            yield latest.append
    else:
        yield _print_each_minute()


def _print_each_minute() -> Callable[[LoadResult], None]:
    """Returns a function that prints a result if none was printed for a minute: for logs."""
    printed = time.monotonic()

    def show(result: LoadResult) -> None:
        nonlocal printed
        if time.monotonic() >= printed + LINE_INTERVAL:
            printed = time.monotonic()
            runner.echo(load_status(result))

    return show


def load_status(result: LoadResult) -> str:
    """Formats ``firefox: file 2 of 14 (0f…9c.csv.gz), 1,204,332 rows, 40,127 records, …``."""
    figures = _figures(result.pipeline, ("rows", "records"), result.seconds)
    return f"{result.name}: {result.step}, {figures}"


def _figures(counts: object, units: Sequence[str], seconds: float) -> str:
    """Formats ``1,204,332 rows, 40,127 records, 52,000 rows/s``."""
    numbers = [getattr(counts, unit) for unit in units]
    rate = numbers[0] / seconds if seconds else 0
    parts = [f"{number:,} {unit}" for number, unit in zip(numbers, units, strict=True)]
    return ", ".join([*parts, f"{rate:,.0f} {units[0]}/s"])


@contextmanager
def _live(line: Callable[[], RenderableType]) -> Iterator[None]:
    """Shows ``line`` as the last one while the block runs; log lines are printed above it."""
    from rich.console import Console
    from rich.live import Live

    console = Console(stderr=True)
    with Live(
        get_renderable=line,
        console=console,
        refresh_per_second=_REFRESHES_PER_SECOND,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    ):
        console.show_cursor(True)  # a process that is killed must not leave it hidden
        with logs.output_to(_Printer(console)):
            yield


class _Printer:
    """Prints above the live line."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def write(self, text: str) -> None:
        from rich.text import Text

        self._console.print(Text(text), end="", soft_wrap=True)

    def flush(self) -> None:
        """Does nothing: no text is buffered."""


def _text(text: str) -> Text:
    from rich.text import Text

    return Text(logs.printable(text), no_wrap=True, overflow="ellipsis")


def _bar(result: LoadResult) -> RenderableType:
    """Returns the status of a run and, if it is known, how much of it is done."""
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    line = _text(load_status(result))
    if result.fraction is None:
        return line
    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=_BAR_WIDTH)
    grid.add_column(no_wrap=True, overflow="ellipsis")
    grid.add_row(ProgressBar(total=1, completed=result.fraction, width=_BAR_WIDTH), line)
    return grid


#: The figures of a result after its name, and their columns.
_COLUMNS = {
    "rows": "rows", "bad_rows": "bad", "builds": "builds", "created": "created",
    "updated": "updated", "unchanged": "unchanged", "refused": "refused", "failed": "failed",
    "not_finished": "unfinished", "seconds": "seconds",
}  # fmt: skip

#: The columns of text; all others are numbers.
_TEXT_COLUMNS = ("inventory", "section", "skipped")


def print_results(results: Sequence[LoadResult]) -> None:
    """Prints the counts of each inventory, or section, as a table, and which are not complete."""
    kind = results[0].task.kind if results else "inventory"
    names = [kind, *_COLUMNS.values(), "skipped"]
    rows = [_row(result) for result in results]
    if os.isatty(runner.STDERR):
        _print_rich_table(names, rows)
    else:
        for line in _plain_table([names, *rows]):
            runner.echo(line)
    incomplete: dict[str, list[str]] = {}
    for result in results:
        if result.problem:
            incomplete.setdefault(result.problem, []).append(result.name)
    for problem, names in incomplete.items():
        verb = "are" if len(names) > 1 else "is"
        runner.echo(f"{', '.join(names)} {verb} not complete: {problem}")


def _row(result: LoadResult) -> list[str]:
    figures = result.as_dict()
    skipped = result.pipeline.skipped_by_reason() or "none"
    return [result.name, *(f"{figures[name]:,}" for name in _COLUMNS), skipped]


def _print_rich_table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE)
    for name in names:
        is_text = name in _TEXT_COLUMNS
        table.add_column(name, justify="left" if is_text else "right", no_wrap=not is_text)
    for row in rows:
        table.add_row(*(Text(logs.printable(cell)) for cell in row))
    Console(stderr=True).print(table)


def _plain_table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yields a line per row, the first the names of the columns, which are aligned."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    left = [name in _TEXT_COLUMNS for name in rows[0]]
    for row in rows:
        cells = zip(row, widths, left, strict=True)
        line = (cell.ljust(size) if is_left else cell.rjust(size) for cell, size, is_left in cells)
        yield "  ".join(line).rstrip()


#: The options of the commands that store records.
dry_run_option: Callable[[Any], Any] = click.option(
    "--dry-run",
    is_flag=True,
    help="Write nothing to the server; count the records that would be created or updated.",
)
check_option: Callable[[Any], Any] = click.option(
    "--check",
    is_flag=True,
    help=f"Write nothing to the server; print the first {MAX_DIFFERENCES} records that would be"
    " created or updated. Exit status: 0 if there are none, 1 if there are, 2 after an error.",
)


class Differences:
    """Collects the records that would be created or updated, for ``--check``."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._count = 0

    def add(self, record_id: str, effect: str) -> None:
        """Counts a record; ``effect`` is ``"created"`` or ``"updated"``."""
        self._count += 1
        if self._count <= MAX_DIFFERENCES:
            self._lines.append(f"{effect}\t{record_id or 'a record without id'}\n")

    def report(self, *, complete: bool) -> int:
        """Prints them to standard output, one per line; returns the exit status.

        A difference is an answer even if not everything could be compared (not ``complete``).
        """
        streams.write("".join(self._lines).encode())
        if self._count > MAX_DIFFERENCES:
            runner.echo_summary(f"… and {self._count - MAX_DIFFERENCES} more.")
        if self._count:
            return runner.FAILED
        return 0 if complete else runner.UNKNOWN
