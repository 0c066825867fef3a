"""Records for the lookup page: a small catalogue with all products and channels."""

from __future__ import annotations

import hashlib
from typing import Any

DESKTOP = ("linux-x86_64", "linux-aarch64", "macosx", "win32", "win64", "win64-aarch64")
CLASSIC = ("linux-x86_64", "macosx", "win32", "win64")
LOCALES = ("en-US", "ar", "cs", "de", "es-ES", "fr", "it", "ja", "pl", "pt-BR", "ru", "zh-TW")

#: Product, channel, version, build id, tree, platforms, locales.
BUILDS = [
    ("firefox", "nightly", "154.0a1", "20260719091721", "mozilla-central", DESKTOP, ("en-US",)),
    ("firefox", "nightly", "154.0a1", "20260718213301", "mozilla-central", DESKTOP,
     ("en-US", "de")),
    ("firefox", "beta", "153.0b9", "20260717090500", "releases/mozilla-beta", DESKTOP, LOCALES),
    ("firefox", "release", "152.0.1", "20260714184012", "releases/mozilla-release", DESKTOP,
     ("en-US", "fr", "pt-BR")),
    ("firefox", "release", "152.0.1rc2", "20260714184012", "releases/mozilla-release", DESKTOP,
     ("en-US", "fr", "pt-BR")),
    ("firefox", "release", "152.0.1rc1", "20260712101500", "releases/mozilla-release", CLASSIC,
     ("en-US", "fr")),
    ("firefox", "esr", "140.12.0esr", "20260713101500", "releases/mozilla-esr140", CLASSIC,
     ("en-US", "de")),
    ("devedition", "aurora", "153.0b9", "20260717091200", "releases/mozilla-beta", DESKTOP,
     ("en-US", "ja")),
    ("thunderbird", "nightly", "154.0a1", "20260719100233", "comm-central", DESKTOP, ("en-US",)),
    ("thunderbird", "beta", "153.0b3", "20260716143000", "releases/comm-beta", CLASSIC,
     ("en-US",)),
    ("thunderbird", "esr", "140.12.0esr", "20260713152100", "releases/comm-esr140", CLASSIC,
     ("en-US", "ru")),
    ("fennec", "release", "68.11.0", "20200720193547", "releases/mozilla-esr68",
     ("android-aarch64", "android-api-16"), ("multi",)),
    ("fenix", "release", "152.0.1", "", "", ("android-arm64-v8a", "android-x86_64"), ("multi",)),
    ("firefox", "esr", "140.11.0esr", "20260615101500", "releases/mozilla-esr140", CLASSIC,
     ("en-US", "de", "szl")),
    ("firefox", "beta", "55.0b2", "20170615070049", "releases/mozilla-beta", CLASSIC,
     ("en-US", "pt-BR")),
    ("devedition", "aurora", "55.0b1rc5", "20170612224034", "releases/mozilla-beta", CLASSIC,
     ("en-US", "pt-BR")),
    ("firefox", "release", "53.0", "20170413192749", "releases/mozilla-release", CLASSIC,
     ("en-US", "fr")),
    ("firefox", "nightly", "4.0b2pre", "2010070504", "mozilla-central", ("linux-i686",),
     ("en-US",)),
]  # fmt: skip

SYSTEMS = {"l": "linux", "m": "mac", "w": "win", "a": "android"}
FILES = {
    "linux": "{app}-{version}.tar.xz",
    "mac": "{App} {version}.dmg",
    "win": "{App} Setup {version}.exe",
    "android": "{app}-{version}.{locale}.android.apk",
}


def catalogue() -> list[dict[str, Any]]:
    """All records, different from each other, without what Kinto adds."""
    return [
        make(product, channel, version, build_id, tree, platform, locale)
        for product, channel, version, build_id, tree, platforms, locales in BUILDS
        for platform in platforms
        for locale in locales
    ]


def make(
    product: str, channel: str, version: str, build_id: str, tree: str, platform: str, locale: str
) -> dict[str, Any]:
    """One record; without a build id, one of an app that has no metadata."""
    key = _key(product, channel, version, build_id, platform, locale)
    stamp = f"{build_id}-" if channel == "nightly" else ""
    identifier = f"{product}_{channel}_{stamp}{version.replace('.', '-')}_{platform}_{locale}"
    day, clock = build_id[:8] or "20260715", (build_id[8:] or "12").ljust(6, "0")
    date = f"{day[:4]}-{day[4:6]}-{day[6:]}T{clock[:2]}:{clock[2:4]}:{clock[4:]}Z"
    source = {
        "revision": hashlib.sha1(f"{tree} {build_id}".encode()).hexdigest(),
        "repository": f"https://hg.mozilla.org/{tree}",
        "tree": tree,
    }
    record = {
        "id": identifier.lower(),
        "source": {"product": product} | (source if build_id else {}),
        "target": {
            "platform": platform,
            "os": SYSTEMS[platform[0]],
            "locale": locale,
            "version": version,
            "channel": channel,
        },
        "download": {
            "url": f"https://archive.mozilla.org/pub/{key}",
            "mimetype": "application/octet-stream",
            "size": 50_000_000 + len(key) * 123_457,
            "date": f"{date[:10]}T23:00:00Z",
        },
    }
    return record | ({"build": {"id": build_id, "date": date}} if build_id else {})


def _key(
    product: str, channel: str, version: str, build_id: str, platform: str, locale: str
) -> str:
    """The key of the file, without ``pub/``."""
    app = "firefox" if product == "devedition" else product
    plain, _, number = version.partition("rc")
    form = FILES[SYSTEMS[platform[0]]]
    name = form.format(app=app, App=app.title(), version=plain, locale=locale)
    rest = f"{platform.replace('macosx', 'mac')}/{locale}/{name}"
    if channel == "nightly":
        folder = "-".join(build_id[i:j] for i, j in ((0, 4), (4, 6), (6, 8), (8, 10)))
        return f"{product}/nightly/{build_id[:4]}/{build_id[4:6]}/{folder}-mozilla-central/{name}"
    if number:
        return f"{product}/candidates/{plain}-candidates/build{number}/{rest}"
    return f"{product}/releases/{version}/{rest}"
