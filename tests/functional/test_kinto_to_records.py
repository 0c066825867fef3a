"""The real command ``kinto-to-records`` against a real Kinto with the sample in it."""

from __future__ import annotations

import fnmatch
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import click
import pytest

from buildhub.builds.values import MIN_REVISION
from buildhub.commands import kinto_to_records
from buildhub.kinto.client import Client
from buildhub.kinto.initialization import initialize
from buildhub.kinto.reader import read_records
from tests.functional.conftest import with_records
from tests.support import commands, postgres
from tests.support.archive_server import ArchiveServer
from tests.support.hostile.faults import cut_at, slow_down
from tests.support.hostile.proxy import Behaviour, Exchange, HostileProxy
from tests.support.kinto_server import KINTO_SETTINGS, Kinto, running_kinto
from tests.support.pipeline_records import Records, without_server_fields
from tests.support.ports import free_port
from tests.support.records import make_record, ndjson

pytestmark = [
    pytest.mark.functional,
    pytest.mark.xdist_group("sample"),  # one Kinto with the sample for all
]

BIN = Path(sys.executable).parent
RECORDS = "/buckets/build-hub/collections/releases/records"

#: So that a few records are many pages.
SMALL_PAGES = {"kinto.paginate_by": "10"}


def run(url: str, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """``kinto-to-records`` to its end."""
    command, env = ["kinto-to-records", *options], {"SERVER_URL": url, **environment}
    return commands.run(command, env=env, text=True)


def data_of(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    """The data of the records that were printed."""
    assert done.returncode in (0, 1), done.stderr
    assert (done.returncode == 0) == bool(done.stdout)
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert all(list(record) == ["data"] for record in records)
    return [record["data"] for record in records]


def store(kinto: Kinto, records: bytes) -> None:
    done = commands.run(["to-kinto"], input=records, env={"SERVER_URL": kinto.url})
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def sample_on_postgresql(
    sample: Records, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Kinto]:
    with postgres.running_postgres() as url:
        settings = postgres.kinto_settings(url) | {"kinto.paginate_by": "100"}
        with running_kinto(tmp_path_factory.mktemp("postgresql"), settings) as kinto:
            yield with_records(kinto, sample)


ON_POSTGRESQL = pytest.param(
    "sample_on_postgresql",
    marks=[
        pytest.mark.slow,
        pytest.mark.skipif(not postgres.programs(), reason="PostgreSQL is not installed"),
    ],
)


@pytest.fixture(scope="module", params=["sample_kinto", ON_POSTGRESQL])
def catalogue(request: pytest.FixtureRequest) -> Kinto:
    """A Kinto with the sample, in pages of 100."""
    kinto: Kinto = request.getfixturevalue(request.param)
    return kinto


def test_what_was_stored_comes_back(catalogue: Kinto, sample: Records) -> None:
    records = data_of(run(catalogue.url))
    assert len(records) == len(sample)
    assert {data["id"]: data for data in records} == sample


def test_with_metadata_records_are_as_the_server_has_them(catalogue: Kinto) -> None:
    records = data_of(run(catalogue.url, "--with-metadata", "--channel", "aurora"))
    pages = catalogue.call("GET", f"{RECORDS}?target.channel=aurora&_sort=id").json()["data"]
    assert records == pages
    assert all(data["last_modified"] and data["schema"] for data in records)


class Filter(NamedTuple):
    """Options, and what they mean in plain Python."""

    options: str
    wanted: Callable[[dict[str, Any]], bool]


MAR_16 = ("20170316094500", "20170316093700")
REVISION = "0021b8f57264898b3e6281578b1291854862fbad"

FILTERS = {
    "build-id": Filter(f"--build-id {MAR_16[0]}", lambda d: d["build"].get("id") == MAR_16[0]),
    "build-ids": Filter(
        f"--build-id {MAR_16[0]} --build-id {MAR_16[1]}", lambda d: d["build"].get("id") in MAR_16
    ),
    "revision": Filter(f"--revision {REVISION}", lambda d: d["source"]["revision"] == REVISION),
    "revision's beginning": Filter(
        f"--revision {REVISION[:12].upper()}", lambda d: d["source"]["revision"] == REVISION
    ),
    "revisions": Filter(
        f"--revision {REVISION[:13]} --revision 31ee61ac2679",
        lambda d: d["source"]["revision"].startswith((REVISION[:13], "31ee61ac2679")),
    ),
    "product": Filter("--product fennec", lambda d: d["source"]["product"] == "fennec"),
    "version": Filter("--version 53.0", lambda d: d["target"]["version"] == "53.0"),
    "version's beginning": Filter(
        "--version 5*rc1", lambda d: fnmatch.fnmatchcase(d["target"]["version"], "5*rc1")
    ),
    "versions": Filter(
        "--version 5?.0 --version 127.0.[0-9]",
        lambda d: any(
            fnmatch.fnmatchcase(d["target"]["version"], one) for one in ("5?.0", "127.0.[0-9]")
        ),
    ),
    "channel": Filter("--channel nightly", lambda d: d["target"]["channel"] == "nightly"),
    "platform": Filter("--platform macosx", lambda d: d["target"]["platform"] == "macosx"),
    "os": Filter("--os mac", lambda d: d["target"]["os"] == "mac"),
    "locales": Filter(
        "--locale ja --locale pt-BR", lambda d: d["target"]["locale"] in ("ja", "pt-BR")
    ),
    "tree": Filter(
        "--tree releases/mozilla-beta", lambda d: d["source"]["tree"] == "releases/mozilla-beta"
    ),
    "built since": Filter(
        "--built-since 2017-10-27T09:37Z", lambda d: d["build"]["date"] >= "2017-10-27T09:37:00Z"
    ),
    "built until": Filter(
        "--built-until 2017-10-27T09:37Z", lambda d: d["build"]["date"] < "2017-10-27T09:37:00Z"
    ),
}


def found(kinto: Kinto, options: list[str]) -> list[str]:
    """The ids of the records that the options select, without the cost of a process."""
    with kinto_to_records.main.make_context("kinto-to-records", options) as context:
        conditions = list(kinto_to_records.conditions_of(context.params))
    client = Client(kinto.url, None, "build-hub", "releases")
    return [one["id"] for page in read_records(client, conditions) for one in page]


@pytest.mark.parametrize("name", FILTERS)
def test_each_filter_alone(name: str, catalogue: Kinto, sample: Records) -> None:
    options, wanted = FILTERS[name]
    expected = {data["id"] for data in sample.values() if wanted(data)}
    assert 0 < len(expected) < len(sample)
    assert found(catalogue, options.split()) == sorted(expected)


PAIRS = [
    ("build-ids", "platform"),
    ("revision's beginning", "locales"),
    ("version's beginning", "product"),
    ("version's beginning", "tree"),
    ("channel", "os"),
    ("built since", "built until"),
    ("built since", "channel"),
    ("locales", "product"),
]


@pytest.mark.parametrize("names", PAIRS, ids=" and ".join)
def test_two_filters_together(names: tuple[str, str], catalogue: Kinto, sample: Records) -> None:
    filters = [FILTERS[name] for name in names]
    expected = {data["id"] for data in sample.values() if all(one.wanted(data) for one in filters)}
    options = [option for one in filters for option in one.options.split()]
    assert found(catalogue, options) == sorted(expected)


def test_the_newest_of_each_product_channel_and_platform(catalogue: Kinto, sample: Records) -> None:
    groups: dict[tuple[str, ...], list[str]] = {}
    for data in sample.values():
        if data["target"]["locale"] == "en-US":
            target = data["target"]
            group = (data["source"]["product"], target["channel"], target["platform"])
            groups.setdefault(group, []).append(data["build"]["date"])
    expected = [(*group, date) for group in sorted(groups)
                for date in sorted(groups[group], reverse=True)[:2]]  # fmt: skip
    records = data_of(run(catalogue.url, "--newest", "2", "--locale", "en-US"))
    printed = [
        (one["source"]["product"], one["target"]["channel"], one["target"]["platform"],
         one["build"]["date"]) for one in records
    ]  # fmt: skip
    assert printed == expected


def test_nothing_matches(catalogue: Kinto) -> None:
    done = run(catalogue.url, "--build-id", "20170316")
    assert (done.returncode, done.stdout) == (1, "")


def test_the_question_whether_a_build_id_is_official(catalogue: Kinto) -> None:
    command = f"kinto-to-records --build-id {MAR_16[0]} >/dev/null && echo official"
    environment = {"PATH": f"{BIN}:{os.environ['PATH']}", "SERVER_URL": catalogue.url}
    assert subprocess.check_output(["bash", "-c", command], env=environment) == b"official\n"


def test_records_by_when_they_were_stored(kinto: Kinto) -> None:
    """Records that were deleted since then don't count as changed."""
    kinto.make_collection()
    store(kinto, ndjson([make_record(1), make_record(2), make_record(3)]))
    one = make_record(1)["data"]["id"]
    kinto.call("DELETE", f"{RECORDS}/{make_record(3)['data']['id']}")
    changed = kinto.call("PUT", f"{RECORDS}/{one}", json=make_record(1)).json()["data"]
    moment = f"{changed['last_modified'] / 1000:.3f}"
    date = subprocess.check_output(
        ["date", "-u", "-d", f"@{moment}", "+%Y-%m-%dT%H:%M:%S.%3NZ"], text=True
    ).strip()
    everyone = {"AUTH": "user:pass"}
    since = data_of(run(kinto.url, "--since", date, **everyone))
    until = data_of(run(kinto.url, "--until", date, **everyone))
    assert [data["id"] for data in since] == [one]
    assert [data["id"] for data in until] == [make_record(2)["data"]["id"]]
    assert len(data_of(run(kinto.url, "--since", "1h", **everyone))) == 2


def test_a_record_without_build_date_is_left_out_where_dates_are_asked_for(kinto: Kinto) -> None:
    kinto.make_collection()
    store(kinto, ndjson([make_record(1, build={}), make_record(2)]))
    for options in (["--built-since", "2000-01-01"], ["--built-until", "1d"]):
        records = data_of(run(kinto.url, *options, AUTH="user:pass"))
        assert [data["id"] for data in records] == [make_record(2)["data"]["id"]]


def test_the_newest_are_those_in_english_and_those_without_a_date_are_last(kinto: Kinto) -> None:
    def record(number: int, locale: str, build: dict[str, str]) -> dict[str, Any]:
        target = make_record(number)["data"]["target"] | {"locale": locale, "version": "1.0b1"}
        return make_record(number, target=target, build=build)

    old, new = ({"date": f"201{year}-05-09T09:45:00Z"} for year in "67")
    records = [
        record(1, "ach", new),
        record(2, "en-US", {}),
        record(3, "en-US", old),
        record(4, "multi", new),
    ]
    kinto.make_collection()
    store(kinto, ndjson(records))
    ids = [one["data"]["id"] for one in records]
    assert [one["id"] for one in newest_of(kinto)] == [ids[3], ids[2], ids[1]]
    assert [one["id"] for one in newest_of(kinto, "--locale", "ACH")] == [ids[0]]


def newest_of(kinto: Kinto, *options: str) -> list[dict[str, Any]]:
    return data_of(run(kinto.url, "--newest", "9", *options, AUTH="user:pass"))


def test_an_alarm_where_the_newest_build_is_too_old(kinto: Kinto) -> None:
    def record(number: int, platform: str, age: timedelta | None) -> dict[str, Any]:
        english = make_record(number)["data"]["target"] | {"locale": "en-US", "platform": platform}
        build = {"date": f"{datetime.now(UTC) - age:%Y-%m-%dT%H:%M:%SZ}"} if age else {}
        return make_record(number, target=english, build=build)

    kinto.make_collection()
    ages = {"win32": timedelta(days=9), "win64": timedelta(hours=1), "macosx": None}
    store(kinto, ndjson(record(n, *one) for n, one in enumerate(ages.items())))

    def status(*options: str) -> int:
        done = run(kinto.url, "-q", "--max-age", "36h", *options, AUTH="user:pass")
        assert (done.returncode == 1) == ("has no such build since" in done.stderr), done.stderr
        return done.returncode

    assert status() == 0  # the newest over all platforms
    assert status("--product", "Firefox", "--channel", "beta") == 0
    assert status("--platform", "win64") == 0
    assert status("--platform", "win32") == 1
    assert status("--platform", "win64,win32") == 1  # each one that is named
    assert status("--platform", "macosx") == 1  # its builds have no date
    assert status("--product", "fenix") == 1  # nothing at all
    assert status("--max-age", "30d", "--platform", "win32") == 0


def test_records_are_counted(catalogue: Kinto, sample: Records) -> None:
    builds = [one["build"].get("id") for one in sample.values()]
    for options, number in (
        ([], len(sample)),
        (["--build-id", MAR_16[0]], builds.count(MAR_16[0])),
        (["--revision", REVISION[:7]], None),
        (["--version", "5*", "--locale", "en-US"], None),  # Kinto alone cannot tell
        (["--built-since", "2017-10-27T09:37Z"], None),
    ):
        done = run(catalogue.url, "--count", *options)
        expected = number if number is not None else len(found(catalogue, options))
        assert (done.returncode, done.stdout) == (0, f"{expected}\n")
    done = run(catalogue.url, "--count", "--product", "klar")
    assert (done.returncode, done.stdout) == (1, "0\n")


def test_a_record_by_its_id_or_its_file(catalogue: Kinto, sample: Records) -> None:
    data = next(iter(sample.values()))
    for text in (data["id"], data["id"].upper(), data["download"]["url"]):
        assert data_of(run(catalogue.url, "--id", text)) == [data]


def test_values_in_any_usual_case(catalogue: Kinto) -> None:
    typed = ["--product", "FireFox", "--platform", "Windows 64", "--locale", "en-us"]
    exact = ["--product", "firefox", "--platform", "win64", "--locale", "en-US"]
    assert found(catalogue, typed) == found(catalogue, exact) != []


def test_times_ahead_are_an_answer_not_an_error(catalogue: Kinto, sample: Records) -> None:
    """Kinto itself rejects such times."""
    assert len(data_of(run(catalogue.url, "--until", "2999-01-01"))) == len(sample)
    assert data_of(run(catalogue.url, "--since", "2999-01-01")) == []


def test_records_that_lack_every_field(kinto: Kinto) -> None:
    """Such records are in a collection without a schema: no filter fails at them."""
    kinto.make_collection()
    store(kinto, ndjson([{"data": {"id": "bare"}}]))
    for name in ("revision", "build-ids", "locales", "built since", "channel", "versions"):
        options = FILTERS[name].options.split()
        assert run(kinto.url, *options, AUTH="user:pass").returncode == 1


@pytest.fixture(scope="module")
def memory_small_pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kinto]:
    with running_kinto(tmp_path_factory.mktemp("small"), KINTO_SETTINGS | SMALL_PAGES) as kinto:
        yield kinto


@pytest.fixture(scope="module")
def postgresql_small_pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kinto]:
    with postgres.running_postgres() as url:
        settings = postgres.kinto_settings(url) | SMALL_PAGES
        with running_kinto(tmp_path_factory.mktemp("small"), settings) as kinto:
            yield kinto


