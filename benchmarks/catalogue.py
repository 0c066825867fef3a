"""Records in the shape of the real catalogue: some seven platforms x 98 locales a build.

They are made from the newest cycle of four weeks backwards, until there are as many as wanted; the
builds that the documentation asks for are always among them. Everything follows from the number:
the same records each time.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from tests.support.locales import LOCALES

#: The newest nightly is of this evening.
TODAY = datetime(2026, 7, 20, 21, 33, 1)
#: The major version of that nightly.
MAJOR = 154

DESKTOP = (
    "linux-x86_64", "linux-aarch64", "linux-i686", "macosx", "win32", "win64", "win64-aarch64",
)  # fmt: skip
CLASSIC = ("linux-i686", "linux-x86_64", "macosx", "win32", "win64")
ANDROID = ("android-arm64-v8a", "android-armeabi-v7a", "android-x86", "android-x86_64")
FENNEC = ("android-aarch64", "android-api-16", "android-x86")

FIREFOX = (*LOCALES, "trs", "uk", "ur", "uz", "vi", "xh", "zh-CN", "zh-TW")
THUNDERBIRD = tuple(dict.fromkeys(("en-US", *FIREFOX[::2])))
ENGLISH, MULTI = ("en-US",), ("multi",)

_SYSTEMS = {"l": "linux", "m": "mac", "w": "win", "a": "android"}
_MIMETYPES = {
    "linux": "application/x-xz",
    "mac": "application/x-apple-diskimage",
    "win": "application/msdos-windows",
    "android": "application/vnd.android.package-archive",
}
_FILES = {
    "linux": "{folder}/{platform}/{locale}/{app}-{version}.tar.xz",
    "mac": "{folder}/mac/{locale}/{App} {version}.dmg",
    "win": "{folder}/{platform}/{locale}/{App} Setup {version}.exe",
    "android": "{folder}/android/{app}-{version}.{locale}.{platform}.apk",
}
_TOOLCHAIN = {
    "as": "/builds/worker/fetches/clang/bin/clang -std=gnu99",
    "cc": "/builds/worker/fetches/clang/bin/clang -std=gnu99",
    "cxx": "/builds/worker/fetches/clang/bin/clang++",
    "host": "x86_64-pc-linux-gnu",
}


class Build(NamedTuple):
    """One build of all its platforms and locales."""

    product: str
    channel: str
    version: str
    date: datetime
    tree: str
    platforms: tuple[str, ...] = DESKTOP
    locales: tuple[str, ...] = FIREFOX
    candidate: int = 0

    def records(self) -> Iterator[dict[str, Any]]:
        """Yields the record of each file."""
        for platform, locale in itertools.product(self.platforms, self.locales):
            yield self.record(platform, locale)

    def record(self, platform: str, locale: str) -> dict[str, Any]:
        """Returns the record of one file, without what Kinto adds."""
        system = _SYSTEMS[platform[0]]
        version = self.version + (f"rc{self.candidate}" if self.candidate else "")
        stamp = f"{self.date:%Y-%m-%d-%H-%M-%S}"
        key = self._key(system, stamp, platform, locale)
        channel = "" if self.channel in ("release", "esr") else f"{self.channel}_"
        name = f"{stamp}_{version}" if self.channel == "nightly" else version
        identifier = f"{self.product}_{channel}{name}_{platform}_{locale}"
        revision = hashlib.sha1(f"{self.tree} {self.date}".encode()).hexdigest()
        build = {
            "id": f"{self.date:%Y%m%d%H%M%S}",
            "date": f"{self.date:%Y-%m-%dT%H:%M:%SZ}",
            **_TOOLCHAIN,
            "target": f"{platform}-unknown",
        }
        if self.channel != "nightly":
            build["number"] = self.candidate or 1
        source = {
            "product": self.product,
            "revision": revision,
            "repository": f"https://hg.mozilla.org/{self.tree}",
            "tree": self.tree,
        }
        if self.product == "fenix":  # nothing beside its files says where they are from
            build, source = {}, {"product": self.product}
        published = self.date + timedelta(hours=9 if self.candidate else 200)
        return {
            "id": identifier.lower().replace(".", "-"),
            "build": build,
            "source": source,
            "target": {
                "platform": platform, "os": system, "locale": locale, "version": version,
                "channel": self.channel,
            },
            "download": {
                "url": f"https://archive.mozilla.org/pub/{key}",
                "mimetype": _MIMETYPES[system],
                "size": 50_000_000 + int(revision[:6], 16) + len(key) * 123_457,
                "date": f"{published:%Y-%m-%dT%H:%M:%SZ}",
            },
        }  # fmt: skip

    def _key(self, system: str, stamp: str, platform: str, locale: str) -> str:
        app = "firefox" if self.product == "devedition" else self.product
        if self.channel == "nightly":
            l10n = "" if locale in ENGLISH + MULTI else "-l10n"
            folder = f"nightly/{self.date:%Y/%m}/{stamp}-{self.tree}{l10n}"
            return f"{self.product}/{folder}/{app}-{self.version}.{locale}.{platform}.tar.xz"
        folder = f"releases/{self.version}"
        if self.candidate:
            folder = f"candidates/{self.version}-candidates/build{self.candidate}"
        names = {"folder": folder, "platform": platform, "locale": locale, "version": self.version}
        return f"{self.product}/" + _FILES[system].format(app=app, App=app.title(), **names)


def records(count: int) -> Iterator[dict[str, Any]]:
    """Yields the first ``count`` records, each with an id of its own."""
    everything = itertools.chain.from_iterable(build.records() for build in builds())
    return itertools.islice(everything, count)


def builds() -> Iterator[Build]:
    """Yields the builds: those of the documentation, then cycle by cycle into the past."""
    yield from _DOCUMENTED
    for cycle in range(MAJOR - 40):
        yield from _cycle(MAJOR - cycle, TODAY - timedelta(weeks=4 * cycle), cycle == 0)


def _cycle(major: int, end: datetime, current: bool) -> Iterator[Build]:
    """Yields the builds of four weeks: nightlies of ``major``, betas of the version before, …"""
    for number in range(56 if current else 6):  # of former weeks some are enough
        date = end - timedelta(hours=12 * number if current else 112 * number)
        yield Build("firefox", "nightly", f"{major}.0a1", date, "mozilla-central")
        if number % 2 == 0:
            yield Build("thunderbird", "nightly", f"{major}.0a1", date - timedelta(minutes=40),
                        "comm-central", locales=THUNDERBIRD)  # fmt: skip
    for number in range(9, 0, -1):
        date = end - timedelta(days=30 - 3 * number, minutes=number)
        beta = f"{major - 1}.0b{number}"
        yield from _published("firefox", "beta", beta, date, "releases/mozilla-beta")
        date += timedelta(minutes=20)
        yield from _published("devedition", "aurora", beta, date, "releases/mozilla-beta")
    yield from _releases(major - 2, end)


def _releases(major: int, end: datetime) -> Iterator[Build]:
    """Yields the releases of four weeks, with their candidates."""
    tree, comm = "releases/mozilla-release", "releases/comm-release"
    date = end - timedelta(days=6, hours=3)
    yield from _published("firefox", "release", f"{major}.0.1", date, tree)
    date -= timedelta(days=14)
    yield from _published("firefox", "release", f"{major}.0", date, tree, candidates=3)
    yield from _published("thunderbird", "release", f"{major}.0", date, comm, locales=THUNDERBIRD)
    yield from _published("fenix", "release", f"{major}.0", date, "", ANDROID, MULTI)
    esr = major - (major - 128) % 12 - 2
    version = f"{esr}.{major - esr}.0esr"
    tree = f"releases/mozilla-esr{esr}"
    yield from _published("firefox", "esr", version, date + timedelta(hours=1), tree, CLASSIC)


def _published(
    product: str,
    channel: str,
    version: str,
    date: datetime,
    tree: str,
    platforms: tuple[str, ...] = DESKTOP,
    locales: tuple[str, ...] = FIREFOX,
    candidates: int = 1,
) -> Iterator[Build]:
    """Yields the candidates of a version, and the version, which is the last of them."""
    build = Build(product, channel, version, date, tree, platforms, locales)
    for number in range(1, candidates + 1):
        made = date - timedelta(hours=7 * (candidates - number))
        yield build._replace(candidate=number, date=made)
    yield build


_DOCUMENTED = (
    Build("devedition", "aurora", "55.0b1", datetime(2017, 6, 12, 22, 40, 34),
          "releases/mozilla-beta", CLASSIC, candidate=5),
    Build("firefox", "release", "53.0", datetime(2017, 4, 13, 19, 27, 49),
          "releases/mozilla-release", CLASSIC),
    Build("firefox", "nightly", "55.0a1", datetime(2017, 5, 9, 9, 45), "mozilla-central", CLASSIC),
    Build("fennec", "release", "68.11.0", datetime(2020, 7, 20, 19, 35, 47),
          "releases/mozilla-esr68", FENNEC, MULTI),
)  # fmt: skip
