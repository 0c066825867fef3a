"""Recognises which keys of the archive are builds, and what the key alone says of them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from .patterns import LOCALE_FOLDER, MIMETYPES, PLATFORM, SECTIONS, SYSTEMS, Shape
from .products import PRODUCTS, product_folders


class Build(NamedTuple):
    """A build, as far as its key describes it.

    ``channel`` is a guess. Metadata may correct it, but the ``id`` keeps the guess.
    """

    key: str  #: raw (decoded): ``pub/firefox/releases/55.0/mac/ar/Firefox 55.0.dmg``
    locale: str  #: as the archive spells it
    id: str  #: of the record; ids never change, as every deployment relies on them
    # The builds of a platform in all its locales have the rest in common.
    product: str  #: name of a product in the table ``PRODUCTS``
    section: str  #: the archive's folder: ``releases``, ``candidates`` or ``nightly``
    version: str  #: of the record: ``55.0b1rc5`` for a candidate
    channel: str
    platform: str  #: of the record: ``macosx``, ``win32-eme-free``
    os: str
    mimetype: str
    number: int | None  #: of a candidate's build folder
    archive_platform: str  #: as the archive spells it: ``mac``, ``win32-EME-free``


def build_in(
    key: str, product: str, section: str, mimetype: str, match: re.Match[str]
) -> Build | None:
    """Returns the build of a match of one of the section's shapes; None for a strange platform."""
    found = match.groupdict()
    # The folder's android-api-15 is the platform, not the file's android-arm: builds for several
    # devices are called the same, and made at the same second.
    archive_platform = found.get("device") or found["platform"]
    platform, os = _platform(archive_platform)
    if not os:
        return None
    version, locale, number = found["version"], found["locale"], found.get("number")
    if number:
        version = "-".join(filter(None, (f"{version}rc{number}", found.get("funnelcake"))))
    channel, prefix = _channel_and_prefix(product, section, version, found.get("folder", ""))
    return Build(
        key, locale, f"{prefix}_{platform}_{locale.lower()}",
        product, section, version, channel, platform, os, mimetype,
        int(number) if number else None, archive_platform,
    )  # fmt: skip


# Adjacent rows of an inventory share their folders, so small caches nearly always hit.
@lru_cache(maxsize=1024)
def _platform(archive_platform: str) -> tuple[str, str]:
    """Returns the record's platform and its os; the os of an unknown platform is empty."""
    platform = re.sub(r"^mac(?!osx)", "macosx", archive_platform.lower())
    if not re.fullmatch(PLATFORM, archive_platform, re.VERBOSE | re.ASCII | re.IGNORECASE):
        return platform, ""
    return platform, next(os for start, os in SYSTEMS.items() if platform.startswith(start))


@lru_cache(maxsize=1024)
def _channel_and_prefix(product: str, section: str, version: str, folder: str) -> tuple[str, str]:
    """Returns the channel that the key suggests, and the id up to the version.

    The version of an ESR candidate ends in ``rc<N>``, so its channel is ``release``, which is left
    out of ids: ids stay as they have always been. A nightly's id contains the first six parts of
    its folder's name, which include the tree after a short date
    (``2010-07-05-04-mozilla-central``).
    """
    channel = channel_of(product, section, version)
    if re.search(r"-old-id(?:-l10n)?$", folder):
        channel += "-old-id"
    date = "-".join(folder.split("-")[:6])
    parts = (product, "" if channel == "release" else channel, date, version)
    return channel, "_".join(filter(None, parts)).lower().replace(".", "-")


def channel_of(product: str, section: str, version: str) -> str:
    """Returns the channel that a version suggests; metadata may correct it."""
    if section == "nightly":
        return "nightly"
    if "b" in version or "-rc." in version:  # 55.0b1, 97.0.0-beta.2, 96.1.0-rc.1
        return PRODUCTS[product].beta
    return "esr" if version.endswith("esr") else "release"


# ---- public functions ----


class _Reader(NamedTuple):
    shape: Shape
    product: str
    fullmatch: Callable[[str, int], re.Match[str] | None]
    has_locale_folder: bool


