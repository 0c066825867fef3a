"""Metadata files are read, and other content is not taken for metadata."""

from __future__ import annotations

import json

import pytest

from buildhub.archive.metadata_formats import (
    build_date,
    from_buildhub_json,
    from_info_text,
    from_json,
    from_text,
)

# A candidate's metadata of 2017, in full.
FIREFOX_54 = {
    "as": "ml64.exe",
    "buildid": "20170608105825",
    "cc": "c:/builds/moz2_slave/vs2015u3/VC/bin/amd64/cl.exe",
    "cxx": "c:/builds/moz2_slave/vs2015u3/VC/bin/amd64/cl.exe",
    "host_alias": "x86_64-pc-mingw32",
    "moz_app_name": "firefox",
    "moz_app_version": "54.0",
    "moz_pkg_platform": "win64",
    "moz_source_repo": "MOZ_SOURCE_REPO=https://hg.mozilla.org/releases/mozilla-release",
    "moz_source_stamp": "e832ed037a3c23004be73178e546d240e57b6ee1",
    "moz_update_channel": "release",
    "target_alias": "x86_64-pc-mingw32",
}


def packed(facts: object) -> bytes:
    return json.dumps(facts).encode()


@pytest.mark.parametrize(
    ("build_id", "date"),
    [
        ("20170608105825", "2017-06-08T10:58:25Z"),
        ("200705141234", "2007-05-14T12:34:00Z"),
        ("2007051412", "2007-05-14T12:00:00Z"),
        ("20070514", "2007-05-14T00:00:00Z"),
        ("2017060810582", None),
        ("201706081058251", None),
        ("2017", None),
        ("20171308105825", None),
        ("20170632", None),
        ("abcdefgh", None),
        ("None", None),
        ("", None),
        ("\uff12\uff10170608", None),
    ],
)
def test_missing_figures_of_old_build_ids_are_zero(build_id: str, date: str | None) -> None:
    assert build_date(build_id) == date


def test_the_json_beside_a_build() -> None:
    found = from_json(packed(FIREFOX_54), "firefox")
    assert found is not None
    assert found.build == {
        "id": "20170608105825",
        "date": "2017-06-08T10:58:25Z",
        "as": "ml64.exe",
        "cc": "c:/builds/moz2_slave/vs2015u3/VC/bin/amd64/cl.exe",
        "cxx": "c:/builds/moz2_slave/vs2015u3/VC/bin/amd64/cl.exe",
        "host": "x86_64-pc-mingw32",
        "target": "x86_64-pc-mingw32",
    }
    assert found.source == {
        "product": "firefox",
        "revision": "e832ed037a3c23004be73178e546d240e57b6ee1",
        "repository": "https://hg.mozilla.org/releases/mozilla-release",
        "tree": "releases/mozilla-release",
    }
    assert found.channel == "release"


@pytest.mark.parametrize(
    ("change", "source", "channel"),
    [
        ({"moz_update_channel": None}, {}, None),
        ({"moz_update_channel": ""}, {}, None),
        (
            {"moz_source_repo": "https://hg.mozilla.org/mozilla-central"},
            {"repository": "https://hg.mozilla.org/mozilla-central", "tree": "mozilla-central"},
            "release",
        ),
        (  # since 2025 the source is no longer at hg.mozilla.org: there is no tree
            {"moz_source_repo": "https://github.com/mozilla-firefox/firefox"},
            {"repository": "https://github.com/mozilla-firefox/firefox", "tree": None},
            "release",
        ),
        ({"moz_source_stamp": None}, {"revision": None}, "release"),
    ],
)
def test_fields_that_are_absent_are_left_out(
    change: dict[str, object], source: dict[str, str | None], channel: str | None
) -> None:
    found = from_json(packed(FIREFOX_54 | change), "firefox")
    assert found is not None
    assert found.channel == channel
    for field, value in source.items():
        assert found.source.get(field) == value


TODAY = {"host": "x86_64-pc-linux-gnu", "target": "aarch64-apple-darwin"}


@pytest.mark.parametrize(
    ("change", "host", "target"),
    [
        (TODAY, "x86_64-pc-mingw32", "x86_64-pc-mingw32"),
        (
            TODAY | {"host_alias": None, "target_alias": ""},
            "x86_64-pc-linux-gnu",
            "aarch64-apple-darwin",
        ),
    ],
    ids=["both", "today"],
)
def test_host_and_target_are_the_aliases_or_else_themselves(
    change: dict[str, str | None], host: str, target: str
) -> None:
    found = from_json(packed(FIREFOX_54 | change), "firefox")
    assert found
    assert (found.build["host"], found.build["target"]) == (host, target)


def test_the_json_of_today_and_the_buildhub_json_beside_it_say_the_same() -> None:
    facts = {field: value for field, value in FIREFOX_54.items() if "_alias" not in field}
    facts |= {"host": "x86_64-pc-linux-gnu", "target": "x86_64-pc-mingw32"}
    record = {
        "build": {
            "id": facts["buildid"],
            "date": "2017-06-08T10:58:25Z",
            **{field: facts[field] for field in ("as", "cc", "cxx", "host", "target")},
        },
        "source": {
            "product": "firefox",
            "repository": "https://hg.mozilla.org/releases/mozilla-release",
            "tree": "mozilla-release",
            "revision": facts["moz_source_stamp"],
        },
        "target": {"channel": "release"},
    }
    assert from_json(packed(facts), "firefox") == from_buildhub_json(packed(record), "firefox")


