"""The ids and digests of the records on the server, in an embedded store that outlives the run."""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import json
import logging
import re
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import orjson

from ..errors import Fatal
from ..records import TOOLCHAIN_FIELDS
from ..storage import LockHeld, locked, open_database
from .client import Client
from .refresh import Changes, Position, read_changes

logger = logging.getLogger(__name__)

#: Of the file; a file of another version is set aside.
VERSION = 3

# ``digest`` is the digest of the record on the server, then the hash of the line that was found
# equal, if any: as both are one value, a new digest never leaves an old hash behind. What was
# ``written`` since the last reading has to be in the next: otherwise the server is another one.
_TABLES = """
CREATE TABLE known (id TEXT PRIMARY KEY, digest BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE written (id TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE state (position TEXT NOT NULL);
"""

_DIGEST = "SELECT CAST(digest AS BLOB) FROM known WHERE id = ?"
_STORE = "INSERT OR REPLACE INTO known VALUES (?, ?)"
_WRITTEN = "INSERT OR REPLACE INTO written VALUES (?)"
_CONFIRM = "DELETE FROM written WHERE id = ?"
_FORGET = "UPDATE known SET digest = x'' WHERE id = ?"
_DELETE = "DELETE FROM known WHERE id = ?"
_DELETE_ALL = ("DELETE FROM known", "DELETE FROM written")
_MOVE = "INSERT OR REPLACE INTO state (rowid, position) VALUES (1, ?)"
# CROSS: for each id one look into ``known``, never the other way round.
_PRELOAD = (
    "SELECT known.id, CAST(digest AS BLOB) FROM json_each(?) CROSS JOIN known ON known.id = value"
)

#: Hashes of lines that are written in one transaction; a run that is killed loses the last ones.
_MAX_UNWRITTEN = 10_000

_BLANKS = ("",) * len(TOOLCHAIN_FIELDS)
_FACTS_SIZE = 16
_EXTRA_SIZE = 8  # a field of the toolchain, or the sum of the file
_ABSENT = bytes(_EXTRA_SIZE)
_NO_TOOLS = _ABSENT * len(TOOLCHAIN_FIELDS)

#: Bytes of a digest that is not empty.
DIGEST_SIZE = _FACTS_SIZE + _EXTRA_SIZE + len(_NO_TOOLS)

#: A statement, and the values of each time that it is executed.
_Change = tuple[str, Sequence[tuple[Any, ...]]]

#: How the lines of ``inventory-to-records`` begin.
_BEGINNING = re.compile(rb'\{"data":\{"id":"([\w-]+)"')


def digest(data: Mapping[str, Any]) -> bytes:
    """Returns a value for :func:`differs`: of what a record says, then of each extra field.

    ``last_modified`` and ``schema`` are set by the server and ignored; so is the order of fields,
    and ``download.date``, which depends on whom the archive's date was learned from. Of a record
    that we can't have made, such as one nested 300 deep, it is empty: it equals nothing.
    """
    facts = {**data}
    facts.pop("last_modified", None)
    facts.pop("schema", None)
    extra = _ABSENT
    if isinstance(download := facts.get("download"), dict):
        facts["download"] = download = {**download}
        download.pop("date", None)
        extra = _extra(str(download.pop("sha256", "")))
    tools = _NO_TOOLS
    if isinstance(build := facts.get("build"), dict):
        facts["build"] = build = {**build}
        tools = _tools(*map(str, map(build.pop, TOOLCHAIN_FIELDS, _BLANKS)))
    try:
        packed = orjson.dumps(facts, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # nested deeply, half of a surrogate pair, a number of more than 64 bits
        return b""
    return hashlib.blake2b(packed, digest_size=_FACTS_SIZE).digest() + extra + tools


@functools.lru_cache(maxsize=4096)  # one toolchain for all locales of a platform
def _tools(*tools: str) -> bytes:
    return b"".join(map(_extra, tools))


def _extra(text: str) -> bytes:
    if not text:
        return _ABSENT
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=_EXTRA_SIZE).digest()


