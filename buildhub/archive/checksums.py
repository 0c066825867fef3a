"""SHA-256 sums of builds: which file of the archive has them, and what is in it."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ..builds.recognise import Build, recognise
from .locations import EXTENSION

#: The folders with one ``SHA256SUMS`` for all files below.
_FOLDER = r"pub/[^/]+/(?:releases/[^/]+|candidates/[^/]+/build\d+)/"
_SUMS_FILE = re.compile(rf"{_FOLDER}SHA256SUMS|pub/[^/]+/nightly/.+\.checksums")

_SHA256SUMS_LINE = re.compile(r"(?P<sum>[0-9a-fA-F]{64}) [ *](?:\./)?(?P<path>.+)")
_CHECKSUMS_LINE = re.compile(
    r"(?P<sum>[0-9a-fA-F]+) (?P<algorithm>md5|sha1|sha256|sha512) (?P<size>\d+)"
    r" (?:.*/)?(?P<path>.+)"
)


def sums_file(build: Build) -> str:
    """Returns the key of the file that has the sum of a build, if the archive has it.

    ``pub/firefox/releases/55.0/SHA256SUMS``, or of a nightly, one beside each file:
    ``…/firefox-56.0a1.en-US.win64.checksums``.
    """
    folder = re.match(_FOLDER, build.key)
    return f"{folder[0]}SHA256SUMS" if folder else EXTENSION.sub(".checksums", build.key)


def is_sums_file(key: str) -> bool:
    """Tells if this is the key of such a file."""
    return bool(_SUMS_FILE.fullmatch(key))


def sums_in(content: bytes, key: str) -> dict[str, str] | None:
    """Returns the sums of builds in the file ``key``, by their path below its folder.

    In a ``.checksums`` file a size belongs to each sum: ``<sum> <size>``. Of a file with several
    sums none counts, as it is not known which one is right. None if no line has the format.
    """
    line = _SHA256SUMS_LINE if key.endswith("/SHA256SUMS") else _CHECKSUMS_LINE
    text = content.decode("utf-8", "replace")
    lines = [found.groupdict() for found in map(line.fullmatch, text.splitlines()) if found]
    folder = key.rpartition("/")[0]
    sums: dict[str, set[str]] = {}
    for found in lines:
        is_sha256 = found.get("algorithm", "sha256") == "sha256" and len(found["sum"]) == 64
        if is_sha256 and recognise(f"{folder}/{found['path']}"):
            value = f"{found['sum'].lower()} {found.get('size', '')}".rstrip()
            sums.setdefault(found["path"], set()).add(value)
    return {path: min(all_) for path, all_ in sums.items() if len(all_) == 1} if lines else None


def sum_of(build: Build, size: int, sums: Mapping[str, str]) -> str:
    """Returns the sum of a build of this size; empty if it has none, or one of another file."""
    path = build.key.removeprefix(sums_file(build).rpartition("/")[0] + "/")
    digest, _, its_size = sums.get(path, "").partition(" ")
    return digest if its_size in ("", str(size)) else ""
