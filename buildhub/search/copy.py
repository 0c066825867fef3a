"""The copy of a collection in a DuckDB file: kept up to date by one thread, searched by others."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import orjson

from ..errors import Fatal
from ..kinto.refresh import Changes, Position
from .fields import FIELDS, OBJECTS, BadRequest

logger = logging.getLogger(__name__)

#: Part of the file's name: each version of the tables has a file of its own.
VERSION = 1
#: Seconds that the queries of a search may take together.
TIME_LIMIT = 10.0
#: Should a request ever contain SQL, it would reach no file and no network.
_SETTINGS: dict[str, Any] = {
    "memory_limit": "1GB",
    "enable_external_access": False,
    "lock_configuration": True,
}

#: The table that is searched, and the one that a reading of everything builds beside it.
_RECORDS, _INCOMING = "records", "incoming"
_STATE = "CREATE TABLE IF NOT EXISTS state (name VARCHAR, position VARCHAR, read_at DOUBLE)"
_COLUMNS = ", ".join(f"{field.column} {field.type}" for field in FIELDS.values())
_VALUES = ", ".join("one." + name.replace(".", '."') + '"' * ("." in name) for name in FIELDS)
_INSERT = f"INSERT INTO {{}} SELECT {_VALUES} FROM (SELECT unnest(from_json(?, ?)) AS one)"
_STRUCTURE = orjson.dumps(
    [{n: f.type for n, f in FIELDS.items() if "." not in n} | OBJECTS]
).decode()
_UNCHANGED = """
    SELECT id FROM {} JOIN (SELECT unnest(?::VARCHAR[]) AS id, unnest(?::BIGINT[]) AS last_modified)
    USING (id, last_modified)
"""

#: Yields what is new since a position; see :func:`buildhub.kinto.refresh.read_changes`.
Read = Callable[..., Iterator[Changes]]


class Freshness(NamedTuple):
    """All changes up to ``etag`` (of the collection) are in; that was so ``age`` seconds ago."""

    etag: int
    age: int


class Copy:
    """The copy of a collection in a file."""

    def __init__(self, folder: Path, target: str, *, time_limit: float = TIME_LIMIT) -> None:
        """Opens or makes the file for ``target`` (:attr:`Client.target`) in ``folder``.

        Raises :class:`Fatal` where it cannot be used.
        """
        name = hashlib.sha256(target.encode()).hexdigest()[:16]
        self._database = _open(folder / f"search-{VERSION}-{name}.duckdb")
        self._time_limit = time_limit

    def close(self) -> None:
        """Closes the file."""
        self._database.close()

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """Yields the copy as it is now, for one search."""
        with contextlib.closing(self._database.cursor()) as cursor:
            timer = threading.Timer(self._time_limit, cursor.interrupt)
            timer.start()
            try:
                cursor.execute("BEGIN")
                yield Snapshot(cursor, time.monotonic() + self._time_limit)
            finally:
                timer.cancel()

    def refresh(self, read: Read) -> None:
        """Writes what is new. If it is interrupted, it goes on there the next time."""
        with contextlib.closing(self._database.cursor()) as cursor:
            writer = _Writer(cursor)
            for changes in read(writer.position, count=writer.count):
                writer.apply(changes)
            writer.finish()


class Snapshot:
    """A copy at one moment."""

    def __init__(self, cursor: duckdb.DuckDBPyConnection, deadline: float) -> None:
        self._cursor = cursor
        self._deadline = deadline

    def run(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Returns the rows of a query. Raises :class:`BadRequest` if it takes too much."""
        try:
            if time.monotonic() > self._deadline:  # the timer ends only a query that has begun
                raise duckdb.InterruptException
            return self._cursor.execute(sql, parameters).fetchall()
        except (duckdb.InterruptException, duckdb.OutOfMemoryException):
            raise BadRequest("the search takes too long or too much memory") from None

    def freshness(self) -> Freshness:
        """Returns how old the copy is. Raises :class:`BadRequest` (503) while there is none."""
        for position, at in self.run(
            "SELECT position, read_at FROM state WHERE name = ?", [_RECORDS]
        ):
            return Freshness(Position.from_json(position).etag, max(0, int(time.time() - at)))
        raise BadRequest("the copy of the collection is not complete yet", 503)