def differs(stored: bytes | None, new: bytes) -> bool:
    """Returns True if a record has to be stored over another, by the digests of both.

    It need not be where only the date of the download differs, or where extra fields are missing
    that were stored: a candidate's ``.json`` is deleted after a year, and the ``buildhub.json``
    that remains says less of the toolchain.
    """
    if stored and stored == new:
        return False
    if not stored or stored[:_FACTS_SIZE] != new[:_FACTS_SIZE]:
        return True
    return any(extra not in (_ABSENT, known) for known, extra in _extras(stored, new))


def lacks(stored: bytes | None, new: bytes) -> bool:
    """Returns True if a record may lack extra fields that are stored, by the digests of both."""
    if not stored or not new:
        return stored is not None
    return any(extra == _ABSENT != known for known, extra in _extras(stored, new))


def _extras(*digests: bytes) -> Iterator[tuple[bytes, ...]]:
    """Yields the parts of two digests for each extra field."""
    for start in range(_FACTS_SIZE, DIGEST_SIZE, _EXTRA_SIZE):
        yield tuple(one[start : start + _EXTRA_SIZE] for one in digests)


def id_in(line: bytes) -> str:
    """Returns the id with which the record of a line begins; ``""`` if it begins differently."""
    match = _BEGINNING.match(line)
    return match[1].decode() if match else ""