# Only when it is asked for: compiling the patterns of all takes 20 ms.
@lru_cache(maxsize=128)
def readers_of(prefix: str) -> tuple[_Reader, ...]:
    """Returns the shapes that a key may have behind ``pub/<folder>/<section>/``."""
    readers = []
    for product in PRODUCTS.values():
        for shape in product.shapes:
            if prefix == f"pub/{product.folder}/{shape.section}/":
                fullmatch = shape.compiled(product.app, product.file, product.trees).fullmatch
                readers.append(_Reader(shape, product.name, fullmatch, shape.has_locale_folder))
    return tuple(readers)


def recognise(key: str) -> Build | None:
    """Returns the build that a raw key names, or None if it is not a build.

    Never raises and never guesses: a key of which any part is not understood is not a build.
    """
    start = key.find("/", key.find("/", 4) + 1) + 1  # where the version begins
    readers = readers_of(key[:start])
    if readers and readers[0].has_locale_folder:
        above, folder, name = key.rsplit("/", 2)
        in_all_locales = _in_all_locales(above, name, start)
        if in_all_locales and (locale := _lower_locale(folder)):
            id_start, common = in_all_locales
            return Build._make((key, folder, id_start + locale, *common))
    return _recognise(key, start, readers)


def _recognise(key: str, start: int, readers: Sequence[_Reader]) -> Build | None:
    mimetype = MIMETYPES.get(key[key.rfind(".") + 1 :].lower())
    if mimetype is None:
        return None
    for shape, product, fullmatch, _ in readers:
        if match := fullmatch(key, start):
            return build_in(key, product, shape.section, mimetype, match)
    return None


@lru_cache(maxsize=1024)
def _in_all_locales(above: str, name: str, start: int) -> tuple[str, tuple[Any, ...]] | None:
    """Returns what the builds ``{above}/<locale>/{name}`` have in common, whatever their locale.

    The start of their ids and the fields of :class:`Build` after that; None if they are no builds,
    or named without a folder for the locale. ``start`` is where the version begins.
    """
    key = f"{above}/en-US/{name}"
    readers = [reader for reader in readers_of(key[:start]) if reader.has_locale_folder]
    build = _recognise(key, start, readers)
    return build and (build.id.removesuffix("en-us"), build[3:])


@lru_cache(maxsize=1024)
def _lower_locale(folder: str) -> str:
    """Returns the name of a locale's folder in lower case; empty if it is none."""
    return folder.lower() if re.fullmatch(LOCALE_FOLDER, folder, re.ASCII) else ""


def candidate_pattern() -> re.Pattern[bytes]:
    """Returns a pattern that finds, in the raw bytes of an inventory, the keys that may be builds.

    For ``finditer``: each match is a whole key, form-encoded as S3 writes it, without the quotes
    around its column. Every key that :func:`recognise` accepts is found; what is found need not be
    a build. S3 percent-encodes no letter, digit, dot, hyphen, underscore or slash, so folders and
    extensions appear as they are.
    """
    sections = "|".join(f"{section}/{start}" for section, start in SECTIONS.items())
    place = f"(?:{'|'.join(map(re.escape, product_folders()))})/(?:{sections})"
    # A lookbehind has one width: four bytes of ".exe", and "r.gz" as all of these are .tar.gz.
    ends = "|".join(re.escape(f"tar.{extension}"[-4:]) for extension in MIMETYPES)
    # Columns may lack their quotes. With them (the rule), searching for one delimiter instead of
    # four makes the search a fifth faster.
    pattern = rf"""
        pub/ (?: (?<= "pub/ ) {place} [^"]*+ | (?<! "pub/ ) {place} [^",\r\n]*+ )
        (?i: (?<= {ends} ) )
        (?<! \.tests\.tar\.gz )  # the most frequent file that ends like a build and is not one
    """
    return re.compile(pattern.encode(), re.VERBOSE)


def ending_pattern() -> re.Pattern[bytes]:
    """Returns a pattern that finds where keys may end of which :func:`candidate_pattern` finds all.

    It finds some more, and takes half the time: it begins with the rarest character of a row that
    all these keys have, and tells the letters of their extensions apart by their position only,
    as a choice of sets is faster than a choice of words.
    """
    letters = itertools.zip_longest(*MIMETYPES, fillvalue="")
    sets = ["".join(sorted({*"".join(some).lower(), *"".join(some).upper()})) for some in letters]
    shortest = min(map(len, MIMETYPES))
    extension = "".join(
        f"[{some}]" + ("?" if number >= shortest else "") for number, some in enumerate(sets)
    )
    return re.compile(rf"""\.{extension}(?![^",\r\n])(?<!\.tests\.tar\.gz)""".encode())
