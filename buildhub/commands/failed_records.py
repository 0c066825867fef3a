"""``to-kinto --failed FILE``: the records that could not be stored, for a second try."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import orjson

from ..errors import Fatal
from ..storage import part_files


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
    error: the command may be reading the previous one. What a killed run left beside it is
    removed. Raises :class:`Fatal` if it cannot be written.
    """
    if path is None:
        yield lambda record: None
        return
    with _written_aside(path) as write:
        yield lambda record: write(_line(record))


def _line(record: Any) -> bytes:
    try:
        return orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:  # nested deeply
        return json.dumps(record).encode() + b"\n"


@contextlib.contextmanager
def _written_aside(path: Path) -> Iterator[Callable[[bytes], None]]:
    with _readable_errors(path):
        target = path.resolve()  # of a link the target is replaced
        if target.exists() and not target.is_file():
            raise OSError(None, "it is not a file")
        part_files.remove_abandoned(target.parent, target.name)
        file, part = part_files.create(target.parent, target.name)
    with file:

        def write(line: bytes) -> None:
            with _readable_errors(path):
                file.write(line)

        try:
            yield write
        finally:
            with _readable_errors(path):
                file.flush()
                os.replace(part, target)


@contextlib.contextmanager
def _readable_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Fatal(
            f"Cannot write {path}: {error.strerror}: choose another file with --failed."
        ) from None
