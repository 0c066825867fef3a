"""The sample in this folder: its inventory, and its files to be served."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote_plus

from tests.support.archive_files import File

HERE = Path(__file__).parent
INVENTORY = HERE / "inventory.csv.gz"


class Row(NamedTuple):
    """A row of the inventory, read with nothing but the standard library."""

    key: str  #: raw
    size: int
    date: str  #: in whole seconds: "2017-03-07T12:07:51Z"


def rows() -> Iterator[Row]:
    """All rows, in the inventory's order."""
    with gzip.open(INVENTORY, "rt", encoding="ascii", newline="") as lines:
        for _bucket, key, size, date, _etag in csv.reader(lines):
            yield Row(unquote_plus(key), int(float(size)), f"{date[:19]}Z")


def files() -> dict[str, File]:
    """All files by raw key: those below ``archive/`` with their contents.

    The archive serves mobile's metadata as ``application/octet-stream``.
    """
    tree = {}
    for key, size, date in rows():
        body = (path := HERE / "archive" / key).is_file() and path.read_bytes()
        binary = "application/octet-stream" if "/mobile/" in key else ""
        tree[key] = File(size=size, date=date, body=body or None, content_type=binary)
    return tree
