"""Make the sample anew: ``python -m tests.sample.generate [FOLDER]``.

It writes ``inventory.csv.gz`` as S3 would, and the metadata files below ``archive/``. Nothing
in it is left to chance: the same table of keys gives the same files.
"""

from __future__ import annotations

import gzip
import hashlib
import shutil
import sys
import zlib
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote_plus

from tests.sample.provenance import last_modified, metadata_of
from tests.sample.selection import selected, table
from tests.support.archive_files import File

HERE = Path(__file__).parent

#: Sizes that the archive's inventories write in another way.
ODD_SIZES = {
    "pub/firefox/releases/53.0/linux-i686/en-US/firefox-53.0.tar.bz2": "2E+10",
    "pub/firefox/releases/53.0/linux-i686/ja/firefox-53.0.tar.bz2": "5.3E+07",
}
#: The release that has sums, those of its zeros; so have the nightlies beside a ``.checksums``.
WITH_SUMS = "pub/firefox/releases/54.0/"
#: A row's date has any number of decimals, or none.
DECIMALS = (".000Z", ".000Z", ".000Z", "Z", ".5Z", ".123456Z")


def main(folder: Path) -> None:
    """Write the sample into ``folder``, over what is there."""
    keys = selected()
    no_builds = {key for key, identifier in table() if identifier == "-"}
    metadata: dict[str, File] = {}
    for key in keys:
        if key not in no_builds:
            metadata |= metadata_of(key)
    metadata |= _sums(keys)
    shutil.rmtree(folder / "archive", ignore_errors=True)
    for key, file in metadata.items():
        path = folder / "archive" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.body or b"")
    sizes = {key: ODD_SIZES.get(key, _size(key)) for key in keys}
    sizes |= {key: str(len(file.body or b"")) for key, file in metadata.items()}
    _write_inventory(folder / "inventory.csv.gz", sizes)


def _sums(keys: list[str]) -> dict[str, File]:
    release = [key for key in keys if key.startswith(WITH_SUMS)]
    lines = [f"{_of_zeros(_size(key))}  {key.removeprefix(WITH_SUMS)}\n" for key in release]
    files = {f"{WITH_SUMS}SHA256SUMS": File(body="".join(sorted(lines)).encode())}
    for sums in [key for key in keys if key.endswith(".checksums")]:
        for key in [key for key in keys if key.startswith(sums.replace(".checksums", ".tar."))]:
            name = key.rpartition("/")[2]
            line = f"{_of_zeros(_size(key))} sha256 {_size(key)} {name}\n"
            files[sums] = File(body=line.encode())
    return files


def _of_zeros(size: str) -> str:
    digest, block = hashlib.sha256(), bytes(1 << 20)
    for start in range(0, int(size), len(block)):
        digest.update(block[: int(size) - start])
    return digest.hexdigest()


def _size(key: str) -> str:
    """30 to 60 MB for a build, some hundred bytes for a checksum."""
    number = zlib.crc32(key.encode())
    small = key.endswith((".asc", "SUMS", ".txt", ".checksums"))
    return str(100 + number % 900 if small else 30_000_000 + number % 30_000_000)


def _write_inventory(path: Path, sizes: dict[str, str]) -> None:
    """Two gzip members, one for each bucket; folders stay together, else there is no order."""
    keys = sorted(sizes, key=lambda key: (_digest(key.rpartition("/")[0]), key))
    firefox = [key for key in keys if key.startswith("pub/firefox/")]
    others = [key for key in keys if not key.startswith("pub/firefox/")]
    path.write_bytes(
        _member("net-mozaws-prod-delivery-firefox", firefox, sizes)
        + _member("net-mozaws-prod-delivery-archive", others, sizes)
    )


def _member(bucket: str, keys: Iterable[str], sizes: dict[str, str]) -> bytes:
    rows = "".join(
        f'"{bucket}","{quote_plus(key, safe="/")}","{sizes[key]}","{_date(key)}","{_digest(key)}"\n'
        for key in keys
    )
    return gzip.compress(rows.encode(), mtime=0)


def _date(key: str) -> str:
    decimals = DECIMALS[zlib.crc32(key.encode()) % len(DECIMALS)]
    return f"{last_modified(key):%Y-%m-%dT%H:%M:%S}{decimals}"


def _digest(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
