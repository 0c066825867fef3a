"""The archive's platforms, file names and folders: regular expressions in tables.

:mod:`buildhub.builds.products` says which product uses which of them,
:mod:`buildhub.builds.recognise` reads keys with them. A new platform, file extension or folder
layout is a new line here.

All patterns are verbose and ASCII only, and they match in linear time: a quantifier is possessive
(``++``) unless a literal follows it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

# ---- platforms ----

#: The operating system of a platform, by how the platform begins.
SYSTEMS = {
    "linux": "linux",
    "win": "win",
    "mac": "mac",
    "android": "android",
    "eabi": "android",
    "maemo": "maemo",
}

#: The processors of the apps for Android since 2021; ``universal`` is for all of them.
ABI = "(?: arm64-v8a | armeabi-v7a | x86 | x86_64 | universal )"

#: Platforms as the archive spells them. A closed list: ``win64-asan-reporter`` must not match.
PLATFORM = rf"""(?:
      (?: linux (?: -i686 | -x86_64 | -aarch64 | -arm | -gnueabi-arm )?
        | mac (?: 64 | -ppc | -shark | osx (?: -i686 | -x86_64 )? )?
        | win (?: 32 | 64 (?: -aarch64 | -x86_64 )? ) (?: -sha1 )?
      ) (?: -EME-free )?
    | win32-EUballot (?: -rc2 )?
    | win32-funnelcake\d++
    | android- {ABI}
    | android (?: -api-\d++ | -aarch64 | -arm (?: v\d )? (?: -armv6 )? | -armv6 | -xul | -r7
        | -i386 | -x86 (?: _64 )? )?
    | eabi-arm
    | maemo \d? (?: -gtk | -qt )?
)"""

# ---- files ----

#: By the extension of a build. No ``zip``: it has an ``.exe`` beside it, or is for Windows CE.
MIMETYPES = {
    "apk": "application/vnd.android.package-archive",
    "bz2": "application/x-bzip2",
    "dmg": "application/x-apple-diskimage",
    "exe": "application/msdos-windows",
    "gz": "application/x-gzip",
    "xz": "application/x-xz",
}

# 55.0b1, 4.0b2pre
# No group is possessive: before Python 3.11.5, such groups fail where they should match.
_VERSION = r"\d++ (?: \. \d++ )* (?! \. \d ) [a-z\d]*+"
# A release's file mostly lacks what its folder adds (38.0.5b1-2, 10.0-real).
_RELEASE_VERSION = _VERSION + r"(?: - (?: real | funnelcake\d++ | \d ) )*"
# In names with spaces also "3.6 Beta 5" and "3 Beta 1".
_SPACED_VERSION = _RELEASE_VERSION + r"(?: \  (?: alpha | beta | rc ) \  \d++ )?"

# firefox-55.0.tar.bz2, "Firefox 55.0.dmg", "Firefox Setup 4.0 RC 1.exe", "Thunderbird 3 Beta 1.exe"
DESKTOP_FILE = rf"""(?i: {{app}} (?:
    - {_RELEASE_VERSION} \.tar\.(?: bz2 | xz | gz )
  | \  {_SPACED_VERSION} \.(?: dmg | exe )
  | \  setup \  {_SPACED_VERSION} \.exe
))"""

# fennec-68.11.0.multi.android-arm.apk; before there was Android also fennec-1.1.en-US.mac.dmg
FULL_NAME_FILE = rf"""(?i:
    {{app}} - {_VERSION} \. [\w-]++ \. {PLATFORM} \.(?: apk | tar\.bz2 | dmg | installer\.exe )
)"""

# 144.0b3; from December 2021 to July 2022 also 97.0.0-beta.2 and 96.1.0-rc.1.
_APP_NUMBERED = r"(?: - (?: beta | rc ) \. \d++ )"
_APP_VERSION = rf"{_VERSION} {_APP_NUMBERED}?"
# fenix-144.0b3-android-arm64-v8a/fenix-144.0b3.multi.android-arm64-v8a.apk, but for a universal one
# fenix-144.0b3-android/
_APP_FOLDER = rf"{{app}} - {_APP_VERSION} -android (?: - (?P<abi> {ABI} ) )?"
_APP_FILE = r"""(?i:
    {{app}} - {version} \. (?P<locale> multi )
    \. (?P<platform> android- (?(abi) (?P=abi) | universal ) ) \.apk
)"""

# Nightlies and flat releases say it all in the name: firefox-56.0a1.en-US.linux-x86_64
_FULL_NAME = rf"""(?i:
    {{app}} - (?P<version> {_VERSION} ) \. (?P<locale> [\w-]++ ) \. (?P<platform> {PLATFORM} )
)"""
_NIGHTLY_FILE = _FULL_NAME + r"(?i: \.(?: tar\.bz2 | tar\.xz | dmg | installer\.exe | apk ) )"
_FLAT_FILE = (
    _FULL_NAME + r"(?i: \.(?: (?: installer\. )? tar\.gz | tar\.bz2 | dmg | installer\.exe ) )"
)

# ---- folders ----

#: The archive's sections that hold published builds, and how what follows begins.
SECTIONS = {"releases": r"\d", "candidates": r"\d", "nightly": r"\d\d\d\d/\d\d/\d"}

#: Trees whose nightlies are catalogued, besides comm-central-trunk of 2009 and 2010.
TREES = ("mozilla-central", "comm-central")

# 56.0.1-funnelcake131, 10.0-real, 38.0.5b1-2, 3.6.3plugin1. What came before 1.0 is not
# catalogued, nor is the folder of the first candidate of 1.0.
_NUMBERS = r"(?! 0\. | 1\.0rc/ ) \d++ (?: \. \d++ )+"
LOCALE_FOLDER = r"[\w-]++"
_PLACE = rf"(?P<platform> [\w-]++ ) / (?P<locale> {LOCALE_FOLDER} ) / {{file}}"
_BUILD_FOLDER = r"-candidates / build(?P<number> [1-9]\d{0,3} ) /"
_CANDIDATE = rf"(?P<version> {_NUMBERS} [\w-]*? ){_BUILD_FOLDER}"

# Nightlies before August 2011 have a shorter date: 2010-07-04-05-mozilla-central.
_DATE = r"\d{4} (?: -\d\d ){3} (?: -\d\d-\d\d )?"
_DATED = rf"""
    \d{{4}} / \d\d /
    (?P<folder> (?: {_DATE} - {{trees}}
                  | (?= 2009 | 2010 ) {_DATE} - comm-central-trunk )
"""
# Since December 2024 the -l10n folders contain copies of the Windows installers in en-US.
_L10N = r"(?: -l10n (?! .* \.(?i: en-US )\. ) )?"


class Shape(NamedTuple):
    """One way in which the archive names builds."""

    section: str  #: the archive's folder below the product's
    name: str
    form: str  #: for people: what follows the section
    pattern: str  #: of what follows it; ``{app}``, ``{file}`` and ``{trees}`` are the product's

    @property
    def has_locale_folder(self) -> bool:
        """Tells if the locale is the name of the last folder, and read nowhere else."""
        return self.pattern.endswith(_PLACE)

    def compiled(self, app: str, file: str, trees: Sequence[str]) -> re.Pattern[str]:
        """Returns the pattern of all that follows the section in a key, for one product.

        ``app`` is how the names of its files begin, ``file`` the pattern of a release's file,
        ``trees`` are those of its nightlies.
        """
        pattern = self.pattern.replace("{file}", file).replace("{app}", app)
        pattern = pattern.replace("{trees}", f"(?: {' | '.join(trees)} )")
        return re.compile(pattern, re.VERBOSE | re.ASCII)


#: The shapes that all products have in common, the most frequent of a section first.
SHAPES = (
    Shape(
        "releases",
        "release",
        "<version>/<platform>/<locale>/<file>",
        rf"(?P<version> {_NUMBERS} [\w-]*+ ) / {_PLACE}",
    ),
    Shape(
        "releases",
        "funnelcake release",
        "<version>-funnelcake<N>/<v1 or funnelcakeN>/<platform>/<locale>/<file>",
        rf"(?P<version> {_NUMBERS} [a-z\d]*+ -funnelcake\d++ ) / [a-z]++ \d++ / {_PLACE}",
    ),
    Shape(
        "releases",
        "flat release",
        "<version>/<app>-<version>.<locale>.<platform>.<extension>",
        rf"{_NUMBERS} [\w-]*+ / {_FLAT_FILE}",
    ),
    Shape(
        "candidates",
        "candidate",
        "<version>-candidates/build<N>/<platform>/<locale>/<file>",
        rf"{_CANDIDATE} {_PLACE}",
    ),
    Shape(
        "candidates",
        "funnelcake candidate",
        "<version>-candidates/build<N>/funnelcake<N>/<platform>/<locale>/<file>",
        rf"{_CANDIDATE} (?P<funnelcake> funnelcake\d++ ) / {_PLACE}",
    ),
    Shape(
        "nightly",
        "nightly",
        "<YYYY>/<MM>/<date>-<tree>[-l10n]/<app>-<version>.<locale>.<platform>.<extension>",
        rf"{_DATED} {_L10N} ) / {_NIGHTLY_FILE}",
    ),
)

#: The apps for Android since 2021: below the platform a folder for each ABI.
APP_SHAPES = (
    Shape(
        "releases",
        "release of an app",
        "<version>/android/<app>-<version>-android[-<ABI>]/<app>-<version>.multi.android-<ABI>.apk",
        rf"(?P<version> {_NUMBERS} (?: {_APP_NUMBERED} | [\w-]*+ ) ) / android / {_APP_FOLDER} /"
        + _APP_FILE.format(version=_APP_VERSION),
    ),
    Shape(
        "candidates",
        "candidate of an app",
        "<version>-candidates/build<N>/android/<app>-<version>-android[-<ABI>]/"
        "<app>-<version>.multi.android-<ABI>.apk",
        rf"(?P<version> {_NUMBERS} (?: {_APP_NUMBERED} | [\w-]*? ) ){_BUILD_FOLDER}"
        rf"android / {_APP_FOLDER} /" + _APP_FILE.format(version=_APP_VERSION),
    ),
    Shape(
        "nightly",
        "nightly of an app",
        "<YYYY>/<MM>/<date>-<app>-<version>-android[-<ABI>]/"
        "<app>-<version>.multi.android-<ABI>.apk",
        rf"\d{{4}} / \d\d / (?P<folder> \d{{4}} (?: -\d\d ){{5}} - {_APP_FOLDER} ) /"
        + _APP_FILE.format(version=f"(?P<version> {_VERSION} )"),
    ),
)

#: Nightlies whose folder names the device: 2017-09-01-10-03-13-mozilla-central-android-api-15.
DEVICE_NIGHTLY = Shape(
    "nightly",
    "nightly for a device",
    "<YYYY>/<MM>/<date>-<tree>-<device>[-old-id][-l10n]/[en-US/]"
    "<app>-<version>.<locale>.<platform>.<extension>",
    rf"""
    {_DATED} (?: - (?: (?P<device> android-(?: api-\d++ | xul | r7 ) ) | {PLATFORM} ) )?
        (?P<old_id> -old-id )? (?: -l10n )?
    ) / (?: en-US/ )? {_NIGHTLY_FILE}
    """,
)
