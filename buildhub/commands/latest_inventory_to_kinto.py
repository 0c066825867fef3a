"""``latest-inventory-to-kinto``: load the newest inventories into Kinto."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..settings import Settings, options
from ..signals import CancellationToken
from . import progress, runner


@runner.command()
@options("server_url", "bucket", "collection", "auth", "source", "inventories", "products")
@options("inventory_bucket", "inventory_prefix")
@options(
    "since",
    help="Skip files that were last modified before this date (2026-11-01), time or age (36h, 7d);"
    " with --source bucket, list only folders since then, as archive-to-inventory does.",
)
@options("min_age_last_modified_hours", "archive_url", "archive_bucket", "storage_emulator_host")
@options("cache_folder", "csv_download_directory", "initialize_server")
@options("nb_parallel_requests", "checksums", "nb_retry_request")
@options("batch_max_requests", "timeout_seconds", "sentry_dsn")
@progress.dry_run_option
@progress.check_option
@runner.summary_option
@runner.common_options("--version")
def main(
    settings: Settings, dry_run: bool, check: bool, summary: runner.Summary, verbosity: int
) -> None:
    """Load the newest S3 inventories of the archive, or its own bucket, into Kinto.

    \b
        SERVER_URL=https://kinto/v1 AUTH_FILE=/run/secrets/kinto latest-inventory-to-kinto

    Initializes the server, downloads the newest inventories (or lists the bucket), recognises the
    builds, looks up their metadata, and stores the records that are new or changed. Run it on an
    empty server, or daily to store what is missing.
    """
    from ..load.run import load_tasks
    from ..load.tasks import tasks_of

    def work(cancellation: CancellationToken) -> bool | int:
        differences = progress.Differences()
        with progress.load_display() as show:
            results = load_tasks(
                settings,
                tasks_of(settings),
                cancellation,
                dry_run=dry_run or check,
                on_difference=differences.add,
                progress=show,
            )
        summary.figures = lambda: _figures([result.as_dict() for result in results])
        if not runner.is_quiet():
            if check or dry_run:
                label = "check" if check else "dry run"
                runner.echo(f"latest-inventory-to-kinto ({label}): nothing was written.")
            progress.print_results(results)
        cancellation.raise_if_cancelled()
        complete = all(result.ok for result in results)
        return differences.report(complete=complete) if check else complete

    on_error = runner.UNKNOWN if check else runner.FAILED
    runner.run(work, settings, verbosity, on_error=on_error, summary=summary)


def _figures(sections: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Returns the figures of sections, or inventories, and their sums, for ``--summary``."""
    names = [name for name, value in sections[0].items() if type(value) is int] if sections else []
    return {
        "newest_build": max((one["newest_build"] or "" for one in sections), default="") or None,
        "counts": {name: sum(one[name] for one in sections) for name in names},
        "sections": sections,
    }


if __name__ == "__main__":
    main()