@pytest.mark.parametrize("content", [b"buildID=20100115144158", b"buildID=20100115144158\r\nx=y"])
def test_the_info_of_a_candidate_is_a_build_id(content: bytes) -> None:
    found = from_info_text(content, "firefox")
    assert found
    assert found.build == {"id": "20100115144158", "date": "2010-01-15T14:41:58Z"}
    assert found.source == {"product": "firefox"}
    assert found.provisional


@pytest.mark.parametrize(
    "content", [b"", b"20100115144158", b"buildID=", b"x=1\nbuildID=20100115144158", b"<html>"]
)
def test_another_text_is_no_info(content: bytes) -> None:
    assert from_info_text(content, "firefox") is None


def test_a_revision_alone_is_of_mozilla_central_for_firefox_and_mobile_only() -> None:
    text = b"20090528031256 94c5f6c0b5e1"
    repositories = {
        product: found.source.get("repository")
        for product in ("firefox", "fennec", "thunderbird")
        if (found := from_text(text, product))
    }
    central = "https://hg.mozilla.org/mozilla-central"
    assert repositories == {"firefox": central, "fennec": central, "thunderbird": None}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<!DOCTYPE html><html><body>Not Found</body></html>",
        b'<?xml version="1.0"?><Error><Code>NoSuchKey</Code></Error>',
        b"[]",
        b'"20170608105825"',
        b"20170608105825",
        b"null",
        b"{}",
        b'{"buildid": null}',
        b'{"buildid": "latest"}',
        b'{"buildid": ["20170608105825"]}',
        b'{"buildid": "20170608105825"',
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b'{"build": [], "source": null, "target": 3}',
        b'{"build": {"id": {}}}',
    ],
)
def test_what_is_no_metadata_is_none_and_no_error(content: bytes) -> None:
    assert from_json(content, "firefox") is None
    assert from_buildhub_json(content, "firefox") is None


def test_buildhub_json_gives_build_source_and_channel_only() -> None:
    found = from_buildhub_json(
        packed(
            {
                "build": {
                    "as": "/builds/worker/workspace/build/src/clang/bin/clang",
                    "date": "2018-11-05T10:01:05Z",
                    "host": "x86_64-pc-linux-gnu",
                    "id": "20181105100105",
                    "number": 7,
                    "target": "x86_64-pc-linux-gnu",
                },
                "download": {"size": 1, "url": "https://elsewhere/"},
                "source": {
                    "product": "firefox",
                    "repository": "https://hg.mozilla.org/releases/mozilla-beta",
                    "revision": "0123456789abcdef0123456789abcdef01234567",
                    "tree": "mozilla-beta",
                },
                "target": {"channel": "beta", "locale": "en-US", "version": "64.0b7"},
            }
        ),
        "devedition",
    )
    assert found is not None
    assert found.channel == "beta"
    assert found.source["product"] == "devedition"
    assert found.source["tree"] == "releases/mozilla-beta"
    assert found.build == {
        "id": "20181105100105",
        "date": "2018-11-05T10:01:05Z",
        "as": "/builds/worker/workspace/build/src/clang/bin/clang",
        "host": "x86_64-pc-linux-gnu",
        "target": "x86_64-pc-linux-gnu",
    }


@pytest.mark.parametrize(
    ("content", "build_id", "revision", "repository"),
    [
        (
            b"20110704030803\nhttp://hg.mozilla.org/mozilla-central/rev/bdf5b7f1e6d9\n",
            *("20110704030803", "bdf5b7f1e6d9", "http://hg.mozilla.org/mozilla-central"),
        ),
        (
            b"20110704030803\r\nhttps://hg.mozilla.org/comm-central/rev/bdf5b7f1e6d9\r\n"
            b"https://hg.mozilla.org/mozilla-central/rev/000000000000",
            *("20110704030803", "bdf5b7f1e6d9", "https://hg.mozilla.org/comm-central"),
        ),
        (
            b"20090528031256 94c5f6c0b5e1",
            *("20090528031256", "94c5f6c0b5e1", "https://hg.mozilla.org/mozilla-central"),
        ),
        (b"2007092904\n", "2007092904", None, None),
    ],
)
def test_the_text_beside_a_very_old_nightly(
    content: bytes, build_id: str, revision: str | None, repository: str | None
) -> None:
    found = from_text(content, "firefox")
    assert found is not None
    assert found.build["id"] == build_id
    assert found.source.get("revision") == revision
    assert found.source.get("repository") == repository
    assert found.channel is None


@pytest.mark.parametrize(
    "content",
    [b"", b"<html>20110704030803</html>", b"2011 bdf5b7f1e6d9", b"{}", b"buildID=20110704030803"],
)
def test_a_text_of_another_kind_is_no_metadata(content: bytes) -> None:
    assert from_text(content, "firefox") is None
