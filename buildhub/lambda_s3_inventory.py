"""The run of ``latest-inventory-to-kinto`` as an AWS Lambda.

Entry point: ``buildhub.lambda_s3_inventory.lambda_handler``.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from . import logs
from .errors import BuildhubError
from .load import InventoryResult, LoadTask, load_inventories
from .settings import Settings
from .signals import CancellationToken

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
    logs.configure(logs.VERBOSE, settings.sentry_dsn, secrets=[settings.auth], in_lambda=True)
    with logs.unhandled_errors_logged():
        remaining = event.get("remaining") if isinstance(event, Mapping) else None
        tasks = (
            LoadTask.parse(remaining) if remaining else [LoadTask(i) for i in settings.inventories]
        )
        with _stop_in_time(context) as cancellation:
            results = load_inventories(settings, tasks, cancellation, keep_absent=False)
        return _answer(results)


def _answer(results: list[InventoryResult]) -> dict[str, Any]:
    answer: dict[str, Any] = {"inventories": [result.as_dict() for result in results]}
    left = [result.remaining for result in results if result.remaining and not result.error]
    if left:
        answer["remaining"] = [task.as_dict() for task in left]
    if problems := [_problem(r) for r in results if not r.ok and r.remaining not in left]:
        raise BuildhubError(" ".join(problems))
    return answer


def _problem(result: InventoryResult) -> str:
    if result.error:
        return f"Inventory {result.inventory}: {result.error}"
    return (
        f"Inventory {result.inventory}: {result.failed} builds failed,"
        f" {result.published.refused} records were refused, {result.bad_rows} rows were bad;"
        " the log names them."
    )


@contextmanager
def _stop_in_time(context: Any) -> Iterator[CancellationToken]:
    """A stop that is set early enough before the invocation's time is over."""
    cancellation = CancellationToken()
    timer = None
    if context is not None:
        left = context.get_remaining_time_in_millis() / 1000
        kept_back = min(left * KEPT_BACK, KEPT_BACK_SECONDS)
        cancellation.grace = min(cancellation.grace, kept_back / 2)  # the other half is for Kinto
        timer = threading.Timer(left - kept_back, cancellation.cancel)
        timer.daemon = True
        timer.start()
    try:
        yield cancellation
    finally:
        if timer:
            timer.cancel()
            timer.join()
        cancellation.close()
