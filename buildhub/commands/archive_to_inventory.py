"""``archive-to-inventory``: the archive's own bucket → S3 inventory CSV."""

from __future__ import annotations

import contextlib
import logging
import shlex
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import click

from .. import logs, streams
from ..errors import Fatal, Interrupted
from ..inventory.selection import SECTIONS, Selection
from ..settings import Parsed, Settings, options, since, words
from ..signals import CancellationToken
from . import progress, runner

if TYPE_CHECKING:
    from ..inventory.gcs import Bucket
    from ..inventory.listing import BucketListing

logger = logging.getLogger(__name__)

#: A page of the bucket takes a tenth of a second, nearly all of which is waiting.
DEFAULTS = {"nb_parallel_requests": "16"}


def _until(value: str) -> datetime:
    """Parses a date, which is meant with the whole of that day, a time or an age."""
    moment = since(value)
    is_day = len(value.strip()) == len("2026-11-01")
    return moment + timedelta(days=1, microseconds=-1) if is_day else moment


def _start_key(value: str) -> str:
    """Parses what may be a key of the archive; a URL or a path comes before or after all keys."""
    if value and not value.startswith("pub/"):
        raise ValueError(f"{value!r} is not a key of the archive: it begins with pub/")
    return value


def _shell_word(key: str) -> str:
    """Quotes a key for the shell; bash reads one with control characters as ``$'…'``."""
    escaped = logs.escape_controls(key.replace("\\", "\\\\").replace("'", "\\'"))
    return shlex.quote(key) if logs.escape_controls(key) == key else f"$'{escaped}'"


@runner.command(DEFAULTS)
@options("products")
@click.option(
    "--section",
    "sections",
    type=click.Choice(SECTIONS),
    multiple=True,
    help="The sections to list. Repeatable.  [default: all; with --version, candidates and"
    " releases]",
)
@click.option(
    "--version",
    "versions",
    type=Parsed("globs", words),
    metavar="GLOBS",
    multiple=True,
    help="The versions to list, of releases and candidates: 152.0.1,152.0.2, '152.*'. Repeatable.",
)
@options(
    "since",
    help="List only folders since this date (2026-11-01), time or age (36h, 7d): nightlies by the"
    " date in their name, versions and builds by their first object.",
)
@click.option(
    "--until",
    type=Parsed("date or age", _until),
    help="List only folders until this date, time or age. The day of a date is included.",
)
@click.option(
    "--start-after",
    type=Parsed("key", _start_key),
    metavar="KEY",
    default="",
    help="List only what comes after this key, written as the archive writes it: to continue an"
    " earlier run.",
)
@options("nb_parallel_requests", help="Requests to the bucket at the same time.")
@options(
    "archive_bucket", "storage_emulator_host", "nb_retry_request", "timeout_seconds", "sentry_dsn"
)
@runner.common_options()
def main(
    settings: Settings,
    sections: Sequence[str],
    versions: Sequence[Sequence[str]],
    until: datetime | None,
    start_after: str,
    verbosity: int,
) -> None:
    """List the archive's own bucket and print it as an S3 inventory.

    \b
        set -o pipefail
        archive-to-inventory --since 2d | inventory-to-records | to-kinto --skip

    A row is written for each object in the folders that are listed, in the order of the keys.
    Folders without builds are not listed. No account is needed.
    """
    import asyncio

    from ..inventory.listing import BucketListing
    from ..wiring import archive_bucket

    if versions and set(sections) == {"nightly"}:
        raise click.UsageError(
            "--version does not go with --section nightly alone: nightlies are listed by date."
        )
    if settings.since and until and settings.since > until:
        raise click.UsageError("--since is after --until: nothing is between.")
    if versions and not sections:
        sections = [section for section in SECTIONS if section != "nightly"]

    def work(cancellation: CancellationToken) -> bool:
        globs = [glob for value in versions for glob in value]
        selection = Selection(
            settings.products, sections or SECTIONS, globs, settings.since, until, start_after
        )
        bucket = archive_bucket(settings)
        jobs = settings.nb_parallel_requests
        listing = BucketListing(bucket, selection, jobs=jobs, on_error=logger.error)
        run = _Output(bucket, listing, start_after)
        try:
            with progress.pipe_display("archive-to-inventory", run, "rows", prints=True):
                asyncio.run(run.run(cancellation))
            for glob in set(globs) - selection.matched:
                hint = f"; '{glob}.*' is all of them" if glob.isdecimal() else ""
                logger.warning("--version %s fits no version that is listed%s.", glob, hint)
        except (Fatal, Interrupted):
            runner.echo(run.how_to_continue())
            raise
        finally:
            runner.echo_summary(run.summary())
        return not (listing.failed or listing.bad)

    runner.run(work, settings, verbosity)


class _Output:
    """Writes what a listing yields to standard output, and counts it."""

    def __init__(self, bucket: Bucket, listing: BucketListing, start_after: str) -> None:
        self._bucket = bucket
        self._listing = listing
        self._start_after = start_after
        self._last = b""  # the last lines written
        self.rows = 0

    async def run(self, cancellation: CancellationToken) -> None:
        """Writes all rows; a signal ends it between two lines."""
        import asyncio

        with cancellation.ending_task():
            async with self._bucket, contextlib.aclosing(self._listing.blocks()) as blocks:
                async for block in blocks:
                    await asyncio.to_thread(streams.write, block, cancellation, self._written)

    def _written(self, lines: bytes) -> None:
        self._last = lines
        self.rows += lines.count(b"\n")

    def how_to_continue(self) -> str:
        """Says with which ``--start-after`` a run lists what is missing."""
        from ..inventory.row_formats import last_key

        key = last_key(self._last) if self._last else self._start_after
        if not key:
            return "archive-to-inventory: ended before the first row."
        return f"Not complete. To continue, add: --start-after {_shell_word(key)}"

    def summary(self) -> str:
        """Formats ``archive-to-inventory: 12,345 rows, 67 requests.``."""
        parts = [f"{self.rows:,} rows", f"{self._bucket.requests:,} requests"]
        if self._listing.failed:
            parts.append(f"{self._listing.failed:,} pages not listed")
        if self._listing.bad:
            parts.append(f"{self._listing.bad:,} bad objects")
        return f"archive-to-inventory: {', '.join(parts)}."


if __name__ == "__main__":
    main()
