"""The archive's inventories in S3: the newest manifest of one, and the bytes of its files.

An inventory is a list of all objects of a bucket that S3 writes once a day. ``downloads`` puts
its files into a folder.
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import backoff
import botocore.session
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from urllib3.exceptions import HTTPError

from . import USER_AGENT
from .errors import BadInput, BuildhubError, Fatal, Unreachable

BUCKET = "net-mozaws-prod-delivery-inventory-us-east-1"
REGION = "us-east-1"
PREFIX = "public/inventories/net-mozaws-prod-delivery-{0}/delivery-{0}/"

#: The manifests' keys are those of the bucket from which S3's own are copied to public/.
_FILES_PREFIX = "public/"

#: How many dated folders are looked at before an inventory counts as abandoned.
_OLDEST = 10

_CHUNK = 1 << 16

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class InventoryFile:
    """One gzipped CSV file of an inventory."""

    key: str  #: in the inventory bucket
    size: int  #: bytes
    md5: str  #: 32 hexadecimal digits, lower case


@dataclass(frozen=True)
class Manifest:
    """What one day's inventory consists of."""

    inventory: str  #: ``firefox`` or ``archive``
    date: str  #: its folder: ``2017-08-02T00-11Z``
    source_bucket: str  #: the bucket that is listed: ``net-mozaws-prod-delivery-firefox``
    columns: tuple[str, ...]  #: ``("Bucket", "Key", "Size", "LastModifiedDate", "ETag")``
    files: tuple[InventoryFile, ...]


class Inventories:
    """The bucket of the inventories, read anonymously. Threads may share it."""

    def __init__(self, *, timeout_seconds: float, retries: int) -> None:
        """No request is made yet.

        ``timeout_seconds`` is how long a server may stay silent, ``retries`` how often a
        request is made again after a broken connection or a 5xx. The variable AWS_ENDPOINT_URL
        of all AWS clients says where S3 is, if elsewhere. Raises :class:`Fatal` if AWS's own
        configuration, variables or files, can't be used.
        """
        self._retries = retries
        config = Config(
            signature_version=UNSIGNED,
            connect_timeout=min(timeout_seconds, 60),
            read_timeout=timeout_seconds,
            retries={"total_max_attempts": retries + 1, "mode": "standard"},
            # No names such as <bucket>.localhost: they need a resolver that knows of them.
            s3={"addressing_style": "path"},
            user_agent=USER_AGENT,
        )
        try:
            session = botocore.session.get_session()
            self._client: Any = session.create_client("s3", region_name=REGION, config=config)
        except (BotoCoreError, ValueError) as error:
            raise Fatal(f"AWS's own settings (AWS_..., ~/.aws) can't be used: {error}.") from None

    def newest_manifest(self, inventory: str) -> Manifest:
        """The manifest in the newest dated folder of ``inventory`` that has one already.

        Raises :class:`Fatal` if there is no such inventory or its format is not CSV,
        :class:`BadInput` for a malformed manifest, :class:`Unreachable` if S3 does not answer.
        """
        folders = self._dated_folders(inventory)
        for folder in folders[:_OLDEST]:
            key = f"{folder}manifest.json"
            if (data := self._small(key)) is not None:
                date = folder.rstrip("/").rpartition("/")[2]
                return parse_manifest(data, inventory, date, where=self.url(key))
            _log.info("%s is not there yet: taking the inventory before it.", self.url(key))
        found = f"none of its newest {len(folders[:_OLDEST])} folders has a manifest.json"
        raise Fatal(
            f"No inventory {inventory} below {self.url(PREFIX.format(inventory))}:"
            f" {found if folders else 'no folder there is a date'};"
            " check INVENTORIES (firefox and archive are known) and AWS_ENDPOINT_URL."
        )

    def manifest_of(self, inventory: str, date: str) -> Manifest:
        """The manifest of one day, named by its folder: ``2017-08-02T00-11Z``.

        Raises like :meth:`newest_manifest`.
        """
        key = f"{PREFIX.format(inventory)}{date}/manifest.json"
        if (data := self._small(key)) is None:
            raise Fatal(f"{self.url(key)} is not there: leave out the date to load the newest.")
        return parse_manifest(data, inventory, date, where=self.url(key))

    def read(self, key: str, start: int = 0) -> Iterator[bytes]:
        """The bytes of an object from byte ``start`` on, in pieces.

        Closing the iterator closes the connection. Raises :class:`Broken` if the connection
        breaks in the middle; what came before has been given out. Raises :class:`Missing` if
        there is no such object, :class:`CannotResume` if the server can't start at ``start``.
        """
        wanted = {"Range": f"bytes={start}-"} if start else {}
        with self._translated(key):
            try:
                answer = self._client.get_object(Bucket=BUCKET, Key=key, **wanted)
            except ClientError as error:
                if start and _status(error.response) == 416:
                    raise CannotResume(f"{self.url(key)} is shorter than {start} bytes.") from None
                raise
        body = answer["Body"]
        with contextlib.closing(body):
            if start and _status(answer) != 206:
                raise CannotResume(f"{self.url(key)} can only be read from its start.")
            try:
                yield from body.iter_chunks(_CHUNK)
            except (BotoCoreError, HTTPError, OSError) as error:
                raise Broken(
                    f"{self.url(key)}: the connection broke in the middle ({error})."
                ) from None

    def url(self, key: str) -> str:
        """Where an object is, for messages."""
        return f"{self._client.meta.endpoint_url}/{BUCKET}/{key}"

    def _dated_folders(self, inventory: str) -> list[str]:
        """Keys of the folders named after a time, newest first; ``hive/`` and others are not."""
        prefix = PREFIX.format(inventory)
        dated = re.compile(re.escape(prefix) + r"\d{4}-\d\d-\d\dT\d\d-\d\dZ/")
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=BUCKET, Prefix=prefix, Delimiter="/"
        )
        with self._translated(prefix):
            folders = [p["Prefix"] for page in pages for p in page.get("CommonPrefixes", [])]
        return sorted(filter(dated.fullmatch, folders), reverse=True)

    def _small(self, key: str) -> bytes | None:
        """The whole of a small object; None if it is not there."""
        again = backoff.on_exception(
            backoff.expo, Broken, max_tries=self._retries + 1, logger=None, factor=0.5, max_value=30
        )
        try:
            return again(lambda: b"".join(self.read(key)))()
        except Missing:
            return None
        except Broken as error:
            raise Unreachable(f"{error} Run again later.") from None

    @contextlib.contextmanager
    def _translated(self, key: str) -> Iterator[None]:
        """botocore's errors as ours, with the address in them."""
        try:
            yield
        except ClientError as error:
            raise self._refusal(key, error) from None
        except BotoCoreError as error:
            raise Unreachable(
                f"{self.url(key)} does not answer properly ({type(error).__name__}): check the"
                " network and AWS_ENDPOINT_URL, or run again later."
            ) from None

    def _refusal(self, key: str, error: ClientError) -> BuildhubError:
        status, code = _status(error.response), error.response["Error"].get("Code")
        if code == "NoSuchKey":
            return Missing(f"{self.url(key)} is not there: run again later.")
        if status >= 500 or status == 429:
            return Unreachable(f"{self.url(key)} answers {status} {code}: run again later.")
        return Fatal(
            f"{self.url(key)} answers {status} {code}: check AWS_ENDPOINT_URL and that the bucket"
            " is public."
        )