@pytest.fixture(
    params=[
        "memory_small_pages",
        pytest.param("postgresql_small_pages", marks=ON_POSTGRESQL.marks),
    ]
)
def small_pages(request: pytest.FixtureRequest) -> Kinto:
    """A Kinto in pages of 10, with the records 100 to 149."""
    kinto: Kinto = request.getfixturevalue(request.param)
    kinto.flush()
    initialize(Client(kinto.url, "user:pass", "build-hub", "releases"))
    store(kinto, ndjson(map(make_record, range(100, 150))))
    return kinto


def number(data: dict[str, Any]) -> int:
    return int(data["target"]["version"].partition(".")[0])


def test_others_write_while_it_reads(small_pages: Kinto) -> None:
    """Whatever there was from the beginning to the end comes once, in one state that it had."""
    path = "/v1" + RECORDS

    def put(what: int, size: int) -> None:
        record = make_record(what)
        record["data"]["download"]["size"] = size
        small_pages.call("PUT", f"{RECORDS}/{record['data']['id']}", json=record)

    def write(page: int) -> Behaviour:
        def behaviour(exchange: Exchange) -> bool:
            response = exchange.forward()
            for what in (100, 109, 110, 149, *range(130, 135)):  # read already, or not yet
                put(what, page)
            put((0, 1, 10)[page - 1], 1)  # new, before all: ids are sorted as texts
            put(160 + page, 1)  # new, behind all
            for what in (100 + 10 * page - 5, 145 - page):  # read already, or not yet
                small_pages.call("DELETE", f"{RECORDS}/{make_record(what)['data']['id']}")
            return exchange.pass_on(response)

        return behaviour

    with HostileProxy(small_pages.url) as proxy:
        proxy.fault(path, *(write(page) for page in (1, 2, 3)))
        records = [number(data) for data in data_of(run(proxy.url))]
    assert len(records) == len(set(records))
    gone = {105, 115, 125, 142, 143, 144}
    assert set(range(100, 150)) - gone <= set(records)
    assert set(records) - set(range(100, 150)) == {161, 162, 163}
    assert len(proxy.fetched(path)) == 5


