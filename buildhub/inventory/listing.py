"""The archive's own bucket → inventory rows: many requests at a time, the rows in order.

The plan is a list of steps in the order of the names that they list. A step is one request; what
follows from its response takes its place. Free connections take the first steps that are not
under way, and rows leave the plan at its head.

Without dates a section is one range from its first folder to its last, which is taken in parts
of some pages, cut where folders start. With dates each version, or build, is looked at first.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import re
from bisect import bisect_left, bisect_right
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby, islice
from os.path import commonprefix
from typing import NamedTuple, TypeAlias

from ..errors import Unreachable
from .gcs import Bucket, Item, Next, Page, rows
from .selection import Section, Selection, days, successor

#: Pages of a part, about: fewer cost requests (the last page is not full), more cost time (the
#: pages of a part are requested one after the other).
PAGES = 8

#: Pages that the folders of one listing have to fill, about, to be worth that request.
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

    run: Callable[[Bucket, bool], Awaitable[Found]]
    missing: str  #: what is not listed if there is no response

    def give_up(self) -> tuple[str, Sequence[Step]]:
        """Names what is not listed; returns the steps for what still can be, too."""
        return self.missing, ()


@dataclass(eq=False, slots=True)
class _Entry:
    """A step of the plan, and the rows that it has given."""

    step: Step
    rows: bytes = b""
    started: bool = False


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
        self._plan = [
            _Entry(_SectionPlan(selection, one).first_step()) for one in selection.all_sections()
        ]
        self._running: dict[asyncio.Task[Found], _Entry] = {}

    async def blocks(self) -> AsyncGenerator[bytes, None]:
        """Yields the rows, whole lines, as soon as all before them were given out.

        Raises :class:`Fatal` if the bucket can't be listed. What is under way is given up when
        the iterator is closed.
        """
        try:
            while self._plan:
                self._start()
                done, _ = await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    self._take(task, self._running.pop(task))
                while self._plan and (block := self._plan[0].rows):
                    del self._plan[0]
                    yield block
        finally:
            for task in self._running:
                task.cancel()
            await asyncio.gather(*self._running, return_exceptions=True)

    def _start(self) -> None:
        """Starts the first steps that are not under way on the free connections."""
        free = self._jobs - len(self._running)
        entries = list(islice(self._startable(), free))
        for entry in entries:
            entry.started = True
            task = asyncio.create_task(self._run(entry.step, idle=len(entries) < free))
            self._running[task] = entry

    def _startable(self) -> Iterator[_Entry]:
        """Steps to start, in order, unless too many rows before them wait already."""
        waiting = 0
        for number, entry in enumerate(self._plan):  # it may grow behind the entry
            waiting += len(entry.rows)
            if waiting > MOST_WAITING:
                return
            if not entry.started:
                if isinstance(entry.step, Range) and (rest := entry.step.cut()):
                    self._plan.insert(number + 1, _Entry(rest))
                yield entry

    async def _run(self, step: Step, idle: bool) -> Found:
        for _ in range(ROUNDS - 1):
            with contextlib.suppress(Unreachable):
                return await step.run(self._bucket, idle)
        return await step.run(self._bucket, idle)

    def _take(self, task: asyncio.Task[Found], entry: _Entry) -> None:
        """Puts what a step has given into its place."""
        try:
            entry.rows, follow, bad = task.result()
            self.bad += len(bad)
            for name in bad:
                self._on_error(f"Not listed: {name}: its size, date or checksum is not valid.")
        except Unreachable as error:
            self.failed += 1
            missing, follow = entry.step.give_up()
            problem = str(error).rstrip(".")
            self._on_error(f"Not listed: {missing}: {problem}, {ROUNDS} times in a row.")
        number = self._plan.index(entry)
        self._plan[number : number + 1] = [*([entry] if entry.rows else ()), *map(_Entry, follow)]


class Density:
    """Estimates the number of folders that fill a page; recent pages count most."""

    def __init__(self, rows: int = 0, folders: int = 0) -> None:
        self._rows, self._folders = float(rows), float(folders)
        self._page = max(rows, 1)  #: the most rows that one page had

    def add(self, rows: int, folders: int) -> None:
        """Notes a page: its rows, and the folders that ended in it."""
        self._rows = self._rows * 0.9 + rows
        self._folders = self._folders * 0.9 + folders
        self._page = max(self._page, rows)

    def folders_in(self, pages: int) -> int:
        """Returns how many folders fill so many pages; one as long as nothing is known."""
        if not self._rows:
            return 1
        return max(1, math.ceil(pages * self._page * self._folders / self._rows))


@dataclass(slots=True)
class Range:
    """The objects of a section from ``start`` to ``end``, one page after the other.

    Pages are full: they go across folders without builds, whose rows are left out. Only if a
    page ends in such a folder the next one starts behind it.
    """

    section: Section
    start: str  #: inclusive
    end: str  #: exclusive
    cuts: list[str]  #: where folders start between ``start`` and ``end``, in order
    density: Density  #: of the folders in ``cuts``
    after: str = ""  #: rows up to this name are out already, or not wanted
    token: Next | None = None  #: continues a listing from ``start``
    pages: int = 0  #: read since cuts were looked for
    names: Sequence[str] = ()  #: of the last page
    level: tuple[str, str] | None = None  #: prefix and sign of cuts that are not all known

    @property
    def position(self) -> str:
        """Returns the name before which no row comes."""
        return max(self.start, self.after)

    async def run(self, bucket: Bucket, idle: bool) -> Found:
        """Reads a page, or looks for cuts if connections are ``idle``."""
        if idle and (self.level or (self.pages >= PAGES and not self.cuts)):
            with contextlib.suppress(Unreachable):  # then it goes on as it is
                await self._find_cuts(bucket)
            if self.cuts:
                return Found(b"", [self])
        page = await bucket.objects(self.section.prefix, self.start, self.end, self.token)
        names = [item["name"] for item in page.items]
        parts = list(self._wanted(names))
        lines, bad = _rows(bucket.name, [page.items[k] for i, j in parts for k in range(i, j)])
        bad += [page.bad[i] for begin, end in self._wanted(page.bad) for i in range(begin, end)]
        goes_on = self._advance(names, page)
        passed = bisect_right(self.cuts, self.position)
        self.density.add(sum(j - i for i, j in parts), passed if goes_on else len(self.cuts) + 1)
        del self.cuts[:passed]
        return Found(lines, [self] if goes_on else (), bad)

    def _wanted(self, names: Sequence[str]) -> Iterator[tuple[int, int]]:
        """Yields the parts of a page that are behind ``after`` and in folders with builds."""
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
        """Goes to the next page; tells if there is one."""
        self.token = page.token
        if page.token is None:
            return False
        if names:
            self.pages += 1
            self.names = names
            self.after = max(self.after, names[-1])
            folder = self.section.folder_of(names[-1])
            if folder and self.section.without_builds(folder):
                self.start, self.token = successor(folder), None
        return self.start < self.end

    async def _find_cuts(self, bucket: Bucket) -> None:
        """Lists where the names behind the last page divide."""
        self.pages = -PAGES  # if there are no cuts, they are not to be looked for again soon
        for prefix, sign in [self.level] if self.level else self._levels():
            last = self.cuts[-1] if self.cuts else self.position
            page = await bucket.folders(prefix, last, self.end, delimiter=sign)
            cuts = [cut for cut in page.folders if last < cut < self.end]
            passed = {name[: name.find(sign, len(prefix)) + 1] for name in self.names}
            if not self.level and len(cuts) > WORTHWHILE * (len(passed) - 1):
                self.density, self.pages = Density(len(self.names), len(passed)), 0
            elif not self.level:
                continue
            self.level = (prefix, sign) if page.token else None
            self.cuts += cuts
            return

    def _levels(self) -> Iterator[tuple[str, str]]:
        """Prefixes that all names of the last page have, and the sign at which to divide them.

        The names in a flat folder divide at their dots: ``firefox-56.0a1.ach.mac.dmg``.
        """
        first, last = self.names[0], self.names[-1]
        common = re.sub(r"[^/.]*\Z", "", commonprefix([first, last]))  # noqa: RUF071
        for prefix in (re.sub(r"[^/.]*.\Z", "", common), common):
            sign = "/" if "/" in last[len(prefix) :] else "."
            if prefix.startswith(self.section.prefix) and sign in last[len(prefix) :]:
                yield prefix, sign

    def cut(self) -> Range | None:
        """Keeps the folders that fill some pages; returns the range of what is behind them."""
        folders = self.density.folders_in(max(PAGES - self.pages, 1))
        return self._cut_at(folders - 1) if folders <= len(self.cuts) else None

    def _cut_at(self, index: int) -> Range:
        at, cuts = self.cuts[index], self.cuts[index + 1 :]
        rest = Range(self.section, at, self.end, cuts, self.density, level=self.level)
        # A token is good for the same listing only: go on from the last name instead.
        self.start, self.token, self.end = self.position, None, at
        self.cuts, self.level = self.cuts[:index], None
        return rest

    def give_up(self) -> tuple[str, Sequence[Step]]:
        """Goes on with the next folder: where the page behind this one starts is not known."""
        missing = f"the objects from {self.position} to {self.cuts[0] if self.cuts else self.end}"
        return missing, [self._cut_at(0)] if self.cuts else ()


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
        return self._if_new(folders)

    def _builds(self, folders: list[str]) -> Sequence[Step]:
        return self._if_new(filter(self._selection.reaches, _named(folders, r"build\d+")))

    def _if_new(self, folders: Iterable[str]) -> Sequence[Step]:
        return [_first_object(folder, partial(self._if_created, folder)) for folder in folders]

    def _if_created(self, folder: str, created: str) -> Sequence[Step]:
        try:
            wanted = self._selection.wants_created(created)
        except (ValueError, TypeError):  # an impossible date must not hide the others
            wanted = True
        return self._range(folder, successor(folder)) if wanted else ()

    def _range(self, begin: str, end: str, folders: Sequence[str] = ()) -> list[Step]:
        """Returns the range from ``begin`` to ``end``, as far as it is behind ``start_after``."""
        after = self._selection.start_after
        start = max(begin, after)
        cuts = [folder for folder in folders if start < folder < end]
        return [Range(self._section, start, end, cuts, self._density, after)] if start < end else []


def _folders(
    prefix: str, found: Callable[[list[str]], Sequence[Step]], start: str = "", end: str = "",
    token: Next | None = None, last: str = "",
) -> Request:  # fmt: skip
    """Lists the folders in a folder; ``found`` makes the steps for those of each page."""

    async def run(bucket: Bucket, idle: bool) -> Found:
        page = await bucket.folders(prefix, start, end, token)
        position = page.folders[-1] if page.folders else last
        rest = [_folders(prefix, found, start, end, page.token, position)] if page.token else []
        return Found(b"", [*found(page.folders), *rest])

    behind = f" behind {last}" if last else ""
    return Request(run, f"the folders in {prefix}{behind}, and all that they hold")


def _first_object(
    folder: str, found: Callable[[str], Sequence[Step]], token: Next | None = None
) -> Request:
    """Looks at the first object of a folder; ``found`` makes steps of its date of creation.

    An object that is named like the folder does not count: it may be older than the rest.
    """

    async def run(bucket: Bucket, idle: bool) -> Found:
        page = await bucket.objects(folder, folder, successor(folder), token, at_most=2)
        dates = [item["timeCreated"] for item in page.items if item["name"] != folder]
        dates += [""] * bool(page.bad)
        if not dates:
            return Found(b"", [_first_object(folder, found, page.token)] if page.token else ())
        return Found(b"", found(dates[0]))

    return Request(run, f"{folder}, if it is new enough")


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
