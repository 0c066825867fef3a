"""Records: their declared types are those of the schema; which differences are changes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any, NotRequired, get_args, get_origin, get_type_hints, is_typeddict

import pytest

from buildhub.archive.metadata_formats import TOOLCHAIN
from buildhub.kinto.initialization import definition
from buildhub.kinto.record_index import differs, digest, lacks
from buildhub.records import RecordData, invalid_field
from tests.support.records import make_record

JSON_TYPES = {str: "string", int: "integer"}
#: Set by the server.
SERVERS_OWN = {"last_modified", "schema"}
#: In each of our records, although the schema accepts records without.
ALWAYS = {"id", "os"}


def fields_of_type(declared: Any) -> dict[str, tuple[Any, bool]]:
    """Name → type, or fields, and whether it is required."""
    fields: dict[str, tuple[Any, bool]] = {}
    for name, hint in get_type_hints(declared, include_extras=True).items():
        optional = get_origin(hint) is NotRequired
        (hint,) = get_args(hint) if optional else (hint,)
        kind = fields_of_type(hint) if is_typeddict(hint) else JSON_TYPES[hint]
        required = not optional and declared.__total__
        fields[name] = (kind, required and name not in ALWAYS)
    return fields


def fields_of_schema(schema: dict[str, Any]) -> dict[str, tuple[Any, bool]]:
    """The same of a JSON schema."""
    return {
        name: (
            fields_of_schema(one) if one["type"] == "object" else one["type"],
            name in schema.get("required", ()),
        )
        for name, one in schema["properties"].items()
        if name not in SERVERS_OWN
    }


def test_a_record_is_declared_as_the_schema_describes_it() -> None:
    _, collection = definition("build-hub", "releases")
    assert fields_of_type(RecordData) == fields_of_schema(collection["data"]["schema"])


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("channel", "release beta aurora esr nightly nightly-old-id aurora-old-id"),
        ("locale", "en-US fr ach ja-JP-mac multi ca-valencia"),
        ("platform", "win32 win64-EME-free mac linux-i686 android-api-15 maemo4 eabi-arm"),
        (
            "version",
            "54.0 3.6.4plugin1 57.0.2-funnelcake137 1.0rc1 55.0b3 57.0a1 4.0b2pre 3.0esr"
            " 97.0.0-beta.2 96.1.0-rc.1",
        ),
    ],
)
def test_fields_with_values_of_the_archive_are_valid(field: str, values: str) -> None:
    for value in values.split():
        assert invalid_field(record_with(field, value)) is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("channel", "default"),
        ("channel", "nightly-try"),
        ("channel", "Release"),
        ("channel", ""),
        ("locale", "en_US"),
        ("locale", "english"),
        ("locale", "x"),
        ("locale", "fr\n"),
        ("platform", "os2"),
        ("platform", "64win"),
        ("platform", ""),
        ("version", "latest"),
        ("version", "54.0 "),
        ("version", ""),
    ],
)
def test_an_invalid_field_is_named_with_its_value(field: str, value: str) -> None:
    assert invalid_field(record_with(field, value)) == f"{field} {value!r}"


def record_with(field: str, value: str) -> Any:
    """A record that is valid but for one field of its target."""
    valid = {"platform": "win64", "locale": "fr", "version": "54.0", "channel": "release"}
    return make_record(1, target=valid | {"os": "win", field: value})


# Which differences of a record are changes

Change = Callable[[dict[str, Any]], object]

CHANGES: dict[str, tuple[Change, bool]] = {
    "the server's own fields": (lambda data: data.update(last_modified=9, schema=8), False),
    "another date alone": (
        lambda data: data["download"].update(date="2024-04-05T06:07:08Z"),
        False,
    ),
    "another size": (lambda data: data["download"].update(size=1), True),
    "another URL": (lambda data: data["download"].update(url="https://elsewhere/"), True),
    "another build id": (lambda data: data["build"].update(id="20170612224035"), True),
    "another revision": (lambda data: data["source"].update(revision="0"), True),
    "no revision": (lambda data: data["source"].pop("revision"), True),
    "another channel": (lambda data: data["target"].update(channel="release"), True),
    "a tool disappears": (lambda data: data["build"].pop("ld"), False),
    "the whole toolchain disappears": (
        lambda data: [data["build"].pop(field) for field in TOOLCHAIN],
        False,
    ),
    "a tool disappears and the date differs": (
        lambda data: [data["build"].pop("ld"), data["download"].update(date="2024")],
        False,
    ),
    "another tool": (lambda data: data["build"].update(cc="gcc"), True),
    "a tool disappears and another differs": (
        lambda data: [data["build"].pop("ld"), data["build"].update(cc="gcc")],
        True,
    ),
    "two tools change places": (lambda data: data["build"].update({"as": "x", "ld": "y"}), True),
    "no build number": (lambda data: data["build"].pop("number"), True),
    "no build": (lambda data: data.pop("build"), True),
    "a build that is no object": (lambda data: data.update(build="x"), True),
    "a tool that is no text": (lambda data: data["build"].update({"as": ["x"]}), True),
}


@pytest.mark.parametrize(("change", "expected"), CHANGES.values(), ids=CHANGES)
def test_which_differences_make_a_record_be_stored_again(change: Change, expected: bool) -> None:
    stored, new = make_record(1)["data"], make_record(1)["data"]
    change(new)
    assert differs(digest(stored), digest(new)) is expected


@pytest.mark.parametrize(("part", "field"), [("build", "ld"), ("download", "sha256")])
def test_of_a_tool_and_a_sum_only_what_is_gained_or_another_is_a_change(
    part: str, field: str
) -> None:
    def with_value(value: str) -> bytes:
        data = make_record(1)["data"]
        data[part][field] = value
        return digest(data)

    lacking = make_record(1)["data"]
    lacking[part].pop(field, None)
    assert differs(digest(lacking), with_value("a"))
    assert differs(with_value("a"), with_value("b"))
    assert not differs(with_value("a"), digest(lacking))
    assert not differs(with_value("a"), with_value("a"))
    assert [lacks(with_value("a"), one) for one in (digest(lacking), with_value("b"))] == [
        True,
        False,
    ]
    assert (lacks(None, digest(lacking)), lacks(b"", digest(lacking))) == (False, True)


def test_tools_with_equal_digests_of_four_bytes_are_not_equal() -> None:
    """Two such names are found in a moment."""
    seen: dict[bytes, str] = {}
    for name in map(str, range(1 << 20)):
        short = hashlib.blake2b(name.encode(), digest_size=4).digest()
        if short in seen:
            break
        seen[short] = name
    stored, new = make_record(1)["data"], make_record(1)["data"]
    stored["build"]["ld"], new["build"]["ld"] = seen[short], name
    assert stored != new
    assert differs(digest(stored), digest(new))


@pytest.mark.parametrize("stored", [None, b""])
def test_what_is_not_stored_or_not_known_differs_from_everything(stored: bytes | None) -> None:
    assert differs(stored, digest(make_record(1)["data"]))


@pytest.mark.parametrize("value", [json.loads("[" * 300 + "]" * 300), 1 << 70, "\ud800"])
def test_a_record_that_we_can_not_have_made_equals_nothing(value: object) -> None:
    odd = digest(make_record(1, note=value)["data"])
    assert odd == b""
    assert differs(odd, odd)


def test_the_digest_leaves_the_record_as_it_was() -> None:
    record = make_record(1)
    digest(record["data"])
    assert record == make_record(1)