def test_a_page_that_fails_twice_is_read_in_the_end(small_pages: Kinto) -> None:
    with HostileProxy(small_pages.url) as proxy:
        proxy.fault("gt_id", slow_down, cut_at(500))
        records = data_of(run(proxy.url))
        assert [number(data) for data in records] == list(range(100, 150))
        assert len(proxy.fetched(RECORDS)) == 5 + 2  # no other page was read again


def test_a_page_that_never_comes(small_pages: Kinto) -> None:
    """The records that were read before are printed; the status says that they aren't all."""
    with HostileProxy(small_pages.url) as proxy:
        proxy.fault("gt_id", slow_down)
        done = run(proxy.url, NB_RETRY_REQUEST="0")
        assert done.returncode == 2
        assert len(done.stdout.splitlines()) == 10
        assert "503" in done.stderr


def test_a_catalogue_is_copied(small_pages: Kinto, kinto: Kinto, tmp_path: Path) -> None:
    initialize(Client(kinto.url, "user:pass", "build-hub", "releases"))
    command = f"set -o pipefail; kinto-to-records | to-kinto --server {kinto.url}"
    environment = {"PATH": f"{BIN}:{os.environ['PATH']}", "SERVER_URL": small_pages.url}
    subprocess.run(["bash", "-c", command], env=environment, cwd=tmp_path, check=True)
    assert without_server_fields(kinto.records()) == {
        record["data"]["id"]: record["data"] for record in map(make_record, range(100, 150))
    }


