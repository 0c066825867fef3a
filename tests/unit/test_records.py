"""Records: their declared types are those of the schema that the server checks them against."""

from __future__ import annotations

from typing import Any, NotRequired, get_args, get_origin, get_type_hints, is_typeddict

from buildhub.kinto.schema import definition
from buildhub.records import RecordData

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
