"""The copy of ``kinto-to-search`` in DuckDB, and the same table in SQLite.

    .venv/bin/python -m benchmarks.search [RECORDS]

Loads records of real shape (1,000,000 unless given) into both, without a server, changes 1,000 of
them, and asks both some questions of public programs: those of SQLite were translated by hand.
Prints seconds of both, which are to be compared within one run.
"""

from __future__ import annotations

import itertools
import os
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from benchmarks import catalogue
from buildhub.kinto.refresh import Changes
from buildhub.search.language import FIELDS, OURS
from tests.support.search_copy import ALL_READ, ask, copy_of
from tests.support.search_records import REQUESTS
from tests.support.search_reference import value_of

PAGE = 10_000
INSERT = f"INSERT OR REPLACE INTO records VALUES ({', '.join('?' * len(FIELDS))})"
TABLE = f"""
    CREATE TABLE records ({
    ", ".join(
        f"{one.column} PRIMARY KEY" if name == "id" else one.column for name, one in FIELDS.items()
    )
});
    CREATE INDEX by_build ON records ("build.id");
    CREATE INDEX by_channel ON records ("source.product", "target.channel", "target.version");
"""
#: Requests, and the same in SQLite.
QUESTIONS = {
    "libmozdata: distinct versions": """
        SELECT "target.version", count(*) FROM records WHERE "source.product" = 'firefox'
        AND "target.channel" = 'beta' GROUP BY 1 ORDER BY 1 DESC LIMIT 1000""",
    "clouseau: revision of a build": """
        SELECT "source.revision", count(*) FROM records WHERE "source.product" = 'firefox'
        AND "target.channel" = 'beta' AND "build.id" = '20170713130618' GROUP BY 1 LIMIT 1""",
    "missioncontrol: platforms": """
        SELECT "target.platform", count(*) FROM records WHERE "source.product" = 'firefox'
        GROUP BY 1 ORDER BY 2 DESC LIMIT 100""",
    "nix flakes: newest nightly by date": """
        SELECT * FROM records WHERE "source.tree" = 'mozilla-central'
        AND "source.product" = 'firefox' AND "target.channel" = 'nightly'
        AND "target.platform" = 'linux-x86_64' ORDER BY "build.date" DESC LIMIT 1""",
}


class Pages:
    """Pages of records as Kinto has them; knows the seconds that making them took."""

    def __init__(self, count: int, last_modified: int) -> None:
        self.seconds = 0.0
        self._records = (
            one | {"last_modified": last_modified + number, "schema": 1}
            for number, one in enumerate(catalogue.records(count))
        )

    def __iter__(self) -> Iterator[Changes]:
        while True:
            start = time.perf_counter()
            page = list(itertools.islice(self._records, PAGE))
            self.seconds += time.perf_counter() - start
            if not page:
                return
            yield Changes(False, page, [], ALL_READ)


def seconds(function: Callable[..., object], *arguments: Any) -> float:
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


def written(function: Callable[[Iterable[Changes]], object], *of: int) -> float:
    """Seconds of writing pages."""
    pages = Pages(*of)
    return seconds(function, pages) - pages.seconds


def compare(name: str, duckdb: float, sqlite: float) -> None:
    print(f"{name:40} {duckdb:8.3f} s {sqlite:8.3f} s {duckdb / sqlite:8.2f}", flush=True)


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as folder, copy_of([], Path(folder)) as copy:
        sqlite = sqlite3.connect(Path(folder) / "records.sqlite")
        sqlite.executescript(TABLE)

        def store(pages: Iterable[Changes]) -> None:
            for page in pages:
                rows = ([value_of(one, name) for name in FIELDS] for one in page.changed)
                with sqlite:
                    sqlite.executemany(INSERT, rows)

        def load(pages: Iterable[Changes]) -> None:
            copy.refresh(lambda position, count: iter(pages))

        print(f"load {os.getloadavg()[0]:.1f} {'DuckDB':>42} {'SQLite':>10} {'ratio':>8}")
        for name, *of in ((f"load {count:,} records", count, 1), ("1,000 changes", 1000, 10**12)):
            compare(name, written(load, *of), written(store, *of))
        for request in REQUESTS:
            name = f"{request['client']}: {request['question']}"
            if sql := QUESTIONS.get(name):
                ours = [seconds(ask, copy, request["body"], OURS) for _ in range(5)]
                others = [
                    seconds(lambda query: sqlite.execute(query).fetchall(), sql) for _ in range(5)
                ]
                compare(name, statistics.median(ours), statistics.median(others))
        sqlite.close()


if __name__ == "__main__":
    main()
