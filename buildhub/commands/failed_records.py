"""``to-kinto --failed FILE``: the records that could not be stored, for a second try."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import orjson

from ..errors import Fatal


def failed_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--failed FILE``, as ``failed``."""
    return click.option(
        "--failed",
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="FILE",
        help="Write the records that were refused or may not be stored to this file, one per"
        " line, for a second try. It is written when the command ends, and may be its input.",
    )(command)


@contextlib.contextmanager
def failed_records(path: Path | None) -> Iterator[Callable[[Any], None]]:
    """A function that appends a record to the file ``path``; None: to no file.

    The file is written beside ``path`` and takes its name at the end of the block, also after an
    error: the command may be reading the previous one. Raises :class:`Fatal` if it cannot be
    written.
    """
    if path is None:
        yield lambda record: None
        return
    with _written_aside(path) as write:
        yield lambda record: write(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE))


@contextlib.contextmanager
def _written_aside(path: Path) -> Iterator[Callable[[bytes], None]]:
    with _sentence(path):
        number, part = tempfile.mkstemp(prefix=f"{path.name}.", suffix=".part", dir=path.parent)
    with open(number, "wb") as file:

        def write(line: bytes) -> None:
            with _sentence(path):
                file.write(line)
                file.flush()  # what a run that is killed could not store is in the part file

        try:
            yield write
        finally:
            with _sentence(path):
                os.replace(part, path)


@contextlib.contextmanager
def _sentence(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Fatal(
            f"Cannot write {path}: {error.strerror}: choose another file with --failed."
        ) from None
