"""The outcome for each build of an event, and the counts of a whole AWS event."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from ..builds.explain import explain
from ..builds.recognise import recognise
from ..errors import BuildhubError
from ..records import Outcome
from .messages import FilePublished

#: Keys that failed which one message names; all are counted.
MAX_NAMED = 100


class Result(NamedTuple):
    """The outcome for one key, with a detail where the outcome alone does not say everything."""

    key: str
    outcome: Outcome
    detail: str = ""


@dataclasses.dataclass
class EventResult:
    """The counts of an event, or of several."""

    handled: int = 0  #: files
    ignored: int = 0
    malformed: int = 0
    failed: int = 0
    builds: Counter[Outcome] = dataclasses.field(default_factory=Counter)  #: of handled files
    failures: dict[str, str] = dataclasses.field(default_factory=dict)  #: key → why
    #: Ids of SQS messages with a failure in them; None for a failure without such an id.
    failed_messages: list[str | None] = dataclasses.field(default_factory=list)
    newest_build: str = ""  #: the newest build date of a record that was made

    def add(self, events: Sequence[FilePublished], results: Sequence[Result]) -> None:
        """Counts the results of the events about one file."""
        if failures := [result for result in results if result.outcome is Outcome.FAILED]:
            self.failed += len(events)
            self.failures[events[0].key] = _reason(failures)
            self.failed_messages += [event.message for event in events]
        elif results[0].outcome is Outcome.IGNORED:
            self.ignored += len(events)
            return
        else:
            self.handled += len(events)
        self.builds.update(result.outcome for result in results)

    def merge(self, other: EventResult) -> None:
        """Adds the counts of another event."""
        self.handled += other.handled
        self.ignored += other.ignored
        self.malformed += other.malformed
        self.failed += other.failed
        self.builds += other.builds
        self.failures |= other.failures
        self.failed_messages += other.failed_messages
        self.newest_build = max(self.newest_build, other.newest_build)

    @property
    def problem(self) -> BuildhubError | None:
        """Returns one error that names the first hundred keys which failed, and why."""
        if not self.failures:
            return None
        keys: dict[str, list[str]] = {}
        for key, reason in itertools.islice(self.failures.items(), MAX_NAMED):
            keys.setdefault(reason, []).append(key)
        reasons = "; ".join(f"{', '.join(some)}: {reason}" for reason, some in keys.items())
        more = len(self.failures) - MAX_NAMED
        others = f"; and {more:,} more" if more > 0 else ""
        return BuildhubError(f"These files failed and have to be sent again: {reasons}{others}.")

    def as_dict(self) -> dict[str, int]:
        """Returns the figures as the Lambda returns them."""
        return {"handled": self.handled, "ignored": self.ignored, "malformed": self.malformed}

    def __str__(self) -> str:
        """Writes the figures as a line: those of files, then those of builds that are not 0."""
        total = self.handled + self.ignored + self.malformed + self.failed
        files = (
            f"{total:,} events, {self.handled:,} handled, {self.ignored:,} ignored,"
            f" {self.malformed:,} malformed, {self.failed:,} failed"
        )
        shown = (Outcome.CREATED, Outcome.UPDATED, Outcome.UNCHANGED, Outcome.NO_METADATA)
        builds = [f"{self.builds[outcome]:,} {outcome.value}" for outcome in shown]
        return f"{files}; records: {', '.join(builds)}"


def describe(key: str, results: Sequence[Result]) -> str:
    """Says in a few words what became of the builds that the file ``key`` concerns."""
    if failures := [result for result in results if result.outcome is Outcome.FAILED]:
        return _reason(failures)
    if results[0].outcome is Outcome.IGNORED:
        reason = "PRODUCTS does not name its folder" if recognise(key) else explain(key)
        return f"{Outcome.IGNORED.value}, {reason.removesuffix('.')}"
    if results[0].key == key:
        return ", ".join(filter(None, (results[0].outcome.value, results[0].detail)))
    counts = Counter(result.outcome for result in results)
    return ", ".join(f"{count} {outcome.value}" for outcome, count in counts.items())


def _reason(failures: Sequence[Result]) -> str:
    """Says why a file failed: the reason, or the first one and how many there are."""
    reasons = list(dict.fromkeys(result.detail.rstrip(".") for result in failures))
    if len(reasons) == 1:
        return reasons[0]
    return f"{len(failures)} failures, the first of them: {reasons[0]}"
