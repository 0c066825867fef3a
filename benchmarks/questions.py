"""Every question of the documentation, the command and the lookup page, with and without indexes.

    .venv/bin/python -m benchmarks.questions [FOLDER [RECORDS]]

A Kinto on PostgreSQL with 1,000,000 records of real shape (:mod:`benchmarks.catalogue`), kept in
FOLDER if one is given (:mod:`benchmarks.full_kinto`). The claims, with ``jobs/indexes.sql``: a
question with at most 1,000 answers takes at most ten times as long as ``?_limit=1``, or 100 ms; a
count 300 ms; ``kinto-to-records`` 0.7 s with its start. What is known to take longer is marked. The
fastest of some requests counts: other work on the machine only slows down.
"""

from __future__ import annotations

import contextlib
import functools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import psycopg2
import requests

from benchmarks import catalogue, full_kinto

ROOT = Path(__file__).parents[1]
INDEXES = ROOT / "jobs/indexes.sql"
COMMAND = Path(sys.executable).with_name("kinto-to-records")

LIMIT, COUNT, COMMAND_LIMIT = 0.1, 0.3, 0.7

ENGLISH = 'in_target.locale="en-US","multi"'
NEWEST = "lt_build.date=9&_sort=-build.date"
FIELDS = "_fields=id,build.id,build.date,build.number,source,target,download"
REVISION = "c7f322fe"
VERSIONS = ",".join(f'"152.0{rc}"' for rc in ("", *(f"rc{n}" for n in range(1, 31))))


class Question(NamedTuple):
    name: str
    query: str  #: or the arguments of the command
    limit: float | None = LIMIT  #: seconds; None: known to be slow
    method: str = "GET"


def count(name: str, query: str, limit: float | None = COUNT) -> Question:
    return Question(name, query, limit, "HEAD")


def command(name: str, arguments: str, limit: float | None = COMMAND_LIMIT) -> Question:
    return Question(name, arguments, limit, "command")


#: Those of docs/api.rst.
DOCUMENTED = (
    count("is this build id official?", 'build.id="20170509094500"'),
    Question("the revision of a version", 'source.product=devedition&target.version="55.0b1rc5"'
             "&target.platform=win64&target.locale=en-US&_limit=1"),
    Question("builds of a revision", "source.revision={revision}&_fields=id"),
    Question("the newest nightly for Linux", 'in_source.product="firefox"'
             '&in_target.channel="nightly"&in_target.platform="linux-x86_64"'
             f'&in_target.locale="en-US"&{NEWEST}&_limit=1'),
    Question("the newest release", 'in_source.product="firefox"&in_target.channel="release"'
             f"&{ENGLISH}&{NEWEST}&_limit=60"),
    Question("which locales were shipped?", 'source.product=firefox&target.version="53.0"'
             "&target.platform=win32&_fields=target.locale"),
    Question("the file of a version", "source.product=devedition"
             '&target.version="55.0b1rc5"&target.platform=win64&target.locale=pt-BR'),
    Question("a version with its candidates", f"in_target.version={VERSIONS}&{ENGLISH}"),
    Question("versions that begin with 53", f'like_target.version="53.*"&{ENGLISH}'),
    count("how many were built in May 2017", "like_build.date=2017-05*"),
    count("how many were built in a month", "like_build.date=2025-08*"),
    Question("built on a day", "like_build.date=2025-08-10*&" + ENGLISH),
    Question("built in three days", 'min_build.date="2025-08-08"&lt_build.date="2025-08-11"'
             f'&like_build.date="2025-08-*"&{ENGLISH}'),
    Question("what is new since an ETag", "_since={etag}"),
    count("how many of a version", 'target.version="152.0"'),
    count("how many there are", ""),
)  # fmt: skip

