"""``to-kinto``: records as NDJSON → a Kinto collection."""

from __future__ import annotations

import contextlib
import io
import itertools
import logging
from collections.abc import Iterator, Sequence
from typing import Any

import click
import orjson

from .. import signals, streams
from ..errors import BadInput
from ..kinto import Client, Publisher, RecordIndex
from ..settings import Settings, option
from . import runner

logger = logging.getLogger(__name__)


@click.command(context_settings=runner.CONTEXT)
@click.argument("files", nargs=-1)
@option("server_url")
@option("bucket")
@option("collection")
@option("auth")
@click.option(
    "--skip",
    is_flag=True,
    help="Leave records alone that are on the server already and equal. What is on the server is"
    " kept in the cache folder. Without --skip every record is written.",
)
@click.option("--dry-run", is_flag=True, help="Store nothing; say what would be stored.")
@click.option(
    "-j",
    "--jobs",
    type=click.IntRange(1, 32),
    default=1,
    show_default=True,
    help="Connections to the server. One is the fastest with most servers: it keeps the server"
    " busy, and two that write into one collection get into each other's way.",
)
@option("batch_max_requests")
@option("cache_folder")
@option("nb_retry_request")
@option("timeout_seconds")
@option("sentry_dsn")
@runner.common_options
@click.pass_context
def main(
    context: click.Context,
    /,
    files: Sequence[str],
    skip: bool,
    dry_run: bool,
    jobs: int,
    verbosity: int,
    **given: Any,
) -> None:
    """Store records in a Kinto collection.

    \b
        set -o pipefail
        zcat *.csv.gz | inventory-to-records | to-kinto --skip

    FILES hold a record a line, {"data": {...}}, plain or gzip; without any, or for -, standard
    input is read. Records with an id replace what the server has under it, records without one
    are added. Blank lines are skipped. A line that is no record, or a record that the server
    refuses, is reported, and all others are stored; the exit status is 1 then.
    """
    files = runner.files_or_stdin(context, files)

    def work(settings: Settings, cancellation: signals.CancellationToken) -> bool:
        run = _Run(files, settings, cancellation)
        with contextlib.ExitStack() as stack:
            client = Client.from_settings(settings)
            known = None
            if skip or dry_run:
                known = stack.enter_context(RecordIndex(settings.cache_folder, client.target))
                known.refresh(client, cancellation.raise_if_cancelled)
            publisher = Publisher(
                client,
                known=known,
                rewrite=not skip,
                jobs=jobs,
                dry_run=dry_run,
                on_error=logger.error,
            )
            label = "to-kinto (dry run)" if dry_run else "to-kinto"
            stack.callback(lambda: runner.echo_summary(f"{label}: {publisher.counts}.", verbosity))
            with publisher:
                run.read_into(publisher)
        return publisher.counts.ok and not run.bad_input

    runner.run(work, given, verbosity)


class _Run:
    """The wiring: files → lines → records → the publisher."""

    def __init__(
        self, files: Sequence[str], settings: Settings, cancellation: signals.CancellationToken
    ) -> None:
        self._files = files
        self._settings = settings
        self._cancellation = cancellation
        self.bad_input = False

    def read_into(self, publisher: Publisher) -> None:
        for path in self._files:
            try:
                for number, line in self._lines(path, publisher):
                    self._cancellation.raise_if_cancelled()
                    self._add(publisher, line, f"{streams.name_of(path)}, line {number}")
            except BadInput as error:
                self._complain(str(error))

    def _lines(self, path: str, publisher: Publisher) -> Iterator[tuple[int, bytes]]:
        """The lines that are not blank, and their numbers from 1."""
        chunks = streams.chunks(path, self._cancellation, on_idle=publisher.flush)
        blocks = map(io.BytesIO, streams.blocks(chunks))
        for number, line in enumerate(itertools.chain.from_iterable(blocks), 1):
            if line.strip():
                yield number, line

    def _add(self, publisher: Publisher, line: bytes, where: str) -> None:
        try:
            record = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            self._complain(f"{where}: this is no JSON ({error.msg}).")
        else:
            publisher.add(record, where)

    def _complain(self, sentence: str) -> None:
        self.bad_input = True
        logger.error("%s", sentence)


if __name__ == "__main__":
    main()
