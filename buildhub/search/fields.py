"""The fields that can be searched, and the values that a request may give for them."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, NamedTuple

from . import dates
from .errors import BadRequest, shown

TEXT, NUMBER, DATE = "VARCHAR", "BIGINT", "TIMESTAMP"

#: Top-level object of a record → its fields and their types in SQL.
_OBJECTS = {
    "build": dict.fromkeys(("id", "as", "cc", "cxx", "ld", "host", "target"), TEXT)
    | {"date": DATE, "number": NUMBER},
    "source": dict.fromkeys(("product", "revision", "repository", "tree"), TEXT),
    "target": dict.fromkeys(("platform", "os", "locale", "version", "channel"), TEXT),
    "download": {"url": TEXT, "mimetype": TEXT, "size": NUMBER, "date": DATE},
}


class Field(NamedTuple):
    """A field of the records, which is a column of the copy."""

    name: str
    type: str

    @property
    def column(self) -> str:
        """The column's name, quoted."""
        return f'"{self.name}"'

    def value(self, value: object) -> Any:
        """Returns a value of a request as this field is compared with it; not for dates.

        Raises :class:`BadRequest` if the field cannot have such a value.
        """
        whole = isinstance(value, int) and not isinstance(value, bool)
        if self.type == TEXT and (isinstance(value, str) or whole):
            return str(value)
        if self.type == NUMBER and (whole or (_is_number(value))):
            return int(value)  # type: ignore[call-overload]
        raise BadRequest(f"[{self.name}] cannot be {shown(value)}", "illegal_argument_exception")

    def interval(self, value: object) -> tuple[datetime, datetime]:
        """Returns the first and the last moment that a date in a request stands for."""
        if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
            try:
                return dates.interval(str(value))
            except (ValueError, OverflowError):
                pass
        raise BadRequest(
            f"failed to parse date field [{self.name}]: {shown(value)}", "parse_exception"
        )


#: By name, as in ``target.version``.
FIELDS = {
    field.name: field
    for field in (
        Field("id", TEXT),
        Field("last_modified", NUMBER),
        Field("schema", NUMBER),
        *(
            Field(f"{name}.{key}", kind)
            for name, keys in _OBJECTS.items()
            for key, kind in keys.items()
        ),
    )
}


def field_of(name: object, *, text: bool = False) -> Field:
    """Returns the field of this name, which has to be a text field if ``text``.

    Raises :class:`BadRequest`.
    """
    field = FIELDS.get(name) if isinstance(name, str) else None
    if field is None:
        raise BadRequest(f"unknown field [{shown(name)}]", "illegal_argument_exception")
    if text and field.type != TEXT:
        raise BadRequest(
            f"[{field.name}] is no text: it has neither prefixes nor regular expressions",
            "illegal_argument_exception",
        )
    return field


def from_json_structure() -> list[dict[str, Any]]:
    """Returns the structure of a list of records for the engine's ``from_json``."""
    single = {field.name: field.type for field in FIELDS.values() if "." not in field.name}
    return [single | _OBJECTS]


def _is_number(value: object) -> bool:
    return isinstance(value, str) and bool(re.fullmatch(r"-?[0-9]{1,18}", value))
