"""The fields of a record, and the values that a request may give for them."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

TEXT, NUMBER, DATE = "VARCHAR", "BIGINT", "TIMESTAMP"

_DATE = re.compile(
    r"(\d{4}(?:-\d\d){0,2}(?:T\d\d(?::\d\d){0,2}(?:\.\d+)?)?)(Z|[+-]\d\d:?\d\d)?", re.A
)
_NOW = re.compile(r"now(?:([+-]\d{1,6})([wdhms]))?(?:/([wdhms]))?", re.A)
_UNITS = {"w": "weeks", "d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
_EPOCH, _MONDAY = datetime(1970, 1, 1), datetime(1, 1, 1)

#: A part of a regular expression in Lucene's syntax, with its repetition.
_PART = re.compile(
    r"""
    (?: "(?P<quoted>[^"]*)" | \\(?P<escaped>[^a-zA-Z0-9]) | (?P<special>[(|).@])
      | \[(?P<members>(?!\^\])\^?(?:\\[^a-zA-Z0-9]|(?!--)[^\]\\])+)\]
      | (?P<literal>[^"\\\[\]{}~&<>\#?*+]) | (?P<unsupported>.) )
    (?P<repeat>[?*+]|\{(?P<low>[0-9]{1,4})(?:,(?P<high>[0-9]{0,4}))?\})?
    """,
    re.VERBOSE | re.DOTALL,
)
#: What is special in a class of characters in some syntaxes only, or escaped.
_MEMBER = re.compile(r"\\(.)|([\[&~|])", re.DOTALL)
#: A pattern's repetitions, multiplied (RE2's own bound), and these multiplied by its length.
_MAX_REPETITIONS, _MAX_EXPANDED = 1000, 10_000


class BadRequest(Exception):
    """A request that is wrong or uses what is not supported, and the status of the response."""

    def __init__(self, reason: str, status: int = 400) -> None:
        super().__init__(reason)
        self.reason, self.status = reason, status


class Field(NamedTuple):
    """A field of the records, which is a column of the copy."""

    name: str
    column: str  #: the name in SQL
    type: str

    def interval(self, value: object) -> tuple[Any, Any]:
        """Returns the first and last value that is meant: of dates, a missing time is any time.

        Raises :class:`BadRequest` if the field cannot have such a value.
        """
        try:
            if isinstance(value, bool | float) or not isinstance(value, int | str):
                raise ValueError
            if self.type == DATE:
                return _date(str(value), last=False), _date(str(value), last=True)
            parsed = str(value) if self.type == TEXT else int(value)
        except (ValueError, OverflowError):
            raise BadRequest(f"[{self.name}] cannot be {value!r:.100}") from None
        return parsed, parsed


#: The fields of a record by their names: all that the JSON schema of the catalogue has.
FIELDS = {
    name: Field(name, f'"{name}"', kind)
    for kind, names in {
        TEXT: "id source.product source.revision source.repository source.tree"
        " target.platform target.os target.locale target.version target.channel"
        " build.id build.as build.cc build.cxx build.ld build.host build.target"
        " download.url download.mimetype download.sha256",
        NUMBER: "last_modified schema build.number download.size",
        DATE: "build.date download.date",
    }.items()
    for name in names.split()
}


def field_of(name: object, *, text: bool = False) -> Field:
    """Returns the field of this name, a text field if ``text``. Raises :class:`BadRequest`."""
    field = FIELDS.get(name) if isinstance(name, str) else None
    if field is None or (text and field.type != TEXT):
        raise BadRequest(f"there is no {'text ' if text else ''}field [{name!r:.100}]")
    return field


def to_re2(pattern: object) -> str:
    """Translates a regular expression of Lucene to RE2's syntax, which needs linear time.

    In Lucene's a part in double quotes is literal, ``@`` is any text, ``^`` and ``$`` are plain
    characters. What RE2 does not have (``~ & # <1-9>``) is refused, and so is what versions of
    Lucene read differently (``\\d``). Raises :class:`BadRequest`.
    """
    try:
        if not isinstance(pattern, str):
            raise ValueError
        parts = list(_PART.finditer(pattern))
        repetitions = math.prod(int(part["high"] or part["low"] or 1) or 1 for part in parts)
        if repetitions > _MAX_REPETITIONS or repetitions * len(pattern) > _MAX_EXPANDED:
            raise ValueError
        translated = "".join(map(_translated, parts))
        re.compile(translated)  # what is left of the syntax is the same in Python
    except (ValueError, re.error, RecursionError):
        raise BadRequest(f"the regular expression {pattern!r:.100} is not supported") from None
    return f"(?s:{translated})"


def _translated(part: re.Match[str]) -> str:
    repeat = part["repeat"] or ""
    if part["unsupported"]:
        raise ValueError
    if part["special"]:
        return {"(": "(?:", "@": "(?:.*)"}.get(part["special"], part["special"]) + repeat
    if part["members"]:
        return f"[{_MEMBER.sub(lambda one: re.escape(one[1] or one[2]), part['members'])}]{repeat}"
    literal = part["quoted"] if part["quoted"] is not None else part["escaped"] or part["literal"]
    return f"(?:{re.escape(literal)}){repeat}"


def _date(text: str, *, last: bool) -> datetime:
    """Reads ``2018``, ``2018-01-31T10Z``, milliseconds, and ``now-1d/d``; UTC, without a zone."""
    if match := _NOW.fullmatch(text):
        return _relative(*match.groups(), last=last)
    if not (match := _DATE.fullmatch(text)):
        return _EPOCH + timedelta(milliseconds=int(text))
    missing = "0001-01-01T23:59:59.999999" if last else "0001-01-01T00:00:00.000000"
    given = match[1][: len(missing)]
    moment = datetime.fromisoformat(given + missing[len(given) :] + (match[2] or "Z"))
    return moment.astimezone(UTC).replace(tzinfo=None)


def _relative(count: str | None, unit: str, whole: str | None, *, last: bool) -> datetime:
    """Returns a moment relative to now, or the first or last moment of the unit it is in."""
    offset = timedelta(**{_UNITS[unit]: int(count)}) if count else timedelta()
    moment = datetime.now(UTC).replace(tzinfo=None) + offset
    if not whole:
        return moment
    length = timedelta(**{_UNITS[whole]: 1})
    first = moment - (moment - _MONDAY) % length
    return first + length - timedelta(microseconds=1) if last else first
