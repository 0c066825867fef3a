"""``python -m buildhub.lambda_s3_event``: events of S3, handled without AWS."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import click

from .. import logs
from ..errors import BadInput
from ..events.service import EventService
from ..settings import Settings
from ..signals import CancellationToken
from ..streams import chunks, name_of
from . import runner
from .options import option

#: As in the Lambda: those who wait for one metadata file are many.
DEFAULTS = {"nb_parallel_requests": "32"}


@click.command(context_settings=runner.CONTEXT)
@click.argument("files", nargs=-1)
@option("server_url")
@option("bucket")
@option("collection")
@option("auth")
@option("archive_url")
@option("nb_parallel_requests", default=DEFAULTS["nb_parallel_requests"])
@option("nb_retry_request")
@option("batch_max_requests")
@option("timeout_seconds")
@option("products")
@option("sentry_dsn")
@runner.common_options
@click.pass_context
def main(context: click.Context, /, files: Sequence[str], verbosity: int, **given: Any) -> None:
    """Handle events of S3 as the Lambda does, and say in a line what was done for each record.

    \b
        python -m buildhub.lambda_s3_event event.json

    FILES hold an event each, as JSON, in any wrapping; without any, or for -, standard input is
    read.
    """
    files = runner.files_or_stdin(context, files)
    if verbosity == logs.NORMAL:
        verbosity = logs.VERBOSE  # what was done is what one wants to see here

    def work(settings: Settings, cancellation: CancellationToken) -> bool:
        with EventService(settings) as service:
            failed = [
                event
                for event in _events(files, cancellation)
                if not _handled(service, event, cancellation)
            ]
            return not failed

    runner.run(work, given, verbosity, defaults=DEFAULTS)


def _events(files: Sequence[str], cancellation: CancellationToken) -> Iterator[Any]:
    for path in files:
        try:
            yield json.loads(b"".join(chunks(path, cancellation)))
        except (ValueError, RecursionError) as error:
            raise BadInput(f"{name_of(path)} is no event: it is no JSON ({error}).") from None


def _handled(service: EventService, event: Any, cancellation: CancellationToken) -> bool:
    """Whether all went well."""
    result = service.handle(event, cancellation=cancellation)
    if result.problem:
        logs.log_error(result.problem)
    return not (result.problem or result.malformed)