class RecordIndex:
    """The ids and digests of one collection of one server, as far as they are known.

    A second run on the same file uses a private one, and logs a warning; so does a run that finds
    the disk full, in memory. To be used by one thread at a time.
    """

    def __init__(self, folder: Path, target: str) -> None:
        """Opens the store of ``target`` (of a client) in ``folder``. Raises :class:`Fatal`."""
        self._cleanup = contextlib.ExitStack()
        self.path = folder / _file_name(target)
        try:
            self.path = _lock(self.path, self._cleanup)
            self._database = open_database(self.path, version=VERSION, tables=_TABLES)
        except Fatal as error:
            if not _disk_is_full(error.__context__):
                raise
            self._database = self._in_memory()
        self._preloaded: dict[str, bytes | None] = {}
        self._unwritten: list[tuple[str, bytes]] = []  # rows with the hash of a line

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        return int(self._value("SELECT count(*) FROM known"))

    @property
    def position(self) -> Position:
        """Returns the point up to which the collection was read."""
        return Position.from_json(self._value("SELECT position FROM state"))

    def refresh(self, client: Client) -> None:
        """Reads what changed on the server since the last time; a stop keeps what was read."""
        for changes in read_changes(client, self.position, count=self.__len__):
            self.learn(changes)
        if self._value("SELECT count(*) FROM written"):
            logger.info("The server lacks what was stored: it was restored, or replaced.")
            self.learn(Changes(True, [], [], Position()))
            self.refresh(client)

    def learn(self, changes: Changes) -> None:
        """Takes over a page of changes, and how far it goes, in one transaction."""
        rows = [(_storable(one["id"]), digest(one)) for one in changes.changed]
        deleted = [(_storable(one),) for one in changes.deleted]
        self._change(
            *((statement, [()]) for statement in _DELETE_ALL if changes.restart),
            (_DELETE, deleted),
            (_STORE, rows),
            (_CONFIRM, deleted + [(one,) for one, _ in rows]),
            (_MOVE, [(changes.position.to_json(),)] if changes.position else []),
        )

    def digest(self, record_id: str) -> bytes | None:
        """Returns the digest of what the server has under this id; None if it has nothing."""
        row = self._row(record_id)
        return row if row is None else row[:DIGEST_SIZE]

    def ids_if_equal(self, lines: Sequence[bytes]) -> list[str]:
        """Returns the ids of lines if each was found equal before, byte for byte; else none.

        Reads the digests that :meth:`digest` will be asked for next, at once: one query for a
        thousand takes a fifth of the time of a thousand queries.
        """
        ids = list(map(id_in, lines))
        self._preloaded = dict.fromkeys(filter(None, ids))
        try:
            self._preloaded.update(self._database.execute(_PRELOAD, (json.dumps(ids),)))
        except sqlite3.Error as error:
            raise self._broken(error) from None
        known = (self._preloaded.get(one) or b"" for one in ids)
        equal = all(
            row[DIGEST_SIZE:] == _hash(line) for row, line in zip(known, lines, strict=True)
        )
        return ids if equal else []

    def remember_line(self, record_id: str, line: bytes) -> None:
        """Notes that the record of this line equals what the server has under this id."""
        row = self._row(record_id)
        # Of two ids, the line begins with the first, but the last one counts.
        if row and id_in(line) == record_id:
            self._unwritten.append((record_id, row[:DIGEST_SIZE] + _hash(line)))
        if len(self._unwritten) >= _MAX_UNWRITTEN:
            self._write_lines()

    def mark_stored(self, stored: Iterable[tuple[str, bytes]]) -> None:
        """Notes that these ids are on the server now, with these digests."""
        rows = list(stored)
        self._change((_STORE, rows), (_WRITTEN, [(one,) for one, _ in rows]))

    def invalidate(self, ids: Iterable[str]) -> None:
        """Notes that what the server has under these ids is not known: no record equals it."""
        self._change((_FORGET, [(one,) for one in ids]))

    def close(self) -> None:
        """Closes the file; all that was learned is in it."""
        self._write_lines()
        self._database.close()
        self._cleanup.close()

    def _row(self, record_id: str) -> bytes | None:
        """Returns the digest and the hash that may follow it."""
        if record_id in self._preloaded:
            return self._preloaded[record_id]
        found: bytes | None = self._value(_DIGEST, record_id)
        return found

    def _value(self, query: str, *values: Any) -> Any:
        try:
            row = self._database.execute(query, values).fetchone()
        except sqlite3.Error as error:
            raise self._broken(error) from None
        return row[0] if row else None

    def _write_lines(self) -> None:
        """Writes the hashes of lines. Without them, the next run is only slower."""
        if self._unwritten:
            with contextlib.suppress(Fatal):
                self._change()

    def _change(self, *changes: _Change) -> None:
        """Makes a transaction: all or nothing of it is kept; in memory if the disk is full.

        The hashes of lines are written first, as they belong to the digests before the change.
        """
        changes, self._unwritten = ((_STORE, self._unwritten), *changes), []
        self._preloaded.clear()
        try:
            try:
                self._in_transaction(changes)
            except sqlite3.Error as error:
                if not _disk_is_full(error):
                    raise
                disk, self._database = self._database, self._in_memory()
                disk.backup(self._database)
                disk.close()
                self._in_transaction(changes)
        except sqlite3.Error as error:
            raise self._broken(error) from None

    def _in_transaction(self, changes: Iterable[_Change]) -> None:
        with self._database as database:  # commits, or rolls back
            database.execute("BEGIN")
            for statement, rows in changes:
                database.executemany(statement, rows)

    def _in_memory(self) -> sqlite3.Connection:
        logger.warning(
            "The disk of %s is full: what is on the server is kept in memory, and the next run has"
            " to read it again. Free space there.",
            self.path,
        )
        return open_database(Path(":memory:"), version=VERSION, tables=_TABLES)

    def _broken(self, error: sqlite3.Error) -> Fatal:
        return Fatal(f"Cannot use {self.path} ({error}): free space for it, or delete it.")


def _disk_is_full(error: BaseException | None) -> bool:
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)


def _storable(record_id: str) -> str:
    """Returns an id that SQLite can store: without half of a surrogate pair."""
    return record_id.encode("utf-8", "replace").decode()


def _hash(line: bytes) -> bytes:
    return hashlib.blake2b(line, digest_size=16).digest()


def _lock(path: Path, cleanup: contextlib.ExitStack) -> Path:
    """Returns the file that this run has for itself: a private one if ``path`` is in use."""
    try:
        cleanup.enter_context(locked(path.with_suffix(".lock")))
    except LockHeld as error:
        logger.warning(
            "Another run is using %s (process %s): this one reads the whole collection again.",
            path, error.pid,
        )  # fmt: skip
        private = tempfile.TemporaryDirectory(prefix="buildhub-")
        return Path(cleanup.enter_context(private)) / path.name
    return path


def _file_name(target: str) -> str:
    """Returns a name of its own for each collection, which an operator recognises."""
    words = "-".join(re.findall(r"[A-Za-z0-9.]+", target.partition("://")[2]))[:80]
    return f"buildhub-kinto-{words}-{hashlib.sha256(target.encode()).hexdigest()[:8]}.sqlite3"
