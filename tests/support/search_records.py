"""A small catalogue for searches: candidates, releases and nightlies of different shapes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

Record = dict[str, Any]

#: Requests of public programs: client, question, body.
REQUESTS = [
    json.loads(line)
    for line in Path(__file__)
    .parents[1]
    .joinpath("data/search-requests.ndjson")
    .read_text()
    .splitlines()
]
PLATFORMS = ("linux-i686", "linux-x86_64", "macosx", "win32", "win64", "win64-aarch64")
LOCALES = ("de", "en-US", "fr")
TREES = {
    "nightly": "mozilla-central",
    "beta": "releases/mozilla-beta",
    "aurora": "releases/mozilla-beta",
    "release": "releases/mozilla-release",
    "esr": "releases/mozilla-esr52",
}
#: Product, channel, version, number of the candidate (0: a release or nightly), build id.
BUILDS = [
    *(
        (
            "firefox",
            "nightly",
            f"{55 + day // 10}.0a1",
            0,
            f"2017{6 + day // 28:02}{1 + day % 28:02}100324",
        )
        for day in range(0, 60, 3)
    ),
    ("firefox", "nightly", "56.0a1", 0, "20170713100247"),
    ("firefox", "nightly", "56.0a1", 0, "20170713220144"),
    *(("firefox", "nightly", f"{v}.0a1", 0, f"20220{v - 97}10093000") for v in range(99, 103)),
    *(
        ("firefox", "beta", f"{v}.0b3", n, f"20210{v - 90}05180000")
        for v in range(91, 96)
        for n in (1, 0)
    ),
    ("firefox", "beta", "55.0b9", 1, "20170713130618"),
    ("firefox", "beta", "55.0b9", 2, "20170713200529"),
    ("firefox", "beta", "55.0b9", 0, "20170713200529"),
    ("devedition", "aurora", "55.0b9", 1, "20170713130618"),
    ("devedition", "aurora", "55.0b9", 0, "20170713130618"),
    ("devedition", "aurora", "55.0b10", 0, "20170717131224"),
    ("firefox", "beta", "57.0b9", 1, "20171016185129"),
    ("firefox", "beta", "57.0b9", 0, "20171016185129"),
    ("firefox", "release", "57.0", 4, "20171112125346"),
    ("firefox", "release", "57.0", 0, "20171112125346"),
    ("firefox", "release", "57.0.1", 0, "20171128222554"),
    ("firefox", "release", "58.0.1", 1, "20180128191252"),
    ("firefox", "release", "58.0.2", 0, "20180206200532"),
    ("firefox", "esr", "52.6.0esr", 2, "20180118122319"),
    ("firefox", "esr", "52.6.0esr", 0, "20180118122319"),
    ("firefox", "release", "3.6", 0, "20100115144158"),
    ("firefox", "release", "49.0.1-funnelcake90", 3, "20160922113459"),
]


def catalogue() -> list[Record]:
    """The records, as a Kinto has them, each with another ``last_modified``."""
    records = [*_desktop(), *_others()]
    return [
        {**record, "last_modified": 1_500_000_000_000 + number, "schema": 1_499_999_999_999}
        for number, record in enumerate(records)
    ]


def candidate_version(version: str, number: int) -> str:
    """A candidate's version in the catalogue: ``49.0.1rc3-funnelcake90``."""
    plain, dash, rest = version.partition("-")
    return f"{plain}rc{number}{dash}{rest}" if number else version


def make(
    product: str, channel: str, version: str, number: int, build_id: str, platform: str, locale: str
) -> Record:
    """The record of one build."""
    if channel == "nightly":
        section = f"nightly/2017/07/{build_id}-mozilla-central"
    elif number:
        section = f"candidates/{version.partition('-')[0]}-candidates/build{number}"
    else:
        section = f"releases/{version}"
    full = candidate_version(version, number)
    when = datetime.strptime(build_id, "%Y%m%d%H%M%S")
    nightly = f"nightly_{build_id}_" if channel == "nightly" else ""
    build: Record = {"id": build_id, "date": f"{when.isoformat()}Z", "as": "ml64.exe"}
    if number:
        build["number"] = number
    repository = f"https://hg.mozilla.org/{TREES[channel]}"
    return {
        "id": f"{product}_{nightly}{full.replace('.', '-')}_{platform}_{locale.lower()}",
        "build": build,
        "source": {
            "product": product,
            "revision": f"{int(build_id) * 7 + len(version) + len(product):040x}",
            "repository": repository,
            "tree": TREES[channel],
        },
        "target": {
            "platform": platform,
            "os": platform.partition("-")[0].rstrip("0123456789").removesuffix("osx"),
            "locale": locale,
            "version": full,
            "channel": channel,
        },
        "download": {
            "url": f"https://archive.mozilla.org/pub/{product}/{section}/{platform}/{locale}/b.exe",
            "mimetype": "application/msdos-windows",
            "size": 40_000_000 + sum(map(ord, full + platform + locale)),
            "date": f"{(when + timedelta(hours=len(platform), minutes=len(locale))).isoformat()}Z",
        },
    }


def _desktop() -> Iterator[Record]:
    for build in BUILDS:
        for platform in PLATFORMS:
            for locale in LOCALES:
                yield make(*build, platform, locale)


def _others() -> Iterator[Record]:
    """Repacks, other products, records that lack fields, values that are no plain ASCII."""
    esr = ("firefox", "esr", "52.6.0esr", 0, "20180118122319")
    for platform in ("win64-eme-free", "macosx-eme-free", "win32-sha1", "macosx64"):
        yield make(*esr, platform, "en-US")
    yield make("fennec", "release", "57.0", 2, "20171112125346", "android-api-16", "multi")
    yield make("thunderbird", "release", "52.9.1", 0, "20180710100000", "linux-x86_64", "ja-JP-mac")
    bare = make("fenix", "release", "143.0.4", 0, "20251010101010", "android-x86_64", "multi")
    del bare["build"]
    yield {**bare, "source": {"product": "fenix"}}
    yield {
        "id": "odd",
        "source": {"product": "Ünïcode\n'; DROP TABLE records; --"},
        "target": {"platform": "linux", "locale": "de", "version": '1.0"x', "channel": "beta\\"},
        "download": {
            "url": "u",
            "mimetype": "",
            "size": 20_000_000_000,
            "date": "2000-02-29T23:59:59Z",
        },
    }
