"""``inventory-to-records``: S3 inventory CSV → one JSON record a build."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Sequence
from typing import Any

import click
import orjson

from .. import builds, inventory, streams
from ..errors import BadInput
from ..metadata import open_finder
from ..pipeline import Account, Pipeline
from ..settings import Settings, option
from . import manners

logger = logging.getLogger(__name__)


@click.command(context_settings=manners.CONTEXT)
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
@manners.common_options
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
            click.echo(builds.explain(key))
        return
    files = manners.files_or_stdin(context, files)

    def work(settings: Settings, stop: streams.Stop) -> bool:
        columns = inventory.schema_option(schema) if schema else None
        run = _Run(files, columns, settings, stop)
        try:
            asyncio.run(run.run())
        finally:
            manners.say(run.summary(), verbosity)
        return run.all_well

    manners.run(work, given, verbosity)


class _Run:
    """The wiring: files → reader → pipeline → standard output."""

    def __init__(
        self,
        files: Sequence[str],
        schema: inventory.Schema | None,
        settings: Settings,
        stop: streams.Stop,
    ) -> None:
        self._files = files
        self._settings = settings
        self._stop = stop
        self._reader = inventory.Reader(builds.candidate_pattern(), schema, logger.error)
        self._account = Account()
        self._unread = 0

    async def run(self) -> None:
        async with open_finder(self._settings) as finder:
            pipeline = Pipeline.from_settings(finder, self._settings)
            self._account = pipeline.account
            batches = self._entries()
            try:
                async for records in pipeline.records(lambda: next(batches, None), self._stop):
                    if records:
                        streams.write(b"".join(_line(record) for record in records))
            finally:
                self._stop.abandon()

    def _entries(self) -> Iterator[list[inventory.Entry]]:
        for path in self._files:
            blocks = streams.blocks(streams.chunks(path, self._stop))
            try:
                yield from self._reader.entries(blocks, streams.name_of(path))
            except BadInput as error:
                self._unread += 1
                logger.error("%s", error)

    def summary(self) -> str:
        account = self._account
        skipped = account.skipped_by_reason()
        parts = [
            f"{self._reader.rows:,} rows",
            f"{account.builds:,} builds",
            f"{account.records:,} records",
            f"skipped: {skipped}" if skipped else "none skipped",
            f"{self._reader.bad_rows:,} bad rows" if self._reader.bad_rows else "",
            f"{account.failed:,} failed" if account.failed else "",
        ]
        return "inventory-to-records: " + ", ".join(filter(None, parts)) + "."

    @property
    def all_well(self) -> bool:
        return not (self._reader.bad_rows or self._account.failed or self._unread)


def _line(record: dict[str, Any]) -> bytes:
    return orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)


if __name__ == "__main__":
    main()
