"""``kinto-to-records``: a Kinto collection → records, one JSON object per line."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from .. import streams
from ..builds import values
from ..errors import Interrupted
from ..kinto.filters import Built, Changed, Condition, OneOf, Revision, Version, date_of_build
from ..records import line_of
from ..settings import MOMENT, Parsed, Settings, options, since
from ..signals import CancellationToken
from . import runner

if TYPE_CHECKING:
    from ..kinto.client import StoredData

#: Each value given with these must have a young build, with ``--max-age``.
NAMED = ("--product", "--channel", "--platform")

#: The conditions on fields whose values need not be equal.
_OF_FIELDS: dict[str, Callable[[values.Values], Condition]] = {
    "source.revision": Revision,
    "target.version": Version,
}

#: What Kinto adds to a record.
METADATA = ("schema", "last_modified")

#: Records that are written at once.
_LINES = 1000


class _Filter(NamedTuple):
    """An option that can be repeated, or have several values with commas between them."""

    field: str  #: has one of the values
    metavar: str
    read: Callable[[str], values.Values]
    help: str

    def read_all(
        self, context: click.Context, param: click.Parameter, texts: Sequence[str]
    ) -> tuple[values.Values, ...]:
        """Returns for each value that was typed the values of the field that are meant."""
        try:
            return tuple(self.read(one) for text in texts for one in text.split(","))
        except ValueError as error:
            raise click.BadParameter(f"{error}.", context, param) from None


# fmt: off
_FILTERS = {
    "--id": _Filter("id", "ID OR URL", values.record_id, "The record with this id, key or URL."),
    "--build-id": _Filter("build.id", "ID", values.build_id, "Records of this build id."),
    "--revision": _Filter(
        "source.revision", "HASH", values.revision,
        f"Records of this revision; its first {values.MIN_REVISION} or more digits are enough."),
    "--product": _Filter(
        "source.product", "NAME", values.product,
        "Records of this product, such as firefox, devedition, fenix."),
    "--version": _Filter(
        "target.version", "GLOB", values.version,
        "Records of this version, or of a pattern such as '55.*' (in quotes); 55 is all of them."),
    "--channel": _Filter(
        "target.channel", "NAME", values.channel,
        f"Records of this channel: {', '.join(values.CHANNELS)}."),
    "--platform": _Filter(
        "target.platform", "NAME", values.platform,
        "Records of this platform, such as linux-x86_64, win64, macosx, 'windows arm64'."),
    "--os": _Filter(
        "target.os", "NAME", values.system,
        "Records of this system: linux, win, mac, android, maemo."),
    "--locale": _Filter(
        "target.locale", "CODE", values.locale,
        "Records of this locale, such as en-US, pt-BR, multi."),
    "--tree": _Filter(
        "source.tree", "NAME", values.tree,
        "Records of this tree, such as mozilla-central, releases/mozilla-beta."),
}
# fmt: on


def _filter_options(command: Any) -> Any:
    for flag, one in reversed(_FILTERS.items()):
        command = click.option(
            flag, multiple=True, metavar=one.metavar, help=one.help, callback=one.read_all
        )(command)
    return command


def _moment_option(flag: str, name: str, text: str) -> Callable[[Any], Any]:
    return click.option(flag, name, type=MOMENT, help=text)


def _age(text: str) -> datetime:
    """Reads the age of ``--max-age``: the moment that lies as far back."""
    if not re.fullmatch(r"\d+\s*[mhdw]", text.strip(), re.ASCII):
        raise ValueError(f"{text!r} is not an age: use 36h or 7d")
    return since(text)


@runner.command()
@options("server_url", "bucket", "collection")
@options("auth", show_default="anonymous")
@_filter_options
@_moment_option("--since", "changed_since", "Stored on the server then or later: 2026-11-01, 7d.")
@_moment_option("--until", "changed_until", "Stored on the server before then.")
@_moment_option("--built-since", "built_since", "Built then or later.")
@_moment_option("--built-until", "built_until", "Built before then.")
@click.option(
    "--newest",
    "newest_count",
    metavar="N",
    type=click.IntRange(min=1),
    help="Only the N newest records, by build date, of each product, channel and platform, in"
    " en-US or multi unless a locale is asked for.",
)
@click.option(
    "--max-age",
    "built_after",
    type=Parsed("age", _age),
    help="Exit status 1 unless the newest is at most this old: 36h, 7d. Each product, channel and"
    " platform that is named must have such a build. Implies --newest 1.",
)
@click.option("--count", is_flag=True, help="Print only the number of records.")
@click.option(
    "--with-metadata", is_flag=True, help="Keep what Kinto adds: schema and last_modified."
)
@options("nb_retry_request", "timeout_seconds", "sentry_dsn")
@runner.common_options()
def main(
    settings: Settings,
    verbosity: int,
    newest_count: int | None,
    built_after: datetime | None,
    count: bool,
    with_metadata: bool,
    **filters: Any,
) -> None:
    """Print the records of a Kinto collection, one JSON object per line.

    \b
        kinto-to-records --channel nightly --platform linux-x86_64 --newest 1
        kinto-to-records --product firefox --channel nightly --max-age 36h
        kinto-to-records | to-kinto --server https://other/v1

    Options that select records can be repeated, or have several values with commas between them:
    a record must have one of the values of each option that is given. Values may be typed in any
    usual way. Records without a build date never match --built-since and --built-until.

    Exit status: 0 if records were printed, 1 if none matched or all are older than --max-age,
    2 if the answer is not known.
    """
    from ..kinto import reader
    from ..wiring import kinto_client

    newest_count = newest_count or (1 if built_after else None)
    if count and newest_count:
        raise click.UsageError("--count does not go with --newest and --max-age.")
    conditions = list(conditions_of(filters))
    if newest_count and not (filters["locale"] or filters["id"]):
        conditions.append(reader.ENGLISH)

    def work(cancellation: CancellationToken) -> bool:
        client = kinto_client(settings, cancellation, read_only=True)
        if count:
            fields = ("build.date", *(one.field for one in _FILTERS.values()))
            number = reader.count_records(client, conditions, fields)
            streams.write(b"%d\n" % number)
            return number > 0
        pages = reader.read_records(client, conditions)
        if newest_count:
            found = reader.newest(itertools.chain.from_iterable(pages), newest_count)
            too_old = _too_old(found, filters, built_after) if built_after else None
            pages = iter([found])
        number = _print_all(pages, with_metadata)
        if newest_count and too_old:
            runner.echo(f"kinto-to-records: {too_old}")
            return False
        return number > 0

    runner.run(work, settings, verbosity, on_error=runner.UNKNOWN)


def _too_old(
    newest: Sequence[StoredData], filters: Mapping[str, Any], after: datetime
) -> str | None:
    """Returns a sentence for the first that is named and has no build of ``after`` or later.

    Named are the values of :data:`NAMED`; if there are none, all records together.
    """
    named = [(flag, typed) for flag in NAMED for typed in filters[flag[2:]]]
    for flag, typed in named or [("", ())]:
        wanted = OneOf(_FILTERS[flag].field, typed) if typed else None
        dates = [date_of_build(one) for one in newest if not wanted or wanted.matches(one)]
        latest = max(filter(None, dates), default=None)
        if latest is None or latest < after:
            what = f"{flag[2:]} {' or '.join(typed)}" if typed else "the catalogue"
            found = f"the newest is of {latest:%Y-%m-%d %H:%M} UTC" if latest else "there is none"
            return f"{what} has no such build since {after:%Y-%m-%d %H:%M} UTC; {found}."
    return None


def _print_all(pages: Iterable[Iterable[StoredData]], with_metadata: bool) -> int:
    """Writes the records of all pages and a summary; returns their number."""
    count = 0
    try:
        for page in pages:
            lines = (line_of({"data": one if with_metadata else _stripped(one)}) for one in page)
            while some := list(itertools.islice(lines, _LINES)):
                streams.write(b"".join(some))
                count += len(some)
    except Interrupted:
        runner.echo_summary(f"kinto-to-records: {count} records, not complete.")
        raise
    runner.echo_summary(f"kinto-to-records: {count} records.")
    return count


def conditions_of(options: Mapping[str, Any]) -> Iterator[Condition]:
    """Yields the conditions that the options set."""
    for flag, one in _FILTERS.items():
        typed = options[flag[2:].replace("-", "_")]
        if meant := tuple(dict.fromkeys(itertools.chain.from_iterable(typed))):
            condition = _OF_FIELDS.get(one.field) or functools.partial(OneOf, one.field)
            yield condition(meant)
    for name, prefix, period in (("changed", "--", Changed), ("built", "--built-", Built)):
        since, until = options[f"{name}_since"], options[f"{name}_until"]
        if since and until and since > until:
            raise click.UsageError(f"{prefix}since is after {prefix}until: nothing is between.")
        if since or until:
            yield period(since, until)


def _stripped(record: StoredData) -> StoredData:
    for name in METADATA:
        record.pop(name, None)
    return record


if __name__ == "__main__":
    main()
