"""The archive's own bucket → inventory rows: many requests at a time, the rows in order.

The plan is a list of steps and rows in the order of names. What follows from a step takes its
place; free connections take the first steps that are not under way; rows leave at the head.

A section is read as ranges of names. Before a range's next page is requested, a part of some pages
is taken off it, which ends where a folder does. While connections are idle, parts are smaller, and
the folders in a large folder are listed, to end parts there.
"""

from __future__ import annotations

import asyncio
import re
from bisect import bisect_right
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from functools import partial
from itertools import chain, compress, filterfalse, groupby, islice
from typing import Any, TypeAlias

from ..errors import Unreachable
from .gcs import ROUNDS, Bucket, Page, rows
from .selection import LOWEST, Section, Selection, days, successor

#: Pages of a part, about, and half as many while connections are idle: fewer cost requests (the
#: last page is not full), more cost time (a part's pages are requested one after the other).
PAGES = 10

#: Bytes of rows that may wait for rows before them.
MOST_WAITING = 32 << 20

#: Where names are cut. Dots are those of a flat folder's files: ``firefox-56.0a1.ach.mac.dmg``.
_SEPARATOR = re.compile(r"/|\.(?=[^\d/][^/]*$)")

Step: TypeAlias = "Range | Callable[[], Coroutine[Any, Any, Found]]"
Found: TypeAlias = "list[Step | bytes]"


@dataclass
class BucketListing:
    """Lists what ``selection`` names.

    ``jobs`` requests run at the same time. ``on_error`` is called with a sentence for each page
    that stays unreadable; what is behind it is listed nevertheless.
    """

    bucket: Bucket
    selection: Selection
    _: KW_ONLY
    jobs: int
    on_error: Callable[[str], None]
    failed: int = 0  #: requests that stayed without a response
    bad: int = 0  #: objects that can't be rows

    def __post_init__(self) -> None:
        self._running: dict[asyncio.Task[Found], Step] = {}
        self._plan: Found = [
            partial(self._ranges, one, Folder(one.prefix)) for one in self.selection.all_sections()
        ]

    async def blocks(self) -> AsyncGenerator[bytes, None]:
        """Yields the rows, whole lines, in order. Raises :class:`Fatal` if it can't be listed."""
        try:
            while self._plan:
                self._start()
                done, _ = await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    number = self._plan.index(self._running.pop(task))
                    self._plan[number : number + 1] = task.result()
                while self._plan and isinstance(block := self._plan[0], bytes):
                    del self._plan[0]
                    yield block
        finally:
            for task in self._running:
                task.cancel()
            await asyncio.gather(*self._running, return_exceptions=True)

    def _start(self) -> None:
        """Starts the first steps that are not under way; makes more for idle connections."""
        free = self.jobs - len(self._running)
        steps = list(islice(self._startable(), free))
        if len(steps) < free:
            steps = list(islice(self._startable(idle=True), free))
        for step in steps:
            run = self._next_page(step) if isinstance(step, Range) else step()
            self._running[asyncio.create_task(run)] = step

    def _startable(self, *, idle: bool = False) -> Iterator[Step]:
        """Yields steps to start, in order, unless too many rows before them wait already."""
        waiting = 0
        for number, step in enumerate(self._plan):  # it may grow behind the step
            if isinstance(step, bytes):
                waiting += len(step)
            elif waiting > MOST_WAITING:
                return
            elif step not in self._running.values():
                parts = step.parts(idle=idle) if isinstance(step, Range) else [step]
                self._plan[number : number + 1] = parts
                yield parts[0]

    async def _ranges(self, section: Section, known: Folder, start: str = "") -> Found:
        """Lists a section's folders, years or versions, and finds the ranges that are wanted."""
        first, end = self.selection.bounds(section)
        nightly = section.name == "nightly"
        start = start or (first[: len(section.prefix) + len("2026")] if nightly else "")
        names = r"\d{4}" if nightly else r".*"
        page = await self._folders(names, section.prefix, start, end)
        found: Found = []
        for adjacent in filter(None, await self._adjacent(section, page.folders)):
            begin, behind = max(adjacent[0], first), min(successor(adjacent[-1]), end)
            known.cuts += chain(*map(days, adjacent)) if nightly else adjacent
            found += [Range(section, begin, behind, known)] if begin < behind else []
        return [*found, partial(self._ranges, section, known, page.next)] if page.next else found

    async def _adjacent(self, section: Section, folders: list[str]) -> list[list[str]]:
        """Returns the wanted folders, those together between which there are no others."""
        if section.name == "nightly":
            return await asyncio.gather(*map(partial(self._inside, r"\d\d"), folders))
        groups = groupby(folders, self.selection.wants_version)
        wanted = [[*group] for is_wanted, group in groups if is_wanted]
        if not self.selection.dated:
            return wanted
        folders = [*chain(*wanted)]
        if section.name == "candidates":
            builds = map(partial(self._inside, r"build\d+"), folders)
            folders = [*chain(*await asyncio.gather(*builds))]
        new = await asyncio.gather(*map(self._is_new, folders))
        return [[folder] for folder in compress(folders, new)]

    async def _inside(self, names: str, prefix: str, start: str = "") -> list[str]:
        page = await self._folders(names, prefix, start)
        return page.folders + (await self._inside(names, prefix, page.next) if page.next else [])

    async def _folders(self, names: str, prefix: str, start: str, end: str = "") -> Page:
        """Returns the next folders with such names in a folder; none if they can't be listed."""
        try:
            page = await self.bucket.page(prefix, start or prefix + "0", end, delimiter="/")
        except Unreachable as error:
            behind = f" from {start.strip()} on" if start else ""
            self._not_listed(f"the folders in {prefix}{behind}, and all that they hold", error)
            return Page([], [], "")
        wanted = re.compile(f"{re.escape(prefix)}{names}/").fullmatch
        return page._replace(folders=[*filter(wanted, page.folders)])

    async def _is_new(self, folder: str) -> bool:
        """Looks at a folder's first object, but for one with its name: that may be older."""
        try:
            page = await self.bucket.page(folder, folder + LOWEST, successor(folder), at_most=1)
            dates = [item["timeCreated"] for item in page.items]
            return bool(page.bad) or any(map(self.selection.wants_created, dates))
        except (Unreachable, ValueError, TypeError):
            return True  # listing it says what is missing

    async def _next_page(self, part: Range) -> Found:
        """Returns the rows of a range's next page, or notes its folders, and what is left."""
        prefix = part.known.prefix if part.delimiter else part.section.prefix
        try:
            page = await self.bucket.page(prefix, part.start, part.end, delimiter=part.delimiter)
        except Unreachable as error:
            if part.delimiter:
                return [replace(part, delimiter="")]
            lost, *rest = part.split()  # where the next page starts is not known
            self._not_listed(f"the objects from {lost.start.strip()} to {lost.end}", error)
            return [*rest]
        if part.delimiter:
            part.known.cuts += page.folders
            return [*part.split(page.next)] if page.next else [replace(part, delimiter="")]
        items = [item for item in page.items if not part.section.left_out(item["name"])]
        for name in filterfalse(part.section.left_out, page.bad):
            self.bad += 1
            self.on_error(f"Not listed: {name}: its size, date or checksum is not valid.")
        return [*filter(None, [rows(self.bucket.name, items)]), *part.behind(page)]

    def _not_listed(self, missing: str, error: Unreachable) -> None:
        self.failed += 1
        self.on_error(f"Not listed: {missing}: {str(error).rstrip('.')}, {ROUNDS} times in a row.")