def test_the_reader_of_the_output_goes_away(small_pages: Kinto) -> None:
    command = "kinto-to-records | head -n 1; exit ${PIPESTATUS[0]}"
    environment = {"PATH": f"{BIN}:{os.environ['PATH']}", "SERVER_URL": small_pages.url}
    with HostileProxy(small_pages.url) as proxy:
        environment["SERVER_URL"] = proxy.url
        done = subprocess.run(["bash", "-c", command], env=environment, capture_output=True)
    assert (done.returncode, done.stderr) == (141, b"")
    assert len(done.stdout.splitlines()) == 1


def test_limits_that_lie_ahead_are_answered(kinto: Kinto) -> None:
    """Kinto itself rejects times that are more than a day ahead of its clock."""
    kinto.make_collection()
    store(kinto, ndjson([make_record(1)]))
    year = datetime.now(UTC).year + 2
    assert len(data_of(run(kinto.url, "--until", f"{year}-12-31", AUTH="user:pass"))) == 1
    done = run(kinto.url, "--since", f"{year}-12-31", AUTH="user:pass")
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "kinto-to-records: 0 records.\n")


def test_a_server_that_shows_nothing_to_anonymous_users(strict_kinto: Kinto) -> None:
    """Without AUTH no credentials are sent, with it they are."""
    strict_kinto.make_collection()
    store(strict_kinto, ndjson([make_record(1)]))
    done = run(strict_kinto.url)
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        "does not let anonymous users read build-hub/releases, if that exists (401)" in done.stderr
    )
    assert "--auth" in done.stderr
    assert "AUTH is not set" not in done.stderr
    assert len(data_of(run(strict_kinto.url, AUTH="user:pass"))) == 1
    assert len(data_of(run(strict_kinto.url, "--auth", "user:pass"))) == 1


