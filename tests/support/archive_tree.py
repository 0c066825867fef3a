"""Trees of archive files, made to measure: a release with its candidates, a nightly.

Each builder gives ``{key: File}`` for :class:`tests.archive_server.ArchiveServer`. What the
metadata files say comes from :class:`tests.archive_metadata.Origin`, so that a test can
compare a record with it.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterable, Mapping

from tests.support.archive_files import File
from tests.support.archive_metadata import APPS, Origin, candidate_metadata, metadata_files

PLATFORMS = ("linux-i686", "linux-x86_64", "mac", "win32", "win64")
DEFAULT_LOCALES = ("en-US", "fr", "ja")


def candidate_buildid(build: int, platform: str) -> str:
    """The build id that ``build<N>`` gets unless told otherwise; each platform has its own."""
    return f"201706{build:02}10{zlib.crc32(platform.encode()) % 60:02}25"


def archive_name(product: str, version: str, platform: str, locale: str) -> str:
    """The file name of a build below ``releases`` and ``candidates``."""
    app = APPS[product]
    title = "Firefox" if app == "firefox" else "Thunderbird"
    if product == "mobile":
        package = Origin(product, version, platform, "").package_platform
        return f"{app}-{version}.{locale}.{package}.apk"
    if platform.startswith("mac"):
        return f"{title} {version}.dmg"
    if platform.startswith("win"):
        return f"{title} Setup {version}.exe"
    return f"{app}-{version}.tar.{_compression(version)}"


def candidate_tree(
    product: str = "firefox",
    version: str = "54.0",
    build: int = 1,
    *,
    platforms: Iterable[str] = PLATFORMS,
    locales: Iterable[str] = DEFAULT_LOCALES,
    buildids: Mapping[str, str] | None = None,
    metadata: Collection[str] = ("json", "neighbours"),
    date: str = "2017-06-09T10:20:30Z",
) -> dict[str, File]:
    """One build folder below ``candidates``: archives, and the metadata of each platform.

    ``buildids`` are by platform, by default :func:`candidate_buildid`. Repacks (``-EME-free``,
    ``-sha1``) have no metadata of their own.
    """
    root = f"pub/{product}/candidates/{version}-candidates/build{build}/"
    tree: dict[str, File] = {}
    for platform in platforms:
        for locale in locales:
            key = f"{root}{platform}/{locale}/" + archive_name(product, version, platform, locale)
            tree[key] = _build(key, date)
        if platform.endswith(("-EME-free", "-sha1")):
            continue
        buildid = (buildids or {}).get(platform) or candidate_buildid(build, platform)
        origin = Origin(product, version, platform, buildid)
        tree |= candidate_metadata(root, origin, metadata, date=date)
    return tree


def release_tree(
    product: str = "firefox",
    version: str = "54.0",
    builds: Iterable[int] = (1, 2),
    *,
    platforms: Collection[str] = PLATFORMS,
    locales: Collection[str] = DEFAULT_LOCALES,
    buildids: Mapping[tuple[int, str], str] | None = None,
    metadata: Collection[str] = ("json", "neighbours"),
    date: str = "2017-06-13T12:00:00Z",
) -> dict[str, File]:
    """A release and the candidates that led to it; without ``builds`` the release alone.

    ``buildids`` are by build and platform: ``{(2, "win64"): "20170608105825"}``.
    """
    tree: dict[str, File] = {}
    for platform in platforms:
        for locale in locales:
            name = archive_name(product, version, platform, locale)
            key = f"pub/{product}/releases/{version}/{platform}/{locale}/{name}"
            tree[key] = _build(key, date)
    for build in builds:
        tree |= candidate_tree(
            product,
            version,
            build,
            platforms=platforms,
            locales=locales,
            buildids={p: i for (n, p), i in (buildids or {}).items() if n == build},
            metadata=metadata,
        )
    return tree


def nightly_tree(
    product: str = "firefox",
    version: str = "57.0a1",
    moment: str = "2017-08-08-10-00-25",
    *,
    platforms: Iterable[str] = PLATFORMS,
    locales: Iterable[str] = DEFAULT_LOCALES,
    suffix: str = "",
    buildids: Mapping[str, str] | None = None,
    metadata: Collection[str] = ("json", "neighbours"),
    date: str = "2017-08-08T14:15:16Z",
) -> dict[str, File]:
    """A nightly: en-US in its folder, other locales in the ``-l10n`` folder beside it.

    Mobile's ``platforms`` are those of the folder's name (``android-api-15``); its ``multi``
    and the metadata lie in the folder itself, en-US in a subfolder, both with metadata.
    ``suffix`` is appended to the folder's name: ``-old-id``.
    """
    tree: dict[str, File] = {}
    branch = "comm-central" if product == "thunderbird" else "mozilla-central"
    above = f"pub/{product}/nightly/{moment[:4]}/{moment[5:7]}/{moment}-{branch}"
    for platform in platforms:
        buildid = (buildids or {}).get(platform) or moment.replace("-", "").ljust(14, "0")
        origin = Origin(product, version, platform, buildid)
        mobile = product == "mobile"
        folder = f"{above}-{platform}{suffix}" if mobile else f"{above}{suffix}"
        for locale in locales:
            own = f"{folder}/" if locale in ("en-US", "multi") else f"{folder}-l10n/"
            if mobile and locale == "en-US":
                own += "en-US/"
            stem = f"{own}{origin.app}-{version}.{locale}.{origin.package_platform}"
            key = stem + _nightly_extension(platform, version)
            tree[key] = _build(key, date)
            if locale in ("en-US", "multi"):
                tree |= metadata_files(stem, origin, metadata, date=date)
    return tree


def _nightly_extension(platform: str, version: str) -> str:
    if platform.startswith("android"):
        return ".apk"
    if platform.startswith("mac"):
        return ".dmg"
    return ".installer.exe" if platform.startswith("win") else f".tar.{_compression(version)}"


def _compression(version: str) -> str:
    return "xz" if int(version.partition(".")[0]) >= 135 else "bz2"


def _build(key: str, date: str) -> File:
    """A build of some 30 to 60 MB, which is never fetched; the key decides its size."""
    return File(size=30_000_000 + zlib.crc32(key.encode()) % 30_000_000, date=date)
