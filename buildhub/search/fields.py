"""The fields that can be searched, and the values that a request may give for them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

TEXT, NUMBER, DATE = "VARCHAR", "BIGINT", "TIMESTAMP"

#: Top-level object of a record → its fields and their types in SQL.
OBJECTS = {
    "build": dict.fromkeys(("id", "as", "cc", "cxx", "ld", "host", "target"), TEXT)
    | {"date": DATE, "number": NUMBER},
    "source": dict.fromkeys(("product", "revision", "repository", "tree"), TEXT),
    "target": dict.fromkeys(("platform", "os", "locale", "version", "channel"), TEXT),
    "download": {"url": TEXT, "mimetype": TEXT, "size": NUMBER, "date": DATE},
}

_DATE = re.compile(
    r"(\d{4}(?:-\d\d){0,2}(?:T\d\d(?::\d\d){0,2}(?:\.\d+)?)?)(Z|[+-]\d\d:?\d\d)?", re.A
)
_MATH = re.compile(r"([+-]\d{1,6})([wdhms])|/([wdhms])", re.A)
_EPOCH = datetime(1970, 1, 1)
#: ``/w`` begins on a Monday.
_MONDAY = datetime(1, 1, 1)
_UNITS = {"w": "weeks", "d": "days", "h": "hours", "m": "minutes", "s": "seconds"}


class BadRequest(Exception):
    """A request that is wrong or uses what is not supported, and the status of the response."""

    def __init__(self, reason: str, status: int = 400) -> None:
        super().__init__(reason)
        self.status = status


class Field(NamedTuple):
    """A field of the records, which is a column of the copy."""

    name: str
    type: str

    @property
    def column(self) -> str:
        """The column's name for SQL."""
        return f'"{self.name}"'

    def interval(self, value: object) -> tuple[Any, Any]:
        """Returns the first and the last value that a value in a request stands for.

        They differ for dates that are not complete: a missing time is any time of the day. Raises
        :class:`BadRequest` if the field cannot have such a value.
        """
        try:
            if isinstance(value, bool | float) or not isinstance(value, int | str):
                raise ValueError
            if self.type == DATE:
                return _date(str(value), last=False), _date(str(value), last=True)
            parsed = str(value) if self.type == TEXT else int(value)
        except (ValueError, OverflowError):
            raise BadRequest(f"[{self.name}] cannot be {shown(value)}") from None
        return parsed, parsed


FIELDS = {
    name: Field(name, kind)
    for name, kind in (
        ("id", TEXT),
        ("last_modified", NUMBER),
        ("schema", NUMBER),
        *(
            (f"{one}.{name}", kind)
            for one, names in OBJECTS.items()
            for name, kind in names.items()
        ),
    )
}


def field_of(name: object, *, text: bool = False) -> Field:
    """Returns the field of this name, a text field if ``text``. Raises :class:`BadRequest`."""
    field = FIELDS.get(name) if isinstance(name, str) else None
    if field is None or (text and field.type != TEXT):
        raise BadRequest(f"there is no {'text ' if text else ''}field [{shown(name)}]")
    return field


def shown(value: object) -> str:
    """Returns a value of a request as a message quotes it, shortened."""
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 100 else text[:100] + "…"


def milliseconds(moment: datetime) -> int:
    """Returns the milliseconds since 1970."""
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def _date(text: str, *, last: bool) -> datetime:
    """Reads ``2018``, ``2018-01-31T10Z``, milliseconds, and ``now-1d/d``; UTC, without a zone."""
    if text.startswith("now"):
        return _now(text[3:], last=last)
    if not (match := _DATE.fullmatch(text)):
        return _EPOCH + timedelta(milliseconds=int(text))
    missing = "0001-01-01T23:59:59.999999" if last else "0001-01-01T00:00:00.000000"
    given = match[1][: len(missing)]
    moment = datetime.fromisoformat(given + missing[len(given) :] + (match[2] or "Z"))
    return moment.astimezone(UTC).replace(tzinfo=None)


def _now(math: str, *, last: bool) -> datetime:
    """Calculates with the time: ``-1d/d``, where ``/`` is the first or last moment of a unit."""
    moment, position = datetime.now(UTC).replace(tzinfo=None), 0
    while position < len(math):
        if not (match := _MATH.match(math, position)):
            raise ValueError
        count, unit, to = match.groups()
        length = timedelta(**{_UNITS[unit or to]: int(count or 1)})
        if count:
            moment += length
        else:
            moment -= (moment - _MONDAY) % length
            moment += length - timedelta(microseconds=1) if last else timedelta()
        position = match.end()
    return moment
