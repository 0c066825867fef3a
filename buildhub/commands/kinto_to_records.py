"""``kinto-to-records``: a Kinto collection → records, one JSON object per line."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import click
import orjson

from .. import streams
from ..errors import Interrupted
from ..settings import MOMENT, Settings, options
from ..signals import CancellationToken
from . import runner

if TYPE_CHECKING:
    from ..kinto.client import StoredData
    from ..kinto.filters import Condition

#: Options for one field each: the record has one of the values.
FIELDS = {
    "build_id": "build.id",
    "product": "source.product",
    "channel": "target.channel",
    "platform": "target.platform",
    "os": "target.os",
    "locale": "target.locale",
    "tree": "source.tree",
}

#: What Kinto adds to a record.
METADATA = ("schema", "last_modified")

#: Records that are written at once.
_LINES = 1000


def _revisions(
    context: click.Context, param: click.Parameter, values: tuple[str, ...]
) -> tuple[str, ...]:
    from ..kinto.filters import MIN_REVISION

    for value in values:
        if not re.fullmatch(rf"[0-9a-fA-F]{{{MIN_REVISION},40}}", value):
            raise click.BadParameter(
                f"{value!r} is not a revision: give at least its first {MIN_REVISION}"
                " hexadecimal digits.",
                context,
                param,
            )
    return tuple(value.lower() for value in values)


def _filter(flag: str, metavar: str, text: str, **more: Any) -> Callable[[Any], Any]:
    return click.option(flag, metavar=metavar, multiple=True, help=text, **more)


def _moment_option(flag: str, name: str, text: str) -> Callable[[Any], Any]:
    return click.option(flag, name, type=MOMENT, help=text)


@runner.command()
@options("server_url", "bucket", "collection")
@options("auth", show_default="anonymous")
@_filter("--build-id", "ID", "Records of this build id.")
@_filter(
    "--revision",
    "HASH",
    "Records of this revision; its first 12 or more digits are enough.",
    callback=_revisions,
)
@_filter("--product", "NAME", "Records of this product, such as firefox, devedition, fenix.")
@_filter(
    "--version", "GLOB", "Records of this version, or of a pattern such as '55.*' (in quotes)."
)
@_filter("--channel", "NAME", "Records of this channel: release, beta, aurora, esr, nightly.")
@_filter("--platform", "NAME", "Records of this platform, such as linux-x86_64, win64, macosx.")
@_filter("--os", "NAME", "Records of this system: linux, win, mac, android, maemo.")
@_filter("--locale", "CODE", "Records of this locale, such as en-US, pt-BR, multi.")
@_filter("--tree", "NAME", "Records of this tree, such as mozilla-central, releases/mozilla-beta.")
@_moment_option("--since", "changed_since", "Stored on the server then or later: 2026-11-01, 7d.")
@_moment_option("--until", "changed_until", "Stored on the server before then.")
@_moment_option("--built-since", "built_since", "Built then or later.")
@_moment_option("--built-until", "built_until", "Built before then.")
@click.option(
    "--newest",
    "newest_count",
    metavar="N",
    type=click.IntRange(min=1),
    help="Only the N newest records, by build date, of each product, channel and platform.",
)
@click.option(
    "--with-metadata", is_flag=True, help="Keep what Kinto adds: schema and last_modified."
)
@options("nb_retry_request", "timeout_seconds", "sentry_dsn")
@runner.common_options()
def main(
    settings: Settings,
    verbosity: int,
    newest_count: int | None,
    with_metadata: bool,
    **filters: Any,
) -> None:
    """Print the records of a Kinto collection, one JSON object per line.

    \b
        kinto-to-records --channel nightly --platform linux-x86_64 --newest 1
        kinto-to-records | to-kinto --server https://other/v1

    Options that select records can be repeated: a record must have one of the values of each
    option that is given. Records without a build date never match --built-since, --built-until
    and --newest.

    Exit status: 0 if records were printed, 1 if none matched, 2 if the answer is not known.
    """
    from ..kinto.reader import newest, read_records
    from ..wiring import kinto_client

    conditions = list(conditions_of(filters))

    def work(cancellation: CancellationToken) -> bool:
        pages = read_records(
            kinto_client(settings, cancellation),
            conditions,
            # The default credentials are for one's own server.
            anonymous="auth" not in settings.explicit,
            raise_if_cancelled=cancellation.raise_if_cancelled,
        )
        if newest_count:
            pages = iter([newest(itertools.chain.from_iterable(pages), newest_count)])
        count = 0
        try:
            for page in pages:
                count += _print(page, with_metadata)
        except Interrupted:
            runner.echo_summary(f"kinto-to-records: {count} records, not complete.", verbosity)
            raise
        runner.echo_summary(f"kinto-to-records: {count} records.", verbosity)
        return count > 0

    runner.run(work, settings, verbosity, on_error=runner.UNKNOWN)


def conditions_of(options: dict[str, Any]) -> Iterator[Condition]:
    """Yields the conditions that the options set, and takes the options out."""
    from ..kinto.filters import Built, Changed, OneOf, Revision, Version

    for name, field in FIELDS.items():
        if values := options.pop(name):
            yield OneOf(field, values)
    if revisions := options.pop("revision"):
        yield Revision(revisions)
    if patterns := options.pop("version"):
        yield Version(patterns)
    for name, condition in (("changed", Changed), ("built", Built)):
        since, until = options.pop(f"{name}_since"), options.pop(f"{name}_until")
        if since or until:
            yield condition(since, until)


def _print(records: Iterable[StoredData], with_metadata: bool) -> int:
    """Write the records, and return their number."""
    lines = map(_line if with_metadata else _line_without_metadata, records)
    count = 0
    while some := list(itertools.islice(lines, _LINES)):
        streams.write(b"".join(some))
        count += len(some)
    return count


def _line_without_metadata(record: StoredData) -> bytes:
    for name in METADATA:
        record.pop(name, None)
    return _line(record)


def _line(record: StoredData) -> bytes:
    try:
        return orjson.dumps({"data": record}, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:  # a number of more than 64 bits, or half of a surrogate pair
        return json.dumps({"data": record}).encode() + b"\n"


if __name__ == "__main__":
    main()