class Broken(BuildhubError):
    """A connection broke while an object was read: the rest can be asked for."""


class Missing(Unreachable):
    """S3 answers, but has no such object."""


class CannotResume(BuildhubError):
    """The server gives an object from its start only."""


def parse_manifest(data: bytes, inventory: str, date: str, *, where: str) -> Manifest:
    """A manifest from its JSON. ``where`` is its address, for messages.

    Raises :class:`Fatal` if the files are no CSV, :class:`BadInput` if it is malformed.
    """
    try:
        content = json.loads(data)
        if (file_format := content["fileFormat"]) == "CSV":
            return Manifest(
                inventory,
                date,
                source_bucket=str(content["sourceBucket"]),
                columns=_columns(content["fileSchema"]),
                files=_files(content["files"]),
            )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        problem = f"{type(error).__name__}: {error}"
        raise BadInput(
            f"{where} is no inventory manifest ({problem}): look at it, and try tomorrow's."
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


def _files(entries: list[dict[str, Any]]) -> tuple[InventoryFile, ...]:
    if not entries:
        raise ValueError("files is empty")
    return tuple(map(_file, entries))


def _file(entry: dict[str, Any]) -> InventoryFile:
    md5 = entry["MD5checksum"].lower()
    # It becomes a file's name: nothing but digits may pass.
    if not re.fullmatch(r"[0-9a-f]{32}", md5):
        raise ValueError(f"MD5checksum {md5!r} is none")
    return InventoryFile(_FILES_PREFIX + entry["key"], int(entry["size"]), md5)


def _status(response: Any) -> int:
    return int(response["ResponseMetadata"].get("HTTPStatusCode", 0))
