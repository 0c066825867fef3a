"""Dates of requests: ``2018``, ``2018-01-31T10:00Z``, milliseconds, and ``now-1d/d``.

A date that is not complete stands for all moments from the first to the last one that it fits, as
Elasticsearch reads it: a missing time is any time of the day, a missing month is January. Dates are
UTC and without a time zone, as the engine has them.
"""

from __future__ import annotations

import calendar
import re
from datetime import UTC, datetime, timedelta

_DATE = re.compile(
    r"""(?P<year>\d{4}) (?:-(?P<month>\d\d) (?:-(?P<day>\d\d)
        (?:T(?P<hour>\d\d) (?::(?P<minute>\d\d) (?::(?P<second>\d\d) (?:\.(?P<fraction>\d{1,9}))?
        )?)? (?P<zone>Z|[+-]\d\d:?\d\d)? )?)?)?""",
    re.VERBOSE | re.ASCII,
)
_MATH = re.compile(r"(?P<sign>[+-])(?P<count>\d{1,6})(?P<unit>[yMwdhHms])|/(?P<to>[yMwdhHms])")
_EPOCH = datetime(1970, 1, 1)
_UNITS = {
    "w": timedelta(weeks=1),
    "d": timedelta(days=1),
    "h": timedelta(hours=1),
    "H": timedelta(hours=1),
    "m": timedelta(minutes=1),
    "s": timedelta(seconds=1),
}
_INSTANT = timedelta(microseconds=1)


def interval(text: str, now: datetime | None = None) -> tuple[datetime, datetime]:
    """Returns the first and the last moment of a date. Raises ValueError or OverflowError."""
    if text.startswith("now"):
        now = now or datetime.now(UTC).replace(tzinfo=None)
        return _calculate(text[3:], now, up=False), _calculate(text[3:], now, up=True)
    if match := _DATE.fullmatch(text):
        return _moment(match, up=False), _moment(match, up=True)
    moment = _EPOCH + timedelta(milliseconds=int(text))
    return moment, moment


def milliseconds(moment: datetime) -> int:
    """Returns the milliseconds since 1970."""
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def _moment(match: re.Match[str], *, up: bool) -> datetime:
    parts = match.groupdict()
    hour, minute, second = (
        int(parts[name] or (last if up else 0))
        for name, last in (("hour", 23), ("minute", 59), ("second", 59))
    )
    fraction = (parts["fraction"] or ("999999" if up else "0")).ljust(6, "0")[:6]
    month, day = int(parts["month"] or 1), int(parts["day"] or 1)
    moment = datetime(int(parts["year"]), month, day, hour, minute, second, int(fraction))
    if (zone := parts["zone"]) and zone != "Z":
        offset = timedelta(hours=int(zone[1:3]), minutes=int(zone[-2:]))
        moment -= offset if zone[0] == "+" else -offset
    return moment


def _calculate(text: str, moment: datetime, *, up: bool) -> datetime:
    """Applies date math, such as ``-1d/d``, in which ``/`` rounds down, or up to the last moment."""
    position = 0
    while position < len(text):
        match = _MATH.match(text, position)
        if not match:
            raise ValueError("no date math")
        if unit := match["to"]:
            start = _start(moment, unit)
            moment = _add(start, unit, 1) - _INSTANT if up else start
        else:
            moment = _add(moment, match["unit"], int(match["sign"] + match["count"]))
        position = match.end()
    return moment


def _add(moment: datetime, unit: str, count: int) -> datetime:
    if unit in _UNITS:
        return moment + count * _UNITS[unit]
    year, month = divmod(moment.year * 12 + moment.month - 1 + count * (12 if unit == "y" else 1), 12)
    if not 1 <= year <= 9999:
        raise ValueError("no such year")
    day = min(moment.day, calendar.monthrange(year, month + 1)[1])
    return moment.replace(year=year, month=month + 1, day=day)


def _start(moment: datetime, unit: str) -> datetime:
    """Returns the start of the year, month, week … that a moment is in."""
    day = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    if unit == "y":
        return day.replace(month=1, day=1)
    if unit == "M":
        return day.replace(day=1)
    if unit == "w":
        return day - timedelta(days=day.weekday())
    return moment - (moment - day) % _UNITS[unit]
