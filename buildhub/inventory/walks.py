"""The requests of a listing: each is one page, and says which requests follow from it.

A request has a ``position``: neither its rows nor those of what follows from it come before
that name, in the order of the names. That is all which :mod:`buildhub.inventory.listing` needs
to run many at a time and still give out the rows in order.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from ..errors import Unreachable
from .bucket import Bucket, Page
from .folders import Section, midpoint, successor
from .rows import rows


class RequestResult(NamedTuple):
    """What a request has given."""

    rows: bytes  #: whole lines, in order
    follow: Sequence[Request]  #: requests for what comes behind, in any order


class Request(Protocol):
    """One request of a listing."""

    @property
    def position(self) -> str:
        """No row comes before this name."""

    async def run(self, bucket: Bucket) -> RequestResult:
        """Make the request; raises what :class:`Bucket` raises."""

    def give_up(self) -> tuple[str, Sequence[Request]]:
        """What is missing if the request can't be answered, and what still can be listed."""


@dataclass(slots=True)
class FolderListing:
    """Lists the folders in a folder; ``found`` is called with those of each page."""

    prefix: str
    found: Callable[[list[str]], Sequence[Request]]
    start: str = ""  #: the first folder wanted
    end: str = ""  #: the first one that isn't, behind it
    token: str | None = None
    last: str = ""  #: the last one found

    @property
    def position(self) -> str:
        return successor(self.last) if self.last else max(self.prefix, self.start)

    async def run(self, bucket: Bucket) -> RequestResult:
        page = await bucket.folders(self.prefix, self.start, self.end, self.token)
        self.token = page.token
        if page.folders:
            self.last = page.folders[-1]
        return RequestResult(b"", [*self.found(page.folders), *([self] if page.token else ())])

    def give_up(self) -> tuple[str, Sequence[Request]]:
        behind = f" behind {self.last}" if self.last else ""
        return f"the folders in {self.prefix}{behind}, and all that they hold", ()


@dataclass(slots=True)
class FirstObject:
    """Looks at the first object of a folder; ``found`` is called with its date of creation.

    An object that is named like the folder does not count: it may be older than the rest.
    """

    folder: str
    found: Callable[[str], Sequence[Request]]
    token: str | None = None

    @property
    def position(self) -> str:
        return self.folder

    async def run(self, bucket: Bucket) -> RequestResult:
        page = await bucket.objects(
            self.folder, self.folder, successor(self.folder), self.token, at_most=2
        )
        for item in page.items:
            if item["name"] != self.folder:
                return RequestResult(b"", self._found(item["timeCreated"]))
        self.token = page.token
        return RequestResult(b"", [self] if page.token else ())

    def _found(self, created: str) -> Sequence[Request]:
        try:
            return self.found(created)
        except (ValueError, TypeError):  # the latter: a date without a time zone
            raise Unreachable(f"an object has the invalid timeCreated {created[:40]!r}") from None

    def give_up(self) -> tuple[str, Sequence[Request]]:
        return f"{self.folder}, if it is new enough", ()


class Density:
    """How many rows the folders of a section hold; recent pages count most."""

    def __init__(self) -> None:
        self._rows = self._folders = 0.0
        self._page = 1  #: the most rows that one page had

    def add(self, rows: int, folders: int) -> None:
        """Note a page: its rows, and the folders that ended in it."""
        self._rows = self._rows * 0.9 + rows
        self._folders = self._folders * 0.9 + folders
        self._page = max(self._page, rows)

    def folders_in(self, pages: int) -> int | None:
        """How many folders fill so many pages, at least one; None as long as nothing is known."""
        if not self._rows:
            return None
        return max(1, math.ceil(pages * self._page * self._folders / self._rows))


@dataclass(slots=True)
class Walk:
    """The objects of a section from ``start`` to ``end``, one page after the other.

    Pages are full: they go across folders without builds, whose rows are left out. Only if a
    page ends in such a folder the next one starts behind it.
    """

    section: Section
    start: str  #: inclusive
    end: str  #: exclusive
    cuts: list[str]  #: where folders start between ``start`` and ``end``, in order
    density: Density
    after: str = ""  #: rows up to this name are out already, or not wanted
    token: str | None = None  #: continues a listing from ``start``
    pages: int = 0  #: read since the last division
    first: str = ""  #: the first name since then

    @property
    def position(self) -> str:
        return max(self.start, self.after)

    async def run(self, bucket: Bucket) -> RequestResult:
        page = await bucket.objects(self.section.prefix, self.start, self.end, self.token)
        names = [item["name"] for item in page.items]
        parts = list(self._wanted(names))
        try:
            lines = [rows(bucket.name, names[i:j], page.items[i:j]) for i, j in parts]
        except (ValueError, TypeError):  # sizes and dates were checked
            raise Unreachable("an object has an invalid md5Hash") from None
        goes_on = self._advance(names, page)
        passed = bisect_right(self.cuts, self.position)
        self.density.add(sum(j - i for i, j in parts), passed if goes_on else len(self.cuts) + 1)
        del self.cuts[:passed]
        return RequestResult(b"".join(lines), [self] if goes_on else ())

    def _wanted(self, names: Sequence[str]) -> Iterator[tuple[int, int]]:
        """The parts of a page that are behind ``after``, and not in folders without builds."""
        begin = i = bisect_right(names, self.after)
        while i < len(names):
            folder = self.section.folder_of(names[i])
            j = bisect_left(names, successor(folder), i) if folder else i + 1
            if self.section.left_out(names[i], folder):
                if begin < i:
                    yield begin, i
                begin = j
            i = j
        if begin < len(names):
            yield begin, len(names)

    def _advance(self, names: Sequence[str], page: Page) -> bool:
        """Go to the next page; whether there is one."""
        self.token = page.token
        if page.token is None:
            return False
        if names:
            self.pages += 1
            self.first = self.first or names[0]
            self.after = max(self.after, names[-1])
            folder = self.section.folder_of(names[-1])
            if folder and self.section.without_builds(folder):
                self.start, self.token = successor(folder), None
        return self.start < self.end

    def division(self) -> str | None:
        """Where the walk can be divided in halves, more or less."""
        if self.cuts:
            return self.cuts[len(self.cuts) // 2]
        return midpoint(self.first, self.after, self.end) if self.first else None

    def divide(self, at: str) -> Walk:
        """Stop at ``at``, which lies between position and end; the walk of what is behind it."""
        index = bisect_left(self.cuts, at)
        rest = Walk(self.section, at, self.end, self.cuts[index:], self.density)
        if rest.cuts and rest.cuts[0] == at:
            del rest.cuts[0]
        # A token is good for the same listing only: go on from the last name instead.
        self.start, self.token = self.position, None
        self.end, self.pages, self.first = at, 0, ""
        del self.cuts[index:]
        return rest

    def give_up(self) -> tuple[str, Sequence[Request]]:
        """Go on with the next folder: where the page behind this one starts is not known."""
        missing_to = self.cuts[0] if self.cuts else self.end
        rest = [self.divide(missing_to)] if self.cuts else []
        return f"the objects from {self.position} to {missing_to}", rest
