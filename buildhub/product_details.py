"""The official lists of releases (product-details), and what a catalogue lacks of them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from .builds.products import PRODUCTS
from .builds.recognise import channel_of
from .errors import BadInput, Unreachable
from .http import HttpClient, Response
from .signals import CancellationToken

#: The list of each product, below PRODUCT_DETAILS_URL.
LISTS = {
    "firefox": "firefox.json",
    "devedition": "devedition.json",
    "thunderbird": "thunderbird.json",
    "fennec": "mobile_android.json",
    "fenix": "mobile_android.json",
}


class Release(NamedTuple):
    """A version that was shipped."""

    product: str
    version: str
    date: str  #: ``2017-08-25``

    @property
    def channel(self) -> str:
        """Returns the channel that the version suggests."""
        return channel_of(self.product, "releases", self.version)

    @property
    def folder(self) -> str:
        """Returns the folder of the product in the archive."""
        return PRODUCTS[self.product].folder


#: Product and version → platforms of the release.
Catalogue = Mapping[tuple[str, str], set[str]]


class Missing(NamedTuple):
    """A version, or one platform of it, that the catalogue lacks."""

    release: Release
    platform: str = ""
    previous: str = ""  #: the version that has the platform
    reason: str = ""  #: why it is not expected; empty if it is

    def as_dict(self) -> dict[str, str]:
        """Returns what is printed of it."""
        release = self.release
        facts = {
            "missing": "platform" if self.platform else "version",
            "product": release.product,
            "version": release.version,
            "channel": release.channel,
            "date": release.date,
            "platform": self.platform,
            "previous": self.previous,
        }
        return {name: value for name, value in facts.items() if value}


def version_order(version: str) -> tuple[object, ...]:
    """Returns a key to sort by: 4.0b12 < 4.0rc1 < 4.0 < 4.0.1. ``esr`` does not count."""
    numbers, kind, number = re.match(r"([\d.]*)(a|b|rc|)(\d*)", version).groups()  # type: ignore[union-attr]
    parts = [int(part) for part in numbers.split(".") if part]
    while parts and parts[-1] == 0:
        parts.pop()
    return parts, kind or "~", int(number or 0)


async def fetch_lists(
    client: HttpClient, folders: Container[str], cancellation: CancellationToken
) -> dict[str, bytes]:
    """Returns the lists of the products in these folders of the archive, by name.

    Raises :class:`Unreachable`.
    """
    wanted = (name for product, name in LISTS.items() if PRODUCTS[product].folder in folders)
    with cancellation.ending_task():
        async with client:
            names = dict.fromkeys(wanted)
            return {name: await client.request("GET", name, _content) for name in names}


def _content(response: Response) -> bytes:
    if response.status != 200:
        raise Unreachable(f"HTTP {response.status}, no list of releases; check PRODUCT_DETAILS_URL")
    return response.body


def read_releases(content: bytes, name: str) -> list[Release]:
    """Returns the releases of products that we know. Raises :class:`BadInput`."""
    try:
        entries = orjson.loads(content)["releases"].values()
        releases = [Release(one["product"], one["version"], one["date"]) for one in entries]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise BadInput(
            f"{name} is not a list of releases of product-details, such as firefox.json."
        ) from None
    if not all(isinstance(value, str) for release in releases for value in release):
        raise BadInput(f"{name}: a release has a product, version or date that is not a text.")
    return [release for release in releases if release.product in PRODUCTS]


def catalogue_of(records: Iterable[Mapping[str, Any]]) -> Catalogue:
    """Returns the releases among records; candidates and nightlies are none."""
    found: dict[tuple[str, str], set[str]] = {}
    for record in records:
        if "/releases/" in record["download"]["url"]:
            target = record["target"]
            key = (record["source"]["product"], target["version"])
            found.setdefault(key, set()).add(target["platform"])
    return found


def missing(
    releases: Iterable[Release],
    catalogue: Catalogue,
    folders: Container[str],
    wanted: Callable[[Release], bool] = lambda release: True,
) -> Iterator[Missing]:
    """Yields what the catalogue lacks of the wanted releases, by product, channel and version.

    That is a version, if nothing of it is there; otherwise each platform that the version before it
    on its channel has. What is not expected is yielded with its reason. ``folders`` are those of
    the archive whose products are catalogued.
    """
    ordered = sorted({*releases}, key=lambda r: (r.product, r.channel, version_order(r.version)))
    for _, group in itertools.groupby(ordered, key=lambda r: (r.product, r.channel)):
        previous, before = "", set[str]()
        for release in group:
            there = catalogue.get((release.product, release.version), set())
            if wanted(release):
                lacking: Sequence[str] = sorted(before - there) if there else [""]
                for platform in lacking:
                    before_it = previous if platform else ""
                    yield Missing(release, platform, before_it, _reason(release, platform, folders))
            if there:
                previous, before = release.version, there


def _reason(release: Release, platform: str, folders: Container[str]) -> str:
    """Says why a catalogue need not have this; the platform is ``""`` for a whole version."""
    if release.folder not in folders:
        return "PRODUCTS does not name the product"
    if release.date < "2010":
        return "the archive has no build id of versions before 2010"
    if re.search(r"-(?:eme-free|sha1|euballot.*|funnelcake\d+)\Z", platform):
        return "repacks are made of some versions only"
    if platform == "linux-i686" and version_order(release.version) >= version_order("145.0"):
        return "Linux on 32-bit processors is not supported from 145.0 on"
    if release.product == "fennec" and platform.startswith("android"):
        return "the platforms of Fennec were renamed with the API levels of Android"
    return ""
