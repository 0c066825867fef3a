"""AWS Lambda: handles events of the archive's bucket, like ``s3-event-to-kinto``."""

from __future__ import annotations

import contextlib
import os
from typing import Any

from . import logs
from .aws_secret import with_auth
from .events.messages import is_queue_event
from .events.service import EventService
from .settings import Settings

#: What differs from a command's defaults: only /tmp can be written in a Lambda, and many builds
#: depend on one metadata file.
DEFAULTS = {"cache_folder": "/tmp", "nb_parallel_requests": "32"}

_warm = contextlib.ExitStack()
_service: EventService | None = None


def lambda_handler(event: Any, context: Any = None) -> dict[str, Any]:
    """Handles an event of S3, in any wrapping.

    For the event of a queue it returns the messages that failed, as ``batchItemFailures``: SQS
    sends them again. Otherwise, or if a record that failed has no ``messageId``, it raises a
    :class:`BuildhubError` with each key that failed, after all records were handled: Lambda sends
    the event again.
    """
    settings = Settings.from_environment(with_auth(os.environ), DEFAULTS)
    logs.configure(logs.VERBOSE, settings.sentry_dsn, secrets=settings.secrets, in_lambda=True)
    with logs.unhandled_errors_logged():
        result = _warm_service(settings).handle(event, seconds_left=_seconds_left(context))
        if result.problem is None:
            return {"batchItemFailures": []} if is_queue_event(event) else result.as_dict()
        if not is_queue_event(event) or None in result.failed_messages:
            raise result.problem
        logs.log_error(result.problem)
        failed = dict.fromkeys(result.failed_messages)
        return {"batchItemFailures": [{"itemIdentifier": message} for message in failed]}


def _seconds_left(context: Any) -> float | None:
    """Returns what the invocation has left; None if ``context`` does not know (other runtimes)."""
    remaining = getattr(context, "get_remaining_time_in_millis", None)
    return remaining() / 1000 if remaining else None


def _warm_service(settings: Settings) -> EventService:
    """Returns the service of the previous invocation if its settings are these, else a new one."""
    global _service
    if _service is None or _service.settings != settings:
        cool_down()
        _service = _warm.enter_context(EventService(settings))
    return _service


def cool_down() -> None:
    """Closes what is kept open between invocations."""
    global _service
    _service = None
    _warm.close()
