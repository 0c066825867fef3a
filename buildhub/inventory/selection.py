"""The folders of the archive's bucket that are read, by product, section, version and date.

Names are compared as strings: the order of code points is that of the UTF-8 bytes, in which the
bucket lists.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from functools import lru_cache
from itertools import groupby
from operator import lt
from typing import NamedTuple

#: The sections of a product that hold published builds.
SECTIONS = ("candidates", "nightly", "releases")

#: A version is uploaded for hours, and its first file is not the first that is uploaded.
MARGIN = timedelta(days=3)

#: No name has a character that is lower: the first name behind another is that and this.
LOWEST = "\t"

#: Folders of a release, or of a candidate's build, that contain no builds.
_WITHOUT_BUILDS = re.compile(
    r"update|partner-repacks|partners|contrib|experimental|tinderbox-builds|try-builds|latest(-.*)?"
)

#: 2026-07-01-09-27-14-mozilla-central-l10n, 2010-07-04-05-comm-central, and products without a
#: tree: 2026-07-01-09-27-14-fenix-154.0a1-android-x86. Other trees' nightlies, such as those of
#: mozilla-1.9.2, are not catalogued, but for Fennec's of mozilla-esr68-android-api-16.
_NIGHTLY = re.compile(
    r"\d{4}-\d\d-\d\d-[\d-]*"
    r"(?:mozilla-central|comm-central|mozilla-esr68-android|(?!mozilla-|comm-)[a-z]+-\d+\.\d)"
)

#: How many folders below the section the names of :meth:`Section.without_builds` lie.
_DEPTHS = {"releases": 2, "candidates": 3, "nightly": 3}


def successor(prefix: str) -> str:
    """Returns the first name behind all that start with ``prefix``.

    >>> successor("pub/firefox/releases/55.0/")
    'pub/firefox/releases/55.00'
    """
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)


class Section(NamedTuple):
    """A section of a product: ``pub/firefox/releases/``."""

    product: str  #: the folder, such as ``mobile``
    name: str  #: one of :data:`SECTIONS`

    @property
    def prefix(self) -> str:
        """Returns the start of all of its names."""
        return f"pub/{self.product}/{self.name}/"

    def without_builds(self, name: str) -> str:
        """Returns the folder without builds that ``name`` is in; empty if there is none.

        >>> Section("firefox", "releases").without_builds("pub/firefox/releases/55.0/update/mac/a")
        'pub/firefox/releases/55.0/update/'
        """
        depth = _DEPTHS[self.name]
        *names, _ = name[len(self.prefix) :].split("/")
        if len(names) < depth:
            return ""
        last, nightly = names[depth - 1], self.name == "nightly"
        if _NIGHTLY.match(last) if nightly else not _WITHOUT_BUILDS.fullmatch(last):
            return ""
        return self.prefix + "/".join(names[:depth]) + "/"

    def left_out(self, name: str) -> bool:
        """Tells if ``name`` gives no row; nor does what is in no folder at all."""
        return _left_out(self, name.rpartition("/")[0] + "/")


@lru_cache(1000)  # adjacent names are in the same folder
def _left_out(section: Section, folder: str) -> bool:
    return folder == section.prefix or bool(section.without_builds(folder))


@dataclass(frozen=True)
class Selection:
    """The parts of the archive that are to be listed."""

    products: Sequence[str]  #: folders
    sections: Sequence[str] = SECTIONS
    versions: Sequence[str] = ()  #: globs, for releases and candidates; empty: all
    since: datetime | None = None
    until: datetime | None = None
    start_after: str = ""  #: raw key: names up to this one are not wanted
    matched: set[str] = field(default_factory=set)  #: globs of ``versions`` that fit so far

    def all_sections(self) -> list[Section]:
        """Returns the sections of all products in which something is wanted."""
        sections = (Section(product, name) for product in self.products for name in self.sections)
        return sorted(section for section in sections if lt(*self.bounds(section)))

    @property
    def dated(self) -> bool:
        """Tells if folders are chosen by their dates."""
        return bool(self.since or self.until)

    def wants_version(self, folder: str) -> bool:
        """Tells if one of the globs fits: ``152.*`` fits ``…/152.0b3-candidates/``.

        Not if all that is in the folder comes before ``start_after``.
        """
        version = folder[:-1].rpartition("/")[2].removesuffix("-candidates")
        found = [glob for glob in self.versions if fnmatchcase(version, glob)]
        self.matched.update(found)
        return bool(found or not self.versions) and successor(folder) > self.start_after

    def wants_created(self, created: str) -> bool:
        """Tells if a version, or build, is read whose first object is of that time."""
        moment = datetime.fromisoformat(created)
        return (self.since is None or moment + MARGIN >= self.since) and (
            self.until is None or moment <= self.until
        )

    def bounds(self, section: Section) -> tuple[str, str]:
        """Returns the names from which on, and before which, all that is wanted lies.

        Years and versions start with a digit. Nightlies are chosen by the date in their names.
        """
        prefix = section.prefix
        first, end = max(prefix + "0", self.start_after + LOWEST), prefix + ":"
        if self.since and section.name == "nightly":
            first = max(first, prefix + _day(self.since))
        if self.until and section.name == "nightly":
            day = _day(self.until)
            end = prefix + f"{day[:-2]}{self.until.day + 1:02}"
        return first, end


def _day(moment: datetime) -> str:
    """Returns the start of a day's nightlies: ``2026/07/2026-07-04``; %Y does not pad years."""
    day = moment.date().isoformat()
    return f"{day[:4]}/{day[5:7]}/{day}"


def unknown_trees(folders: Iterable[str], since: str) -> list[str]:
    """Returns the nightly folders since a date, of days when no folder is of a known tree.

    >>> unknown_trees(["2026/11/2026-11-27-09-27-14-firefox-main/"], since="2026-11-01")
    ['2026-11-27-09-27-14-firefox-main']
    """
    names = sorted(folder[:-1].rpartition("/")[2] for folder in folders)
    dated = [name for name in names if name >= since and re.match(r"\d{4}-\d\d-\d\d-", name)]
    on_days = (list(day) for _, day in groupby(dated, key=lambda name: name[:10]))
    return [name for day in on_days if not any(map(_NIGHTLY.match, day)) for name in day]


def days(month: str) -> list[str]:
    """Returns the names at which the days of a month's folder may begin.

    >>> days("pub/firefox/nightly/2026/07/")[:2]
    ['pub/firefox/nightly/2026/07/', 'pub/firefox/nightly/2026/07/2026-07-01']
    """
    year, number = month[:-1].split("/")[-2:]
    return [month, *(f"{month}{year}-{number}-{day:02}" for day in range(1, 32))]
