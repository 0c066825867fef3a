"""``inventory-to-records``: S3 inventory CSV → records, one JSON object per line."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click
import orjson

from .. import logs, streams
from ..settings import Parsed, Settings, options
from ..signals import CancellationToken
from . import progress, runner

if TYPE_CHECKING:
    from ..inventory.row_formats import Schema
    from ..pipeline.record_maker import PipelineCounts
    from ..records import Record


def _schema(columns: str) -> Schema:
    """Parses the names of an inventory's columns: ``Bucket, Key, Size, LastModifiedDate, ETag``."""
    from ..inventory.row_formats import Schema

    return Schema.parse(columns)


@runner.command()
@click.argument("files", nargs=-1)
@click.option(
    "--schema",
    type=Parsed("columns", _schema),
    help='Names of the columns, as in a manifest: "Bucket, Key, Size, LastModifiedDate, ETag".'
    "  [default: by the number of columns]",
)
@options(
    "products",
    "since",
    "min_age_last_modified_hours",
    "archive_url",
    "cache_folder",
    "nb_parallel_requests",
    "checksums",
    "nb_retry_request",
    "timeout_seconds",
    "sentry_dsn",
)
@click.option(
    "--explain",
    is_flag=True,
    help="The arguments are keys or URLs of files: print which build each is, or why it is none.",
)
@runner.summary_option
@runner.common_options("--version")
def main(
    settings: Settings,
    files: Sequence[str],
    schema: Schema | None,
    explain: bool,
    summary: runner.Summary,
    verbosity: int,
) -> None:
    """Recognise the builds in S3 inventories and print their records as JSON.

    \b
        set -o pipefail
        zcat *.csv.gz | inventory-to-records | to-kinto

    FILES are CSV, plain or gzip; without FILES, or for -, standard input is read. A record is
    printed for each build whose metadata was found, one per line, in the order of the inventory.
    """
    if explain:
        _explain(files)
        return
    files = runner.files_or_stdin(files)

    def work(cancellation: CancellationToken) -> bool:
        return _process(files, schema, settings, cancellation, summary, verbosity)

    runner.run(work, settings, verbosity, summary=summary)


def _explain(keys: Sequence[str]) -> None:
    if not keys:
        raise click.UsageError(
            "--explain needs one or more keys or URLs of the archive as arguments."
        )
    from ..builds.explain import explain
    from ..builds.values import key_of

    for key in keys:
        streams.write(f"{logs.escape_controls(explain(key_of(key)))}\n".encode())


def _process(
    files: Sequence[str],
    schema: Schema | None,
    settings: Settings,
    cancellation: CancellationToken,
    summary: runner.Summary,
    verbosity: int,
) -> bool:
    """Writes the records of files to standard output; returns whether all went well."""
    import asyncio

    from ..wiring import inventory_processor, open_lookup

    inputs = [(path, streams.name_of(path)) for path in files]

    async def run() -> bool:
        async with open_lookup(settings) as lookup:
            processor = inventory_processor(settings, lookup, cancellation, schema=schema)
            summary.figures = processor.counts.as_dict
            try:
                with _display(processor.counts, verbosity):
                    await processor.process_files(inputs, functools.partial(_write, cancellation))
            finally:
                cancellation.cancel()  # ends a read that an error left in its thread
                runner.echo_summary(f"inventory-to-records: {processor.counts}.", verbosity)
            return processor.counts.ok

    return asyncio.run(run())


def _display(counts: PipelineCounts, verbosity: int) -> contextlib.AbstractContextManager[None]:
    """Shows progress, unless the records themselves are printed on the terminal."""
    return progress.pipe_display(
        verbosity > logs.QUIET and not os.isatty(runner.STDOUT),
        lambda seconds: f"inventory-to-records: {progress.records_status(counts, seconds)}",
    )


def _write(cancellation: CancellationToken, records: Sequence[Record]) -> None:
    lines = [orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE) for record in records]
    streams.write(b"".join(lines), cancellation)


if __name__ == "__main__":
    main()
