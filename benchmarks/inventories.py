"""Large inventories for the benchmarks, and an archive that knows the metadata of their builds."""

from __future__ import annotations

import gzip
import hashlib
import itertools
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.support.archive_files import File
from tests.support.archive_tree import PLATFORMS, archive_name, release_tree
from tests.support.locales import LOCALES

VERSIONS = [f"{major}.0{minor}" for major in range(30, 130) for minor in ("", "b3", ".1", "b7")]
#: What lies beside the builds and is none, as often as it occurs in the archive.
OTHERS = (
    "update/win64/{locale}/firefox-{version}.complete.mar",
    "update/win64/{locale}/firefox-{version}.partial.mar",
    "win64/xpi/{locale}.xpi",
    "win64/{locale}/Firefox+Setup+{version}.exe.asc",
    "linux-x86_64/{locale}/firefox-{version}.checksums",
    "jsshell/jsshell-linux-x86_64.zip",
    "SHA512SUMS.asc",
    "mac/{locale}/target.awsy.tests.tar.gz",
)


def _row(key: str, number: int) -> bytes:
    """A row. Its ETag is as random as a real one, which makes half of the packed bytes.

    A key always has the same size.
    """
    etag = hashlib.md5(b"%d" % number, usedforsecurity=False).hexdigest()
    size = 30_000_000 + zlib.crc32(key.encode()) % 20_000_000
    return (
        f'"net-mozaws-prod-delivery-firefox","{key}","{size}",'
        f'"2017-07-13T23:{number // 60 % 60:02}:{number % 60:02}.000Z",'
        f'"{etag}"\n'
    ).encode()


def builds(versions: Sequence[str] = VERSIONS) -> Iterator[str]:
    """Form-encoded keys of builds, in the order of the bucket: 450 of each version."""
    for version, platform, locale in itertools.product(versions, PLATFORMS, LOCALES):
        name = archive_name("firefox", version, platform, locale).replace(" ", "+")
        yield f"pub/firefox/releases/{version}/{platform}/{locale}/{name}"


def others() -> Iterator[str]:
    """Keys of files that are no builds."""
    for version, locale, shape in itertools.product(VERSIONS, LOCALES, OTHERS):
        yield f"pub/firefox/releases/{version}/" + shape.format(version=version, locale=locale)


def rows(
    number: int, builds_in_thousand: int, versions: Sequence[str] = VERSIONS
) -> Iterator[bytes]:
    """So many rows, some of them builds, evenly spread."""
    build, other = itertools.cycle(builds(versions)), itertools.cycle(others())
    for n in range(number):
        is_build = n * builds_in_thousand % 1000 < builds_in_thousand
        yield _row(next(build if is_build else other), n)


def write(
    path: Path, number: int, builds_in_thousand: int, versions: Sequence[str] = VERSIONS
) -> Path:
    """An inventory as a gzip file."""
    with gzip.open(path, "wb", compresslevel=6) as file:
        batch = rows(number, builds_in_thousand, versions)
        while block := b"".join(itertools.islice(batch, 10_000)):
            file.write(block)
    return path


def archive_files(versions: Sequence[str] = VERSIONS) -> dict[str, File]:
    """The metadata of the builds of these versions."""
    files: dict[str, File] = {}
    for version in versions:
        files |= release_tree("firefox", version, builds=(1,), locales=("en-US",))
    return files
