"""The archive's inventories in S3: the newest manifest of one, and the bytes of its files.

An inventory is a list of all objects of a bucket; ``firefox`` and ``archive`` are those we know.
"""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import re
import time
from collections.abc import Callable, Collection, Iterator
from http import HTTPStatus
from typing import Any, NamedTuple, TypeVar

import botocore.session
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from urllib3.exceptions import HTTPError

from .. import MAX_BODY, USER_AGENT
from ..errors import BadInput, Fatal, Unreachable
from ..retries import Retry, RetryableError, retry_after
from ..signals import AbandonableCalls, CancellationToken

REGION = "us-east-1"

#: How many dated folders are looked at before an inventory counts as abandoned.
_OLDEST = 10

_DATE = r"\d{4}-\d\d-\d\dT\d\d-\d\dZ"

_CHUNK = 1 << 16

#: The archive's inventories are copied below it; the keys in their manifests are without it.
_COPIES = "public/"

T = TypeVar("T")

logger = logging.getLogger(__name__)


class ConnectionBroken(RetryableError):
    """A connection broke while an object was read: the rest can be asked for."""


class ObjectNotFound(Unreachable):
    """S3 responds, but has no such object."""


class InventoryFile(NamedTuple):
    """One gzipped CSV file of an inventory."""

    key: str  #: in the inventory bucket
    size: int  #: bytes
    md5: str  #: 32 hexadecimal digits, lower case


class Manifest(NamedTuple):
    """The files of one day's inventory: what S3 writes beside them."""

    inventory: str  #: ``firefox`` or ``archive``
    date: str  #: its folder: ``2017-08-02T00-11Z``
    source_bucket: str  #: the bucket that is listed: ``net-mozaws-prod-delivery-firefox``
    columns: tuple[str, ...]  #: ``("Bucket", "Key", "Size", "LastModifiedDate", "ETag")``
    files: tuple[InventoryFile, ...]

    def only(self, keys: Collection[str] | None) -> Manifest:
        """Returns the same with the files of these keys alone; with all of them for None."""
        if keys is None:
            return self
        return self._replace(files=tuple(file for file in self.files if file.key in keys))

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


