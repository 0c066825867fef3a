"""``--check``: the records that would be created or updated, and the exit status."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from .. import streams
from . import runner

#: Differences that are printed; all are counted.
MAX_PRINTED = 100

#: The option of the commands that store records.
check_option: Callable[[Any], Any] = click.option(
    "--check",
    is_flag=True,
    help=f"Write nothing to the server; print the first {MAX_PRINTED} records that would be"
    " created or updated. Exit status: 0 if there are none, 1 if there are, 2 after an error.",
)


class Differences:
    """Records that would be created or updated."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._count = 0

    def add(self, record_id: str, effect: str) -> None:
        """A record, and ``"created"`` or ``"updated"``."""
        self._count += 1
        if self._count <= MAX_PRINTED:
            self._lines.append(f"{effect}\t{record_id or 'a record without id'}\n")

    def report(self, verbosity: int, *, complete: bool) -> int:
        """Print them to standard output, one per line; returns the exit status.

        A difference is an answer even if not everything could be compared (not ``complete``).
        """
        streams.write("".join(self._lines).encode())
        if self._count > MAX_PRINTED:
            runner.echo_summary(f"… and {self._count - MAX_PRINTED} more.", verbosity)
        if self._count:
            return runner.FAILED
        return 0 if complete else runner.UNKNOWN
