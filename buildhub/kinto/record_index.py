"""What is on the server already: id → digest, in an embedded store that outlives the run."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import re
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from ..errors import Fatal
from ..storage import LockHeld, locked, open_database
from . import lines
from .digests import DIGEST_SIZE, digest

logger = logging.getLogger(__name__)

#: Of the file; a file of another version is set aside.
VERSION = 2

# ``digest`` is the digest of the record on the server, then the hash of the line that was found
# equal, if any. As both are one value, a new digest never leaves an old hash behind; and as
# ``differs`` ignores the hash, versions of buildhub that know nothing of it can use the file too.
_TABLES = """
CREATE TABLE known (id TEXT PRIMARY KEY, digest BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE state (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
"""

_LEARN = "INSERT OR REPLACE INTO known VALUES (?, ?)"
# CROSS: for each id one look into ``known``, never the other way round.
_PRELOAD = "SELECT known.id, digest FROM json_each(?) CROSS JOIN known ON known.id = value"

#: Hashes of lines that are written in one transaction; a run that is killed loses the last ones.
_MAX_UNWRITTEN = 10_000


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
        self.path = _lock(folder / _file_name(target), self._cleanup)
        self._database = open_database(self.path, version=VERSION, tables=_TABLES)
        self._cleanup.callback(self._database.close)
        self._preloaded: dict[str, bytes | None] = {}
        self._unwritten: list[tuple[str, bytes]] = []  # rows with the hash of a line

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        return int(self._value("SELECT count(*) FROM known"))

    def digest(self, record_id: str) -> bytes | None:
        """The digest of what the server has under this id; None if it has nothing."""
        row = self._row(record_id)
        return row if row is None else row[:DIGEST_SIZE]

    def preload(self, ids: Sequence[str]) -> None:
        """Read the digests of the ids that :meth:`digest` will be asked for next, at once.

        One query for a thousand takes a fifth of the time of a thousand queries. Those of the call
        before are dropped, unless all of these are among them.
        """
        if self._preloaded.keys() >= set(ids):
            return
        self._preloaded = dict.fromkeys(ids)
        try:
            self._preloaded.update(self._database.execute(_PRELOAD, (json.dumps(ids),)))
        except sqlite3.Error as error:
            raise self._broken(error) from None

    def line_hashes(self, ids: Sequence[str]) -> list[bytes]:
        """The hash of a line that equals what the server has, for each id; empty if unknown."""
        self.preload(ids)
        return [(self._preloaded[one] or b"")[DIGEST_SIZE:] for one in ids]

    def remember_line(self, record_id: str, line: bytes) -> None:
        """The record of this line equals what the server has under this id, until that changes.

        Hashes are written many at a time, the last ones when the index is closed.
        """
        row = self._row(record_id)
        if row and lines.id_in(line) == record_id:
            new = row[:DIGEST_SIZE] + lines.hash_of(line)
            if new != row:
                self._unwritten.append((record_id, new))
        if len(self._unwritten) >= _MAX_UNWRITTEN:
            self._write_lines()

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

    def close(self) -> None:
        """Let go of the file; all that was learned is in it."""
        self._write_lines()
        self._cleanup.close()

    @property
    def since(self) -> int:
        """Up to which change (ms) the collection was read; 0 if it was not."""
        return int(self._value("SELECT value FROM state WHERE name = 'since'") or 0)

    def learn(self, page: Iterable[Mapping[str, Any]], since: int) -> None:
        """Take over one page of the collection, and how far it goes, in one transaction."""
        with self._changing() as database:
            for one in page:
                if one.get("deleted") is True:
                    database.execute("DELETE FROM known WHERE id = ?", (one["id"],))
                else:
                    database.execute(_LEARN, (one["id"], digest(one)))
            database.execute("INSERT OR REPLACE INTO state VALUES ('since', ?)", (since,))

    def forget_all(self) -> None:
        """Nothing is known of the server."""
        with self._changing() as database:
            database.execute("DELETE FROM known")
            database.execute("DELETE FROM state WHERE name = 'since'")

    def _row(self, record_id: str) -> bytes | None:
        """The digest and what follows it."""
        if record_id in self._preloaded:
            return self._preloaded[record_id]
        found: bytes | None = self._value("SELECT digest FROM known WHERE id = ?", record_id)
        return found

    def _value(self, query: str, *values: Any) -> Any:
        """The first column of the first row, or None."""
        try:
            row = self._database.execute(query, values).fetchone()
        except sqlite3.Error as error:
            raise self._broken(error) from None
        return row[0] if row else None

    def _write_lines(self) -> None:
        """Write the hashes of lines. Without them, on a full disk, the next run is only slower."""
        if self._unwritten:
            with contextlib.suppress(Fatal), self._changing():
                pass

    @contextlib.contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        """A transaction: all or nothing of it is kept.

        The hashes of lines are written first, as they belong to the digests before the change.
        """
        database = self._database
        unwritten, self._unwritten = self._unwritten, []
        self._preloaded.clear()
        try:
            database.execute("BEGIN")
            try:
                database.executemany(_LEARN, unwritten)
                yield database
            except BaseException:
                database.execute("ROLLBACK")
                raise
            database.execute("COMMIT")
        except sqlite3.Error as error:
            raise self._broken(error) from None

    def _broken(self, error: sqlite3.Error) -> Fatal:
        return Fatal(f"Cannot use {self.path} ({error}): free space for it, or delete it.")


def _lock(path: Path, cleanup: contextlib.ExitStack) -> Path:
    """The file that this run has for itself: a private one if another run is using ``path``."""
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
    """A file of its own for each collection, with a name that an operator recognises."""
    words = "-".join(re.findall(r"[A-Za-z0-9.]+", target.partition("://")[2]))[:80]
    return f"buildhub-kinto-{words}-{hashlib.sha256(target.encode()).hexdigest()[:8]}.sqlite3"
