"""``missing-builds``: official lists of releases → what a catalogue lacks, as JSON lines."""

from __future__ import annotations

import itertools
import logging
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from .. import streams
from ..errors import BadInput
from ..records import line_of
from ..settings import Parsed, Settings, options, since
from ..signals import CancellationToken
from . import runner

if TYPE_CHECKING:
    from ..product_details import Catalogue, Release

logger = logging.getLogger(__name__)

#: Each build has a file in one of these locales; the other files need not be read.
LOCALES = ("en-US", "multi")

#: 140.0, 140.1esr, 56.0b3; a date has a dash or four digits more.
_VERSION = re.compile(r"\d{1,3}(?:\.\d+)*(?:(?:a|b|rc)\d+|esr)?")


def _since(value: str) -> str | datetime:
    try:
        return value if _VERSION.fullmatch(value) else since(value)
    except ValueError as error:
        raise ValueError(f"{error}, nor a version (140.0)") from None


@runner.command()
@click.argument("files", nargs=-1)
@options("server_url", "bucket", "collection")
@options("auth", show_default="anonymous")
@options("products", "product_details_url")
@click.option(
    "--since",
    "first",
    metavar="VERSION OR DATE",
    type=Parsed("version or date", _since),
    help="Only versions from this one on (140.0), or shipped since this date (2026-11-01) or age"
    " (90d).",
)
@options("nb_retry_request", "timeout_seconds", "sentry_dsn")
@runner.common_options("--version")
def main(
    settings: Settings, files: Sequence[str], first: str | datetime | None, verbosity: int
) -> None:
    """Print what a catalogue lacks of the official lists of releases, one JSON object per line.

    \b
        missing-builds --since 90d

    Each version that was shipped and is not there, and each platform that the version before it on
    its channel has and it lacks. FILES are lists of releases of product-details, such as
    firefox.json, or - for standard input; without any, the lists of the products are fetched. -v
    names what is missing for a known reason, such as versions without a build id.

    Exit status: 0 if nothing is missing, 1 if something is, 2 if the answer is not known.
    """
    from ..product_details import missing

    def work(cancellation: CancellationToken) -> bool:
        releases, wanted = _releases(settings, files, cancellation), _wanted(first)
        if not any(wanted(one) and one.folder in settings.products for one in releases):
            raise BadInput(
                f"No version was compared: none of the {len(releases)} in the lists is wanted by"
                " --product and --since (300d is an age, 300 a version)."
            )
        catalogue = _catalogue(settings, cancellation)
        found = list(missing(releases, catalogue, settings.products, wanted))
        expected = [one for one in found if not one.reason]
        for one in found:
            if one.reason:
                names = one.release.product, one.release.version, one.platform
                logger.info("%s: not expected, as %s.", " ".join(filter(None, names)), one.reason)
        streams.write(b"".join(line_of(one.as_dict()) for one in expected), cancellation)
        versions = sum(not one.platform for one in expected)
        runner.echo_summary(
            f"missing-builds: {sum(map(wanted, releases))} official versions, {versions} missing,"
            f" {len(expected) - versions} platforms missing,"
            f" {len(found) - len(expected)} not expected.",
        )
        return not expected

    runner.run(work, settings, verbosity, on_error=runner.UNKNOWN)


def _wanted(first: str | datetime | None) -> Callable[[Release], bool]:
    from ..product_details import version_order

    if first is None:
        return lambda release: True
    if isinstance(first, str):
        order = version_order(first)
        return lambda release: version_order(release.version) >= order
    day = first.astimezone(UTC).date().isoformat()
    return lambda release: release.date >= day


def _releases(
    settings: Settings, files: Sequence[str], cancellation: CancellationToken
) -> list[Release]:
    """Reads the lists that were given, or fetches those of the products."""
    import asyncio

    from ..product_details import fetch_lists, read_releases
    from ..wiring import product_details_client

    lists = {streams.name_of(path): b"".join(streams.chunks(path, cancellation)) for path in files}
    if not files:
        fetch = fetch_lists(product_details_client(settings), settings.products, cancellation)
        url = settings.product_details_url
        lists = {url + name: content for name, content in asyncio.run(fetch).items()}
    releases = [one for name, content in lists.items() for one in read_releases(content, name)]
    if not releases:
        raise BadInput(f"No release of a known product is in {', '.join(lists)}.")
    return releases


def _catalogue(settings: Settings, cancellation: CancellationToken) -> Catalogue:
    from ..kinto.filters import OneOf
    from ..kinto.reader import read_records
    from ..product_details import catalogue_of
    from ..wiring import kinto_client

    client = kinto_client(settings, cancellation, read_only=True)
    pages = read_records(client, [OneOf("target.locale", LOCALES)])
    return catalogue_of(itertools.chain.from_iterable(pages))


if __name__ == "__main__":
    main()
