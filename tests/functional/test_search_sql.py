"""The SQL of the documentation, run over the output of ``kinto-to-records``, as it is written."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from buildhub.search.language import FIELDS
from tests.support import commands
from tests.support import search_reference as reference
from tests.support.kinto_server import Kinto
from tests.support.pipeline_records import Records

pytestmark = [pytest.mark.functional, pytest.mark.xdist_group("sample")]

ROOT = Path(__file__).parents[2]
TABLE, FIRST_DAYS, REVISIONS, BUILD_IDS = (
    textwrap.dedent(block)
    for block in re.findall(
        r"code-block:: sql\n(?:   :force:\n)?\n((?:   .*\n|\n)+)",
        (ROOT / "docs/search.rst").read_text(),
    )
)
VIEW = (ROOT / "buildhub/search/successor.sql").read_text()


@pytest.fixture(scope="module")
def database(
    sample_kinto: Kinto, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[duckdb.DuckDBPyConnection]:
    """The two tables, made of a Kinto with the sample as the documentation says."""
    folder = tmp_path_factory.mktemp("sql")
    done = commands.run(["kinto-to-records"], env={"SERVER_URL": sample_kinto.url})
    (folder / "records.ndjson").write_bytes(done.stdout)
    with duckdb.connect(config={"file_search_path": str(folder)}) as database:
        database.execute(TABLE)
        database.execute(f"COPY records TO '{folder}/records.parquet'")
        database.execute(f"CREATE TABLE successor AS {VIEW}")
        yield database


def test_the_table_has_all_fields_that_are_not_kintos_own(
    database: duckdb.DuckDBPyConnection, sample: Records
) -> None:
    columns = {name: kind for name, kind, *_ in database.execute("DESCRIBE records").fetchall()}
    ours = {
        name: one.type for name, one in FIELDS.items() if name not in ("schema", "last_modified")
    }
    assert columns == ours
    read = "SELECT * FROM 'records.parquet' EXCEPT ALL FROM records"
    assert database.execute(read).fetchall() == []
    assert database.execute("SELECT count(*) FROM records").fetchall() == [(len(sample),)]


def test_the_questions_of_analysts_are_answered(
    database: duckdb.DuckDBPyConnection, sample: Records
) -> None:
    view = reference.successor(list(sample.values()))
    values = [
        {name: reference.value_of(one, name) for name in FIELDS}
        for one in view
        if one["target"]["locale"] in ("en-US", "multi")
    ]
    firefox = [one for one in values if one["source.product"] == "firefox"]
    days: dict[str, str] = {}
    for one in firefox:
        if one["target.channel"] == "nightly" and one["build.date"]:
            version, day = one["target.version"], one["build.date"][:10]
            days[version] = min(day, days.get(version, day))
    found = database.execute(FIRST_DAYS).fetchall()
    assert {version: day and day.isoformat() for version, day in found if day} == days
    assert len(days) > 3
    revisions = {(one["build.id"], one["source.revision"]) for one in firefox}
    expected = sorted(one for one in revisions if one[1] and one[0])
    assert [one for one in database.execute(REVISIONS).fetchall() if one[0]] == expected
    assert len(expected) > 3
    ids = sorted({one["build.id"] for one in values if one["build.id"]})
    assert database.execute(BUILD_IDS).fetchall() == [(one,) for one in ids]
