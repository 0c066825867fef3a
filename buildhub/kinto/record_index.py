"""What is on the server already: id → digest, in an embedded store that outlives the run."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import re
import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from ..errors import Fatal
from ..records import digest
from ..storage.locks import LockHeld, locked
from ..storage.sqlite_store import open_database
from .client import Client
from .errors import RequestRejected

logger = logging.getLogger(__name__)

#: Of the file; a file of another version is set aside.
VERSION = 2

_TABLES = """
CREATE TABLE known (id TEXT PRIMARY KEY, digest BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE state (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
"""

_LEARN = "INSERT OR REPLACE INTO known VALUES (?, ?)"

#: Milliseconds that a refresh reads again: a database may show a record only after a younger
#: one, as transactions do not end in the order in which their records were dated.
_OVERLAP = 10_000

#: Records in one page of a refresh: some 40 MB for a moment. Smaller pages are slower.
_PAGE = 10_000


class RecordIndex:
    """The ids and digests of one collection of one server, as far as they are known.

    A second run on the same file uses a private one, and logs a warning. To be used by one thread
    at a time.
    """

    def __init__(self, folder: Path, target: str) -> None:
        """Open the store of ``target`` (:attr:`Client.target`) in ``folder``.

        Raises :class:`Fatal` where the folder can't be used.
        """
        self._cleanup = contextlib.ExitStack()
        self.path = folder / _file_name(target)
        try:
            self._cleanup.enter_context(locked(self.path.with_suffix(".lock")))
        except LockHeld as error:
            logger.warning(
                "Another run is using %s (process %s): this one reads the whole collection again.",
                self.path, error.pid,
            )  # fmt: skip
            private = tempfile.TemporaryDirectory(prefix="buildhub-")
            self.path = Path(self._cleanup.enter_context(private)) / self.path.name
        self._database = open_database(self.path, version=VERSION, tables=_TABLES)
        self._cleanup.callback(self._database.close)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        return int(self._value("SELECT count(*) FROM known"))

    def digest(self, record_id: str) -> bytes | None:
        """The digest of what the server has under this id; None if it has nothing."""
        found: bytes | None = self._value("SELECT digest FROM known WHERE id = ?", record_id)
        return found

    def mark_stored(self, stored: Iterable[tuple[str, bytes]]) -> None:
        """These ids are on the server now, with these digests."""
        with self._changing() as database:
            database.executemany(_LEARN, stored)

    def invalidate(self, ids: Iterable[str]) -> None:
        """What the server has under these ids is not known any more: no record equals it."""
        with self._changing() as database:
            database.executemany(
                "UPDATE known SET digest = x'' WHERE id = ?", ((one,) for one in ids)
            )

    def refresh(
        self, client: Client, raise_if_cancelled: Callable[[], None] = lambda: None
    ) -> None:
        """Learn what changed on the server since the last time, deletions included.

        ``raise_if_cancelled`` is called after each page; what was learned until then is kept.

        After it, every record of the server is known, so what is known is right if it is as
        many. A server that was flushed, or a collection made anew, leaves no tombstones: the
        numbers differ, and all is read afresh. So it is where the collection's last change lies
        before what was read of it already (an older backup came back).
        """
        since = self._since()
        if since and self._count(client)[1] < since:
            logger.info("The collection is an older one than was known: all of it is read.")
            self._forget_all()
        self._read(client, raise_if_cancelled)
        if len(self) != self._count(client)[0]:
            logger.info("What was known does not fit the server: all of it is read.")
            self._forget_all()
            self._read(client, raise_if_cancelled)

    def close(self) -> None:
        """Let go of the file; all that was learned is in it."""
        self._cleanup.close()

    def _since(self) -> int:
        return int(self._value("SELECT value FROM state WHERE name = 'since'") or 0)

    def _count(self, client: Client) -> tuple[int, int]:
        """How many records the server has, and when the collection last changed (ms)."""
        try:
            _, headers = client.request("HEAD", client.records_path)
        except RequestRejected as error:
            raise client.fatal(error) from None
        try:
            return int(headers["Total-Records"]), int(headers["ETag"].strip('"'))
        except (KeyError, ValueError):
            raise Fatal(f"{client.url} does not count its records as Kinto does.") from None

    def _read(self, client: Client, raise_if_cancelled: Callable[[], None]) -> None:
        """Read what is new, oldest first.

        So what changes meanwhile comes last, and a run that was killed goes on where it was.
        """
        since = self._since()
        params: dict[str, Any] = {"_sort": "last_modified", "_limit": _PAGE}
        if since:
            params["_since"] = max(0, since - _OVERLAP)
        try:
            for page in client.pages(client.records_path, params):
                since = max([since, *(one["last_modified"] for one in page)])
                self._learn(page, since)
                del page
                raise_if_cancelled()
        except RequestRejected as error:
            raise client.fatal(error) from None

    def _learn(self, page: Iterable[Mapping[str, Any]], since: int) -> None:
        """Take over one page, and how far it goes, in one transaction."""
        with self._changing() as database:
            for one in page:
                if one.get("deleted") is True:
                    database.execute("DELETE FROM known WHERE id = ?", (one["id"],))
                else:
                    database.execute(_LEARN, (one["id"], _digest(one)))
            database.execute("INSERT OR REPLACE INTO state VALUES ('since', ?)", (since,))

    def _forget_all(self) -> None:
        with self._changing() as database:
            database.execute("DELETE FROM known")
            database.execute("DELETE FROM state WHERE name = 'since'")

    def _value(self, query: str, *values: Any) -> Any:
        """The first column of the first row, or None."""
        try:
            row = self._database.execute(query, values).fetchone()
        except sqlite3.Error as error:
            raise self._broken(error) from None
        return row[0] if row else None

    @contextlib.contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        """A transaction: all or nothing of it is kept."""
        database = self._database
        try:
            database.execute("BEGIN")
            try:
                yield database
            except BaseException:
                database.execute("ROLLBACK")
                raise
            database.execute("COMMIT")
        except sqlite3.Error as error:
            raise self._broken(error) from None

    def _broken(self, error: sqlite3.Error) -> Fatal:
        return Fatal(f"Cannot use {self.path} ({error}): free space for it, or delete it.")


def _digest(data: Mapping[str, Any]) -> bytes:
    """The digest of a record of the server; of one that we could never have made, none."""
    try:
        return digest(data)
    except TypeError:  # orjson: a lone surrogate, or a number of more than 64 bits
        return b""


def _file_name(target: str) -> str:
    """A file of its own for each collection, with a name that an operator recognises."""
    words = "-".join(re.findall(r"[A-Za-z0-9.]+", target.partition("://")[2]))[:80]
    return f"buildhub-kinto-{words}-{hashlib.sha256(target.encode()).hexdigest()[:8]}.sqlite3"
