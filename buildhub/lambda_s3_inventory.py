"""AWS Lambda: loads the newest builds into Kinto, like ``latest-inventory-to-kinto``."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from . import logs
from .aws_secret import with_auth
from .errors import BuildhubError
from .load.run import load_tasks
from .load.tasks import LoadResult, LoadTask, parse_tasks, tasks_of
from .settings import Settings
from .signals import CancellationToken

#: Defaults that differ from those of the commands: in a Lambda only /tmp is writable.
DEFAULTS = {"cache_folder": "/tmp"}

#: The fraction of the invocation's time that is reserved to store the records in flight, and its
#: upper limit in seconds.
RESERVE = 0.25
MAX_RESERVE_SECONDS = 30.0

#: Invocations in a row that may get nowhere, before that is an error.
MAX_WITHOUT_PROGRESS = 4


def lambda_handler(event: Any = None, context: Any = None) -> dict[str, Any]:
    """Loads what SOURCE says, or what ``{"remaining": …}`` names.

    Returns the counts of each inventory (or section of the bucket) under ``inventories`` and, if
    the time of the invocation was too short, what is left under ``remaining``: the result can be
    sent as the event of the next invocation, which continues where this one stopped. Invocations
    in a row that get nowhere are counted under ``without_progress``, and end with an error. Raises
    :class:`BuildhubError` if anything failed.
    """
    settings = Settings.from_environment(with_auth(os.environ), DEFAULTS)
    logs.configure(logs.VERBOSE, settings.sentry_dsn, secrets=settings.secrets, in_lambda=True)
    with logs.unhandled_errors_logged():
        event = event if isinstance(event, Mapping) else {}
        remaining = event.get("remaining")
        tasks = parse_tasks(remaining) if remaining else tasks_of(settings)
        with _cancelled_before_timeout(context) as cancellation:
            results = load_tasks(settings, tasks, cancellation, keep_absent=False)
        answer = _answer(results)
        if "remaining" in answer and not _is_progress(tasks, results):
            answer["without_progress"] = _times_without_progress(event)
        return answer


def _is_progress(tasks: Sequence[LoadTask], results: Sequence[LoadResult]) -> bool:
    """Tells if less remains than before, or if something was stored."""
    stored = any(result.published.created or result.published.updated for result in results)
    return stored or [result.remaining for result in results] != list(tasks)


def _times_without_progress(event: Mapping[str, Any]) -> int:
    """Counts the invocations in a row that got nowhere. Raises :class:`BuildhubError`.

    One or two may be used up by reading which records the server has: that is kept.
    """
    before = event.get("without_progress")
    times = 1 + (before if isinstance(before, int) else 0)
    if times > MAX_WITHOUT_PROGRESS:
        raise BuildhubError(
            f"Nothing was loaded in {times} invocations, one after the other: give the function"
            " more time or memory, or load with latest-inventory-to-kinto once."
        )
    return times


def _answer(results: list[LoadResult]) -> dict[str, Any]:
    answer: dict[str, Any] = {"inventories": [result.as_dict() for result in results]}
    left = [result.remaining for result in results if result.remaining and not result.error]
    if left:
        answer["remaining"] = [task.as_dict() for task in left]
    if problems := [_problem(r) for r in results if not r.ok and r.remaining not in left]:
        raise BuildhubError(" ".join(problems))
    return answer


def _problem(result: LoadResult) -> str:
    if result.error:
        return f"{result.title}: {result.error}"
    return (
        f"{result.title}: {result.failed} builds failed,"
        f" {result.published.refused} records were refused, {result.pipeline.bad_rows} rows were"
        " bad; the log names them."
    )


@contextmanager
def _cancelled_before_timeout(context: Any) -> Iterator[CancellationToken]:
    """Yields a token that is cancelled some time before the invocation times out."""
    cancellation = CancellationToken()
    timer = None
    # Tests and other runtimes may have a context that does not know the time: no limit then.
    if remaining := getattr(context, "get_remaining_time_in_millis", None):
        left = remaining() / 1000
        reserve = min(left * RESERVE, MAX_RESERVE_SECONDS)
        # The rest is for the result. A page of records is always read, or nothing would advance.
        cancellation.grace = max(reserve * 0.8, 1.0)
        timer = threading.Timer(left - reserve, cancellation.cancel)
        timer.daemon = True
        timer.start()
    try:
        yield cancellation
    finally:
        if timer:
            timer.cancel()
            timer.join()
        cancellation.close()
