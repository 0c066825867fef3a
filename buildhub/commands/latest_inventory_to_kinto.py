"""``latest-inventory-to-kinto``: load the newest inventories into Kinto."""

from __future__ import annotations

from typing import Any

import click

from .. import logs
from ..settings import Settings
from ..signals import CancellationToken
from . import progress, runner
from .check import Differences, check_option
from .options import option
from .standard_streams import Command


@click.command(cls=Command, context_settings=runner.CONTEXT)
@option("server_url")
@option("bucket")
@option("collection")
@option("auth")
@option("source")
@option("inventories")
@option("products")
@option(
    "since",
    help="Skip files that were last modified before this date (2026-11-01), time or age (36h, 7d);"
    " with --source bucket, list only folders since then, as archive-to-inventory does.",
)
@option("min_age_last_modified_hours")
@option("archive_url")
@option("archive_bucket")
@option("storage_emulator_host")
@option("cache_folder")
@option("csv_download_directory")
@option("initialize_server")
@option("nb_parallel_requests")
@option("nb_retry_request")
@option("batch_max_requests")
@option("timeout_seconds")
@option("sentry_dsn")
@click.option(
    "--dry-run", is_flag=True, help="Write nothing to the server; print what would be written."
)
@check_option
@runner.common_options
def main(dry_run: bool, check: bool, verbosity: int, **given: Any) -> None:
    """Load the newest S3 inventories of the archive, or its own bucket, into Kinto.

    \b
        SERVER_URL=https://kinto/v1 AUTH_FILE=/run/secrets/kinto latest-inventory-to-kinto

    Initializes the server, downloads the newest inventories (or lists the bucket), recognises the
    builds, looks up their metadata, and stores the records that are new or changed. Run it on an
    empty server, or daily to store what is missing.
    """
    from ..load import load_tasks, tasks_of

    def work(settings: Settings, cancellation: CancellationToken) -> bool | int:
        differences = Differences()
        with progress.load_display(verbosity > logs.QUIET) as show:
            results = load_tasks(
                settings,
                tasks_of(settings),
                cancellation,
                dry_run=dry_run or check,
                on_difference=differences.add,
                progress=show,
            )
        if verbosity > logs.QUIET:
            progress.print_results(results)
        cancellation.raise_if_cancelled()
        complete = all(result.ok for result in results)
        return differences.report(verbosity, complete=complete) if check else complete

    runner.run(work, given, verbosity, on_error=runner.UNKNOWN if check else runner.FAILED)


if __name__ == "__main__":
    main()
