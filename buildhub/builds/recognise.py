"""Which keys of the archive are builds, and what a key alone says of its build.

Pure: no I/O, no clock, no environment. What builds are called is in the tables of
:mod:`buildhub.builds.patterns`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

from .patterns import MIMETYPES, PLATFORM, PRODUCTS, SECTIONS, SHAPES, SYSTEMS, Shape

PRODUCT_FOLDERS = tuple(PRODUCTS)

_BETA = {product.name: product.beta for product in PRODUCTS.values()}
_PLATFORM = re.compile(PLATFORM, re.VERBOSE | re.ASCII | re.IGNORECASE)


class Build(NamedTuple):
    """A build, as far as its key tells.

    ``channel`` is a guess. The metadata knows better, but the ``id`` keeps the guess.
    """

    key: str  #: raw (decoded): ``pub/firefox/releases/55.0/mac/ar/Firefox 55.0.dmg``
    product: str  #: ``firefox``, ``thunderbird``, ``devedition`` or ``fennec``
    section: str  #: the archive's folder: ``releases``, ``candidates`` or ``nightly``
    version: str  #: of the record: ``55.0b1rc5`` for a candidate
    channel: str
    platform: str  #: of the record: ``macosx``, ``win32-eme-free``
    os: str
    locale: str  #: as the archive spells it
    mimetype: str
    id: str  #: of the record: a contract with every deployment
    number: int | None  #: of a candidate's build folder
    archive_platform: str  #: as the archive spells it: ``mac``, ``win32-EME-free``


# ---- what each shape says in its own way ----


def _release(key: str, product: str, mimetype: str, match: re.Match[str]) -> Build | None:
    version, platform, locale = match.group("version", "platform", "locale")
    return _build(key, product, "releases", version, platform, locale, mimetype)


def _candidate(key: str, product: str, mimetype: str, match: re.Match[str]) -> Build | None:
    version, number, platform, locale = match.group("version", "number", "platform", "locale")
    version = f"{version}rc{number}"
    return _build(key, product, "candidates", version, platform, locale, mimetype, int(number))


def _funnelcake(key: str, product: str, mimetype: str, match: re.Match[str]) -> Build | None:
    version, number, platform, locale = match.group("version", "number", "platform", "locale")
    version = f"{version}rc{number}-{match['funnelcake']}"
    return _build(key, product, "candidates", version, platform, locale, mimetype, int(number))


def _nightly(key: str, product: str, mimetype: str, match: re.Match[str]) -> Build | None:
    version, platform, locale, folder = match.group("version", "platform", "locale", "folder")
    return _build(key, product, "nightly", version, platform, locale, mimetype, None, folder)


def _mobile_nightly(key: str, product: str, mimetype: str, match: re.Match[str]) -> Build | None:
    version, platform, locale, folder = match.group("version", "platform", "locale", "folder")
    # The folder's android-api-15 is the platform, not the file's android-arm.
    platform = match["api"] or platform
    return _build(key, product, "nightly", version, platform, locale, mimetype, None, folder)


_READ = {
    "release": _release,
    "funnelcake release": _release,
    "flat release": _release,
    "candidate": _candidate,
    "funnelcake candidate": _funnelcake,
    "nightly": _nightly,
    "mobile nightly": _mobile_nightly,
}

# ---- what they have in common ----


def _build(
    key: str,
    product: str,
    section: str,
    version: str,
    archive_platform: str,
    locale: str,
    mimetype: str,
    number: int | None = None,
    folder: str = "",
) -> Build | None:
    """The build, or None if its platform is unknown; ``folder`` is a nightly's."""
    platform, os = _platform(archive_platform)
    if not os:
        return None
    channel, prefix = _channel_and_prefix(product, section, version, folder)
    return Build(
        key, product, section, version, channel, platform, os, locale, mimetype,
        f"{prefix}_{platform}_{locale.lower()}", number, archive_platform,
    )  # fmt: skip


