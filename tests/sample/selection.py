"""Selects the keys of the sample: real ones, of every product and kind."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

TABLE = Path(__file__).parent.parent / "data" / "archive-keys.tsv.gz"

#: A pattern of keys and how many of them, evenly spread over those that match.
WANTED: tuple[tuple[str, int], ...] = (
    # Firefox releases: many locales that share one metadata file a platform.
    (r"firefox/releases/53\.0/", 70),
    (r"firefox/releases/(56\.0|58\.0\.1|59\.0)/", 60),
    (r"firefox/releases/(67\.0\.4|127\.0\.2)/", 60),
    (r"firefox/releases/(140\.0\.2|150\.0\.1|152\.0\.6|153\.0\.1)/", 30),
    (r"firefox/releases/(52\.0b9|58\.0b5|137\.0b6|151\.0b6)/", 40),
    (r"firefox/releases/(45\.3\.0|52\.5\.0|115\.7\.0|128\.6\.0|140\.3\.0)esr/", 70),
    (r"firefox/releases/51\.0b11/.*EME-free", 1),
    (r"firefox/releases/(56\.0|67\.0|153\.0\.1)/.*EME-free", 3),
    (r"firefox/releases/.*-sha1/", 1),
    (r"firefox/releases/.*funnelcake", 10),
    (r"firefox/releases/[^/]*-real/", 6),
    (r"firefox/releases/[^/]*plugin", 1),
    # Old ones, whose metadata has never been there.
    (r"firefox/releases/(1\.0\.7|2\.0\.0\.12|3\.6b5|3\.6\.12|4\.0\.1|10\.0)/", 30),
    (r"firefox/releases/[^/]+/[^/]+\.tar\.gz$", 2),
    # Candidates: several builds of a version, and builds of two figures.
    (r"firefox/candidates/54\.0-candidates/", 60),
    (r"firefox/candidates/(51\.0|56\.0b2)-candidates/.*EME-free", 2),
    (r"firefox/candidates/(45\.3\.0esr|56\.0b2|57\.0\.2)-candidates/", 46),
    (r"firefox/candidates/.*funnelcake", 1),
    (r"firefox/candidates/59\.0b1-candidates/build11/", 1),
    # Nightlies: .txt until 2011, .json, and beside it .buildhub.json since 2018.
    (r"firefox/nightly/201[01]/.*mozilla-central/", 4),
    (r"firefox/nightly/.*mozilla-central-l10n/.*(bz2|xz|dmg|installer\.exe)$", 12),
    (r"firefox/nightly/201[5-8]/.*mozilla-central/.*(bz2|dmg|installer\.exe)$", 20),
    (r"firefox/nightly/20(2[0-6]|19)/.*mozilla-central/.*(bz2|xz|installer\.exe)$", 40),
    (r"firefox/nightly/2026/07/2026-07-19-09-17-21-mozilla-central/", 4),
    # The other products.
    (r"devedition/releases/(58\.0b1|146\.0b1|153\.0b13)/", 20),
    (r"devedition/candidates/(58\.0b1|55\.0b1)-candidates/build[15]/", 45),
    (r"thunderbird/releases/(2\.0\.0\.21|52\.5\.0|128\.2\.1esr|143\.0)/", 60),
    (r"thunderbird/candidates/56\.0b4-candidates/build1[34]/", 24),
    (r"thunderbird/candidates/60\.0b4-candidates/", 12),
    (r"thunderbird/nightly/20\d\d/.*(bz2|dmg|installer\.exe)$", 5),
    (r"mobile/.*\.(apk|dmg)$", 48),
    # What is no build.
    (r".*(SHA512SUMS|\.asc|\.checksums)$", 60),
    (r".*\.(mar|xpi|txt|sdk\.tar\.bz2|zip|msi|msix|pkg|deb|rpm|aab)$", 80),
    (r"(firefox|thunderbird|mobile)/nightly/[^/]*-candidates/", 60),
    (r"(firefox|thunderbird)/(nightly|releases)/latest", 20),
    (r"(seamonkey|mozilla|b2g|fenix|android|addons|firebird)/", 40),
    (r"firefox/nightly/20.*(mozilla-aurora|date)", 20),
    (r".*([%+()]|partner|tinderbox|try-builds|experimental|contrib|namoroka|stub)", 40),
)

_NIGHTLY = "pub/firefox/nightly/2026/07/2026-07-19-09-17-21-mozilla-central{0}/firefox-154.0a1.{1}"

#: Keys that the table lacks, in shapes that the archive has: ten locales of one nightly, a release
#: beside its candidates, a build11 that wins over a build2, and a candidates folder in which there
#: is no build.
MORE = (
    _NIGHTLY.format("", "en-US.mac.dmg"),
    *(
        f"{_NIGHTLY.format('-l10n', locale)}.{ending}"
        for locale in ("ar", "de", "es-ES", "fr", "it", "ko", "pl", "pt-BR", "zh-CN")
        for ending in ("linux-x86_64.tar.xz", "mac.dmg", "win64.installer.exe")
    ),
    *(
        f"pub/firefox/releases/54.0/{folder}"
        for locale in ("en-US", "ja", "ko")
        for folder in (
            f"linux-x86_64/{locale}/firefox-54.0.tar.bz2",
            f"mac/{locale.replace('ja', 'ja-JP-mac')}/Firefox 54.0.dmg",
            f"win32/{locale}/Firefox Setup 54.0.exe",
            f"win64/{locale}/Firefox Setup 54.0.exe",
        )
    ),
    *(
        f"pub/devedition/{folder}/{rest}"
        for folder in (
            "candidates/59.0b1-candidates/build2",
            "candidates/59.0b1-candidates/build11",
            "releases/59.0b1",
        )
        for rest in (
            "linux-x86_64/en-US/firefox-59.0b1.tar.bz2",
            "mac/ja-JP-mac/Firefox 59.0b1.dmg",
            "win64/fr/Firefox Setup 59.0b1.exe",
        )
    ),
    "pub/firefox/candidates/aurora-beta-channel-switch/SHA512SUMS",
)


def table() -> Iterator[tuple[str, str]]:
    """Each real key, and the id of its record (``-``: no build), in the table's order."""
    with gzip.open(TABLE, "rt", encoding="utf-8") as lines:
        for line in lines:
            if not line.startswith("#"):
                key, identifier = line.rstrip("\n").split("\t")[:2]
                yield key, identifier


def selected() -> list[str]:
    """The sample's keys, without those of metadata files."""
    keys = [key for key, _ in table() if not key.endswith(".json")]
    chosen: dict[str, None] = {}
    for pattern, count in WANTED:
        matches = re.compile(f"pub/{pattern}").match
        chosen |= dict.fromkeys(_spread([key for key in keys if matches(key)], count))
    return [*chosen, *MORE]


def _spread(keys: Sequence[str], count: int) -> Sequence[str]:
    if len(keys) <= count:
        return keys
    return [keys[i * len(keys) // count] for i in range(count)]