class _Writer:
    """Writes one reading of the server.

    A difference is one transaction: nobody sees a part of it. Everything goes into a table of its
    own, page by page, which replaces the other at the end.
    """

    def __init__(self, database: duckdb.DuckDBPyConnection) -> None:
        self._run = database.execute
        self._began = time.time()
        self._changed = False
        self._run("BEGIN")
        positions = dict(self._run("SELECT name, position FROM state").fetchall())
        self._table = _INCOMING if _INCOMING in positions else _RECORDS
        self.position = Position.from_json(positions.get(self._table))

    def count(self) -> int:
        """Returns the number of records."""
        ((count,),) = self._run(f"SELECT count(*) FROM {self._table}").fetchall()
        return int(count)

    def apply(self, changes: Changes) -> None:
        """Writes one page."""
        if changes.restart:
            self._restart()
        changed = self._without_unchanged(changes.changed)
        if ids := [*(one["id"] for one in changed), *changes.deleted]:
            self._changed = True
            self._run(f"DELETE FROM {self._table} WHERE id IN (SELECT unnest(?))", [ids])
        if changed:
            page = orjson.dumps(changed).decode()
            self._run(_INSERT.format(self._table), [page, _STRUCTURE])
        if changes.position:
            update = "UPDATE state SET position = ? WHERE name = ?"
            self._run(update, [changes.position.to_json(), self._table])
        if self._table == _INCOMING:
            self._run("COMMIT; BEGIN")

    def finish(self) -> None:
        """Lets searches find what was read."""
        if self._table == _INCOMING:
            self._run(
                f"DROP TABLE IF EXISTS {_RECORDS}; DELETE FROM state WHERE name = '{_RECORDS}'"
            )
            self._run(f"ALTER TABLE {_INCOMING} RENAME TO {_RECORDS}")
        if self._table == _INCOMING or self._changed:
            view = files(__package__).joinpath("successor.sql").read_text()
            self._run(f"CREATE OR REPLACE TABLE successor AS {view}")
        update = "UPDATE state SET name = ?, read_at = ? WHERE name = ?"
        self._run(update, [_RECORDS, self._began, self._table])
        self._run("COMMIT")

    def _restart(self) -> None:
        """Begins a new copy; what was read of a difference belongs to another collection."""
        self._table = _INCOMING
        self._run("ROLLBACK; BEGIN")
        self._run(f"CREATE OR REPLACE TABLE {_INCOMING} ({_COLUMNS})")
        self._run(f"DELETE FROM state WHERE name = '{_INCOMING}'")
        self._run(f"INSERT INTO state VALUES ('{_INCOMING}', '', 0)")

    def _without_unchanged(self, page: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Returns the records that are not in the copy as they are: most of a page come again."""
        versions = [one["id"] for one in page], [one["last_modified"] for one in page]
        rows = self._run(_UNCHANGED.format(self._table), versions).fetchall()
        unchanged = {row[0] for row in rows}
        return [one for one in page if one["id"] not in unchanged]


def _open(path: Path) -> duckdb.DuckDBPyConnection:
    """Opens the file; one that is damaged is set aside. Raises :class:`Fatal`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        database = duckdb.connect(str(path), config=_SETTINGS)
        database.execute(_STATE)
    except (duckdb.Error, OSError) as error:
        reason = str(error).partition("\n")[0]
        if "not a valid DuckDB" not in reason:
            raise Fatal(f"Cannot use {path}: {reason}") from None
        path.replace(aside := path.with_name(f"{path.name}.damaged"))
        path.with_name(f"{path.name}.wal").unlink(missing_ok=True)
        logger.warning("%s is damaged: it is set aside as %s.", path, aside.name)
        return _open(path)
    return database
