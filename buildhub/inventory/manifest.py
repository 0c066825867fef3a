"""The files of one day's inventory: the manifest that S3 writes beside its files.

An inventory is a list of all objects of a bucket; ``firefox`` and ``archive`` are those we know.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from ..errors import BadInput, Fatal

#: The archive's inventories are copied below it; the keys in their manifests are without it.
_COPIES = "public/"


@dataclass(frozen=True)
class InventoryFile:
    """One gzipped CSV file of an inventory."""

    key: str  #: in the inventory bucket
    size: int  #: bytes
    md5: str  #: 32 hexadecimal digits, lower case


@dataclass(frozen=True)
class Manifest:
    """The files of one day's inventory."""

    inventory: str  #: ``firefox`` or ``archive``
    date: str  #: its folder: ``2017-08-02T00-11Z``
    source_bucket: str  #: the bucket that is listed: ``net-mozaws-prod-delivery-firefox``
    columns: tuple[str, ...]  #: ``("Bucket", "Key", "Size", "LastModifiedDate", "ETag")``
    files: tuple[InventoryFile, ...]

    def only(self, keys: Collection[str] | None) -> Manifest:
        """Returns the same with the files of these keys alone; with all of them for None."""
        if keys is None:
            return self
        return dataclasses.replace(self, files=tuple(f for f in self.files if f.key in keys))

    @classmethod
    def parse(cls, data: bytes, inventory: str, date: str, *, key: str, where: str) -> Manifest:
        """Returns a manifest from its JSON; ``key`` is its own, ``where`` its address for messages.

        Raises :class:`Fatal` if the files are no CSV, :class:`BadInput` if it is malformed.
        """
        try:
            content = json.loads(data)
            if (file_format := content["fileFormat"]) == "CSV":
                if not content["files"]:
                    raise ValueError("files is empty")
                above = _COPIES if key.startswith(_COPIES) else ""
                return cls(
                    inventory,
                    date,
                    source_bucket=str(content["sourceBucket"]),
                    columns=_columns(content["fileSchema"]),
                    files=tuple(_file(entry, above) for entry in content["files"]),
                )
        except (
            ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError
        ) as error:  # fmt: skip
            problem = f"{type(error).__name__}: {error}"
            raise BadInput(
                f"{where} is not an inventory manifest ({problem}): look at it, and try tomorrow's."
            ) from None
        raise Fatal(
            f"{where}: the files are {file_format}, but only CSV can be read:"
            " have the inventory's output format set to CSV."
        )


def _columns(schema: str) -> tuple[str, ...]:
    columns = tuple(name.strip() for name in schema.split(","))
    if missing := {"Key", "Size", "LastModifiedDate"} - set(columns):
        raise ValueError(f"fileSchema lacks {', '.join(sorted(missing))}")
    return columns


def _file(entry: dict[str, Any], above: str) -> InventoryFile:
    md5 = entry["MD5checksum"].lower()
    # It becomes a file's name: nothing but digits may pass.
    if not re.fullmatch(r"[0-9a-f]{32}", md5):
        raise ValueError(f"MD5checksum {md5!r} is none")
    key, size = above + entry["key"].removeprefix(above), int(entry["size"])
    key.encode()  # raises UnicodeEncodeError, a ValueError, for what can't be part of a URL
    if size < 0:
        raise ValueError(f"size {size} is negative")
    return InventoryFile(key, size, md5)
