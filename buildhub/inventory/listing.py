"""The archive's own bucket → inventory rows: many requests at a time, the rows in order.

The plan is a list of steps and rows in the order of names. A step is one request; what follows
from its response takes its place. Free connections take the first steps that are not under way,
and rows leave the plan at its head.

Without dates a section is one range from its first folder to its last, which is taken in parts
of some pages, cut where folders start. With dates each version, or build, is looked at first.
While connections are idle, the folders in a large folder are listed, and it is cut there, too.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import re
from bisect import bisect_left, bisect_right
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby, islice
from os.path import commonprefix
from typing import NamedTuple, TypeAlias

from ..errors import Unreachable
from .gcs import Bucket, Item, Next, rows
from .selection import Section, Selection, days, successor

#: Pages of a part, about: fewer cost requests (the last page is not full), more cost time (the
#: pages of a part are requested one after the other).
PAGES = 10

#: Names for each folder that make a list of the folders worth a request.
WORTHWHILE = 4

#: Bytes of rows that may wait for rows before them.
MOST_WAITING = 32 << 20

#: A page is a thousand rows: so often it is tried as often as the settings say.
ROUNDS = 3

#: One request of a listing, the next of several for a :class:`Range`.
Step: TypeAlias = "Request | Range"


class Found(NamedTuple):
    """The rows and steps that a step has found."""

    rows: bytes  #: whole lines
    follow: Sequence[Step]  #: the steps for what is behind the rows, in order
    bad: Sequence[str] = ()  #: names of objects that can't be rows


class Request(NamedTuple):
    """A request for what is needed before objects can be listed."""

    run: Callable[[Bucket], Awaitable[Found]]
    missing: str  #: what is not listed if there is no response

    def give_up(self) -> tuple[str, Sequence[Step]]:
        """Names what is not listed; returns the steps for what still can be, too."""
        return self.missing, ()


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
        self._plan: list[Step | bytes] = [
            _SectionPlan(selection, section).first_step() for section in selection.all_sections()
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
                    self._take(step, self._running.pop(step))
                while self._plan and isinstance(block := self._plan[0], bytes):
                    del self._plan[0]
                    yield block
        finally:
            for task in self._running.values():
                task.cancel()
            await asyncio.gather(*self._running.values(), return_exceptions=True)

    def _start(self) -> None:
        """Starts the first steps that are not under way; divides ranges for idle connections."""
        free = self._jobs - len(self._running)
        steps = list(islice(self._startable(), free))
        for step in steps[: free - len(steps)]:
            self._divide(step, Range.divide)
        for step in list(islice(self._startable(), free)):
            self._running[step] = asyncio.create_task(self._run(step))

    def _startable(self) -> Iterator[Step]:
        """Yields steps to start, in order, unless too many rows before them wait already."""
        waiting = 0
        for step in self._plan:  # it may grow behind the step
            if isinstance(step, bytes):
                waiting += len(step)
            elif waiting > MOST_WAITING:
                return
            elif step not in self._running:
                self._divide(step, Range.cut)
                yield step

    def _divide(self, step: Step, division: Callable[[Range], Range | None]) -> None:
        """Puts what ``division`` takes off a range behind it."""
        if isinstance(step, Range) and (rest := division(step)):
            self._plan.insert(self._plan.index(step) + 1, rest)

    async def _run(self, step: Step) -> Found:
        for _ in range(ROUNDS - 1):
            with contextlib.suppress(Unreachable):
                return await step.run(self._bucket)
        return await step.run(self._bucket)

    def _take(self, step: Step, task: asyncio.Task[Found]) -> None:
        """Puts what a step has given into its place."""
        try:
            lines, follow, bad = task.result()
        except Unreachable as error:
            self.failed += 1
            missing, follow = step.give_up()
            lines, bad, problem = b"", (), str(error).rstrip(".")
            self._on_error(f"Not listed: {missing}: {problem}, {ROUNDS} times in a row.")
        self.bad += len(bad)
        for name in bad:
            self._on_error(f"Not listed: {name}: its size, date or checksum is not valid.")
        number = self._plan.index(step)
        self._plan[number : number + 1] = [*filter(None, [lines]), *follow]


@dataclass(slots=True)
class Density:
    """Estimates the number of folders that fill a part; recent pages count most."""

    rows: float = 0
    folders: float = 0  #: that end in these rows
    page: int = 1  #: the most rows that one page had

    def add(self, rows: int, folders: int) -> None:
        """Notes a page: its rows, and the folders that ended in it."""
        self.rows = self.rows * 0.98 + rows
        self.folders = self.folders * 0.98 + folders
        self.page = max(self.page, rows)

    @property
    def part(self) -> float:
        """Returns the number, at least one; infinity as long as nothing is known."""
        return max(1, PAGES * self.page * self.folders / self.rows) if self.rows else math.inf


@dataclass(slots=True, eq=False)
class Range:
    """The objects of a section from ``start`` to ``end``, one page after the other.

    Pages are full: they go across folders without builds, whose rows are left out. Only if a
    page ends in such a folder the next one starts behind it.
    """

    section: Section
    start: str  #: inclusive
    end: str  #: exclusive
    density: Density  #: of the folders in ``cuts``
    cuts: list[str] = field(default_factory=list)  #: folders behind ``start``, in order
    after: str = ""  #: rows up to this name are out already, or not wanted
    token: Next | None = None  #: continues a listing from ``start``
    names: Sequence[str] = ()  #: of the last page
    pages: int = 0  #: of the folder that is read, so far
    level: tuple[str, str] | None = None  #: prefix and delimiter of cuts that are to be listed

    @property
    def position(self) -> str:
        """Returns the name before which no row comes."""
        return max(self.start, self.after)

    async def run(self, bucket: Bucket) -> Found:
        """Reads a page, or lists the cuts."""
        if self.level:
            return await self._list_cuts(bucket, *self.level)
        page = await bucket.objects(self.section.prefix, self.start, self.end, self.token)
        names = [item["name"] for item in page.items]
        items = [item for part in self._wanted(names) for item in page.items[part]]
        lines, bad = _rows(bucket.name, items)
        bad += [name for part in self._wanted(page.bad) for name in page.bad[part]]
        goes_on = self._advance(names, page.token)
        passed = bisect_right(self.cuts, self.position) if goes_on else len(self.cuts)
        self.density.add(len(items), passed + (not goes_on))
        self.pages = 0 if passed else self.pages + bool(names)
        del self.cuts[:passed]
        return Found(lines, [self] if goes_on else (), bad)

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
            self.names = names
            self.after = max(self.after, names[-1])
            folder = self.section.folder_of(names[-1])
            if folder and self.section.without_builds(folder):
                self.start, self.token = successor(folder), None
        return token is not None and self.start < self.end

    def cut(self) -> Range | None:
        """Keeps the folders that fill a part; returns the range of what is behind them."""
        folders = self.density.part
        return self._split(self.cuts[math.ceil(folders) - 1]) if folders <= len(self.cuts) else None

    def divide(self) -> Range | None:
        """Keeps a large folder, whose folders are listed next, or half of many folders.

        Returns the range of what is behind; None if it is neither.
        """
        usual = PAGES / self.density.part if self.density.folders else 0
        if self.pages >= max(1, min(PAGES, 2 * usual)) and (level := next(self._levels(), None)):
            prefix, sign, folders = level
            rest = self._split(successor(prefix))
            rest.density = self.density if rest.cuts else Density()
            rows = len(self.names)
            self.level, self.density = (prefix, sign), Density(rows, folders, page=rows)
            return rest
        many = self.cuts and 2 * len(self.cuts) >= self.density.part
        return self._split(self.cuts[len(self.cuts) // 2]) if many else None

    def _levels(self) -> Iterator[tuple[str, str, int]]:
        """Yields prefixes that end before the next cut, longest first, with the sign behind.

        And the number of folders behind it in the last page, if they are few. In a flat folder the
        sign is a dot: ``firefox-56.0a1.ach.mac.dmg``.
        """
        first, last = self.names[0], self.names[-1]
        for match in reversed([*re.finditer("[/.]", commonprefix([first, last]))]):  # noqa: RUF071
            prefix = first[: match.end()]
            sign = "/" if "/" in last[len(prefix) :] else "."
            folders = {name[: name.find(sign, len(prefix)) + 1] for name in self.names}
            few = "" not in folders and len(folders) * WORTHWHILE <= len(self.names)
            if few and self.position < successor(prefix) < [*self.cuts, self.end][0]:
                yield prefix, sign, len(folders)

    async def _list_cuts(self, bucket: Bucket, prefix: str, sign: str) -> Found:
        self.level = None
        with contextlib.suppress(Unreachable):  # then it is read as one
            page = await bucket.folders(prefix, self.position, self.end, delimiter=sign)
            self.cuts = [cut for cut in page.folders if self.position < cut < self.end]
            if page.token and self.cuts:
                rest = self._split(self.cuts[-1])
                rest.level = prefix, sign
                return Found(b"", [self, rest])
        return Found(b"", [self])

    def _split(self, at: str) -> Range:
        """Ends the range before ``at``; returns that of what is behind it."""
        cuts = self.cuts[bisect_right(self.cuts, at) :]
        rest = Range(self.section, at, self.end, self.density, cuts)
        # A token is good for the same listing only: go on from the last name instead.
        self.start, self.token, self.end = self.position, None, at
        del self.cuts[bisect_left(self.cuts, at) :]
        return rest

    def give_up(self) -> tuple[str, Sequence[Step]]:
        """Goes on with the next folder: where the page behind this one starts is not known."""
        missing = f"the objects from {self.position} to {[*self.cuts, self.end][0]}"
        return missing, [self._split(self.cuts[0])] if self.cuts else ()


class _SectionPlan:
    """The steps of one section."""

    def __init__(self, selection: Selection, section: Section) -> None:
        self._selection = selection
        self._section = section
        self._density = Density()

    def first_step(self) -> Step:
        """Lists the section's folders: years, or versions, all of which start with a digit."""
        prefix = self._section.prefix
        if self._section.name == "nightly":
            return _folders(prefix, self._years, prefix + "1", prefix + "3")
        return _folders(prefix, self._versions, prefix + "0", prefix + ":")

    def _years(self, folders: list[str]) -> Sequence[Step]:
        first, end = self._selection.days(self._section)
        years = filter(self._selection.reaches, _named(folders, r"\d{4}"))
        return [_folders(y, self._months) for y in years if first < successor(y) and y < end]

    def _months(self, folders: list[str]) -> Sequence[Step]:
        if not (months := _named(folders, r"\d\d")):
            return ()
        first, end = self._selection.days(self._section)
        names = [day for month in months for day in days(month)]
        return self._range(max(names[0], first), min(successor(months[-1]), end), names)

    def _versions(self, folders: list[str]) -> Sequence[Step]:
        wanted = set(filter(self._selection.wants_version, folders))
        if not self._selection.dated:  # one range for all between which there is no other
            groups = [list(group) for _, group in groupby(folders, wanted.__contains__)]
            groups = [group for group in groups if group[0] in wanted]
            return [s for g in groups for s in self._range(g[0], successor(g[-1]), g)]
        folders = [one for one in folders if one in wanted and self._selection.reaches(one)]
        if self._section.name == "candidates":
            return [_folders(folder, self._builds) for folder in folders]
        return [self._if_new(folder) for folder in folders]

    def _builds(self, folders: list[str]) -> Sequence[Step]:
        builds = filter(self._selection.reaches, _named(folders, r"build\d+"))
        return [self._if_new(folder) for folder in builds]

    def _if_new(self, folder: str, token: Next | None = None) -> Request:
        """Looks at the first object of a folder, which is listed if that is new enough.

        An object that is named like the folder does not count: it may be older than the rest.
        """

        async def run(bucket: Bucket) -> Found:
            page = await bucket.objects(folder, folder, successor(folder), token, at_most=2)
            dates = [item["timeCreated"] for item in page.items if item["name"] != folder]
            if not dates and not page.bad:
                return Found(b"", [self._if_new(folder, page.token)] if page.token else ())
            with contextlib.suppress(ValueError, TypeError):  # such a date hides no other objects
                if dates and not self._selection.wants_created(dates[0]):
                    return Found(b"", ())
            return Found(b"", self._range(folder, successor(folder)))

        return Request(run, f"{folder}, if it is new enough")

    def _range(self, begin: str, end: str, folders: Sequence[str] = ()) -> list[Step]:
        """Returns the range from ``begin`` to ``end``, as far as it is behind ``start_after``."""
        after = self._selection.start_after
        start = max(begin, after)
        cuts = [folder for folder in folders if start < folder < end]
        return [Range(self._section, start, end, self._density, cuts, after)] if start < end else []


def _folders(
    prefix: str, found: Callable[[list[str]], Sequence[Step]], start: str = "", end: str = "",
    token: Next | None = None,
) -> Request:  # fmt: skip
    """Lists the folders in a folder; ``found`` makes the steps for those of each page."""

    async def run(bucket: Bucket) -> Found:
        page = await bucket.folders(prefix, start, end, token)
        rest = [_folders(prefix, found, start, end, page.token)] if page.token else []
        return Found(b"", [*found(page.folders), *rest])

    behind = f" behind {token.last}" if token else ""
    return Request(run, f"the folders in {prefix}{behind}, and all that they hold")


def _rows(bucket: str, items: Sequence[Item]) -> tuple[bytes, list[str]]:
    """Returns the rows of objects, and the names of those whose checksum is none."""
    names = [item["name"] for item in items]
    try:
        return rows(bucket, names, items), []
    except (ValueError, TypeError):
        if len(items) == 1:
            return b"", names
    found = [_rows(bucket, [item]) for item in items]
    return b"".join(lines for lines, _ in found), [name for _, bad in found for name in bad]


def _named(folders: Sequence[str], pattern: str) -> list[str]:
    return [one for one in folders if re.fullmatch(pattern, one[:-1].rpartition("/")[2])]
