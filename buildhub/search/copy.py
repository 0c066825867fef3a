"""The copy of a collection in a DuckDB file: kept up to date by one thread, searched by others."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import duckdb
import orjson

from ..errors import Fatal
from ..kinto import Changes, Position
from .values import FIELDS, BadRequest

logger = logging.getLogger(__name__)

#: Seconds that a statement may take.
TIME_LIMIT = 10.0
#: Should a request ever contain SQL, it would reach no file and no network.
_SETTINGS: dict[str, Any] = {
    "memory_limit": "1GB",
    "enable_external_access": False,
    "lock_configuration": True,
}

Row = tuple[Any, ...]

_COLUMNS = ", ".join(f"{field.column} {field.type}" for field in FIELDS.values())
_VIEW = files(__package__).joinpath("successor.sql").read_text()
#: A reading of everything builds ``incoming`` beside ``records``; the row of ``state`` has the
#: positions of both. There is no copy while the first is NULL.
_TABLES = f"""
    CREATE TABLE IF NOT EXISTS records ({_COLUMNS});
    CREATE TABLE IF NOT EXISTS successor AS {_VIEW};
    CREATE TABLE IF NOT EXISTS state AS
        SELECT NULL::VARCHAR AS position, NULL::VARCHAR AS incoming, NULL::DOUBLE AS read_at;
    -- All changes up to the collection's ETag are in; that was so `age` seconds ago.
    CREATE VIEW IF NOT EXISTS freshness AS
        SELECT (position->>'etag')::BIGINT AS etag,
            greatest(epoch(now()) - read_at, 0)::BIGINT AS age
        FROM state WHERE position IS NOT NULL
"""
#: The records of a page that are not in the copy as they are: most of a difference come again.
_PAGE = """
    CREATE OR REPLACE TEMP TABLE page AS
    SELECT * FROM (
        SELECT unnest(from_json($page, $structure), recursive := true, keep_parent_names := true)
    ) ANTI JOIN {} USING (id, last_modified)
"""

#: Yields what is new since a position; see :func:`buildhub.kinto.read_changes`.
Read = Callable[..., Iterator[Changes]]


class Copy:
    """The copy of a collection in a file."""

    def __init__(self, folder: Path, target: str, *, time_limit: float = TIME_LIMIT) -> None:
        """Opens or makes the file for ``target`` (:attr:`Client.target`) in ``folder``.

        Raises :class:`Fatal` where it cannot be used.
        """
        name = hashlib.sha256(f"{target} {_TABLES}".encode()).hexdigest()[:16]
        self._database = _open(folder / f"search-{name}.duckdb")
        self._time_limit = time_limit

    def close(self) -> None:
        """Closes the file."""
        self._database.close()

    def run(self, sql: str, parameters: Mapping[str, object] | None = None) -> list[Row]:
        """Returns the rows of a statement, which sees the copy at one moment.

        Raises :class:`BadRequest` if it takes too much.
        """
        with contextlib.closing(self._database.cursor()) as cursor:
            timer = threading.Timer(self._time_limit, cursor.interrupt)
            timer.start()
            try:
                return cursor.execute(sql, parameters).fetchall()
            except (duckdb.InterruptException, duckdb.OutOfMemoryException):
                raise BadRequest("the search takes too long or too much memory") from None
            finally:
                timer.cancel()

    def refresh(self, read: Read) -> None:
        """Writes what is new. If it is interrupted, it goes on there the next time."""
        with contextlib.closing(self._database.cursor()) as cursor:
            writer = _Writer(cursor)
            for changes in read(writer.position, count=writer.count):
                writer.apply(changes)
            writer.finish()


class _Writer:
    """Writes one reading of the server.

    A difference is one transaction: nobody sees a part of it. Everything goes into a table of its
    own, page by page, which replaces the other at the end.
    """

    def __init__(self, database: duckdb.DuckDBPyConnection) -> None:
        self._run = database.execute
        self._began = time.time()
        self._changes = 0
        self._run("BEGIN")
        ((position, incoming),) = self._run("SELECT position, incoming FROM state").fetchall()
        self._is_new = bool(incoming)
        self.position = Position.from_json(incoming or position)

    @property
    def _table(self) -> str:
        return "incoming" if self._is_new else "records"

    def count(self) -> int:
        """Returns the number of records."""
        ((count,),) = self._run(f"SELECT count(*) FROM {self._table}").fetchall()
        return int(count)

    def apply(self, changes: Changes) -> None:
        """Writes one page."""
        if changes.restart:  # what was read of a difference belongs to another collection
            self._run(f"ROLLBACK; BEGIN; CREATE OR REPLACE TABLE incoming ({_COLUMNS})")
            self._is_new = True
        page = {"page": orjson.dumps(changes.changed).decode(), "structure": _STRUCTURE}
        self._run(_PAGE.format(self._table), page)
        self._change("DELETE FROM {} WHERE id IN (SELECT id FROM page)")
        self._change("DELETE FROM {} WHERE id IN (SELECT unnest(?))", changes.deleted)
        self._change("INSERT INTO {} BY NAME FROM page")
        if changes.position:
            column = "incoming" if self._is_new else "position"
            self._run(f"UPDATE state SET {column} = ?", [changes.position.to_json()])
        if self._is_new:
            self._run("COMMIT; BEGIN")

    def finish(self) -> None:
        """Lets searches find what was read."""
        if self._is_new:
            self._run("DROP TABLE records; ALTER TABLE incoming RENAME TO records")
            self._run("UPDATE state SET position = incoming, incoming = NULL")
        if self._is_new or self._changes:
            self._run(f"CREATE OR REPLACE TABLE successor AS {_VIEW}")
        self._run("UPDATE state SET read_at = ?", [self._began])
        self._run("COMMIT")

    def _change(self, sql: str, *parameters: object) -> None:
        ((count,),) = self._run(sql.format(self._table), parameters).fetchall()
        self._changes += count


def _open(path: Path) -> duckdb.DuckDBPyConnection:
    """Opens the file; one that is damaged is set aside. Raises :class:`Fatal`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        database = duckdb.connect(str(path), config=_SETTINGS)
        database.execute(_TABLES)
    except (duckdb.Error, OSError) as error:
        reason = str(error).partition("\n")[0]
        if "not a valid DuckDB" not in reason:
            raise Fatal(f"Cannot use {path}: {reason}") from None
        path.replace(aside := path.with_name(f"{path.name}.damaged"))
        path.with_name(f"{path.name}.wal").unlink(missing_ok=True)
        logger.warning("%s is damaged: it is set aside as %s.", path, aside.name)
        return _open(path)
    return database


def _structure() -> str:
    """Returns the types of a page of records as ``from_json`` wants them."""
    record: dict[str, Any] = {}
    for field in FIELDS.values():
        parent, _, name = field.name.rpartition(".")
        (record.setdefault(parent, {}) if parent else record)[name] = field.type
    return orjson.dumps([record]).decode()


_STRUCTURE = _structure()
