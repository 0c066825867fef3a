"""A real Kinto on PostgreSQL with many records of real shape, put there by SQL.

    .venv/bin/python -m benchmarks.full_kinto FOLDER [RECORDS]

keeps the database in FOLDER, fills it if it is empty (1,000,000 records in about two minutes), and
serves it until Ctrl-C.
"""

from __future__ import annotations

import contextlib
import itertools
import signal
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import orjson
import psycopg2

from benchmarks import catalogue
from buildhub.kinto.client import Client
from buildhub.kinto.initialization import initialize
from tests.support import postgres
from tests.support.kinto_server import Kinto, running_kinto

PARENT = "/buckets/build-hub/collections/releases"
RECORDS = f"{PARENT}/records"
AUTH = "user:pass"

#: When the first record was stored; each of the others a millisecond later.
_EPOCH = 1_784_000_000_000
_ROW = b"%s\t%s\trecord\t%s\t%s\tf\n"
_COPY = "COPY objects (id, parent_id, resource_name, last_modified, data, deleted) FROM STDIN"

#: Rows that are sent at once.
_ROWS = 5_000


class _Rows:
    """The rows of COPY as the file that psycopg2 reads them from."""

    def __init__(self, count: int, schema: int) -> None:
        self._rows = _rows(count, schema)

    def read(self, size: int) -> bytes:
        """Returns some rows, whatever ``size`` is; nothing at the end."""
        return b"".join(itertools.islice(self._rows, _ROWS))


def _rows(count: int, schema: int) -> Iterator[bytes]:
    for number, record in enumerate(catalogue.records(count)):
        stored = datetime.fromtimestamp((_EPOCH + number) / 1000, UTC)
        name = record.pop("id").encode()
        data = orjson.dumps(record | {"schema": schema})
        date = stored.strftime("%Y-%m-%d %H:%M:%S.%f").encode()
        yield _ROW % (name, PARENT.encode(), date, data)


def fill(kinto: Kinto, url: str, count: int) -> None:
    """Stores the first ``count`` records of :mod:`benchmarks.catalogue`, past Kinto's API.

    ``url`` is that of Kinto's database. The collection is made as ``initialization.yml`` has it.
    """
    initialize(Client(kinto.url, AUTH, "build-hub", "releases"))
    schema = kinto.call("GET", PARENT).json()["data"]["last_modified"]
    with contextlib.closing(psycopg2.connect(url)) as connection:
        with connection.cursor() as sql:
            sql.execute("SET session_replication_role = replica")  # no triggers: we have the times
            sql.copy_expert(_COPY, _Rows(count, schema), size=1 << 20)
        connection.commit()
        connection.autocommit = True
        with connection.cursor() as sql:
            sql.execute("VACUUM ANALYZE objects")


@contextlib.contextmanager
def running(folder: Path, count: int, data: Path | None = None) -> Iterator[tuple[Kinto, str]]:
    """A Kinto with the first ``count`` records, and the URL of its database.

    Its log and settings are in ``folder``. The database is in ``data``, and used as it is if there
    is one already; without ``data`` it is deleted at the end.
    """
    if not postgres.programs():
        raise SystemExit("PostgreSQL is not installed: apt-get install postgresql")
    with postgres.running_postgres(data) as url:
        with running_kinto(folder, postgres.kinto_settings(url)) as kinto:
            if not _is_filled(url):
                fill(kinto, url, count)
            yield kinto, url


def _is_filled(url: str) -> bool:
    with contextlib.closing(psycopg2.connect(url)) as connection, connection.cursor() as sql:
        sql.execute("SELECT EXISTS (SELECT FROM objects WHERE resource_name = 'record')")
        found: bool = sql.fetchone()[0]
    return found


def main() -> None:
    folder = Path(sys.argv[1]).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 1_000_000
    with running(folder, count, folder / "data") as (kinto, url):
        print(f"SERVER_URL={kinto.url} AUTH={AUTH}\n{url}", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()


if __name__ == "__main__":
    main()
