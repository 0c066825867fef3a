"""``inventory-to-records``: S3 inventory CSV → records, one JSON object per line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from .. import logs, streams
from ..inventory.row_formats import Schema
from ..records import line_of
from ..settings import Parsed, Settings, options
from ..signals import CancellationToken
from . import progress, runner

if TYPE_CHECKING:
    from ..records import Record


@runner.command()
@click.argument("files", nargs=-1)
@click.option(
    "--schema",
    type=Parsed("columns", Schema.parse),
    help='Names of the columns, as in a manifest: "Bucket, Key, Size, LastModifiedDate, ETag".'
    "  [default: by the number of columns]",
)
@options("products", "since", "min_age_last_modified_hours")
@options("archive_url", "cache_folder", "nb_parallel_requests", "checksums")
@options("nb_retry_request", "timeout_seconds", "sentry_dsn")
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
        import asyncio

        return asyncio.run(_process(files, schema, settings, cancellation, summary))

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


async def _process(
    files: Sequence[str],
    schema: Schema | None,
    settings: Settings,
    cancellation: CancellationToken,
    summary: runner.Summary,
) -> bool:
    """Writes the records of files to standard output; returns whether all went well."""
    from ..wiring import inventory_processor, open_lookup

    def write(records: Sequence[Record]) -> None:
        streams.write(b"".join(map(line_of, records)), cancellation)

    async with open_lookup(settings) as lookup:
        processor = inventory_processor(settings, lookup, cancellation, schema=schema)
        counts = processor.counts
        shown = progress.pipe_display(
            "inventory-to-records", counts, "rows", "records", prints=True
        )
        summary.figures = counts.as_dict
        rows = processor.rows_of_files((path, streams.name_of(path)) for path in files)
        try:
            with shown:
                await processor.process(rows, write)
        finally:
            cancellation.cancel()  # ends a read that an error left in its thread
            runner.echo_summary(f"inventory-to-records: {counts}.")
        return counts.ok


if __name__ == "__main__":
    main()
