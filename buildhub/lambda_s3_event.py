"""Events of the archive's bucket, as an AWS Lambda: the catalogue is right in seconds.

Entry point: ``buildhub.lambda_s3_event.lambda_handler``. To try it without AWS:
``python -m buildhub.lambda_s3_event event.json``.
"""

from __future__ import annotations

import os
from typing import Any

from . import logs
from .events.messages import is_queue_event
from .events.service import EventService
from .settings import Settings

#: What differs from a command's defaults: only /tmp can be written in a Lambda, and those who
#: wait for one metadata file are many.
DEFAULTS = {"cache_folder": "/tmp", "nb_parallel_requests": "32"}

_warm: EventService | None = None


def lambda_handler(event: Any, context: Any = None) -> dict[str, Any]:
    """Handle an event of S3, in any wrapping.

    Of a queue's event the messages that failed are returned, as ``batchItemFailures``: SQS sends
    them again. Otherwise :class:`BuildhubError` is raised if anything failed, after all records
    were handled, with each key in it: Lambda sends the event again.
    """
    settings = Settings.from_environment(os.environ, defaults=DEFAULTS)
    logs.configure(logs.VERBOSE, settings.sentry_dsn, secrets=[settings.auth], in_lambda=True)
    with logs.unhandled_errors_logged():
        left = context.get_remaining_time_in_millis() / 1000 if context is not None else None
        result = _service(settings).handle(event, seconds_left=left)
        if is_queue_event(event):
            if result.problem:
                logs.log_error(result.problem)
            failures = [{"itemIdentifier": message} for message in result.failed_messages]
            return {"batchItemFailures": failures}
        if result.problem:
            raise result.problem
        return result.as_dict()


def _service(settings: Settings) -> EventService:
    """The one of the invocation before, if its settings are these."""
    global _warm
    if _warm is None or _warm.settings != settings:
        cool_down()
        _warm = EventService(settings).__enter__()
    return _warm


def cool_down() -> None:
    """Close what is kept open between invocations."""
    global _warm
    if _warm is not None:
        _warm.__exit__(None, None, None)
        _warm = None


if __name__ == "__main__":
    from .commands.s3_event_to_kinto import main

    main()
