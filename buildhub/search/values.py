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
_MATH = re.compile(r"([+-]\d{1,6})([wdhms])|/([wdhms])", re.A)
_EPOCH = datetime(1970, 1, 1)
_MONDAY = datetime(1, 1, 1)  # ``/w`` begins on one
_UNITS = {"w": "weeks", "d": "days", "h": "hours", "m": "minutes", "s": "seconds"}

#: Characters of a regular expression; its repetitions, multiplied (RE2's own bound); and both.
_MAX_LENGTH, _MAX_REPETITIONS, _MAX_EXPANDED = 1000, 1000, 10_000

_TOKEN = re.compile(
    r"""
      "(?P<quoted>[^"]*)"
    | \\(?P<escaped>[^a-zA-Z0-9])
    | \[(?!\^\])(?P<negated>\^?)(?P<members>(?:\\[^a-zA-Z0-9]|[^\]\\])+)\]
    | (?P<repeat>[?*+] | \{(?P<low>[0-9]{1,4})(?:,(?P<high>[0-9]{0,4}))?\})
    | (?P<special>[(|).@])
    | (?P<literal>[^"\\\[\]{}~&<>\#])
    """,
    re.VERBOSE | re.DOTALL,
)
_MEMBER = re.compile(r"\\?(?P<first>.)(?:-\\?(?P<last>.))?", re.DOTALL)


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


#: The fields of a record, all that its JSON schema has, by their names.
FIELDS = {
    name: Field(name, kind)
    for kind, names in {
        TEXT: "id build.id build.as build.cc build.cxx build.ld build.host build.target"
        " source.product source.revision source.repository source.tree"
        " target.platform target.os target.locale target.version target.channel"
        " download.url download.mimetype download.sha256",
        DATE: "build.date download.date",
        NUMBER: "last_modified schema build.number download.size",
    }.items()
    for name in names.split()
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


def to_re2(pattern: object) -> str:
    """Translates a regular expression of Lucene to RE2's syntax, which needs linear time.

    In Lucene's a part in double quotes is literal, ``@`` is any text, ``^`` and ``$`` are plain
    characters. What RE2 does not have (``~ & # <1-9>``) is refused, and so is what versions of
    Lucene read differently (``\\d``). Raises :class:`BadRequest`.
    """
    if not isinstance(pattern, str) or len(pattern) > _MAX_LENGTH:
        raise BadRequest(f"a regular expression is a text of at most {_MAX_LENGTH} characters")
    position, parts, counts, atom, depth = 0, [], [len(pattern)], False, 0
    while position < len(pattern):
        match = _TOKEN.match(pattern, position)
        if not match or (match["repeat"] and not atom):
            raise BadRequest(f"regular expressions do not support {shown(pattern[position:])}")
        parts.append(_translated(match))
        counts.append(int(match["high"] or match["low"] or 1) or 1)
        depth += {"(": 1, ")": -1}.get(match[0], 0)
        atom = not match["repeat"] and match[0] not in ("(", "|")
        position = match.end() if depth >= 0 else len(pattern)
    if depth or math.prod(counts) > _MAX_EXPANDED or math.prod(counts[1:]) > _MAX_REPETITIONS:
        raise BadRequest(f"the regular expression {shown(pattern)} is too large or not complete")
    return f"(?s:{''.join(parts)})"


def _translated(match: re.Match[str]) -> str:
    if match["members"]:
        return f"[{match['negated']}{''.join(map(_range, _MEMBER.finditer(match['members'])))}]"
    if match["repeat"] and int(match["high"] or 1000) < int(match["low"] or 0):
        raise BadRequest(f"{match[0]} is no range")
    if match["repeat"] or match["special"]:
        return {"(": "(?:", "@": "(?:.*)"}.get(match[0], match[0])
    literal = match["quoted"] if match["quoted"] is not None else match["escaped"]
    return f"(?:{re.escape(literal or match['literal'] or '')})"


def _range(member: re.Match[str]) -> str:
    """Returns a member of a character class by its numbers, so that no character is special."""
    first, last = ord(member["first"]), ord(member["last"] or member["first"])
    if first > last:
        raise BadRequest(f"{member[0]} is no range")
    return f"\\x{{{first:x}}}-\\x{{{last:x}}}"
