"""What a person at a terminal sees, with rich: a live line, log lines above it, a table.

To be imported only where stderr is a terminal.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager

from rich import box
from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from .. import logs

_REFRESHES_PER_SECOND = 4
_BAR_WIDTH = 20

#: A line of text and, if it is known, which fraction of the work is done.
Status = tuple[str, float | None]


@contextmanager
def live(status: Callable[[], Status]) -> Iterator[None]:
    """Show ``status`` in the last line while the block runs; log lines are printed above it."""
    console = Console(stderr=True)
    with Live(
        get_renderable=lambda: _line(*status()),
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
    """A stream that prints above the live line."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def write(self, text: str) -> None:
        self._console.print(Text(text), end="", soft_wrap=True)

    def flush(self) -> None:
        """Nothing is buffered."""


def _line(text: str, fraction: float | None) -> RenderableType:
    line = Text(text, no_wrap=True, overflow="ellipsis")
    if fraction is None:
        return line
    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=_BAR_WIDTH)
    grid.add_column(no_wrap=True, overflow="ellipsis")
    grid.add_row(ProgressBar(total=1, completed=fraction, width=_BAR_WIDTH), line)
    return grid


def print_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], *, left_aligned: Collection[str]
) -> None:
    """Print a table to stderr; columns that are not ``left_aligned`` are numbers."""
    table = Table(box=box.SIMPLE)
    for name in columns:
        is_text = name in left_aligned
        table.add_column(name, justify="left" if is_text else "right", no_wrap=not is_text)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console(stderr=True).print(table)
