"""The archive's own bucket → inventory rows: many requests at a time, the rows in order.

The plan is a list of steps and rows in the order of names. A step is one request; what follows
from its response takes its place. Free connections take the first steps that are not under way,
and rows leave the plan at its head.

Without dates a section is one range from its first folder to its last. With dates each version, or
build, is looked at first. Before a range's next page is requested, a part of some pages is taken
off it, which ends where a folder does. While connections are idle, parts are smaller, and the
folders in a large folder are listed, to end parts there.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import re
from bisect import bisect_left, bisect_right
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, islice
from typing import NamedTuple, TypeAlias

from ..errors import Unreachable
from ..retries import Retry
from .gcs import Bucket, Next, Page, rows
from .selection import Section, Selection, days, successor

#: Pages of a part, about, and half as many while connections are idle: fewer cost requests (the
#: last page is not full), more cost time (a part's pages are requested one after the other).
PAGES = 10

#: Bytes of rows that may wait for rows before them.
MOST_WAITING = 32 << 20

#: A page is a thousand rows: so often it is tried as often as the settings say.
ROUNDS = 3

#: Where names are cut. Dots are those of a flat folder's files: ``firefox-56.0a1.ach.mac.dmg``.
_SEPARATOR = re.compile(r"/|\.(?=[^\d/][^/]*$)")

#: One request of a listing, the next of several for a :class:`Range`.
Step: TypeAlias = "Request | Range"


class Found(NamedTuple):
    """The rows and steps that a step has found."""

    rows: bytes  #: whole lines
    follow: Sequence[Step]  #: the steps for what is behind the rows, in order
    bad: Sequence[str] = ()  #: names of objects that can't be rows


@dataclass(slots=True, eq=False)
class Request:
    """A request for what is needed before objects can be listed."""

    run: Callable[[Bucket], Awaitable[Found]]
    missing: str  #: what is not listed if there is no response
    rest: Sequence[Step] = ()  #: the steps for what still can be listed then

    def give_up(self) -> tuple[str, Sequence[Step]]:
        """Names what is not listed; returns the steps for what still can be, too."""
        return self.missing, self.rest


class BucketListing:
    """Lists what ``selection`` names.

    ``jobs`` requests run at the same time. ``on_error`` is called with a sentence for each page
    that stays unreadable; what is behind it is listed nevertheless.
    """

    def __init__(
        self, bucket: Bucket, selection: Selection, *, jobs: int, on_error: Callable[[str], None]
    ) -> None:
        self.failed = 0  #: requests that stayed without a response
        self.bad = 0  #: objects that can't be rows
        self._bucket = bucket
        self._jobs = jobs
        self._on_error = on_error
        self._rounds = Retry(ROUNDS, errors=Unreachable, first_pause=0)
        self._plan: list[Step | bytes] = [
            _SectionPlan(selection, one, Folder(one.prefix)).first_step()
            for one in selection.all_sections()
        ]
        self._running: dict[Step, asyncio.Task[Found]] = {}

    async def blocks(self) -> AsyncGenerator[bytes, None]:
        """Yields the rows, whole lines, as soon as all before them were given out.

        Raises :class:`Fatal` if the bucket can't be listed. What is under way is given up when
        the iterator is closed.
        """
        try:
            while self._plan:
                self._start()
                running = self._running.values()
                await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for step in [step for step, task in self._running.items() if task.done()]:
                    self._take(step, self._running.pop(step).result())
                while self._plan and isinstance(block := self._plan[0], bytes):
                    del self._plan[0]
                    yield block
        finally:
            for task in self._running.values():
                task.cancel()
            await asyncio.gather(*self._running.values(), return_exceptions=True)

    def _start(self) -> None:
        """Starts the first steps that are not under way; makes more for idle connections."""
        free = self._jobs - len(self._running)
        steps = list(islice(self._startable(), free))
        if len(steps) < free:
            steps = list(islice(self._startable(idle=True), free))
        for step in steps:
            self._running[step] = asyncio.create_task(self._run(step))

    def _startable(self, *, idle: bool = False) -> Iterator[Step]:
        """Yields steps to start, in order, unless too many rows before them wait already."""
        waiting = 0
        for number, step in enumerate(self._plan):  # it may grow behind the step
            if isinstance(step, bytes):
                waiting += len(step)
            elif waiting > MOST_WAITING:
                return
            elif step not in self._running:
                steps = step.parts(idle=idle) if isinstance(step, Range) else [step]
                self._plan[number : number + 1] = steps
                yield steps[0]

    async def _run(self, step: Step) -> Found:
        try:
            return await self._rounds.call_async(lambda: step.run(self._bucket))
        except Unreachable as error:
            missing, follow = step.give_up()
            if missing:
                self.failed += 1
                problem = str(error).rstrip(".")
                self._on_error(f"Not listed: {missing}: {problem}, {ROUNDS} times in a row.")
            return Found(b"", follow)

    def _take(self, step: Step, found: Found) -> None:
        """Puts what a step has found into its place."""
        self.bad += len(found.bad)
        for name in found.bad:
            self._on_error(f"Not listed: {name}: its size, date or checksum is not valid.")
        number = self._plan.index(step)
        self._plan[number : number + 1] = [*filter(None, [found.rows]), *found.follow]


@dataclass(slots=True)
class Folder:
    """A folder whose folders are known, and how many pages these fill; the last count most."""

    prefix: str
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
    folder: Folder
    cuts: Sequence[str] = ()  #: its folders behind ``start``, in order
    after: str = ""  #: rows up to this name are out already, or not wanted
    token: Next | None = None  #: continues a listing from ``start``
    names: Sequence[str] = ()  #: of the last page
    pages: int = 0  #: so far, since one of the folders ended

    @property
    def position(self) -> str:
        """Returns the name before which no row comes."""
        return self.after or self.start

    async def run(self, bucket: Bucket) -> Found:
        """Reads a page."""
        page = await bucket.page(self.section.prefix, self.start, self.end, self.token)
        names = [item["name"] for item in page.items]
        items = [item for part in self._wanted(names) for item in page.items[part]]
        bad = [name for part in self._wanted(page.bad) for name in page.bad[part]]
        goes_on = self._advance(names, page.token)
        ended = bisect_right(self.cuts, self.position) if goes_on else len(self.cuts) + 1
        self.cuts = self.cuts[ended:]
        self.pages = 0 if ended else self.pages + bool(names)
        if names or ended:
            self.folder.pages = self.folder.pages * 0.98 + 1
            self.folder.ended = self.folder.ended * 0.98 + ended
        return Found(rows(bucket.name, items), [self] if goes_on else (), bad)

    def _wanted(self, names: Sequence[str]) -> Iterator[slice]:
        """Yields the parts of a page that are behind ``after`` and in folders with builds."""
        i = bisect_right(names, self.after)
        while i < len(names):
            folder = self.section.folder_of(names[i])
            j = bisect_left(names, successor(folder), i) if folder else i + 1
            if not self.section.left_out(names[i], folder):
                yield slice(i, j)
            i = j

    def _advance(self, names: Sequence[str], token: Next | None) -> bool:
        """Goes to the next page; tells if there is one."""
        self.token = token
        if names and token:
            self.names, self.after = names, names[-1]
            folder = self.section.folder_of(names[-1])
            if folder and self.section.without_builds(folder):
                self.start, self.after, self.token, self.names = successor(folder), "", None, ()
        return token is not None and self.start < self.end

    def parts(self, *, idle: bool) -> list[Step]:
        """Returns the steps to replace it: a part and the rest, or a list of folders to cut at.

        A folder is large if it has filled a part, or twice the pages that the others fill.
        """
        pages, known = PAGES // 2 if idle else PAGES, self.folder
        if known.pages:
            folders = math.ceil(pages * known.ended / known.pages) or 1
            if folders <= len(self.cuts):
                return [self._split(folders - 1), self]
        large = self.pages >= min(pages, 2 * known.pages / known.ended) if known.ended else True
        return self._divided() if idle and self.names and large else [self]

    def _divided(self) -> list[Step]:
        """Lists the folders in the outermost one that holds the whole last page.

        Not if it is known already, or a list of them would be as long as one of the objects.
        """
        until = [*self.cuts[:1], self.end][0]
        for match in _SEPARATOR.finditer(self.names[0]):
            prefix, sign = self.names[0][: match.end()], match[0]
            known = self.folder.prefix.startswith(prefix) or successor(prefix) > until
            folders = {name[: name.find(sign, len(prefix)) + 1] for name in self.names}
            few = "" not in folders and len(folders) * 4 <= len(self.names)
            if few and not known and self.names[-1].startswith(prefix):
                break
        else:
            return [self]
        part, *rest = [self._split(0), self] if self.cuts else [self]
        if rest:
            part.end = self.start = successor(prefix)
        part.folder = Folder(prefix, 1, len(folders) - 1)
        start, end = part.position, part.end
        return [_folders(prefix, part.cut, start, end, None, sign, [part]), *rest]

    def cut(self, page: Page) -> list[Step]:
        """Notes the folders of a page; if there are more, returns the part that ends with it."""
        self.cuts = [cut for cut in page.folders if self.position < cut < self.end]
        return [self._split(len(self.cuts) - 1)] if self.cuts and page.token else []

    def _split(self, number: int) -> Range:
        """Takes off what is before one of the cuts, and returns it."""
        at, behind = self.cuts[number], self.cuts[number + 1 :]
        # A token is good for the same listing only: go on from the last name instead.
        part = replace(self, start=self.position, end=at, cuts=self.cuts[:number], token=None)
        self.start, self.after, self.cuts = at, "", behind
        self.token, self.names, self.pages = None, (), 0
        return part

    def give_up(self) -> tuple[str, Sequence[Step]]:
        """Goes on with the next folder: where the page behind this one starts is not known."""
        lost = self._split(0) if self.cuts else self
        missing = f"the objects from {lost.position} to {lost.end}"
        return missing, () if lost is self else [self]


class _SectionPlan(NamedTuple):
    """The steps of one section."""

    selection: Selection
    section: Section
    folder: Folder

    def first_step(self) -> Step:
        """Lists the section's folders: years, or versions, all of which start with a digit."""
        prefix = self.section.prefix
        found = self._years if self.section.name == "nightly" else self._versions
        return _folders(prefix, found, prefix + "0", prefix + ":")

    def _years(self, page: Page) -> Sequence[Step]:
        first, end = self.selection.days(self.section)
        years = filter(self.selection.reaches, _named(page, r"\d{4}"))
        return [_folders(y, self._months) for y in years if first < successor(y) and y < end]

    def _months(self, page: Page) -> Sequence[Step]:
        if not (months := _named(page, r"\d\d")):
            return ()
        first, end = self.selection.days(self.section)
        names = [day for month in months for day in days(month)]
        return self._range(max(names[0], first), min(successor(months[-1]), end), names)

    def _versions(self, page: Page) -> Sequence[Step]:
        groups = groupby(page.folders, self.selection.wants_version)
        ranges = [list(group) for wanted, group in groups if wanted]
        if not self.selection.dated:  # one range for all between which there is no other
            return [step for g in ranges for step in self._range(g[0], successor(g[-1]), g)]
        folders = [one for group in ranges for one in group if self.selection.reaches(one)]
        if self.section.name == "candidates":
            return [_folders(folder, self._builds) for folder in folders]
        return [self._if_new(folder) for folder in folders]

    def _builds(self, page: Page) -> Sequence[Step]:
        builds = filter(self.selection.reaches, _named(page, r"build\d+"))
        return [self._if_new(folder) for folder in builds]

    def _if_new(self, folder: str, token: Next | None = None) -> Request:
        """Looks at the first object of a folder, which is listed if that is new enough.

        An object that is named like the folder does not count: it may be older than the rest.
        """

        async def run(bucket: Bucket) -> Found:
            page = await bucket.page(folder, folder, successor(folder), token, at_most=2)
            dates = [item["timeCreated"] for item in page.items if item["name"] != folder]
            if not dates and not page.bad:
                return Found(b"", [self._if_new(folder, page.token)] if page.token else ())
            with contextlib.suppress(ValueError, TypeError):  # such a date hides no other objects
                if dates and not self.selection.wants_created(dates[0]):
                    return Found(b"", ())
            return Found(b"", self._range(folder, successor(folder)))

        return Request(run, f"{folder}, if it is new enough")

    def _range(self, begin: str, end: str, folders: Sequence[str] = ()) -> list[Step]:
        """Returns the range from ``begin`` to ``end``, as far as it is behind ``start_after``."""
        after = self.selection.start_after if begin <= self.selection.start_after else ""
        start = after or begin
        cuts = [folder for folder in folders if start < folder < end]
        return [Range(self.section, start, end, self.folder, cuts, after)] if start < end else []


def _folders(
    prefix: str, found: Callable[[Page], Sequence[Step]], start: str = "", end: str = "",
    token: Next | None = None, delimiter: str = "/", rest: Sequence[Step] = (),
) -> Request:  # fmt: skip
    """Lists the folders in a folder; ``found`` makes the steps for those of each page.

    ``rest`` is what follows at last, or all if the folders can't be listed.
    """

    async def run(bucket: Bucket) -> Found:
        page = await bucket.page(prefix, start, end, token, delimiter=delimiter)
        following = _folders(prefix, found, start, end, page.token, delimiter, rest)
        return Found(b"", [*found(page), *([following] if page.token else rest)])

    behind = f" behind {token.last}" if token else ""
    missing = f"the folders in {prefix}{behind}, and all that they hold"
    return Request(run, "" if rest else missing, rest)


def _named(page: Page, pattern: str) -> list[str]:
    return [one for one in page.folders if re.fullmatch(pattern, one[:-1].rpartition("/")[2])]