@dataclass(slots=True)
class Folder:
    """A folder whose folders are known, and how many pages these fill; the last count most."""

    prefix: str
    cuts: list[str] = field(default_factory=list)  #: the folders, in order
    pages: float = 0
    ended: float = 0  #: folders that ended in these pages


@dataclass(slots=True, eq=False)
class Range:
    """The objects of a section from ``start`` to ``end``, one page after the other.

    Pages are full: they go across folders without builds, whose rows are left out. Only if a
    page ends in such a folder the next one starts behind it.
    """

    section: Section
    start: str  #: inclusive
    end: str  #: exclusive
    known: Folder
    names: Sequence[str] = ()  #: of the last page
    pages: int = 0  #: since a folder ended
    delimiter: str = ""  #: lists the folders, to cut at them, instead of the objects

    def _ahead(self, count: int) -> list[str]:
        """Returns the next folders, not more than ``count``."""
        first = bisect_right(self.known.cuts, self.start)
        return [cut for cut in self.known.cuts[first : first + count] if cut < self.end]

    def behind(self, page: Page) -> list[Range]:
        """Returns what is behind a page, and counts the folders that ended in the page."""
        known, begun = self.known, bisect_right(self.known.cuts, self.start)
        self.names, self.start = [item["name"] for item in page.items], page.next or self.end
        if page.next and (skipped := self.section.without_builds(page.next)):
            self.names, self.start = (), successor(skipped)
        ended = bisect_right(known.cuts, self.start) - begun
        self.pages = 0 if ended else self.pages + 1
        known.pages, known.ended = known.pages * 0.98 + 1, known.ended * 0.98 + ended
        return [self] if self.start < self.end else []

    def parts(self, *, idle: bool) -> list[Range]:
        """Returns the ranges to replace it: the first is to be started."""
        pages, known = PAGES // 2 if idle else PAGES, self.known
        folders = max(1, round(pages * known.ended / (known.pages or 1)))
        if known.pages and len(ahead := self._ahead(folders)) == folders:
            return self.split(ahead[-1])
        # The folder has filled a part, or twice the pages of others.
        large = self.pages * known.ended >= min(pages * known.ended, 2 * known.pages)
        return self._divided() if idle and self.names and large else [self]

    def _divided(self) -> list[Range]:
        """Has the folders, if few, in the outermost one that holds the last page listed first."""
        first, until = self.names[0], [*self._ahead(1), self.end][0]
        for match in _SEPARATOR.finditer(first):
            prefix, sign = first[: match.end()], match[0]
            folders = {name[: name.find(sign, len(prefix)) + 1] for name in self.names}
            few = "" not in folders and len(folders) * 4 <= len(self.names)
            new = successor(prefix) <= until and not self.known.prefix.startswith(prefix)
            if few and new and self.names[-1].startswith(prefix):
                part, *rest = self.split()
                part.known, part.delimiter = Folder(prefix, [], 1, len(folders) - 1), sign
                return [part, *rest]
        return [self]

    def split(self, at: str = "") -> list[Range]:
        """Returns what is before a name, or its first folder, and the rest if there is one."""
        at = at or [*self._ahead(1), self.end][0]
        part = replace(self, end=at, delimiter="")
        self.start, self.names, self.pages = at, (), 0
        return [part, self] if at < self.end else [part]
