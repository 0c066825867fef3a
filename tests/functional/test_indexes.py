"""``jobs/indexes.sql`` on a real PostgreSQL with Kinto's tables."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest

from benchmarks import full_kinto
from tests.support import postgres

pytestmark = [
    pytest.mark.functional,
    pytest.mark.slow,
    pytest.mark.skipif(not postgres.programs(), reason="PostgreSQL is not installed"),
    pytest.mark.xdist_group("indexes"),
]

INDEXES = Path(__file__).parents[2] / "jobs/indexes.sql"
VALID = """
    SELECT indexrelid::regclass::text, indisvalid FROM pg_index
    WHERE indexrelid::regclass::text LIKE 'buildhub%' ORDER BY 1
"""
#: What a CREATE INDEX CONCURRENTLY leaves behind that was interrupted.
INTERRUPT = "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'buildhub_date'::regclass"


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Kinto with some thousand records; the URL of its database."""
    with full_kinto.running(tmp_path_factory.mktemp("indexes"), 5_000) as (_, url):
        yield url


def apply(url: str) -> None:
    command = ["psql", "--no-psqlrc", "--quiet", "--file", INDEXES, url]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def rows(url: str, text: str) -> list[tuple[object, ...]]:
    with contextlib.closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as sql:
            sql.execute(text)
            return sql.fetchall() if sql.description else []


def test_indexes_can_be_made_again_and_interrupted(database: str) -> None:
    apply(database)
    made = rows(database, VALID)
    assert len(made) == 10
    assert all(valid for _, valid in made)
    apply(database)
    assert rows(database, VALID) == made
    rows(database, INTERRUPT)
    apply(database)
    assert rows(database, VALID) == made


#: Conditions as Kinto writes them, and the index that serves them.
PLANS = {
    'data @> \'{"build": {"id": "20170509094500"}}\'': "buildhub_data",
    "data->'source'->'revision' IN ('\"6872377277a6\"')": "buildhub_revision",
    "data->'build'->>'date' ILIKE '2017-05-09%'": "buildhub_date_text",
    "data->'target'->'version' IN ('\"55.0\"', '\"55.0rc1\"')": "buildhub_version",
    "data->'target'->>'version' ILIKE '55.%'": "buildhub_version_text",
    "(data->'target'->'locale' IS NOT NULL AND data->'target'->'locale'"
    " IN ('\"en-US\"', '\"multi\"')) AND data->'build'->'date' < '\"2018\"'": "buildhub_english",
}


@pytest.mark.parametrize("condition", PLANS)
def test_an_index_serves_what_kinto_asks_for(database: str, condition: str) -> None:
    apply(database)
    plan = rows(
        database,
        "SET enable_seqscan = off; EXPLAIN SELECT data FROM objects WHERE"  # few records here
        f" parent_id = '{full_kinto.PARENT}' AND resource_name = 'record' AND NOT deleted"
        f" AND {condition} ORDER BY id LIMIT 5001",
    )
    assert PLANS[condition] in str(plan)
