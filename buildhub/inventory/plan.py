"""The first requests of a listing, and what follows from the folders that they find.

Without dates a section is one walk from its first folder to its last, whose folders say where it
can be divided. With dates each version, or build, is looked at first.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from itertools import groupby

from .folders import Section, Selection, days, successor
from .walks import Density, FirstObject, FolderListing, Request, Walk

_YEAR = re.compile(r"\d{4}")
_MONTH = re.compile(r"\d\d")
_BUILD = re.compile(r"build\d+")


def requests(selection: Selection) -> list[Request]:
    """The requests to begin with: one for each section of each product."""
    return [_Plan(selection, section).first() for section in selection.all_sections()]


def _named(folders: Sequence[str], pattern: re.Pattern[str]) -> list[str]:
    """The folders whose own name fits."""
    return [folder for folder in folders if pattern.fullmatch(folder[:-1].rpartition("/")[2])]


def _folder(name: str) -> str:
    """The folder that a name lies in."""
    return name.rpartition("/")[0] + "/"


class _Plan:
    """The requests of one section."""

    def __init__(self, selection: Selection, section: Section) -> None:
        self._selection = selection
        self._section = section
        self._density = Density()

    def first(self) -> Request:
        """List the section's folders: years, or versions, all of which start with a digit."""
        prefix = self._section.prefix
        if self._section.name == "nightly":
            return FolderListing(prefix, self._years, prefix + "1", prefix + "3")
        return FolderListing(prefix, self._versions, prefix + "0", prefix + ":")

    def _versions(self, folders: list[str]) -> Sequence[Request]:
        wanted = [folder for folder in folders if self._selection.wants_version(folder)]
        wanted = [folder for folder in wanted if self._selection.reaches(folder)]
        if not self._selection.dated:
            return self._walks_over(folders, frozenset(wanted))
        if self._section.name == "candidates":
            return [FolderListing(folder, self._if_new) for folder in wanted]
        return self._if_new(wanted)

    def _walks_over(self, folders: list[str], wanted: frozenset[str]) -> list[Request]:
        """One walk for all folders between which there is none that isn't wanted."""
        walks = []
        for is_wanted, group in groupby(folders, wanted.__contains__):
            if is_wanted:
                names = list(group)
                walks += self._walk(names[0], successor(names[-1]), names)
        return walks

    def _if_new(self, folders: list[str]) -> Sequence[Request]:
        """Look at the dates of versions, or of the builds of a candidate."""
        if self._section.name == "candidates":
            folders = _named(folders, _BUILD)
        return [
            FirstObject(folder, partial(self._if_created, folder))
            for folder in folders
            if self._selection.reaches(folder)
        ]

    def _if_created(self, folder: str, created: str) -> Sequence[Request]:
        wanted = self._selection.wants_created(created)
        return self._walk(folder, successor(folder)) if wanted else ()

    def _years(self, folders: list[str]) -> Sequence[Request]:
        first_month = _folder(self._selection.first_day(self._section))
        last_month = _folder(self._selection.last_day(self._section))
        begin, end = first_month, successor(last_month)
        return [
            FolderListing(year, self._months, max(year, begin), min(successor(year), end))
            for year in _named(folders, _YEAR)
            if begin < successor(year) and year < end and self._selection.reaches(year)
        ]

    def _months(self, folders: list[str]) -> Sequence[Request]:
        if not (months := _named(folders, _MONTH)):
            return ()
        begin = max(months[0], self._selection.first_day(self._section))
        end = min(successor(months[-1]), self._selection.last_day(self._section))
        return self._walk(begin, end, [day for month in months for day in days(month)])

    def _walk(self, begin: str, end: str, folders: Sequence[str] = ()) -> list[Request]:
        """The walk from ``begin`` to ``end``, or what is left of it behind ``start_after``."""
        after = self._selection.start_after
        start = max(begin, after)
        if start >= end:
            return []
        cuts = [folder for folder in folders if start < folder < end]
        return [Walk(self._section, start, end, cuts, self._density, after)]
