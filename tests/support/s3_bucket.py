"""A real S3 API on loopback that holds inventories in the archive's own layout.

It is ``moto``'s server; programs find it by AWS_ENDPOINT_URL, set to :attr:`Bucket.url`.
"""

from __future__ import annotations

import contextlib
import functools
import gzip
import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from urllib.parse import quote_plus
from urllib.request import Request, urlopen

import botocore.session

from buildhub.inventory.s3_inventories import REGION, Inventories
from buildhub.settings import Settings
from tests.support import botocore_models

botocore_models.share()
_SETTINGS = Settings.from_environment({})
BUCKET = _SETTINGS.inventory_bucket
PREFIX = _SETTINGS.inventory_prefix.replace("inventory", "0")

#: The client of the archive's inventories.
archive_inventories = functools.partial(Inventories, BUCKET, _SETTINGS.inventory_prefix)

SCHEMA = "Bucket, Key, Size, LastModifiedDate, ETag"


def rows(objects: Iterable[tuple[str, int, str]], bucket: str) -> bytes:
    """Inventory CSV of (raw key, size, date): every value quoted, keys form-encoded."""
    return b"".join(
        (
            f'"{bucket}","{quote_plus(key, safe="/")}","{size}","{date}",'
            f'"{hashlib.md5(key.encode()).hexdigest()}"\n'
        ).encode()
        for key, size, date in objects
    )


def packed(csv: bytes, members: int = 1) -> bytes:
    """``csv`` gzipped, in several members on request; the same bytes on every call.

    Members end anywhere, also in the middle of a line.
    """
    step = -(-len(csv) // members) or 1
    pieces = [csv[start : start + step] for start in range(0, len(csv), step)] or [b""]
    return b"".join(gzip.compress(piece, mtime=0) for piece in pieces)


class Bucket:
    """The bucket of the inventories, as its owner sees it."""

    def __init__(self, url: str) -> None:
        self.url = url  #: of the S3 API
        self._owner = botocore.session.get_session().create_client(
            "s3",
            region_name=REGION,
            endpoint_url=url,
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    def empty(self) -> None:
        """Forget everything, and be there again without an object in it."""
        with urlopen(Request(f"{self.url}/moto-api/reset", method="POST")):
            self._owner.create_bucket(Bucket=BUCKET, ACL="public-read")

    def put(self, key: str, body: bytes, bucket: str = BUCKET) -> None:
        """An object that anybody may read."""
        self._owner.put_object(Bucket=bucket, Key=key, Body=body, ACL="public-read")

    def remove(self, key: str) -> None:
        self._owner.delete_object(Bucket=BUCKET, Key=key)

    def add_inventory(
        self, inventory: str, date: str, files: Sequence[bytes], **changes: Any
    ) -> list[str]:
        """One day's inventory of ``files`` (gzipped CSV): its files' keys in the bucket.

        ``changes`` are other fields of the manifest than the usual ones. As in the archive, the
        files lie in ``data/``, and there is a ``hive/`` beside the dated folders.
        """
        prefix = PREFIX.format(inventory)
        keys = [f"{prefix}data/{hashlib.md5(file).hexdigest()}.csv.gz" for file in files]
        manifest = {
            "sourceBucket": f"net-mozaws-prod-delivery-{inventory}",
            "destinationBucket": f"arn:aws:s3:::{BUCKET}",
            "version": "2016-11-30",
            "fileFormat": "CSV",
            "fileSchema": SCHEMA,
            "files": [
                {
                    "key": key.removeprefix("public/"),
                    "size": len(file),
                    "MD5checksum": hashlib.md5(file).hexdigest(),
                }
                for key, file in zip(keys, files, strict=True)
            ],
        }
        for key, file in zip(keys, files, strict=True):
            self.put(key, file)
        content = json.dumps(manifest | changes).encode()
        self.put(f"{prefix}{date}/manifest.json", content)
        self.put(f"{prefix}{date}/manifest.checksum", hashlib.md5(content).hexdigest().encode())
        self.put(f"{prefix}hive/dt={date[:-4]}-{date[-3:-1]}/symlink.txt", b"s3://...\n")
        return keys

    def add_inventory_of_own(
        self, bucket: str, prefix: str, date: str, files: Sequence[bytes]
    ) -> None:
        """One day's inventory in a bucket that does not exist yet, as S3 writes it there."""
        self._owner.create_bucket(Bucket=bucket, ACL="public-read")
        entries = []
        for file in files:
            md5 = hashlib.md5(file).hexdigest()
            self.put(f"{prefix}data/{md5}.csv.gz", file, bucket)
            entries.append(
                {"key": f"{prefix}data/{md5}.csv.gz", "size": len(file), "MD5checksum": md5}
            )
        manifest = {
            "sourceBucket": "mirror", "fileFormat": "CSV", "fileSchema": SCHEMA, "files": entries
        }  # fmt: skip
        self.put(f"{prefix}{date}/manifest.json", json.dumps(manifest).encode(), bucket)


@contextlib.contextmanager
def running() -> Iterator[Bucket]:
    """The server, on a free port, with the bucket in it."""
    from moto.server import ThreadedMotoServer  # slow to import

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        bucket = Bucket(f"http://{host}:{port}")
        bucket.empty()
        yield bucket
    finally:
        server.stop()
