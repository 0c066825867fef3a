"""The copy of a collection in a DuckDB file: kept up to date by one thread, searched by others."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import duckdb
import orjson

from ..errors import Fatal
from ..kinto.refresh import Changes, Position
from ..storage import make_folder, set_aside
from .language import FIELDS, RECORD, BadRequest

#: Should a request ever contain SQL, it would reach no file and no network.
_SETTINGS: dict[str, Any] = {"memory_limit": "512MB", "enable_external_access": False}

_COLUMNS = ", ".join(f"{field.column} {field.type}" for field in FIELDS.values())
_VIEW = files(__package__).joinpath("successor.sql").read_text()
#: All changes up to the ETag of ``state`` are in, and were at ``read_at``; no row is no copy.
_TABLES = f"""
    CREATE TABLE IF NOT EXISTS records ({_COLUMNS});
    CREATE TABLE IF NOT EXISTS successor AS {_VIEW};
    CREATE TABLE IF NOT EXISTS state (position VARCHAR, etag BIGINT, read_at DOUBLE)
"""
#: Of a page, whose records are mostly in the copy as they are: a difference shows many again.
_MERGE = f"""
    MERGE INTO records USING (
        SELECT unnest(from_json(one, '{json.dumps(RECORD)}'),
            recursive := true, keep_parent_names := true)
        FROM (SELECT unnest(from_json(?, '["JSON"]')) AS one)
    ) AS page USING (id)
    WHEN MATCHED AND records.last_modified <> page.last_modified THEN UPDATE BY NAME
    WHEN NOT MATCHED THEN INSERT BY NAME
"""
_DELETE = "DELETE FROM records WHERE id IN (SELECT unnest(?::VARCHAR[]))"
_COUNT = "SELECT count(*) FROM records"


class Copy:
    """The copy of a collection in a file."""

    def __init__(self, folder: Path, target: str, *, time_limit: float = 10.0) -> None:
        """Opens or makes the file for ``target`` (:attr:`Client.target`) in ``folder``.

        A statement may take ``time_limit`` seconds. Raises :class:`Fatal` without a file to use.
        """
        name = hashlib.sha256(f"{target} {_TABLES}".encode()).hexdigest()[:16]
        self._database = _open(folder / f"search-{name}.duckdb")
        self._time_limit = time_limit
        self.close = self._database.close

    def run(self, sql: str, parameters: Mapping[str, object] | None = None) -> list[Any]:
        """Returns the rows of a statement, which sees the copy at one moment.

        Raises :class:`BadRequest` if it takes too much, or a regular expression is wrong.
        """
        with contextlib.closing(self._database.cursor()) as cursor:
            cursor.execute(f"SET SESSION max_execution_time = {self._time_limit * 1000:.0f}")
            try:
                return cursor.execute(sql, parameters).fetchall()
            except (duckdb.InterruptException, duckdb.OutOfMemoryException):
                raise BadRequest("the search takes too long or too much memory") from None
            except duckdb.InvalidInputException as error:
                raise BadRequest(f"the regular expression is not supported: {error}") from None

    def refresh(self, read: Callable[..., Iterator[Changes]]) -> None:
        """Writes what :func:`read_changes` yields, in one transaction: nobody sees a part of it."""
        began, changes = time.time(), 0
        with contextlib.closing(self._database.cursor()) as cursor:
            run: Callable[..., Any] = cursor.execute
            (saved,) = run("BEGIN; SELECT max(position) FROM state").fetchone()
            position = Position.from_json(saved)
            for page in read(position, count=lambda: run(_COUNT).fetchone()[0]):
                if page.restart:
                    run(f"CREATE OR REPLACE TABLE records ({_COLUMNS})")
                (written,) = run(_MERGE, [orjson.dumps(page.changed).decode()]).fetchone()
                (deleted,) = run(_DELETE, [page.deleted]).fetchone()
                changes += page.restart + written + deleted
                position = page.position or position
            if changes:
                run(f"CREATE OR REPLACE TABLE successor AS {_VIEW}")
            run("DELETE FROM state")
            run("INSERT INTO state VALUES (?, ?, ?)", [position.to_json(), position.etag, began])
            run("COMMIT")


def _open(path: Path) -> duckdb.DuckDBPyConnection:
    """Opens the file; one that is damaged is set aside. Raises :class:`Fatal`."""
    try:
        make_folder(path.parent)
        database = duckdb.connect(str(path), config=_SETTINGS)
        database.execute(_TABLES)
        return database
    except (duckdb.Error, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0]
        if "not a valid DuckDB" not in reason:
            raise Fatal(f"Cannot use {path} ({reason}): choose another CACHE_FOLDER.") from None
    set_aside(path, "damaged")
    return _open(path)