#: The lookup page, as it asks today.
_PAIR = 'in_source.product="firefox"&in_target.channel="beta"'
PAGE = (
    Question("page: home, a product and channel", f"{_PAIR}&{ENGLISH}&{NEWEST}&_limit=60&{FIELDS}"),
    Question("page: home, an empty pair", 'in_source.product="fennec"&in_target.channel="esr"'
             f"&{ENGLISH}&{NEWEST}&_limit=60&{FIELDS}"),
    Question("page: home, another product", 'lt_source.product="firefox"&_sort=-source.product'
             "&_limit=1&_fields=source.product"),
    Question("page: home, another channel", 'in_source.product="firefox"'
             '&lt_target.channel="nightly"&_sort=-target.channel&_limit=1&_fields=target.channel'),
    Question("page: product and version", 'in_source.product="firefox"'
             f"&in_target.version={VERSIONS}&{ENGLISH}&{NEWEST}&_limit=300&{FIELDS}"),
    Question("page: product, channel, platform", f'{_PAIR}&in_target.platform="win64-aarch64"'
             f"&{ENGLISH}&{NEWEST}&_limit=300&{FIELDS}"),
    Question("page: the same in French", f'{_PAIR}&in_target.platform="win64-aarch64"'
             f'&in_target.locale="fr"&{NEWEST}&_limit=300&{FIELDS}'),
    Question("page: a platform in French", 'in_target.locale="fr"'
             f'&in_target.platform="win64-aarch64"&{NEWEST}&_limit=300'),
    Question("page: a system", f'in_target.os="win"&{ENGLISH}&{NEWEST}&_limit=300&{FIELDS}'),
    Question("page: a day", 'min_build.date="2017-05-09T00:00:00Z"'
             f'&lt_build.date="2017-05-10T00:00:00Z"&{ENGLISH}&_sort=-build.date&_limit=300'),
    Question("page: a build id", f'build.id="20170509094500"&{ENGLISH}&{NEWEST}&_limit=300'),
    Question("page: undated", f"has_build.date=false&{ENGLISH}&_sort=-download.date&_limit=300"),
    Question("page: a beginning of a revision", f'lt_source.revision="{REVISION}g"'
             "&_sort=-source.revision&_limit=1&_fields=source.revision"),
    Question("page: an open row", 'in_source.product="firefox"&in_target.version="152.0"'
             f"&{FIELDS}&_limit=1000"),
    Question("page: locales of a platform", 'in_source.product="firefox"&in_target.version="152.0"'
             '&in_target.platform="win64"&_fields=target.locale&_limit=200'),
)  # fmt: skip

#: What no index serves.
SLOW = (
    Question("without an upper limit: min_build.date", 'min_build.date="2026-07-20"', None),
    Question("exclude_source.product", "exclude_source.product=firefox&_limit=50", None),
    Question("like_ with a letter", 'like_source.tree="mozilla-c*"&_sort=id&_limit=50', None),
    Question("a range of revisions", 'min_source.revision="7"&lt_source.revision="70"&_limit=50',
             None),
)  # fmt: skip

COMMANDS = (
    command("--build-id", "--build-id 20170509094500"),
    command("--id", "--id devedition_aurora_55-0b1rc5_win64_pt-br"),
    command("--revision, 8 digits", f"--revision {REVISION}"),
    command("--version of a product", "--product devedition --version 55.0b1rc5"),
    command("--version, a pattern", "--version 53.* --platform win32"),
    command("--built-since, --built-until", "--built-since 2017-05-09 --built-until 2017-05-10"),
    command("the same in the middle",
            "--built-since 2025-08-10 --built-until 2025-08-11 --locale en-US"),
    command("--built-since", "--built-since 2026-07-20 --locale en-US"),
    command("--since, in the future", "--since 2030-01-01"),
    command("--newest 1 of one platform",
            "--product firefox --channel nightly --platform linux-x86_64 --newest 1"),
    command("--max-age of a product and channel",
            "--product firefox --channel nightly --max-age 9999d"),
    command("--newest 1 of everything", "--newest 1"),
    command("--count of everything", "--count"),
    command("--count of a version", "--count --version 152.0"),
    command("--count of a day", "--count --built-since 2017-05-09 --built-until 2017-05-10"),
)  # fmt: skip

QUESTIONS = (Question("_limit=1", "_limit=1"), *DOCUMENTED, *PAGE, *SLOW, *COMMANDS)


class Result(NamedTuple):
    seconds: float
    found: int


@functools.cache
def full_revision() -> str:
    """Returns the revision of the newest release."""
    builds = (one for one in catalogue.builds() if one.version == "152.0")
    build = next(one for one in builds if one.product == "firefox" and not one.candidate)
    revision: str = build.record("win64", "fr")["source"]["revision"]
    return revision


def ask(question: Question, url: str, session: requests.Session, etag: str) -> Result:
    """Asks once; returns the time, and how many records were the answer."""
    start = time.perf_counter()
    if question.method == "command":
        environment = {**os.environ, "SERVER_URL": url}
        done = subprocess.run(
            [COMMAND, "-q", *question.query.split()], env=environment, capture_output=True
        )
        assert done.returncode in (0, 1), done.stderr
        return Result(time.perf_counter() - start, done.stdout.count(b"\n"))
    query = question.query.replace("{etag}", etag).replace("{revision}", f'"{full_revision()}"')
    response = session.request(question.method, f"{url}{full_kinto.RECORDS}?{query}", timeout=600)
    response.raise_for_status()
    seconds = time.perf_counter() - start
    if question.method == "HEAD":
        return Result(seconds, int(response.headers["Total-Records"]))
    return Result(seconds, len(response.json()["data"]))