# Neighbours in an inventory share their folders: small caches answer nearly always.
@lru_cache(maxsize=1024)
def _platform(archive_platform: str) -> tuple[str, str]:
    """The record's platform and its os; the os of an unknown platform is empty."""
    platform = re.sub(r"^mac(?!osx)", "macosx", archive_platform.lower())
    if not _PLATFORM.fullmatch(archive_platform):
        return platform, ""
    return platform, next(os for start, os in SYSTEMS.items() if platform.startswith(start))


@lru_cache(maxsize=1024)
def _channel_and_prefix(product: str, section: str, version: str, folder: str) -> tuple[str, str]:
    """The channel that the key suggests, and the id up to the version.

    An ESR candidate's version ends in ``rc<N>``, so its channel is ``release``, which ids leave
    out: ids are kept as they have always been. A nightly's id has the first six parts of its
    folder's name: a short date takes in the tree (``2010-07-05-04-mozilla-central``).
    """
    channel = _channel(product, section, version)
    if re.search(r"-old-id(?:-l10n)?$", folder):
        channel += "-old-id"
    date = "-".join(folder.split("-")[:6])
    parts = (product, "" if channel == "release" else channel, date, version)
    return channel, "_".join(filter(None, parts)).lower().replace(".", "-")


def _channel(product: str, section: str, version: str) -> str:
    if section == "nightly":
        return "nightly"
    if "b" in version:
        return _BETA[product]
    return "esr" if version.endswith("esr") else "release"


# ---- the room's doors ----


class _Reader(NamedTuple):
    shape: Shape
    product: str
    fullmatch: Callable[[str, int], re.Match[str] | None]
    read: Callable[[str, str, str, re.Match[str]], Build | None]


def _readers() -> dict[str, list[_Reader]]:
    """By ``pub/<folder>/<section>/``: how the keys that start so may be read."""
    readers: dict[str, list[_Reader]] = {}
    for shape in SHAPES:
        for folder in shape.folders:
            product = PRODUCTS[folder]
            fullmatch = shape.compiled(product).fullmatch
            reader = _Reader(shape, product.name, fullmatch, _READ[shape.name])
            readers.setdefault(f"pub/{folder}/{shape.section}/", []).append(reader)
    return readers


READERS = _readers()


def recognise(key: str) -> Build | None:
    """The build that a raw key names, or None if it names none.

    Never raises, never guesses: a key that is not understood in full is no build.
    """
    mimetype = MIMETYPES.get(key[key.rfind(".") + 1 :].lower())
    if mimetype is None:
        return None
    start = key.find("/", key.find("/", 4) + 1) + 1
    for reader in READERS.get(key[:start], ()):
        if match := reader.fullmatch(key, start):
            return reader.read(key, reader.product, mimetype, match)
    return None


def candidate_pattern(folders: Sequence[str] = PRODUCT_FOLDERS) -> re.Pattern[bytes]:
    """What finds, in the raw bytes of an inventory, the keys that may be builds.

    For ``finditer``: each match is a whole key, form-encoded as S3 writes it, without the quotes
    around its column. Every key below the product folders ``folders`` that :func:`recognise`
    takes is found, but what is found need not be a build. S3 percent-encodes no letter, digit,
    dot, hyphen, underscore or slash, so folders and extensions are looked for as they are.
    """
    sections = "|".join(f"{section}/{start}" for section, start in SECTIONS.items())
    place = f"(?:{'|'.join(map(re.escape, folders))})/(?:{sections})"
    # A lookbehind has one width: four bytes of ".exe", and "r.gz" as all of these are .tar.gz.
    ends = "|".join(re.escape(f"tar.{extension}"[-4:]) for extension in MIMETYPES)
    # Columns may lack their quotes. Where they have them, which is always, looking for one byte
    # instead of four makes the search a fifth faster.
    pattern = rf"""
        pub/ (?: (?<= "pub/ ) {place} [^"]*+ | (?<! "pub/ ) {place} [^",\r\n]*+ )
        (?i: (?<= {ends} ) )
        (?<! \.tests\.tar\.gz )  # the most frequent of all that end like a build and are none
    """
    return re.compile(pattern.encode(), re.VERBOSE)
