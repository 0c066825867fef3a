"""``to-kinto``: records, one JSON object per line → a Kinto collection."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
import orjson

from .. import MAX_LINE, logs, streams
from ..errors import BadInput, Interrupted
from ..inventory.row_formats import BEGINNING
from ..records import line_of
from ..settings import Settings, options
from ..signals import CancellationToken
from . import progress, runner

if TYPE_CHECKING:
    from ..kinto.publisher import Publisher

logger = logging.getLogger(__name__)

#: Lines that are compared with the server together: few, as they then stay in the processor's
#: cache, and as one that is not known makes it necessary to decode all of them.
_LINES = 100


#: The date of a record's build; also in lines that are not decoded, as they are known.
_BUILD_DATE = re.compile(rb'"build": *\{[^{}]*"date": *"([0-9TZ:.+-]+)"')


@runner.command()
@click.argument("files", nargs=-1)
@options("server_url", "bucket", "collection", "auth")
@click.option(
    "--skip",
    is_flag=True,
    help="Do not send records that are already on the server and equal. What is on the server is"
    " kept in the cache folder. Without --skip every record is written.",
)
@progress.dry_run_option
@progress.check_option
@click.option(
    "--failed",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the records that were refused or may not be stored to this file, one per line, for"
    " a second try. It is written when the command ends, and may be its input.",
)
@options("batch_max_requests", "cache_folder", "nb_retry_request", "timeout_seconds", "sentry_dsn")
@runner.summary_option
@runner.common_options("--version")
def main(
    settings: Settings,
    files: Sequence[str],
    skip: bool,
    dry_run: bool,
    check: bool,
    failed: Path | None,
    summary: runner.Summary,
    verbosity: int,
) -> None:
    """Store records in a Kinto collection.

    \b
        set -o pipefail
        zcat *.csv.gz | inventory-to-records | to-kinto --skip

    FILES contain one record per line, {"data": {...}}, plain or gzip; without FILES, or for -,
    standard input is read. A record with an id replaces the one that the server has under it, a
    record without is added. Blank lines are skipped. A line that is not a valid record, or a
    record that the server refuses, is reported, all others are stored, and the exit status is 1.
    """
    from ..kinto.initialization import exists
    from ..kinto.publisher import Publisher
    from ..kinto.record_index import RecordIndex
    from ..storage import written_aside
    from ..wiring import kinto_client

    files = runner.files_or_stdin(files)
    sends_nothing = dry_run or check

    def work(cancellation: CancellationToken) -> bool | int:
        differences = progress.Differences()
        source = _RecordFiles(files, cancellation, find_newest=bool(summary.path))
        keep = None
        with contextlib.ExitStack() as stack:
            if failed:  # aside, as the command may be reading what an earlier run has written
                aside = written_aside(
                    failed,
                    "--failed",
                    lambda: (sends_nothing or not source.complete) and source.has(failed),
                )
                keep = stack.enter_context(aside)
            client = kinto_client(settings, cancellation)
            index = None
            try:
                if not sends_nothing:
                    client.check_credentials()
                # A collection that does not exist has no records: all of ours would be created.
                if exists(client) if sends_nothing else skip:
                    index = stack.enter_context(RecordIndex(settings.cache_folder, client.target))
                    index.refresh(client)
            except Interrupted:
                runner.echo_summary("to-kinto: stopped before the first record.")
                raise
            publisher = Publisher(
                client,
                index=index,
                rewrite=not (skip or check),
                dry_run=sends_nothing,
                on_difference=differences.add,
                on_error=logs.FirstErrors(logger),
                on_not_stored=lambda record: keep(line_of(record)) if keep else None,
            )
            label = "to-kinto (check)" if check else "to-kinto (dry run)" if dry_run else "to-kinto"
            counts = publisher.counts
            summary.figures = lambda: {
                "newest_build": source.newest_build.decode() or None,
                "counts": {**dataclasses.asdict(counts), "bad_lines": source.bad_lines},
            }
            ended = False
            try:
                with progress.pipe_display("to-kinto", counts, "records"), publisher:
                    source.read_into(publisher)
                ended = not cancellation.cancelled  # Ctrl-C also ends what writes the input
            finally:
                if not ended:
                    runner.echo(source.how_to_continue(skip=not sends_nothing))
                bad_lines = f", {source.bad_lines} bad lines" if source.bad_lines else ""
                runner.echo_summary(f"{label}: {counts}{bad_lines}.")
        complete = counts.ok and not source.errors.count
        return differences.report(complete=complete) if check else complete

    on_error = runner.UNKNOWN if check else runner.FAILED
    runner.run(work, settings, verbosity, on_error=on_error, summary=summary)


class _RecordFiles:
    """Adds the records of files to a publisher."""

    def __init__(
        self, files: Sequence[str], cancellation: CancellationToken, *, find_newest: bool
    ) -> None:
        self._files = files
        self._cancellation = cancellation
        self.errors = logs.FirstErrors(logger)
        self.bad_lines = 0
        self.newest_build = b""  #: a date, if it is to be found
        self.complete = False  #: all was read
        self._position = ""  # of the last line that was read
        self._find_newest = find_newest

    def has(self, path: Path) -> bool:
        """Tells if this is one of the files, under whatever name."""
        files = [0 if file == "-" else file for file in self._files]
        same = (os.path.samefile(file, path) for file in files if os.path.exists(file))
        return path.exists() and any(same)

    def how_to_continue(self, *, skip: bool) -> str:
        """Says how far the input was read, and how the rest is stored."""
        if not self._position:
            return "to-kinto: ended before the first line."
        option = " with --skip, which does not send again what is stored" if skip else ""
        return (
            f"Not complete. To continue, run the same command again{option}: the input was read up"
            f" to {self._position}."
        )

    def read_into(self, publisher: Publisher) -> None:
        """Adds every record to ``publisher``; bad lines and unreadable files are logged."""
        unreadable = False
        for path in self._files:
            number = 1
            chunks = streams.chunks(path, self._cancellation, on_idle=publisher.flush)
            first = b""
            try:
                for block in streams.blocks(chunks):
                    lines = block.split(b"\n")
                    if not first and (first := next(filter(bytes.strip, lines), b"")):
                        _raise_if_of_another_kind(first, streams.name_of(path))
                    if self._find_newest:
                        self.newest_build = max([self.newest_build, *_BUILD_DATE.findall(block)])
                    for start in range(0, len(lines), _LINES):
                        some = lines[start : start + _LINES]
                        self._add(publisher, some, streams.name_of(path), number + start)
                    number += len(lines) - 1
            except BadInput as error:
                unreadable = True
                self.errors(str(error))
        self.complete = not unreadable

    def _add(self, publisher: Publisher, lines: Sequence[bytes], name: str, first: int) -> None:
        """Adds the records of lines, the first of which has this number; reports bad ones."""
        self._cancellation.raise_if_cancelled()
        if publisher.skip_known([line for line in lines if line]):
            self._position = f"{name}, line {first + len(lines) - 1 - (not lines[-1])}"
            return
        for number, line in enumerate(lines, first):
            self._cancellation.raise_if_cancelled()
            where = f"{name}, line {number}"
            if line:
                self._position = where
            try:
                record = orjson.loads(line)
            except orjson.JSONDecodeError as error:
                if line.strip():
                    self.bad_lines += 1
                    problem = f"not valid JSON ({error.msg})"
                    if streams.is_cut(line):
                        problem = f"the line is longer than {MAX_LINE >> 20} MiB"
                    self.errors(f"{where}: {problem}.")
            else:
                publisher.add(record, where, line)


#: How the first line of what is not records begins, what it is, and what helps.
_OTHER_KINDS = (
    (rb"\xff\xfe|\xfe\xff|\0|[^\n]\0", "UTF-16 or binary data", "iconv -f UTF-16 -t UTF-8"),
    (rb"\x1f\x8b", "gzip in gzip", "unpack it once more: zcat"),
    (BEGINNING, "an inventory", "… | inventory-to-records | to-kinto"),
    (rb'\s*\{\s*("data": *\{)?\s*$', "JSON over several lines", "jq -c ."),
    (rb"\s*\[", "a list in one piece", "jq -c '.[]'"),
    (rb'\s*\{"data": ?\[', "a response of Kinto", "jq -c '.data[] | {data: .}'"),
    (rb'\s*\{\s*"Records":.*\bs3\b', "an event of S3", "s3-event-to-kinto"),
    (rb'\s*\{"id":', 'records without "data"', "jq -c '{data: .}'"),
    (rb"\s*<", "HTML or XML", "fetch the file again"),
)


def _raise_if_of_another_kind(line: bytes, name: str) -> None:
    """Raises :class:`BadInput`, which names the cure, for the first line of a file without records.

    Otherwise each of perhaps millions of lines would be reported.
    """
    for beginning, kind, cure in _OTHER_KINDS:
        if re.match(beginning, line):
            raise BadInput(f"{name}: this is {kind}, not one record per line; use this: {cure}.")


if __name__ == "__main__":
    main()
