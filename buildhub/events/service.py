"""Events of the archive, handled by a process that lives on: sessions stay, knowledge goes.

A warm Lambda keeps the :class:`EventService` between invocations: the event loop, the connections
to the archive, the client of Kinto. What is known of the archive lives as long as one invocation.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any

from ..errors import BuildhubError
from ..kinto import store
from ..settings import Settings
from ..signals import CancellationToken
from ..wiring import archive_client, kinto_client
from .handler import FIRST_PAUSE, IGNORED, EventHandler
from .messages import FilePublished, Ignored, unwrap

logger = logging.getLogger(__name__)

#: The share of the invocation's time that is kept back to tell of failures, and at most so long.
KEPT_BACK = 0.1
KEPT_BACK_SECONDS = 2.0


@dataclasses.dataclass
class EventResult:
    """What became of the records of an event."""

    handled: int = 0
    ignored: int = 0
    malformed: int = 0
    failures: dict[str, str] = dataclasses.field(default_factory=dict)  #: key → why
    failed_messages: list[str] = dataclasses.field(default_factory=list)  #: ids, of SQS

    @property
    def problem(self) -> BuildhubError | None:
        """One error that names each key which failed, and why."""
        if not self.failures:
            return None
        keys: dict[str, list[str]] = {}
        for key, reason in self.failures.items():
            keys.setdefault(reason, []).append(key)
        reasons = "; ".join(f"{', '.join(some)}: {reason}" for reason, some in keys.items())
        return BuildhubError(f"What failed, and is to be sent again: {reasons}.")

    def as_dict(self) -> dict[str, int]:
        """The figures, as a Lambda answers."""
        return {"handled": self.handled, "ignored": self.ignored, "malformed": self.malformed}


class EventService:
    """Handles events, one after the other. A context manager around what it keeps open.

    ``pause`` is how many seconds pass before what lags behind its event is asked for again.
    """

    def __init__(self, settings: Settings, *, pause: float = FIRST_PAUSE) -> None:
        self.settings = settings
        self._pause = pause
        self._runner = asyncio.Runner()
        self._archive = archive_client(settings)
        self._client = kinto_client(settings)

    def __enter__(self) -> EventService:
        self._runner.run(self._archive.__aenter__())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._runner.run(self._archive.__aexit__(None, None, None))
        self._runner.close()

    def handle(
        self,
        event: Any,
        *,
        seconds_left: float | None = None,
        cancellation: CancellationToken | None = None,
    ) -> EventResult:
        """Handle all records of an event, however it is wrapped, side by side.

        ``seconds_left`` is what the invocation has left: what isn't done by then has failed.
        Each record is logged in a line. Raises :class:`Interrupted` if ``cancellation`` was set.
        """
        result = EventResult()
        notices: dict[str, list[FilePublished]] = {}
        for content in unwrap(event):
            if isinstance(content, FilePublished):
                notices.setdefault(content.key, []).append(content)
            elif isinstance(content, Ignored):
                result.ignored += 1
                logger.info("%s: ignored, %s.", content.what, content.reason)
            else:
                result.malformed += 1
                logger.error("A record of the event is malformed: %s.", content.reason)
        self._runner.run(self._handle(notices, result, _time_limit(seconds_left), cancellation))
        if cancellation:
            cancellation.raise_if_cancelled()
        return result

    async def _handle(
        self,
        notices: Mapping[str, Sequence[FilePublished]],
        result: EventResult,
        time_limit: float | None,
        cancellation: CancellationToken | None,
    ) -> None:
        events = EventHandler(
            self._archive,
            lambda records, refresh: store(self._client, records, refresh=refresh),
            products=self.settings.products,
            retries=self.settings.nb_retry_request,
            pause=self._pause,
        )
        tasks = [
            asyncio.create_task(_store_build(events, same, result, time_limit))
            for same in notices.values()
        ]
        with _cancelled_by(cancellation, tasks):
            await asyncio.gather(*tasks, return_exceptions=cancellation is not None)
        await self._archive.abandon()  # what ran out of time


async def _store_build(
    events: EventHandler,
    notices: Sequence[FilePublished],
    result: EventResult,
    time_limit: float | None,
) -> None:
    """Handle notices of one file as one, and enter each in the account and the log."""
    key = notices[0].key
    started = time.monotonic()
    level = logging.INFO
    try:
        async with asyncio.timeout(time_limit):
            said = await events.handle(key)
    except TimeoutError:
        said = result.failures[key] = "there was no time left for it"
    except BuildhubError as error:
        said = result.failures[key] = str(error).rstrip(".")
    except Exception as error:
        logger.exception("%s", key)
        said = result.failures[key] = f"{type(error).__name__}: {error}"
    if key in result.failures:
        level = logging.WARNING
        result.failed_messages += [notice.message for notice in notices if notice.message]
    elif said.startswith(IGNORED):
        result.ignored += len(notices)
    else:
        result.handled += len(notices)
    for _ in notices:
        logger.log(level, "%s: %s (%d ms).", key, said, 1000 * (time.monotonic() - started))


def _time_limit(seconds_left: float | None) -> float | None:
    if seconds_left is None:
        return None
    return max(0, seconds_left - min(seconds_left * KEPT_BACK, KEPT_BACK_SECONDS))


@contextlib.contextmanager
def _cancelled_by(
    cancellation: CancellationToken | None, tasks: Sequence[asyncio.Task[None]]
) -> Iterator[None]:
    """A signal cancels the tasks; what is being stored meanwhile is."""
    if cancellation is None:
        yield
        return
    loop = asyncio.get_running_loop()
    fd = cancellation.fileno()

    def cancel() -> None:
        loop.remove_reader(fd)
        for task in tasks:
            task.cancel()

    loop.add_reader(fd, cancel)
    try:
        yield
    finally:
        loop.remove_reader(fd)