class Inventories:
    """The bucket of the inventories, read anonymously. Threads may share it.

    A request takes at most ``timeout_seconds``, from the connection to the last byte, and is
    tried ``retries`` times more after a broken connection, a 429 or a 5xx. A stop of
    ``cancellation`` ends requests and pauses within its grace, in :class:`Interrupted`. The
    variable AWS_ENDPOINT_URL of all AWS clients says where S3 is, if elsewhere.
    """

    def __init__(
        self,
        bucket: str,
        prefix: str,
        *,
        timeout_seconds: float,
        retries: int,
        cancellation: CancellationToken | None = None,
    ) -> None:
        """Makes no request yet; ``prefix`` has ``{inventory}`` in place of an inventory's name.

        Raises :class:`Fatal` if AWS's own settings can't be used.
        """
        self._bucket = bucket
        self._prefix = prefix.rstrip("/") + "/"
        cancellation = cancellation or CancellationToken()
        self._timeout = timeout_seconds
        self._check = cancellation.raise_if_overdue
        self._calls = AbandonableCalls("s3-request")
        self._retry = Retry(
            retries + 1,
            longest_pause=timeout_seconds,
            deadline=(retries + 1) * timeout_seconds,
            sleep=cancellation.sleep,
        )
        self._client = _botocore_client(timeout_seconds)

    def newest_manifest(self, inventory: str) -> Manifest:
        """Returns the manifest in the newest dated folder of ``inventory`` that has one already.

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
            f"No inventory {inventory} below {self.url(self._folder(inventory))}:"
            f" {found if folders else 'no folder there is a date'};"
            " check INVENTORIES (firefox and archive are known), INVENTORY_PREFIX and"
            " AWS_ENDPOINT_URL."
        )

    def manifest_of(self, inventory: str, date: str) -> Manifest:
        """Returns the manifest of one day, such as ``2017-08-02T00-11Z``.

        Raises as :meth:`newest_manifest` does, and :class:`ObjectNotFound` if it is not there.
        """
        if not re.fullmatch(_DATE, date):
            raise BadInput(
                f"{date!r} is not the date of an inventory: they look like 2017-08-02T00-11Z."
            )
        key = f"{self._folder(inventory)}{date}/manifest.json"
        try:
            content = self._retried(functools.partial(self._small, key))
        except ObjectNotFound:
            raise ObjectNotFound(
                f"{self.url(key)} is not there: leave out the date to load the newest."
            ) from None
        return Manifest.parse(content, inventory, date, key=key, where=self.url(key))

    def read(
        self, key: str, start: int = 0, check: Callable[[], None] = lambda: None
    ) -> Iterator[bytes]:
        """Yields the bytes of an object from byte ``start`` on, in pieces, in one attempt.

        ``check`` is called several times a second and may raise to end the reading. Raises
        :class:`ConnectionBroken` if the object can't be read (to its end) in time; what came
        before has been given out. Raises another :class:`RetryableError` if the server can't start
        at ``start``, and :class:`ObjectNotFound` if there is no such object.
        """
        call = self._calls_for(key, check)
        wanted = {"Range": f"bytes={start}-"} if start else {}
        get = functools.partial(self._client.get_object, Bucket=self._bucket, Key=key, **wanted)
        answer = call(get)
        body = answer["Body"]
        if start and _status(answer) != 206:
            body.close()
            raise RetryableError(f"{self.url(key)} can only be read from its start.")
        while chunk := call(lambda: body.read(_CHUNK)):
            yield chunk

    def url(self, key: str) -> str:
        """Returns the address of an object, for messages."""
        return f"{self._client.meta.endpoint_url}/{self._bucket}/{key}"

    def _folder(self, inventory: str) -> str:
        return self._prefix.replace("{inventory}", inventory)

    def _dated_folders(self, inventory: str) -> list[str]:
        """Returns the folders named after a time, newest first; ``hive/`` and others are not."""
        prefix = self._folder(inventory)
        dated = re.compile(re.escape(prefix) + _DATE + "/")
        wanted = {"Bucket": self._bucket, "Prefix": prefix, "Delimiter": "/"}
        folders: list[str] = []
        while True:
            page = self._retried(functools.partial(self._page, prefix, wanted))
            folders += [entry["Prefix"] for entry in page.get("CommonPrefixes", [])]
            if not (token := page.get("NextContinuationToken")):
                return sorted(filter(dated.fullmatch, folders), reverse=True)
            wanted = {**wanted, "ContinuationToken": token}

    def _page(self, prefix: str, wanted: dict[str, str]) -> Any:
        call = self._calls_for(prefix, self._check)
        return call(functools.partial(self._client.list_objects_v2, **wanted))

    def _small(self, key: str) -> bytes:
        content = bytearray()
        for chunk in self.read(key, check=self._check):
            content += chunk
            if len(content) > MAX_BODY:
                raise BadInput(f"{self.url(key)} is larger than {MAX_BODY >> 20} MiB.")
        return bytes(content)

    def _retried(self, attempt: Callable[[], T]) -> T:
        try:
            return self._retry.call(attempt)
        except RetryableError as error:
            raise Unreachable(
                f"{error}: check the network and AWS_ENDPOINT_URL, or run again later."
            ) from None

    def _calls_for(self, key: str, check: Callable[[], None]) -> Callable[[Callable[[], T]], T]:
        """Returns a function that makes the calls of one request, which have one deadline."""
        end = time.monotonic() + self._timeout

        def call(function: Callable[[], T]) -> T:
            try:
                return self._calls.call(function, max(0.0, end - time.monotonic()), check)
            except ClientError as error:
                raise _rejection(self.url(key), error) from None
            except TimeoutError:
                problem = f"no response in {self._timeout:g} seconds"
            except (BotoCoreError, HTTPError, OSError, ValueError) as error:
                problem = type(error).__name__
            raise ConnectionBroken(f"{self.url(key)} does not answer properly ({problem})")

        return call


def _rejection(url: str, error: ClientError) -> Exception:
    status, code = _status(error.response), error.response["Error"].get("Code")
    if code == "NoSuchKey":
        return ObjectNotFound(f"{url} is not there: run again later.")
    if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        return RetryableError(f"{url} is shorter than what was read of it.")
    if status >= 500 or status == 429:
        headers = error.response["ResponseMetadata"].get("HTTPHeaders", {})
        wait = retry_after({"Retry-After": headers.get("retry-after", "")})
        return ConnectionBroken(f"{url} answers {status} {code}", wait, status)
    return Fatal(
        f"{url} answers {status} {code}: check AWS_ENDPOINT_URL and that the bucket is public."
    )


def _botocore_client(timeout_seconds: float) -> Any:
    config = Config(
        signature_version=UNSIGNED,
        connect_timeout=min(timeout_seconds, 60),
        read_timeout=timeout_seconds,
        retries={"total_max_attempts": 1, "mode": "standard"},  # see buildhub.retries
        # Not <bucket>.localhost: such names need a resolver that knows them.
        s3={"addressing_style": "path"},
        user_agent=USER_AGENT,
    )
    try:
        session = botocore.session.get_session()
        return session.create_client("s3", region_name=REGION, config=config)
    except (BotoCoreError, ValueError) as error:
        raise Fatal(f"AWS's own settings (AWS_..., ~/.aws) can't be used: {error}.") from None


def _status(response: Any) -> int:
    return int(response["ResponseMetadata"].get("HTTPStatusCode", 0))


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
