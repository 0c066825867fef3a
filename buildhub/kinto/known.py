"""What is on the server already: id → digest, in an embedded store that outlives the run."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from ..errors import Fatal
from ..records import digest
from .client import Client, Refused

logger = logging.getLogger(__name__)

#: Of the file; a file of another version is set aside.
VERSION = 1

_SCHEMA = (
    "CREATE TABLE known (id TEXT PRIMARY KEY, digest BLOB NOT NULL) WITHOUT ROWID, STRICT",
    "CREATE TABLE state (name TEXT PRIMARY KEY, value) WITHOUT ROWID",
)

_LEARN = "INSERT OR REPLACE INTO known VALUES (?, ?)"

#: Milliseconds that a refresh reads again: a database may show a record only after a younger
#: one, as transactions do not end in the order in which their records were dated.
_OVERLAP = 10_000

#: Records in one page of a refresh; what is read of the server is never held at once.
_PAGE = 5_000


class Known:
    """The ids and digests of one collection of one server, as far as they are known.

    A second run on the same file works on a private one, and says so. To be used by one thread
    at a time.
    """

    def __init__(self, folder: Path, target: str) -> None:
        """Open the store of ``target`` (:attr:`Client.target`) in ``folder``.

        Raises :class:`Fatal` where the folder can't be used.
        """
        self.path = folder / _file_name(target)
        self._target = target
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._database = self._open()
        except (OSError, sqlite3.Error) as error:
            raise Fatal(f"Cannot use {self.path} ({_words(error)}): check CACHE_FOLDER.") from None

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

    def note(self, stored: Iterable[tuple[str, bytes]]) -> None:
        """These ids are on the server now, with these digests."""
        with self._changing() as database:
            database.executemany(_LEARN, stored)

    def doubt(self, ids: Iterable[str]) -> None:
        """Nobody knows what the server has under these ids: it equals nothing from now on."""
        with self._changing() as database:
            database.executemany(
                "UPDATE known SET digest = x'' WHERE id = ?", ((one,) for one in ids)
            )

    def refresh(self, client: Client) -> None:
        """Learn what changed on the server since the last time, deletions included.

        After it, every record of the server is known, so what is known is right if it is as
        many. A server that was flushed, or a collection made anew, leaves no tombstones: the
        numbers differ, and all is read afresh. So it is where the collection's last change lies
        before what was read of it already (an older backup came back).
        """
        since = self._since()
        if since and self._count(client)[1] < since:
            logger.info("The collection is an older one than was known: all of it is read.")
            self._forget_all()
        self._read(client)
        if len(self) != self._count(client)[0]:
            logger.info("What was known does not fit the server: all of it is read.")
            self._forget_all()
            self._read(client)

    def close(self) -> None:
        """Let go of the file; all that was learned is in it."""
        self._database.close()

    def _since(self) -> int:
        return int(self._value("SELECT value FROM state WHERE name = 'since'") or 0)

    def _count(self, client: Client) -> tuple[int, int]:
        """How many records the server has, and when the collection last changed (ms)."""
        try:
            _, headers = client.request("HEAD", client.records_path)
        except Refused as error:
            raise client.fatal(error) from None
        return int(headers["Total-Records"]), int(headers["ETag"].strip('"'))

    def _read(self, client: Client) -> None:
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
        except Refused as error:
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
        try:
            with self._database:
                yield self._database
        except sqlite3.Error as error:
            raise self._broken(error) from None

    def _broken(self, error: sqlite3.Error) -> Fatal:
        return Fatal(f"Cannot use {self.path} ({error}): make room for it, or delete it.")

    def _open(self) -> sqlite3.Connection:
        """The file, made anew if it is unfit, or a private one if another run has the file."""
        try:
            return self._claim(str(self.path))
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
                logger.warning(
                    "Another run is using %s: this one reads all of the server by itself.",
                    self.path,
                )
                return self._claim("")  # SQLite's name for a temporary file of one's own
            if error.sqlite_errorcode not in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
                raise
            reason = str(error)
        except _Unfit as error:
            reason = str(error)
        _set_aside(self.path, reason)
        return self._claim(str(self.path))

    def _claim(self, path: str) -> sqlite3.Connection:
        """Open and lock a file, and see that it is one of ours; it stays locked until closed."""
        database = sqlite3.connect(path, timeout=0, check_same_thread=False)
        try:
            database.execute("PRAGMA locking_mode = EXCLUSIVE")
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = NORMAL")
            database.execute("BEGIN IMMEDIATE")
            self._check(database)
            database.commit()
        except BaseException:
            database.close()
            raise
        return database

    def _check(self, database: sqlite3.Connection) -> None:
        """Make the tables in a new file; raise :class:`_Unfit` for an old one that is not ours."""
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if not version and not database.execute("SELECT 1 FROM sqlite_schema").fetchone():
            for statement in _SCHEMA:
                database.execute(statement)
            database.execute("INSERT INTO state VALUES ('target', ?)", (self._target,))
            database.execute(f"PRAGMA user_version = {VERSION}")
            return
        if version != VERSION:
            raise _Unfit(f"it is of version {version}, this program writes {VERSION}")
        (verdict,) = database.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise _Unfit(f"it is damaged: {verdict}")
        row = database.execute("SELECT value FROM state WHERE name = 'target'").fetchone()
        if row != (self._target,):
            raise _Unfit("it is of another server or collection")


class _Unfit(Exception):
    """A file that can't be used: ``str()`` says why."""


def _digest(data: Mapping[str, Any]) -> bytes:
    """The digest of a record of the server; of one that we could never have made, none."""
    try:
        return digest(data)
    except TypeError:  # orjson: a lone surrogate, or a number of more than 64 bits
        return b""


def _file_name(target: str) -> str:
    """A file of its own for each collection, with a name that an operator recognises."""
    words = "-".join(re.findall(r"[A-Za-z0-9.]+", target.partition("://")[2]))
    return f"buildhub-known-{words[:80]}-{hashlib.sha256(target.encode()).hexdigest()[:8]}.sqlite"


def _set_aside(path: Path, reason: str) -> None:
    """Keep an unfit file for whoever wants to look at it, out of the way."""
    aside = path.with_name(path.name + ".unfit")
    logger.warning("Cannot use %s: %s. It is kept as %s.", path, reason, aside.name)
    path.replace(aside)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _words(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
