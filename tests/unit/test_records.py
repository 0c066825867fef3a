"""Records: their declared types are those of the schema that the server checks them against."""

from __future__ import annotations

from typing import Any, NotRequired, get_args, get_origin, get_type_hints, is_typeddict

import pytest

from buildhub.kinto.schema import definition
from buildhub.records import RecordData, digest, invalid_field
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
            "54.0 3.6.4plugin1 57.0.2-funnelcake137 1.0rc1 55.0b3 57.0a1 4.0b2pre 3.0esr",
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


DATA: dict[str, Any] = {"id": "a", "build": {"id": "1", "number": 2}, "target": {"locale": "fr"}}


@pytest.mark.parametrize(
    "same",
    [
        {"target": {"locale": "fr"}, "build": {"number": 2, "id": "1"}, "id": "a"},
        DATA | {"last_modified": 1_497_355_200_000},
        DATA | {"schema": 1_497_355_200_000},
    ],
    ids=["order of fields", "last_modified", "schema"],
)
def test_the_digest_is_that_of_the_content(same: dict[str, Any]) -> None:
    assert digest(same) == digest(DATA)
    assert len(digest(DATA)) == 16


@pytest.mark.parametrize(
    "other",
    [
        DATA | {"id": "b"},
        DATA | {"build": {"id": "1", "number": 3}},
        DATA | {"build": {"id": "1", "number": "2"}},
        DATA | {"build": {"id": "1"}},
        DATA | {"target": {"locale": "fr", "os": ""}},
        DATA | {"target": {"locale": "fr", "schema": 1}},
        DATA | {"source": {}},
    ],
    ids=str,
)
def test_any_change_of_the_content_changes_the_digest(other: dict[str, Any]) -> None:
    assert digest(other) != digest(DATA)
