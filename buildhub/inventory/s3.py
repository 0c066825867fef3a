"""The archive's inventories in S3: the newest manifest of one, and the bytes of its files."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterator
from typing import Any

import backoff
import botocore.session
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from urllib3.exceptions import HTTPError

from .. import USER_AGENT
from ..errors import BadInput, BuildhubError, Fatal, Unreachable
from .manifest import Manifest

BUCKET = "net-mozaws-prod-delivery-inventory-us-east-1"
REGION = "us-east-1"
PREFIX = "public/inventories/net-mozaws-prod-delivery-{0}/delivery-{0}/"

#: How many dated folders are looked at before an inventory counts as abandoned.
_OLDEST = 10

_DATE = r"\d{4}-\d\d-\d\dT\d\d-\d\dZ"

_CHUNK = 1 << 16

logger = logging.getLogger(__name__)


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
        folders = self._dated_folders(inventory)[:_OLDEST]
        for folder in folders:
            with contextlib.suppress(ObjectNotFound):
                return self.manifest_of(inventory, folder.rstrip("/").rpartition("/")[2])
            logger.info("%s has no manifest yet: taking the one before it.", self.url(folder))
        found = f"none of its newest {len(folders)} folders has a manifest.json"
        raise Fatal(
            f"No inventory {inventory} below {self.url(PREFIX.format(inventory))}:"
            f" {found if folders else 'no folder there is a date'};"
            " check INVENTORIES (firefox and archive are known) and AWS_ENDPOINT_URL."
        )

    def manifest_of(self, inventory: str, date: str) -> Manifest:
        """The manifest of one day, such as ``2017-08-02T00-11Z``.

        Raises as :meth:`newest_manifest` does, and :class:`ObjectNotFound` if it is not there.
        """
        if not re.fullmatch(_DATE, date):
            raise BadInput(f"{date!r} is no inventory's date: they look like 2017-08-02T00-11Z.")
        key = f"{PREFIX.format(inventory)}{date}/manifest.json"
        try:
            content = self._small(key)
        except ObjectNotFound:
            raise ObjectNotFound(
                f"{self.url(key)} is not there: leave out the date to load the newest."
            ) from None
        return Manifest.parse(content, inventory, date, where=self.url(key))

    def read(self, key: str, start: int = 0) -> Iterator[bytes]:
        """The bytes of an object from byte ``start`` on, in pieces.

        Closing the iterator closes the connection. Raises :class:`ConnectionBroken` if the
        connection breaks in the middle; what came before has been given out. Raises
        :class:`ObjectNotFound` if there is no such object, :class:`RangeNotSupported` if the
        server can't start at ``start``.
        """
        wanted = {"Range": f"bytes={start}-"} if start else {}
        with self._translated(key):
            try:
                answer = self._client.get_object(Bucket=BUCKET, Key=key, **wanted)
            except ClientError as error:
                if start and _status(error.response) == 416:
                    raise RangeNotSupported(
                        f"{self.url(key)} is shorter than {start} bytes."
                    ) from None
                raise
        body = answer["Body"]
        with contextlib.closing(body):
            if start and _status(answer) != 206:
                raise RangeNotSupported(f"{self.url(key)} can only be read from its start.")
            try:
                yield from body.iter_chunks(_CHUNK)
            except (BotoCoreError, HTTPError, OSError) as error:
                raise ConnectionBroken(
                    f"{self.url(key)}: the connection broke in the middle ({error})."
                ) from None

    def url(self, key: str) -> str:
        """Where an object is, for messages."""
        return f"{self._client.meta.endpoint_url}/{BUCKET}/{key}"

    def _dated_folders(self, inventory: str) -> list[str]:
        """Keys of the folders named after a time, newest first; ``hive/`` and others are not."""
        prefix = PREFIX.format(inventory)
        dated = re.compile(re.escape(prefix) + _DATE + "/")
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=BUCKET, Prefix=prefix, Delimiter="/"
        )
        with self._translated(prefix):
            folders = [p["Prefix"] for page in pages for p in page.get("CommonPrefixes", [])]
        return sorted(filter(dated.fullmatch, folders), reverse=True)

    def _small(self, key: str) -> bytes:
        """The whole of a small object, whose reading may break off and begin anew."""
        again = backoff.on_exception(
            backoff.expo,
            ConnectionBroken,
            max_tries=self._retries + 1,
            logger=None,
            factor=0.5,
            max_value=30,
        )
        try:
            return again(lambda: b"".join(self.read(key)))()
        except ConnectionBroken as error:
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
            return ObjectNotFound(f"{self.url(key)} is not there: run again later.")
        if status >= 500 or status == 429:
            return Unreachable(f"{self.url(key)} answers {status} {code}: run again later.")
        return Fatal(
            f"{self.url(key)} answers {status} {code}: check AWS_ENDPOINT_URL and that the bucket"
            " is public."
        )


class ConnectionBroken(BuildhubError):
    """A connection broke while an object was read: the rest can be asked for."""


class ObjectNotFound(Unreachable):
    """S3 answers, but has no such object."""


class RangeNotSupported(BuildhubError):
    """The server gives an object from its start only."""


def _status(response: Any) -> int:
    return int(response["ResponseMetadata"].get("HTTPStatusCode", 0))
