"""Trees of objects for :class:`tests.support.gcs_server.GcsServer`: what is listed and what isn't.

Which keys are wanted is said here by how they are made, not by the code that is tested.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from urllib.parse import quote_plus

from .gcs_server import BUCKET, Object

LOCALES = ("ach", "de", "en-US", "fr", "ja-JP-mac", "zh-TW")


def made(
    key: str, created: datetime | str = "2017-07-13T23:37:23.000Z", size: int | None = None
) -> Object:
    """An object whose checksum follows from its key, as does its size unless it is given."""
    digest = hashlib.md5(key.encode()).hexdigest()
    date = created if isinstance(created, str) else f"{created:%Y-%m-%dT%H:%M:%S}.000Z"
    return Object(key, int(digest[:6], 16) if size is None else size, date, digest)


def row(one: Object) -> str:
    """The row of an S3 inventory that the object has to become."""
    encoded = quote_plus(one.name, safe="/")
    return f'"{BUCKET}","{encoded}","{one.size}","{one.created}","{one.md5}"'


def rows(objects: Iterable[Object]) -> list[str]:
    """The rows in the order of the keys' bytes."""
    return [row(one) for one in sorted(objects, key=lambda one: one.name.encode())]


def release(product: str, version: str, created: datetime) -> Iterator[Object]:
    """A version below ``releases``: eight files of a platform, and more."""
    root = f"pub/{product}/releases/{version}/"
    yield made(f"{root}SHA256SUMS", created + timedelta(hours=3))
    for platform in ("linux-x86_64", "mac", "win64"):
        for locale in LOCALES:
            yield made(f"{root}{platform}/{locale}/Firefox Setup {version}.exe", created)
        yield made(f"{root}{platform}/xpi/de.xpi", created)


def candidate(product: str, version: str, build: int, created: datetime) -> Iterator[Object]:
    """A build below ``candidates``."""
    root = f"pub/{product}/candidates/{version}-candidates/build{build}/"
    yield made(f"{root}linux64_info.txt", created)
    for platform in ("linux-x86_64", "mac", "win64"):
        for locale in LOCALES:
            yield made(f"{root}{platform}/{locale}/firefox-{version}.tar.xz", created)


def nightly(product: str, day: datetime) -> Iterator[Object]:
    """The nightly of a day, and its localised files."""
    root = f"pub/{product}/nightly/{day:%Y/%m/%Y-%m-%d-%H-%M-%S}-mozilla-central"
    for platform in ("linux-x86_64", "mac", "win64"):
        yield made(f"{root}/firefox-56.0a1.en-US.{platform}.tar.bz2", day)
        for locale in LOCALES:
            yield made(f"{root}-l10n/firefox-56.0a1.{locale}.{platform}.tar.bz2", day)


def unwanted(product: str, versions: Iterable[str], days: Iterable[datetime]) -> Iterator[Object]:
    """Objects in folders without builds."""
    root = f"pub/{product}/"
    for version in versions:
        for number in range(30):
            yield made(f"{root}releases/{version}/update/win64/de/{number}.mar")
        build = f"{root}candidates/{version}-candidates/build1/"
        for number in range(15):
            yield made(f"{build}partner-repacks/yandex/v{number}/Firefox.dmg")
            yield made(f"{build}update/mac/fr/{number}.mar")
    for day in list(days)[::40]:
        for number in range(120):
            yield made(f"{root}nightly/{day:%Y/%m/%Y-%m-%d}-04-02-01-mozilla-aurora/{number}.exe")
    for name in (
        "integration/a/firefox-56.0.tar.bz2",
        "nightly/10.0-candidates/build1/mac/fr/Firefox 10.0.dmg",
        "nightly/latest-mozilla-central/firefox-56.0a1.en-US.mac.dmg",
        "releases/latest/win64/de/Firefox Setup 55.0.exe",
        "releases/partners/a/55.0/win64/Firefox Setup 55.0.exe",
        "tinderbox-builds/mozilla-central-mac/1502/firefox.dmg",
        "try-builds/me@example.org-1/try-mac/firefox.dmg",
    ):
        yield made(root + name)


class Tree:
    """Ten versions and a nightly every third day over two years, of two products.

    The last version, build and nightly are of ``end``.
    """

    def __init__(
        self,
        end: datetime = datetime(2017, 8, 1, 10, 0, 0, tzinfo=UTC),
        *,
        products: Iterable[str] = ("firefox", "thunderbird"),
        versions: int = 10,
        days: int = 730,
        every: int = 3,
    ) -> None:
        self.wanted: list[Object] = []
        self.unwanted: list[Object] = []
        ages = [timedelta(days=days * (versions - 1 - i) // versions) for i in range(versions)]
        dates = [end - timedelta(days=age) for age in range(0, days, every)]
        names = [f"{50 + i}.0{'b2' * (i % 2)}" for i in range(versions)]
        for product in products:
            for name, age in zip(names, ages, strict=True):
                self.wanted += release(product, name, end - age)
                self.wanted += candidate(product, name, 1, end - age)
            self.wanted += candidate(product, names[-1], 2, end)
            for day in dates:
                self.wanted += nightly(product, day)
            self.unwanted += unwanted(product, names, dates)

    @property
    def objects(self) -> list[Object]:
        """All of them."""
        return self.wanted + self.unwanted
