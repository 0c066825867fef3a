"""``inventory-to-records``: S3 inventory CSV → one JSON record a build."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Sequence
from typing import Any

import click
import orjson

from .. import signals, streams
from ..archive.lookup import open_lookup
from ..builds import recognise as builds
from ..builds.explain import explain as explain_key
from ..errors import BadInput
from ..inventory import reader as inventory
from ..inventory.formats import InventoryRow, Schema
from ..pipeline import Pipeline, PipelineCounts
from ..records import Record
from ..settings import Settings, option
from . import runner

logger = logging.getLogger(__name__)


@click.command(context_settings=runner.CONTEXT)
@click.argument("files", nargs=-1)
@click.option(
    "--schema",
    metavar="COLUMNS",
    help='Names of the columns, as in a manifest: "Bucket, Key, Size, LastModifiedDate, ETag".'
    "  [default: by their number]",
)
@option("products")
@option("since")
@option("min_age_last_modified_hours")
@option("archive_url")
@option("cache_folder")
@option("nb_parallel_requests")
@option("nb_retry_request")
@option("timeout_seconds")
@option("sentry_dsn")
@click.option(
    "--explain",
    is_flag=True,
    help="The arguments are keys of the archive: tell for each what it is taken for and why.",
)
@runner.common_options
@click.pass_context
def main(
    context: click.Context,
    /,
    files: Sequence[str],
    schema: str | None,
    explain: bool,
    verbosity: int,
    **given: Any,
) -> None:
    """Recognise the builds in S3 inventories and print their records as JSON.

    \b
        set -o pipefail
        zcat *.csv.gz | inventory-to-records | to-kinto

    FILES are CSV, plain or gzip; without any, or for -, standard input is read. A record is
    written for each build whose metadata was found, one a line, in the inventory's order.
    """
    if explain:
        for key in files:
            click.echo(explain_key(key))
        return
    files = runner.files_or_stdin(context, files)

    def work(settings: Settings, cancellation: signals.CancellationToken) -> bool:
        columns = inventory.schema_option(schema) if schema else None
        run = _Run(files, columns, settings, cancellation)
        try:
            asyncio.run(run.run())
        finally:
            runner.echo_summary(run.summary(), verbosity)
        return run.all_well

    runner.run(work, given, verbosity)


class _Run:
    """The wiring: files → reader → pipeline → standard output."""

    def __init__(
        self,
        files: Sequence[str],
        schema: Schema | None,
        settings: Settings,
        cancellation: signals.CancellationToken,
    ) -> None:
        self._files = files
        self._settings = settings
        self._cancellation = cancellation
        self._reader = inventory.InventoryReader(builds.candidate_pattern(), schema, logger.error)
        self._counts = PipelineCounts()
        self._unread = 0

    async def run(self) -> None:
        async with open_lookup(self._settings) as lookup:
            pipeline = Pipeline.from_settings(lookup, self._settings)
            self._counts = pipeline.counts
            batches = self._entries()
            try:
                async for records in pipeline.records(
                    lambda: next(batches, None), self._cancellation
                ):
                    if records:
                        streams.write(b"".join(_line(record) for record in records))
            finally:
                self._cancellation.cancel()

    def _entries(self) -> Iterator[list[InventoryRow]]:
        for path in self._files:
            blocks = streams.blocks(streams.chunks(path, self._cancellation))
            try:
                yield from self._reader.entries(blocks, streams.name_of(path))
            except BadInput as error:
                self._unread += 1
                logger.error("%s", error)

    def summary(self) -> str:
        counts = self._counts
        skipped = counts.skipped_by_reason()
        parts = [
            f"{self._reader.rows:,} rows",
            f"{counts.builds:,} builds",
            f"{counts.records:,} records",
            f"skipped: {skipped}" if skipped else "none skipped",
            f"{self._reader.bad_rows:,} bad rows" if self._reader.bad_rows else "",
            f"{counts.failed:,} failed" if counts.failed else "",
        ]
        return "inventory-to-records: " + ", ".join(filter(None, parts)) + "."

    @property
    def all_well(self) -> bool:
        return not (self._reader.bad_rows or self._counts.failed or self._unread)


def _line(record: Record) -> bytes:
    return orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)


if __name__ == "__main__":
    main()
