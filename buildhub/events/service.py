"""Handles whole AWS events within the time that is left; counts and logs their files.

A warm Lambda keeps an :class:`EventService` between invocations: the event loop, the connections
to the archive, the client of Kinto. What is known of the archive ends with the invocation.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import itertools
import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Self

from ..builds.explain import explain
from ..builds.recognise import recognise
from ..errors import BuildhubError
from ..records import Outcome
from ..settings import Settings
from ..signals import CancellationToken
from ..wiring import archive_client, kinto_client
from .handler import FIRST_PAUSE, EventHandler, Result
from .messages import FilePublished, Ignored, unwrap

logger = logging.getLogger(__name__)

#: The share of the invocation's time that is kept back to report failures, and its limit.
KEPT_BACK = 0.1
KEPT_BACK_SECONDS = 2.0

#: Keys that failed which one message names; all are counted.
MAX_NAMED = 100


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


class EventService:
    """Handles events, one after the other. A context manager around what it keeps open.

    ``pause`` is how many seconds pass before what lags behind its event is asked for again. A
    stop of ``cancellation`` ends what is being handled, and the requests to Kinto. ``on_failure``
    and ``on_malformed`` log a sentence for each record: a Lambda raises its failures at the end.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        pause: float = FIRST_PAUSE,
        cancellation: CancellationToken | None = None,
        on_failure: Callable[[str], None] = logger.warning,
        on_malformed: Callable[[str], None] = logger.error,
    ) -> None:
        self.settings = settings
        self._pause = pause
        self._on_failure = on_failure
        self._on_malformed = on_malformed
        self._cancellation = cancellation
        self._requests = cancellation or CancellationToken(grace=0)
        self._client = kinto_client(settings, self._requests)
        self._archive = archive_client(settings)
        self._runner = asyncio.Runner()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._runner:
            self._runner.run(self._archive.close())

    def handle(
        self, event: Any, *, where: str = "The event", seconds_left: float | None = None
    ) -> EventResult:
        """Handles all records of an event, however it is wrapped, at the same time.

        ``seconds_left`` is what the invocation has left: what is not done by then has failed, and
        so has what a signal stopped. Each record is logged in a line; ``where`` it was read is
        for those that are malformed.
        """
        result = EventResult()
        published: dict[str, list[FilePublished]] = {}  # those about one file are handled as one
        for content in unwrap(event):
            if isinstance(content, FilePublished):
                published.setdefault(content.key, []).append(content)
            elif isinstance(content, Ignored):
                result.ignored += 1
                logger.info("%s: ignored, %s.", content.what, content.reason)
            else:
                result.malformed += 1
                self._on_malformed(f"{where}: a record is malformed: {content.reason}.")
        if seconds_left is not None:
            seconds_left = max(0, seconds_left - min(seconds_left * KEPT_BACK, KEPT_BACK_SECONDS))
        self._runner.run(self._handle_in_time(published, result, seconds_left))
        return result

    async def _handle_in_time(
        self,
        published: Mapping[str, Sequence[FilePublished]],
        result: EventResult,
        time_limit: float | None,
    ) -> None:
        """Handles all files at the same time; what is not done in time is stopped, and failed."""
        handler = EventHandler(self._archive, self._client, self.settings, pause=self._pause)
        async with handler:
            tasks = {
                asyncio.create_task(_handle_file(handler, events, result, self._on_failure)): events
                for events in published.values()
            }
            await self._run(tasks, time_limit)
            result.newest_build = handler.newest_build
        stopped = [events for task, events in tasks.items() if task.cancelled()]
        signum = self._cancellation and self._cancellation.signum
        reason = f"stopped by signal {signum}" if signum else "there was no time left for it"
        for events in stopped:
            result.add(events, [Result(events[0].key, Outcome.FAILED, reason)])
            for event in events:
                logger.warning("%s: %s.", event.key, reason)
        if stopped and self._cancellation is None:
            self._abandon_requests()

    async def _run(self, tasks: Collection[asyncio.Task[None]], time_limit: float | None) -> None:
        """Waits for tasks; cancels those that are not done in time, and all on a signal.

        What is being stored at that moment is stored.
        """

        def cancel() -> None:
            for task in tasks:
                task.cancel()

        stop = self._cancellation
        with stop.calling(cancel) if stop else contextlib.nullcontext():
            if tasks:
                await asyncio.wait(tasks, timeout=time_limit)
                cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    def _abandon_requests(self) -> None:
        """Ends the requests to Kinto of tasks that were stopped.

        Their threads are those of later invocations, too: few of them wait for a silent server,
        and no later event could be stored before its requests time out.
        """
        self._requests.cancel()
        self._requests = CancellationToken(grace=0)
        self._client = kinto_client(self.settings, self._requests)


async def _handle_file(
    handler: EventHandler, events: Sequence[FilePublished], result: EventResult,
    on_failure: Callable[[str], None],
) -> None:  # fmt: skip
    """Handles the events about one file as one; counts and logs each. Only cancelling raises."""
    key = events[0].key
    started = time.monotonic()
    try:
        results = await handler.handle(key)
    except Exception as error:
        logger.exception("%s", key)
        results = [Result(key, Outcome.FAILED, f"{type(error).__name__}: {error}")]
    result.add(events, results)
    log = on_failure if key in result.failures else logger.info
    milliseconds = 1000 * (time.monotonic() - started)
    for _ in events:
        log(f"{key}: {_describe(key, results)} ({milliseconds:.0f} ms).")


def _describe(key: str, results: Sequence[Result]) -> str:
    """Says in a few words what became of the builds that the file ``key`` concerns."""
    if failures := [result for result in results if result.outcome is Outcome.FAILED]:
        return f"{Outcome.FAILED.value}, {_reason(failures)}"
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
