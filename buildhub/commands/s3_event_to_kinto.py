"""``s3-event-to-kinto``: events of S3 as JSON → records in a Kinto collection."""

from __future__ import annotations

import io
import itertools
import json
import logging
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from .. import MAX_LINE, logs
from ..errors import BadInput
from ..inventory.row_formats import BEGINNING
from ..settings import Settings, options
from ..signals import CancellationToken
from ..streams import blocks, chunks, is_cut, name_of
from . import runner

if TYPE_CHECKING:
    from ..events.service import EventResult, EventService

logger = logging.getLogger(__name__)

#: As in the Lambda: many builds depend on one metadata file.
DEFAULTS = {"nb_parallel_requests": "32"}


@runner.command(DEFAULTS)
@click.argument("files", nargs=-1)
@options("server_url", "bucket", "collection", "auth", "archive_url", "checksums")
@options("nb_retry_request", "batch_max_requests", "timeout_seconds", "products", "sentry_dsn")
@runner.summary_option
@runner.common_options("--version")
def main(settings: Settings, files: Sequence[str], summary: runner.Summary, verbosity: int) -> None:
    """Handle events of S3 as the event Lambda does.

    \b
        s3-event-to-kinto event.json

    FILES hold events as JSON, in any wrapping: one in a file, or one per line; without any, or
    for -, standard input is read. Each record of an event is logged with what was done for it. A
    record that is malformed, or that fails, is reported, and all others are handled; the exit
    status is 1 then.
    """
    from ..events.service import EventResult, EventService

    files = runner.files_or_stdin(files)
    if verbosity == logs.NORMAL:
        verbosity = logs.VERBOSE  # the line for each record

    def work(cancellation: CancellationToken) -> bool:
        run = _EventFiles(EventResult(), cancellation)
        summary.figures = run.figures
        with EventService(
            settings,
            cancellation=cancellation,
            on_failure=logs.FirstErrors(logger),
            on_malformed=run.on_malformed,
        ) as service:
            try:
                for path in files:
                    run.handle_file(service, path)
            finally:
                runner.echo_summary(f"s3-event-to-kinto: {run.result}.")
        return not (run.result.failures or run.result.malformed or run.unread)

    runner.run(work, settings, verbosity, summary=summary)


class _EventFiles:
    """Passes the events of files to the service, and counts them in ``result``."""

    def __init__(self, result: EventResult, cancellation: CancellationToken) -> None:
        self._cancellation = cancellation
        self.unread = 0
        self.on_malformed = logs.FirstErrors(logger)
        self.result = result

    def figures(self) -> dict[str, Any]:
        """Returns the figures for ``--summary``."""
        builds = {outcome.name.lower(): count for outcome, count in self.result.builds.items()}
        files = {**self.result.as_dict(), "failed": self.result.failed, "unread": self.unread}
        return {"newest_build": self.result.newest_build or None, "counts": builds | files}

    def handle_file(self, service: EventService, path: str) -> None:
        """Handles all events of a file. Raises :class:`Interrupted` on a signal."""
        try:
            for where, document in _documents(path, self._cancellation):
                self._handle(service, where, document)
        except BadInput as error:
            self.unread += 1
            logger.error("%s", error)

    def _handle(self, service: EventService, where: str, document: bytes) -> None:
        try:
            event = json.loads(document)
        except (ValueError, RecursionError) as error:
            problem = f"it is not JSON ({error})"
            if is_cut(document):
                problem = f"it is longer than {MAX_LINE >> 20} MiB"
            self.result.malformed += 1
            self.on_malformed(f"{where}: this is not an event: {problem}.")
            return
        self.result.merge(service.handle(event, where=where))
        self._cancellation.raise_if_cancelled()


def _documents(path: str, cancellation: CancellationToken) -> Iterator[tuple[str, bytes]]:
    """Yields the event of a file, or those of its lines, and where each is, or raises BadInput."""
    name = name_of(path)
    pieces = map(io.BytesIO, blocks(chunks(path, cancellation)))
    lines = itertools.chain.from_iterable(pieces)
    beginning = list(itertools.islice(lines, 2))
    if beginning and beginning[0].startswith(b'{"data":'):
        raise BadInput(f"{name}: these are records, not events: pass them to to-kinto.")
    if beginning and re.match(BEGINNING, beginning[0]):
        raise BadInput(f"{name}: it is an inventory, not events: pass it to inventory-to-records.")
    if len(beginning) == 2 and _is_json(beginning[0]):
        for number, line in enumerate(itertools.chain(beginning, lines), 1):
            if line.strip():
                yield f"{name}, line {number}", line
        return
    content = bytearray()
    for line in itertools.chain(beginning, lines):
        content += line
        if len(content) > MAX_LINE:
            raise BadInput(f"{name}: the event is larger than {MAX_LINE >> 20} MiB.")
    yield name, bytes(content)


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


if __name__ == "__main__":
    main()
