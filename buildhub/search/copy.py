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
from ..kinto.refresh import Changes, Position
from .values import FIELDS, BadRequest

logger = logging.getLogger(__name__)

#: Should a request ever contain SQL, it would reach no file and no network.
_SETTINGS: dict[str, Any] = {
    "memory_limit": "384MB",
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
_PATHS = ", ".join(f"'$.{name}'" for name in FIELDS)
_VALUES = ", ".join(
    f"TRY_CAST(one[{n}] AS {field.type}) AS {field.column}"
    for n, field in enumerate(FIELDS.values(), 1)
)
#: The records of a page that are not in the copy as they are: most of a difference come again.
_PAGE = f"""
    CREATE OR REPLACE TEMP TABLE page AS
    SELECT * FROM (
        SELECT {_VALUES} FROM (SELECT unnest(from_json(?, '["JSON"]'))->>[{_PATHS}] AS one)
    ) ANTI JOIN {{}} USING (id, last_modified)
"""

#: Yields what is new since a position; see :func:`buildhub.kinto.refresh.read_changes`.
Read = Callable[..., Iterator[Changes]]


class Copy:
    """The copy of a collection in a file."""

    def __init__(self, folder: Path, target: str, *, time_limit: float = 10.0) -> None:
        """Opens or makes the file for ``target`` (:attr:`Client.target`) in ``folder``.

        A statement may take ``time_limit`` seconds. Raises :class:`Fatal` without a file to use.
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

    def row(self, sql: str, parameters: Mapping[str, object] | None = None) -> Row:
        """Returns the row of a statement. Raises :class:`BadRequest` while there is no copy."""
        for row in self.run(sql, parameters):
            return row
        raise BadRequest("the copy of the collection is not complete yet", 503)

    def refresh(self, read: Read) -> None:
        """Writes what is new; a difference is one transaction, so nobody sees a part of it.

        Everything goes into a table of its own, page by page, which replaces the other at the end;
        if that is interrupted, the next time goes on there.
        """
        began, changes = time.time(), 0
        with contextlib.closing(self._database.cursor()) as cursor:
            run = cursor.execute
            ((position, incoming),) = run("BEGIN; SELECT position, incoming FROM state").fetchall()
            table = "incoming" if incoming else "records"

            def count() -> int:
                return int(run(f"SELECT count(*) FROM {table}").fetchall()[0][0])

            for page in read(Position.from_json(incoming or position), count=count):
                if page.restart:  # what was read of a difference belongs to another collection
                    run(f"ROLLBACK; BEGIN; CREATE OR REPLACE TABLE incoming ({_COLUMNS})")
                    table = "incoming"
                changes += _write(run, table, page)
                if table == "incoming":
                    run("COMMIT; BEGIN")
            if table == "incoming":
                run("DROP TABLE records; ALTER TABLE incoming RENAME TO records")
                run("UPDATE state SET position = incoming, incoming = NULL")
            if table == "incoming" or changes:
                run(f"CREATE OR REPLACE TABLE successor AS {_VIEW}")
            run("UPDATE state SET read_at = ?", [began])
            run("COMMIT")


def _write(run: Callable[..., Any], table: str, page: Changes) -> int:
    """Writes a page. Returns the number of rows that were deleted or inserted."""
    run(_PAGE.format(table), [orjson.dumps(page.changed).decode()])
    gone = "SELECT id FROM page UNION ALL SELECT unnest(?::VARCHAR[])"
    (deleted,) = run(f"DELETE FROM {table} WHERE id IN ({gone})", [page.deleted]).fetchone()
    (inserted,) = run(f"INSERT INTO {table} FROM page").fetchone()
    if page.position:
        column = "incoming" if table == "incoming" else "position"
        run(f"UPDATE state SET {column} = ?", [page.position.to_json()])
    return int(deleted + inserted)


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
