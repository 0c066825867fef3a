"""The archive's files of sums, for a tree of builds; the sum of a build is that of its key.

Where they lie is written down here once more, apart from the code under test.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

from buildhub.builds.recognise import recognise
from tests.support.archive_files import File


def sha256(key: str) -> str:
    """The sum that a build has here."""
    return hashlib.sha256(key.encode()).hexdigest()


def sums_file_of(key: str) -> str:
    """Where the sum of a build is."""
    parts = key.split("/")
    if parts[2] == "nightly":
        return re.sub(r"(\.installer)?\.(exe|dmg|apk|tar\.\w+)$", ".checksums", key)
    return "/".join([*parts[: 4 if parts[2] == "releases" else 5], "SHA256SUMS"])


def sums_of(tree: Mapping[str, File], date: str = "2017-06-13T13:00:00Z") -> dict[str, File]:
    """The files of sums for all builds of a tree, with the other lines that they have."""
    lines: dict[str, list[str]] = {}
    for key, file in tree.items():
        if recognise(key):
            sums = sums_file_of(key)
            path = key.removeprefix(sums.rpartition("/")[0] + "/")
            lines.setdefault(sums, []).extend(_lines(path, sha256(key), file.size, sums))
    return {sums: File(body="".join(its).encode(), date=date) for sums, its in lines.items()}


def _lines(path: str, digest: str, size: int, sums: str) -> list[str]:
    if sums.endswith("SHA256SUMS"):
        return [f"{digest}  {path}\n", f"{digest[::-1]}  {path}.asc\n"]
    other = hashlib.sha512(digest.encode()).hexdigest()
    beside = path.partition(".tar")[0] + ".mar"
    return [
        f"{other} sha512 {size} {path}\n",
        f"{digest} sha256 {size} {path}\n",
        f"{digest[::-1]} sha256 77 {beside}\n",
    ]
