"""A real Kinto on PostgreSQL with many records in it, put there by SQL: within seconds."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import psycopg2

from benchmarks import fake_kinto
from tests.support import postgres
from tests.support.kinto_server import Kinto, running_kinto

RECORDS = "/buckets/build-hub/collections/releases/records"

#: The first record is stored by Kinto, the others are copies of its row with other numbers.
_COPY = """
    SET session_replication_role = replica;
    INSERT INTO objects (id, parent_id, resource_name, last_modified, data, deleted)
    SELECT replace(id, %(template)s, (n + %(template)s::int)::text), parent_id, resource_name,
           last_modified + n * interval '1 ms',
           replace(data::text, %(template)s, (n + %(template)s::int)::text)::jsonb, deleted
    FROM objects, generate_series(1, %(last)s) n WHERE resource_name = 'record';
    ANALYZE;
"""


@contextlib.contextmanager
def running(folder: Path, count: int) -> Iterator[Kinto]:
    """A Kinto whose log and settings are in ``folder``, with the first ``count`` records."""
    if not postgres.programs():
        raise SystemExit("PostgreSQL is not installed: apt-get install postgresql")
    with (
        postgres.running_postgres() as url,
        running_kinto(folder, postgres.kinto_settings(url)) as kinto,
    ):
        kinto.make_collection()
        first = fake_kinto.record(0)
        kinto.call("PUT", f"{RECORDS}/{first['data']['id']}", json=first)
        with contextlib.closing(psycopg2.connect(url)) as connection, connection.cursor() as sql:
            sql.execute(_COPY, {"template": str(fake_kinto.FIRST), "last": count - 1})
            connection.commit()
        yield kinto
