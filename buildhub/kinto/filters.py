"""Conditions on records: what of them the server can filter, and the whole check.

Each condition has ``params``, Kinto's filters that leave out as much as the server can tell
apart, and ``matches``, which decides. The server may send too many records, never too few:
its comparisons depend on its storage (PostgreSQL sorts texts by its locale and ignores case
in ``like_``, the memory storage reads ``like_`` as a regular expression).
"""

from __future__ import annotations

import fnmatch
import itertools
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

#: Characters that every revision has: metadata of before 2015 has no more of it.
SHORT_REVISION = 12

#: Values that Kinto can be asked for as they are: its lists are separated by commas.
_PLAIN = re.compile(r"[A-Za-z0-9._/-]+")

#: More would make an address too long for some servers (8 KB).
_MAX_VALUES = 50


class Condition(Protocol):
    """A condition on a record."""

    @property
    def params(self) -> dict[str, str]:
        """Filters for Kinto's query; none where it cannot help."""

    @property
    def is_exact(self) -> bool:
        """Tells if the filters let pass only records that fulfil the condition."""

    def matches(self, record: Mapping[str, Any]) -> bool:
        """Tells if the record fulfils the condition."""


def value_of(record: Mapping[str, Any], field: str) -> Any:
    """Returns a field's value by its dotted name (``build.id``); None without it."""
    value: Any = record
    for name in field.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(name)
    return value


def date_of_build(record: Mapping[str, Any]) -> datetime | None:
    """Returns the moment of ``build.date``; None if there is none, or it is not a date."""
    text = value_of(record, "build.date")
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


@dataclass(frozen=True)
class OneOf:
    """The field has one of the values."""

    field: str
    values: Sequence[str]

    @property
    def params(self) -> dict[str, str]:
        if not self.is_exact:
            return {}
        # PostgreSQL has an index for the equality of any field. As a list it is compared with the
        # indexes that also sort: better where a value is frequent.
        frequent = self.field.startswith("target.") and self.field != "target.version"
        is_list = len(self.values) > 1 or frequent or self.field == "source.product"
        return {("in_" if is_list else "") + self.field: ",".join(map(quoted, self.values))}

    @property
    def is_exact(self) -> bool:
        return len(self.values) <= _MAX_VALUES and all(map(_PLAIN.fullmatch, self.values))

    def matches(self, record: Mapping[str, Any]) -> bool:
        return value_of(record, self.field) in self.values


@dataclass(frozen=True)
class Revision:
    """The revision is one of those given, or begins with one of them.

    Metadata of before 2015 has only the first :data:`SHORT_REVISION` characters: a longer one
    that begins with them is the same.
    """

    values: Sequence[str]

    @property
    def params(self) -> dict[str, str]:
        if all(len(value) == 40 for value in self.values):
            short = (value[:SHORT_REVISION] for value in self.values)
            return OneOf("source.revision", [*self.values, *short]).params
        starts = [value[:SHORT_REVISION] for value in self.values]
        # Every hexadecimal digit sorts before "g".
        return _range("source.revision", min(starts), max(starts) + "g")

    @property
    def is_exact(self) -> bool:
        if all(len(value) == 40 for value in self.values):
            return bool(self.params)
        return len(self.values) == 1 and len(self.values[0]) <= SHORT_REVISION

    def matches(self, record: Mapping[str, Any]) -> bool:
        revision = value_of(record, "source.revision")
        if not isinstance(revision, str) or len(revision) < SHORT_REVISION:
            return False
        return any(revision.startswith(v) or v.startswith(revision) for v in self.values)


@dataclass(frozen=True)
class Version:
    """The version matches one of the patterns, as the shell matches file names (``55.*``)."""

    patterns: Sequence[str]

    @property
    def params(self) -> dict[str, str]:
        if not self._has_wildcards:
            return OneOf("target.version", self.patterns).params
        plain = self.patterns[0].replace("*", "")
        if len(self.patterns) == 1 and _PLAIN.fullmatch(plain):
            return {"like_target.version": quoted(self.patterns[0])}
        return {}

    @property
    def _has_wildcards(self) -> bool:
        return any(re.search(r"[*?[]", pattern) for pattern in self.patterns)

    @property
    def is_exact(self) -> bool:
        return not self._has_wildcards and OneOf("target.version", self.patterns).is_exact

    def matches(self, record: Mapping[str, Any]) -> bool:
        version = value_of(record, "target.version")
        return isinstance(version, str) and any(
            fnmatch.fnmatchcase(version, pattern) for pattern in self.patterns
        )


@dataclass(frozen=True)
class Built:
    """The build date is ``since`` or later, and before ``until``."""

    since: datetime | None = None
    until: datetime | None = None

    @property
    def params(self) -> dict[str, str]:
        # Kinto compares texts. With a day on both sides the offset of a time zone is no matter.
        since = _day(self.since, -1) if self.since else None
        until = _day(self.until, 2) if self.until else "a"
        params = _range("build.date", since, until)
        # PostgreSQL takes any range for a fourth of all records. It can tell how many there are
        # of a year, a month or a day, and has an index for that.
        alike = itertools.takewhile(
            lambda two: two[0] == two[1], zip(since or "", until, strict=False)
        )
        start = "".join(one for one, _ in alike)
        return params | ({"like_build.date": quoted(f"{start}*")} if len(start) > 3 else {})

    is_exact = False

    def matches(self, record: Mapping[str, Any]) -> bool:
        date = date_of_build(record)
        return date is not None and _is_between(date, self.since, self.until)


@dataclass(frozen=True)
class Changed:
    """The record was stored on the server at ``since`` or later, and before ``until``."""

    since: datetime | None = None
    until: datetime | None = None

    @property
    def params(self) -> dict[str, str]:
        # Kinto rejects times of more than a day ahead. What lies ahead excludes nothing, or all.
        now = datetime.now(UTC)
        params = {}
        if self.since:
            params["min_last_modified"] = str(_milliseconds(min(self.since, now)))
        if self.until and self.until <= now:
            params["lt_last_modified"] = str(_milliseconds(self.until))
        return params

    is_exact = False  # Kinto also counts what was deleted

    def matches(self, record: Mapping[str, Any]) -> bool:
        since, until = _milliseconds(self.since), _milliseconds(self.until)
        return _is_between(record["last_modified"], since, until)


def _range(field: str, since: str | None, until: str) -> dict[str, str]:
    """Kinto's filters for texts from ``since`` to before ``until``.

    The upper limit is always there: Kinto's lower limit alone also lets pass what lacks the field,
    and PostgreSQL reads everything.
    """
    lower = {} if since is None else {f"min_{field}": quoted(since)}
    return lower | {f"lt_{field}": quoted(until)}


def _is_between(value: Any, since: Any, until: Any) -> bool:
    return (since is None or value >= since) and (until is None or value < until)


def quoted(text: str) -> str:
    """Quotes a text: digits alone would be a number to Kinto."""
    return json.dumps(text)


def _day(moment: datetime, days: int) -> str:
    """Returns the day that lies ``days`` after a moment, as ``2017-06-12``."""
    try:
        day = moment.astimezone(UTC) + timedelta(days=days)
    except OverflowError:  # the first and the last days of the calendar
        day = moment
    return day.date().isoformat()


def _milliseconds(moment: datetime | None) -> int | None:
    """Converts a moment to ``last_modified``: milliseconds since 1970, the next whole one."""
    return None if moment is None else max(0, math.ceil(moment.timestamp() * 1000))
