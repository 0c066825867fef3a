"""The accounts that the commands print, and whether their figures add up."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

Figures = dict[str, int]

_INVENTORY = re.compile(
    r"^inventory-to-records: (?P<rows>[\d,]+) rows, (?P<builds>[\d,]+) builds,"
    r" (?P<records>[\d,]+) records, (?:none skipped(?:, )?|skipped: )(?P<rest>.*)\.$",
    re.M,
)
_PUBLISHED = re.compile(
    r"^to-kinto: (?P<created>\d+) created, (?P<updated>\d+) updated, (?P<unchanged>\d+) unchanged,"
    r" (?P<refused>\d+) refused, (?P<failed>\d+) failed",
    re.M,
)
_EVENTS = re.compile(
    r"^s3-event-to-kinto: (?P<events>[\d,]+) events, (?P<handled>[\d,]+) handled,"
    r" (?P<ignored>[\d,]+) ignored, (?P<malformed>[\d,]+) malformed, (?P<failed>[\d,]+) failed",
    re.M,
)

#: Figures of an account that are not reasons for which builds are skipped.
_NOT_REASONS = ("bad rows", "failed", "not finished")


def of_records(stderr: str) -> Figures | None:
    """The figures of ``inventory-to-records``; None if it did not come to print them."""
    if (match := _INVENTORY.search(stderr)) is None:
        return None
    figures = {name: _number(match[name]) for name in ("rows", "builds", "records")}
    return _with_skipped(figures | dict.fromkeys(_NOT_REASONS, 0), match["rest"])


def _with_skipped(figures: Figures, text: str) -> Figures:
    """``1,204 no metadata, 3 suspicious field, 2 failed`` by name; the reasons also summed up."""
    named = {name: _number(number) for number, name in re.findall(r"([\d,]*\d) ([a-z ]+)", text)}
    skipped = sum(number for name, number in named.items() if name not in _NOT_REASONS)
    return figures | named | {"skipped": skipped}


def of_publishing(stderr: str) -> Figures | None:
    """The figures of ``to-kinto``."""
    return _figures(_PUBLISHED.search(stderr))


def of_events(stderr: str) -> Figures | None:
    """The figures of ``s3-event-to-kinto``."""
    return _figures(_EVENTS.search(stderr))


def handled(stderr: str) -> set[str]:
    """The keys that ``s3-event-to-kinto`` reports as handled or ignored."""
    return set(re.findall(r"^\S+ INFO (pub/\S.*?): (?!failed, ).+ \(\d+ ms\)\.$", stderr, re.M))


def of_load(stderr: str) -> dict[str, Figures]:
    """The figures of ``latest-inventory-to-kinto``'s table, by inventory or section."""
    lines = stderr.splitlines()
    starts = [n for n, line in enumerate(lines) if re.match("(inventory|section)  ", line)]
    if not starts:
        return {}
    names = re.split(r"\s{2,}", lines[starts[-1]].strip())
    accounts = {}
    for line in lines[starts[-1] + 1 :]:
        cells = dict(zip(names, re.split(r"\s{2,}", line.strip()), strict=False))
        if len(cells) < len(names):
            break
        skipped = cells.pop("skipped")
        name = cells.pop(names[0])
        cells.pop("seconds")
        figures = {column: _number(cell) for column, cell in cells.items()}
        accounts[name] = _with_skipped(figures, "" if skipped == "none" else skipped)
    return accounts


def problems(stderr: Mapping[str, str]) -> Iterator[str]:
    """Returns what does not add up in the summaries of commands, by the command's name."""
    for text in stderr.values():
        if figures := of_records(text):
            yield from _unbalanced("builds", figures, "records", "skipped", "failed",
                                   "not finished")  # fmt: skip
            if figures["rows"] < figures["builds"] + figures["bad rows"]:
                yield f"more builds and bad rows than rows: {figures}"
        if figures := of_events(text):
            yield from _unbalanced("events", figures, "handled", "ignored", "malformed", "failed")
        for figures in of_load(text).values():
            yield from _unbalanced("builds", figures, "created", "updated", "unchanged", "refused",
                                   "failed", "skipped", "unfinished")  # fmt: skip


def _unbalanced(total: str, figures: Figures, *parts: str) -> Iterator[str]:
    if figures[total] != sum(figures.get(part, 0) for part in parts):
        yield f"{total} are not the sum of {', '.join(parts)}: {figures}"


def _figures(match: re.Match[str] | None) -> Figures | None:
    return {name: _number(text) for name, text in match.groupdict().items()} if match else None


def _number(text: str) -> int:
    return int(text.replace(",", ""))