def answers(url: str) -> dict[Question, Result]:
    """Asks all questions; the fastest of up to three times, or of a second."""
    results = {}
    with requests.Session() as session:
        etag = session.head(url + full_kinto.RECORDS, timeout=600).headers["ETag"]
        for question in QUESTIONS:
            times: list[Result] = []
            while len(times) < 4 and sum(one.seconds for one in times) < 2:
                times.append(ask(question, url, session, etag))
            results[question] = min(times)
            print(f"{results[question].seconds:8.3f} s  {question.name}", file=sys.stderr)
    return results


@contextlib.contextmanager
def database(url: str) -> Iterator[Callable[[str], list[tuple[object, ...]]]]:
    """A function that runs SQL, and returns its rows."""
    with contextlib.closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True

        def run(text: str) -> list[tuple[object, ...]]:
            with connection.cursor() as sql:
                sql.execute(text)
                return sql.fetchall() if sql.description else []

        yield run


_OURS = "SELECT indexrelname FROM pg_stat_user_indexes WHERE indexrelname LIKE 'buildhub%'"
_STATISTICS = "SELECT stxname FROM pg_statistic_ext WHERE stxname LIKE 'buildhub%'"
_SIZES = """
    SELECT indexrelname, pg_relation_size(indexrelid) / 1e6 FROM pg_stat_user_indexes
    WHERE indexrelname LIKE 'buildhub%' ORDER BY 1
"""
_INSERT = """
    BEGIN;
    INSERT INTO objects (id, parent_id, resource_name, data, deleted)
    SELECT 'again_' || id, parent_id, resource_name, data, false FROM objects
    WHERE resource_name = 'record' LIMIT 5000;
    ROLLBACK;
"""


def drop_indexes(url: str) -> None:
    with database(url) as run:
        for (name,) in run(_OURS):
            run(f"DROP INDEX {name}")
        for (name,) in run(_STATISTICS):
            run(f"DROP STATISTICS {name}")
        run("ANALYZE objects")


def apply_indexes(url: str) -> float:
    """Returns how many seconds it took."""
    start = time.perf_counter()
    subprocess.run(["psql", "--no-psqlrc", "--quiet", "--file", INDEXES, url], check=True)
    return time.perf_counter() - start


def write_cost(url: str) -> float:
    """Returns milliseconds for each record that is stored, without Kinto's own part."""
    with database(url) as run:
        times = []
        for _ in range(3):
            start = time.perf_counter()
            run(_INSERT)
            times.append(time.perf_counter() - start)
    return min(times) * 1000 / 5000


def report(before: dict[Question, Result], after: dict[Question, Result]) -> None:
    one, *others = QUESTIONS
    floor = after[one].seconds
    print(f"{'':44}  answers  without    with  x _limit=1")
    for question in (one, *others):
        old, new = before[question].seconds, after[question].seconds
        limit = question.limit
        allowed = max(limit or 0, 10 * floor if question.method == "GET" else 0)
        verdict = "known" if limit is None else "" if new <= allowed else "TOO SLOW"
        print(
            f"{question.name:44} {after[question].found:8,} {old * 1000:8.0f} {new * 1000:7.0f}"
            f" {new / floor:8.1f}   {verdict}"
        )


def measure(url: str, database_url: str) -> None:
    drop_indexes(database_url)
    before, cheap = answers(url), write_cost(database_url)
    seconds = apply_indexes(database_url)
    after, dear = answers(url), write_cost(database_url)
    report(before, after)
    with database(database_url) as run:
        sizes = run(_SIZES)
    for name, size in sizes:
        print(f"{name:44} {size:8.1f} MB")
    total = sum(float(str(size)) for _, size in sizes)
    print(f"all of them: {total:.0f} MB in {seconds:.0f} s")
    print(f"a write: {cheap:.2f} ms without, {dear:.2f} ms with them, in PostgreSQL alone")


def main() -> None:
    if sys.argv[1:] and sys.argv[1].startswith("http"):  # that runs already, and its database
        measure(sys.argv[1], sys.argv[2])
        return
    records = int(sys.argv[2]) if len(sys.argv) > 2 else 1_000_000
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(sys.argv[1] if sys.argv[1:] else temporary).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        with full_kinto.running(folder, records, folder / "data") as (kinto, url):
            measure(kinto.url, url)


if __name__ == "__main__":
    main()
