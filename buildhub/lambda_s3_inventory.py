"""The run of ``latest-inventory-to-kinto`` as an AWS Lambda.

Entry point: ``buildhub.lambda_s3_inventory.lambda_handler``.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from . import reporting
from .catalogue import Report, Task, catch_up
from .errors import BuildhubError
from .settings import Settings
from .streams import Stop

#: What differs from a command's defaults: only /tmp can be written in a Lambda.
DEFAULTS = {"cache_folder": "/tmp"}

#: The share of the time that is kept back to store what is under way, at most so many seconds.
KEPT_BACK = 0.25
KEPT_BACK_SECONDS = 30.0


def lambda_handler(event: Any = None, context: Any = None) -> dict[str, Any]:
    """Load the newest inventories, or what ``{"remaining": …}`` names.

    Returns the figures of each inventory under ``inventories`` and, if the time of the
    invocation was too short, what is left under ``remaining``: the answer can be sent as the
    event of the next invocation. Raises :class:`BuildhubError` if anything failed.
    """
    settings = Settings.from_environment(os.environ, defaults=DEFAULTS)
    reporting.configure(
        reporting.VERBOSE, settings.sentry_dsn, secrets=[settings.auth], in_lambda=True
    )
    with reporting.unhandled_errors_logged():
        remaining = event.get("remaining") if isinstance(event, Mapping) else None
        tasks = Task.parse(remaining) if remaining else [Task(i) for i in settings.inventories]
        with _stop_in_time(context) as stop:
            reports = catch_up(settings, tasks, stop, keep_absent=False)
        return _answer(reports)


def _answer(reports: list[Report]) -> dict[str, Any]:
    answer: dict[str, Any] = {"inventories": [report.as_dict() for report in reports]}
    left = [report.remaining for report in reports if report.remaining and not report.error]
    if left:
        answer["remaining"] = [task.as_dict() for task in left]
    if problems := [_problem(r) for r in reports if not r.ok and r.remaining not in left]:
        raise BuildhubError(" ".join(problems))
    return answer


def _problem(report: Report) -> str:
    if report.error:
        return f"Inventory {report.inventory}: {report.error}"
    return (
        f"Inventory {report.inventory}: {report.failed} builds failed,"
        f" {report.summary.refused} records were refused, {report.bad_rows} rows were bad;"
        " the log names them."
    )


@contextmanager
def _stop_in_time(context: Any) -> Iterator[Stop]:
    """A stop that is set early enough before the invocation's time is over."""
    stop = Stop()
    timer = None
    if context is not None:
        left = context.get_remaining_time_in_millis() / 1000
        kept_back = min(left * KEPT_BACK, KEPT_BACK_SECONDS)
        stop.grace = min(stop.grace, kept_back / 2)  # the other half is for Kinto
        timer = threading.Timer(left - kept_back, stop.abandon)
        timer.daemon = True
        timer.start()
    try:
        yield stop
    finally:
        if timer:
            timer.cancel()
            timer.join()
        stop.close()