def test_a_server_without_the_collection(kinto: Kinto) -> None:
    done = run(kinto.url, AUTH="user:pass")
    assert (done.returncode, done.stdout) == (2, "")
    assert "has no collection build-hub/releases: " in done.stderr
    kinto.make_collection()
    assert run(kinto.url, AUTH="user:pass").returncode == 1


def test_a_wrong_address() -> None:
    done = run(f"http://127.0.0.1:{free_port()}/v1", NB_RETRY_REQUEST="0")
    assert (done.returncode, done.stdout) == (2, "")
    assert "check that it is running" in done.stderr


def test_what_answers_is_not_kinto() -> None:
    with ArchiveServer({}) as server:
        done = run(f"{server.url}v1", NB_RETRY_REQUEST="0")
    assert (done.returncode, done.stdout) == (2, "")
    assert server.url in done.stderr


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--revision", "687237"], "give its first 7 to 40 hexadecimal digits"),
        (["--revision", "x" * 40], "not a revision"),
        (["--build-id", "2017050909450"], "it has 13 digits"),
        (["--build-id", "foo"], "not a build id"),
        (["--product", "firefox,Firefoxx"], "perhaps firefox is meant"),
        (["--max-age", "2017-05-09"], "not an age"),
        (["--count", "--newest", "1"], "--count does not go with --newest"),
        (["--since", "tomorrow"], "'tomorrow'"),
        (["--newest", "0"], "0"),
        (
            ["--built-since", "2017-05-11", "--built-until", "2017-05-10"],
            "--built-since is after --built-until",
        ),
        (["--since", "2h", "--until", "1d"], "--since is after --until"),
        (["--server", "ftp://example.com"], "'ftp://example.com'"),
        (["--version"], "requires an argument"),
        (["file"], "unexpected extra argument"),
    ],
)
def test_usage(options: list[str], complaint: str) -> None:
    done = run("http://127.0.0.1:9/v1", *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert complaint in done.stderr


def test_the_help_says_how_much_of_a_revision_is_enough() -> None:
    (revision,) = (p for p in kinto_to_records.main.params if p.name == "revision")
    assert isinstance(revision, click.Option)
    assert f"first {MIN_REVISION} or more digits" in str(revision.help)


def test_a_file_with_credentials_that_is_not_there() -> None:
    """An error of the settings is no answer either: not the status 1."""
    done = run("http://127.0.0.1:9/v1", AUTH_FILE="/nowhere")
    assert (done.returncode, done.stdout) == (2, "")
    assert "/nowhere" in done.stderr
