"""Conditions on records: what matches, and what Kinto is asked for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from buildhub.kinto.filters import Built, Changed, OneOf, Revision, Version
from buildhub.kinto.reader import newest
from tests.support.records import make_record

HASH = "6872377277a618b2b9e0d2b4c2b9e51765ac199e"
SHORT = HASH[:12]
DAY = datetime(2017, 6, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def record(**data: Any) -> dict[str, Any]:
    return {"last_modified": 1_500_000_000_123, **make_record(55, **data)["data"]}


def built(date: object) -> dict[str, Any]:
    return record(build={"date": date})


def revision(value: object) -> dict[str, Any]:
    return record(source={"product": "firefox", "revision": value})


MATCH = [
    (OneOf("build.id", ["1", "20170612224034"]), record()),
    (OneOf("target.locale", ["fr"]), record()),
    (Revision([HASH]), record()),
    (Revision([SHORT]), record()),
    (Revision(["0" * 12, HASH[:20]]), record()),
    (Revision([HASH]), revision(SHORT)),  # as in firefox-4.0b5pre.en-US.mac.txt
    (Version(["55.0b1"]), record()),
    (Version(["1.*", "55.*"]), record()),
    (Version(["[0-9]?.0b1"]), record()),
    (Built(since=DAY), built("2017-06-12T00:00:00Z")),
    (Built(until=DAY), built("2017-06-11T23:59:59Z")),
    (Built(since=DAY), built("2017-06-11T22:00:00-03:00")),
    (Built(DAY, DAY + SECOND), built("2017-06-12T02:00:00.5+02:00")),
    (Built(since=DAY), built("2017-06-12")),
    (Changed(since=datetime.fromtimestamp(1_500_000_000.123, UTC)), record()),
    (Changed(until=datetime.fromtimestamp(1_500_000_000.124, UTC)), record()),
]

NO_MATCH = [
    (OneOf("build.id", ["2017061222403"]), record()),
    (OneOf("build.id", ["20170612224034"]), record(build={})),
    (OneOf("build.id", ["20170612224034"]), record(build="20170612224034")),
    (OneOf("build.id", ["20170612224034"]), record(build={"id": 20170612224034})),
    (OneOf("target.locale", ["FR"]), record()),
    (Revision([SHORT[:-1] + "7"]), record()),
    (Revision([HASH[1:]]), record()),
    (Revision([HASH]), revision("")),
    (Revision([HASH]), revision(HASH[:11])),
    (Revision([HASH]), revision(None)),
    (Revision([HASH]), record(source={"product": "firefox"})),
    (Version(["55.0"]), record()),
    (Version(["55.0*"]), record(target={"version": "5510b1"})),
    (Version(["*B1"]), record()),
    (Version(["*"]), record(target={})),
    (Built(since=DAY), built("2017-06-11T23:59:59Z")),
    (Built(until=DAY), built("2017-06-12T00:00:00Z")),
    (Built(since=DAY), record(build={})),
    (Built(until=DAY), record(build={})),
    (Built(since=DAY), built(None)),
    (Built(until=DAY), built("yesterday")),
    (Changed(since=datetime.fromtimestamp(1_500_000_000.124, UTC)), record()),
    (Changed(until=datetime.fromtimestamp(1_500_000_000.123, UTC)), record()),
]


@pytest.mark.parametrize(("condition", "data"), MATCH)
def test_a_record_that_matches(condition, data):
    assert condition.matches(data)


@pytest.mark.parametrize(("condition", "data"), NO_MATCH)
def test_a_record_that_does_not_match(condition, data):
    assert not condition.matches(data)


MANY = [str(number) for number in range(51)]


def between(field: str, since: str, until: str) -> dict[str, str]:
    return {f"min_{field}": f'"{since}"', f"lt_{field}": f'"{until}"'}


def revisions_between(since: str, until: str) -> dict[str, str]:
    return between("source.revision", since, until)


def built_between(start: str, since: str, until: str) -> dict[str, str]:
    return between("build.date", since, until) | {"like_build.date": f'"{start}*"'}


#: Never a lower limit without an upper one: PostgreSQL would read every record.
PARAMS = [
    (OneOf("build.id", ["20170612224034"]), {"build.id": '"20170612224034"'}),
    (OneOf("source.product", ["firefox"]), {"in_source.product": '"firefox"'}),
    (OneOf("target.locale", ["fr", "1.0"]), {"in_target.locale": '"fr","1.0"'}),
    (OneOf("id", ["a_b"]), {"id": '"a_b"'}),
    (OneOf("target.locale", ["fr,de"]), {}),
    (OneOf("target.locale", ["é"]), {}),
    (OneOf("target.locale", MANY), {}),
    (Revision([HASH]), {"in_source.revision": f'"{HASH}","{SHORT}"'}),
    (Revision([HASH[:7]]), revisions_between(HASH[:7], HASH[:7] + "g")),
    (Revision([HASH[:20]]), revisions_between(SHORT, SHORT + "g")),
    (Revision([HASH, "0" * 12]), revisions_between("0" * 12, SHORT + "g")),
    (Version(["53.0"]), {"target.version": '"53.0"'}),
    (Version(["53.0", "53.0.2"]), {"in_target.version": '"53.0","53.0.2"'}),
    (Version(["53.*"]), {"like_target.version": '"53.*"'}),
    (Version(["*esr"]), {"like_target.version": '"*esr"'}),
    (Version(["53.?"]), {}),
    (Version(["[5].*"]), {}),
    (Version(["53.*", "154.0"]), {}),
    (Version(["(*"]), {}),
    (Built(since=DAY), between("build.date", "2017-06-11", "a")),
    (Built(until=DAY), {"lt_build.date": '"2017-06-14"'}),
    (Built(DAY, DAY), built_between("2017-06-1", "2017-06-11", "2017-06-14")),
    (
        Built(DAY, datetime(2017, 12, 1, tzinfo=UTC)),
        built_between("2017-", "2017-06-11", "2017-12-03"),
    ),
    (
        Built(DAY, datetime(2020, 1, 1, tzinfo=UTC)),
        between("build.date", "2017-06-11", "2020-01-03"),
    ),
    (Built(since=datetime.min.replace(tzinfo=UTC)), between("build.date", "0001-01-01", "a")),
    (Built(until=datetime.max.replace(tzinfo=UTC)), {"lt_build.date": '"9999-12-31"'}),
    (Changed(since=DAY), {"min_last_modified": "1497225600000"}),
    (Changed(until=DAY + SECOND / 10_000), {"lt_last_modified": "1497225600001"}),
    (Changed(since=datetime.min.replace(tzinfo=UTC)), {"min_last_modified": "0"}),
    (Changed(until=datetime.max.replace(tzinfo=UTC)), {}),
]


@pytest.mark.parametrize(("condition", "params"), PARAMS)
def test_what_kinto_is_asked_for(condition, params):
    assert condition.params == params


def test_a_time_ahead_is_asked_for_as_now():
    """Kinto rejects times of more than a day ahead; nothing was stored after now."""
    params = Changed(since=datetime.max.replace(tzinfo=UTC)).params
    now = datetime.now(UTC).timestamp() * 1000
    assert now - 60_000 < int(params["min_last_modified"]) <= now + 1


EXACT = [
    OneOf("build.id", ["20170612224034"]),
    Version(["53.0", "54.0"]),
    Revision([HASH]),
    Revision([SHORT]),
]
INEXACT = [
    OneOf("target.locale", ["fr,de"]),
    OneOf("target.locale", MANY),
    Version(["53.*"]),
    Revision([HASH[:13]]),
    Revision([SHORT, HASH]),
    Built(DAY, DAY),
    Changed(DAY),
]


@pytest.mark.parametrize("condition", EXACT + INEXACT, ids=str)
def test_kinto_counts_only_what_it_can_filter_exactly(condition):
    assert condition.is_exact == (condition in EXACT)


def dated(
    number: int, date: str | None, platform: str = "win64", version: str = "1.0"
) -> dict[str, Any]:
    build = {"date": date} if date else {}
    target = {"platform": platform, "channel": "beta", "version": version}
    return {
        "id": str(number),
        "source": {"product": "firefox"},
        "target": target,
        "build": build,
        "download": {"date": f"2017-01-{number:02}T00:00:00Z"},
    }


NEW_YEAR = "2017-01-01T00:00:00Z"


NEWEST = [
    (1, [], []),
    # Without a build date they are the last, by the date of their file.
    (9, [dated(1, None), dated(2, None), dated(0, NEW_YEAR)], ["0", "2", "1"]),
    # A release before its candidates, and these by their numbers.
    (
        2,
        [dated(n, NEW_YEAR, version=v) for n, v in enumerate(("1.0rc2", "1.0", "1.0rc10"))],
        ["1", "2"],
    ),
    (1, [dated(1, NEW_YEAR), dated(2, "2017-01-01T00:00:01Z", version="1.0rc3")], ["2"]),
    (1, [dated(1, "2017-01-01T00:00:00Z"), dated(2, "2017-01-02T00:00:00Z")], ["2"]),
    (3, [dated(1, "2017-01-01T00:00:00Z"), dated(2, "2017-01-02T00:00:00Z")], ["2", "1"]),
    # One date: the first wins.
    (1, [dated(1, NEW_YEAR), dated(1, NEW_YEAR) | {"id": "2"}], ["1"]),
    # Moments are compared, not texts.
    (1, [dated(1, "2017-01-01T23:00:00Z"), dated(2, "2017-01-02T00:30:00+02:00")], ["1"]),
    # Each platform for itself, in their order.
    (1, [dated(1, "2017-01-02T00:00:00Z"), dated(2, "2017-01-01T00:00:00Z", "mac")], ["2", "1"]),
]


@pytest.mark.parametrize(("count", "records", "ids"), NEWEST)
def test_the_newest_of_each_group(count, records, ids):
    assert [one["id"] for one in newest(records, count)] == ids


def test_limits_that_lie_ahead_are_not_sent():
    """Kinto rejects times that are more than a day ahead of its clock."""
    ahead = datetime.now(UTC) + timedelta(days=400)
    assert Changed(until=ahead).params == {}
    (since,) = Changed(since=ahead, until=ahead + timedelta(days=1)).params.items()
    assert since[0] == "min_last_modified"
    assert int(since[1]) <= datetime.now(UTC).timestamp() * 1000 + 1
    assert not Changed(since=ahead).matches({"last_modified": int(since[1])})
