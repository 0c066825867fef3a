"""``archive-to-inventory``: the archive's own bucket → S3 inventory CSV."""

from __future__ import annotations

import contextlib
import logging
import os
import shlex
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from .. import __version__, logs, streams
from ..errors import Fatal, Interrupted
from ..inventory.selection import SECTIONS, Selection
from ..settings import Settings
from ..settings.parsers import since
from ..signals import CancellationToken
from . import progress, runner
from .options import option
from .standard_streams import Command

if TYPE_CHECKING:
    import asyncio

    from ..inventory.gcs import Bucket
    from ..inventory.listing import BucketListing

logger = logging.getLogger(__name__)

STDOUT = 1

#: A page of the bucket takes a tenth of a second, nearly all of which is waiting.
DEFAULTS = {"nb_parallel_requests": "16"}

#: What ``--version`` without a value means.
_OWN_VERSION = "\0"


class _Until(click.ParamType[datetime]):
    """A date, which is meant with the whole of that day, a time or an age."""

    name = "date or age"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        try:
            moment = since(value)
        except ValueError as error:
            self.fail(f"{error}.", param, ctx)
        is_day = len(value.strip()) == len("2026-11-01")
        return moment + timedelta(days=1, microseconds=-1) if is_day else moment


def _own_version(
    context: click.Context, parameter: click.Parameter, globs: Sequence[str]
) -> Sequence[str]:
    """Print the program's version for ``--version`` alone, as the other commands do."""
    if _OWN_VERSION in globs:
        click.echo(f"{context.info_name} {__version__}")
        context.exit()
    return globs


@click.command(cls=Command, context_settings=runner.CONTEXT)
@option("products")
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
    metavar="GLOB",
    multiple=True,
    is_flag=False,
    flag_value=_OWN_VERSION,
    callback=_own_version,
    help="The versions to list, of releases and candidates: 152.0.1, '152.*'. Repeatable."
    " Without a value: print the version of this program.",
)
@option(
    "since",
    help="List only folders since this date (2026-11-01), time or age (36h, 7d): nightlies by the"
    " date in their name, versions and builds by their first object.",
)
@click.option(
    "--until",
    type=_Until(),
    metavar="DATE OR AGE",
    help="List only folders until this date, time or age. The day of a date is included.",
)
@click.option(
    "--start-after",
    metavar="KEY",
    default="",
    help="List only what comes after this key, written as the archive writes it: to continue an"
    " earlier run.",
)
@option(
    "nb_parallel_requests",
    default=DEFAULTS["nb_parallel_requests"],
    help="Requests to the bucket at the same time.",
)
@option("archive_bucket")
@option("storage_emulator_host")
@option("nb_retry_request")
@option("timeout_seconds")
@option("sentry_dsn")
@runner.verbosity_options
def main(
    sections: Sequence[str],
    versions: Sequence[str],
    until: datetime | None,
    start_after: str,
    verbosity: int,
    **given: Any,
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

    if versions and not sections:
        sections = [section for section in SECTIONS if section != "nightly"]

    def work(settings: Settings, cancellation: CancellationToken) -> bool:
        selection = Selection(
            settings.products,
            sections or SECTIONS,
            versions,
            settings.since,
            until,
            start_after,
        )
        bucket = archive_bucket(settings)
        jobs = settings.nb_parallel_requests
        listing = BucketListing(bucket, selection, jobs=jobs, on_error=logger.error)
        run = _Output(selection, bucket, listing)
        show = verbosity > logs.QUIET and not os.isatty(STDOUT)
        try:
            with progress.pipe_display(show, run.status):
                asyncio.run(run.run(cancellation))
        except (Fatal, Interrupted):
            click.echo(run.how_to_continue(), err=True)
            raise
        finally:
            runner.echo_summary(run.summary(), verbosity)
        return run.all_well

    runner.run(work, given, verbosity, defaults=DEFAULTS)


class _Output:
    """The wiring: bucket → listing → standard output."""

    def __init__(self, selection: Selection, bucket: Bucket, listing: BucketListing) -> None:
        self._selection = selection
        self._bucket = bucket
        self._listing = listing
        self._last = b""  # the last lines written
        self._rows = 0

    async def run(self, cancellation: CancellationToken) -> None:
        """Write all rows; a signal ends it between two lines."""
        import asyncio

        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None
        loop.add_reader(cancellation.fileno(), _cancel_once, loop, cancellation, task)
        try:
            await self._write_all()
        except asyncio.CancelledError:
            cancellation.raise_if_cancelled()
            raise
        finally:
            loop.remove_reader(cancellation.fileno())

    async def _write_all(self) -> None:
        async with self._bucket, contextlib.aclosing(self._listing.blocks()) as blocks:
            async for block in blocks:
                await streams.write_lines(block, self._written)

    def _written(self, lines: bytes) -> None:
        self._last = lines
        self._rows += lines.count(b"\n")

    def how_to_continue(self) -> str:
        """Which ``--start-after`` lists what is missing."""
        from ..inventory.row_formats import last_key

        key = self._selection.start_after
        if self._last:
            key = last_key(self._last)
        if not key:
            return "Ended before the first row."
        return f"Not complete. To continue, add: --start-after {shlex.quote(key)}"

    def status(self, seconds: float) -> str:
        """What has been done so far, and at which rate."""
        rate = self._rows / seconds if seconds else 0
        return f"archive-to-inventory: {self._rows:,} rows, {rate:,.0f} rows/s"

    def summary(self) -> str:
        """``archive-to-inventory: 12,345 rows, 67 requests.``"""
        failed = self._listing.failed
        parts = [
            f"{self._rows:,} rows",
            f"{self._bucket.requests:,} requests",
            f"{failed:,} pages not listed" if failed else "",
        ]
        return "archive-to-inventory: " + ", ".join(filter(None, parts)) + "."

    @property
    def all_well(self) -> bool:
        """Whether no page is missing."""
        return not self._listing.failed


def _cancel_once(
    loop: asyncio.AbstractEventLoop, cancellation: CancellationToken, task: asyncio.Task[Any]
) -> None:
    """Cancel the run; the token stays readable, so stop watching it."""
    loop.remove_reader(cancellation.fileno())
    task.cancel()


if __name__ == "__main__":
    main()
