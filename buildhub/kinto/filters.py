"""Conditions on records: what of them the server can filter, and the whole check.

Each condition has ``params``, Kinto's filters that leave out as much as the server can tell
apart, and ``matches``, which decides. The server may send too many records, never too few:
its comparisons depend on its storage (PostgreSQL sorts texts by its locale and ignores case
in ``like_``, the memory storage reads ``like_`` as a regular expression).
"""

from __future__ import annotations

import fnmatch
import json
import math
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

#: Characters of a revision that are enough to find it.
MIN_REVISION = 12

#: Values that Kinto can be asked for as they are: its lists are separated by commas.
_PLAIN = re.compile(r"[A-Za-z0-9._/-]+")

#: More would make an address too long for some servers (8 KB).
_MAX_VALUES = 50


class Condition(Protocol):
    """A condition on a record."""

    @property
    def params(self) -> dict[str, str]:
        """Filters for Kinto's query; none where it cannot help."""

    def matches(self, record: Mapping[str, Any]) -> bool:
        """Whether the record fulfils the condition."""


def value_of(record: Mapping[str, Any], field: str) -> Any:
    """The value of a field by its dotted name (``build.id``); None if the record lacks it."""
    value: Any = record
    for name in field.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(name)
    return value


def date_of_build(record: Mapping[str, Any]) -> datetime | None:
    """The moment of ``build.date``; None if the record has none, or one that is not a date."""
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
        if len(self.values) > _MAX_VALUES or not all(map(_PLAIN.fullmatch, self.values)):
            return {}
        prefix = "" if len(self.values) == 1 else "in_"
        return {prefix + self.field: ",".join(map(quoted, self.values))}

    def matches(self, record: Mapping[str, Any]) -> bool:
        return value_of(record, self.field) in self.values


@dataclass(frozen=True)
class Revision:
    """The revision is one of those given, which may be cut after :data:`MIN_REVISION` characters.

    Metadata of before 2015 has only the first twelve characters of the revision: a longer one
    that begins with them is the same.
    """

    values: Sequence[str]

    @property
    def params(self) -> dict[str, str]:
        if len(self.values) != 1:
            return {}
        start = self.values[0][:MIN_REVISION]
        # Every hexadecimal digit sorts before "g".
        return {"min_source.revision": quoted(start), "lt_source.revision": quoted(start + "g")}

    def matches(self, record: Mapping[str, Any]) -> bool:
        revision = value_of(record, "source.revision")
        if not isinstance(revision, str) or len(revision) < MIN_REVISION:
            return False
        return any(revision.startswith(v) or v.startswith(revision) for v in self.values)


@dataclass(frozen=True)
class Version:
    """The version matches one of the patterns, as the shell matches file names (``55.*``)."""

    patterns: Sequence[str]

    @property
    def params(self) -> dict[str, str]:
        if not any(re.search(r"[*?[]", pattern) for pattern in self.patterns):
            return OneOf("target.version", self.patterns).params
        plain = self.patterns[0].replace("*", "")
        if len(self.patterns) == 1 and _PLAIN.fullmatch(plain):
            return {"like_target.version": quoted(self.patterns[0])}
        return {}

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
        return _limits(
            "build.date",
            self.since and quoted(_day(self.since, -1)),
            self.until and quoted(_day(self.until, 2)),
        )

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
        # Kinto rejects times that are far ahead of its clock: nothing need be there to be found.
        since, until, now = _milliseconds(self.since), _milliseconds(self.until), _now()
        return _limits(
            "last_modified",
            None if since is None else min(since, now),
            until if until is not None and until <= now else None,
        )

    def matches(self, record: Mapping[str, Any]) -> bool:
        since, until = _milliseconds(self.since), _milliseconds(self.until)
        return _is_between(record["last_modified"], since, until)


def _limits(field: str, since: object, until: object) -> dict[str, str]:
    """Kinto's filters for values from ``since`` to before ``until``; None: no limit."""
    limits = {f"min_{field}": since, f"lt_{field}": until}
    return {name: str(value) for name, value in limits.items() if value is not None}


def _is_between(value: Any, since: Any, until: Any) -> bool:
    """Whether a value is ``since`` or later, and before ``until``; None: no limit."""
    return (since is None or value >= since) and (until is None or value < until)


def quoted(text: str) -> str:
    """A text as Kinto takes it for one: digits alone would be a number to it."""
    return json.dumps(text)


def _day(moment: datetime, days: int) -> str:
    """The day that lies ``days`` after a moment, as ``2017-06-12``."""
    try:
        day = moment.astimezone(UTC) + timedelta(days=days)
    except OverflowError:  # the first and the last days of the calendar
        day = moment
    return day.date().isoformat()


def _now() -> int:
    return int(time.time() * 1000)


def _milliseconds(moment: datetime | None) -> int | None:
    """A moment as ``last_modified`` has it: milliseconds since 1970, the next whole one."""
    return None if moment is None else max(0, math.ceil(moment.timestamp() * 1000))
