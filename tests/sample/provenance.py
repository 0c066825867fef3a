"""The date and the metadata files of each build in the sample's archive.

Where they lie is written down here once more, apart from the code under test.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from tests.support.archive_files import File
from tests.support.archive_metadata import Origin, candidate_metadata, metadata_files

#: The build that became the release, where it isn't the first.
FINAL_BUILDS = {
    ("firefox", "52.5.0esr"): 2,
    ("firefox", "45.3.0esr"): 1,
    ("firefox", "54.0"): 3,
    ("firefox", "56.0"): 6,
    ("firefox", "59.0"): 5,
    ("devedition", "59.0b1"): 11,
    ("thunderbird", "52.5.0"): 1,
}
#: Releases whose candidates have gone, and one whose last build lacks a platform.
NO_CANDIDATES = {("firefox", "52.0b9"), ("thunderbird", "128.2.1esr"), ("mobile", "42.0b2")}
NO_METADATA = {("firefox", "67.0.4", "win32")}
#: The build folder that has everything that is found beside metadata.
WITH_NEIGHBOURS = {("firefox", "54.0", 3)}

_REPACK = re.compile(r"-(EME-free|sha1)$")
_FUNNELCAKE = re.compile(r"funnelcake\d+/")
_CANDIDATE = re.compile(r"pub/(\w+)/candidates/([^/]+)-candidates/build(\d+)/([^/]+)/")
_RELEASE = re.compile(r"pub/(\w+)/releases/([^/]+)/([^/]+)/[^/]+/")
_NIGHTLY = re.compile(
    r"""
    pub/(?P<product>\w+)/nightly/\d+/\d+/(?P<moment>[\d-]+)-(?P<tree>[^/]+)/(?P<subfolder>en-US/)?
    (?P<app>\w+)-(?P<version>[\d.]+\w*)\.(?P<locale>[\w-]+)\.(?P<platform>[\w-]+)
    (\.installer)?\.(tar\.)?\w+$
    """,
    re.VERBOSE,
)


def major(version: str) -> int:
    """``3.6b5`` → 3"""
    number = re.match(r"\d+", version)
    return int(number[0]) if number else 0


def released(version: str) -> datetime:
    """About when a version came out: every 45 days from 4.0, every 29 days from 72.0."""
    number = major(version)
    if number < 4:
        day = datetime(2003 + 2 * number, 6, 1, 9, tzinfo=UTC)
    elif number < 72:
        day = datetime(2011, 3, 22, 9, tzinfo=UTC) + timedelta(days=45 * (number - 4))
    else:
        day = datetime(2020, 1, 7, 9, tzinfo=UTC) + timedelta(days=29 * (number - 72))
    return day - timedelta(days=40 if "b" in version else 0)


def last_modified(key: str) -> datetime:
    """When the file was put into the archive; without a version in its key, in 2016."""
    spread = timedelta(seconds=zlib.crc32(key.encode()) % 18_000)
    if nightly := re.search(r"/(\d{4}-\d\d-\d\d-\d\d)-", key):
        began = datetime.strptime(nightly[1], "%Y-%m-%d-%H").replace(tzinfo=UTC)
        return began + timedelta(hours=3) + spread
    if candidate := re.search(r"/([^/]+)-candidates/build(\d+)/", key):
        return _built(candidate[1], int(candidate[2])) + timedelta(hours=7) + spread
    if release := re.search(r"/releases/(\d[^/]*)/", key):
        return released(release[1]) + timedelta(days=1) + spread
    return datetime(2016, 5, 4, 3, 2, 1, tzinfo=UTC) + spread


def _built(version: str, build: int) -> datetime:
    return released(version) - timedelta(days=20) + timedelta(days=build)


def metadata_of(key: str) -> dict[str, File]:
    """The metadata files that belong to the build ``key``, by key; none if there is none."""
    key = _FUNNELCAKE.sub("", key)
    if nightly := _NIGHTLY.match(key):
        return _nightly(key, nightly)
    if candidate := _CANDIDATE.match(key):
        product, version, build, platform = candidate.groups()
        return _candidate(product, version, int(build), platform)
    if release := _RELEASE.match(key):
        product, version, platform = release.groups()
        if (product, version) in NO_CANDIDATES or not re.fullmatch(r"[\d.]+(b\d+|esr)?", version):
            return {}  # funnelcakes and the like never had candidates of their own
        return _candidate(product, version, FINAL_BUILDS.get((product, version), 1), platform)
    return {}


def _candidate(product: str, version: str, build: int, platform: str) -> dict[str, File]:
    platform = _REPACK.sub("", platform)
    kinds = _kinds_of_candidate(product, version, build)
    if (product, version, platform) in NO_METADATA or not kinds:
        return {}
    built = _built(version, build) + timedelta(minutes=45)  # one build id for all platforms
    origin = Origin(product, version, platform, f"{built:%Y%m%d%H%M%S}")
    root = f"pub/{product}/candidates/{version}-candidates/build{build}/"
    return _dated(candidate_metadata(root, origin, kinds, date=""))


def _kinds_of_candidate(product: str, version: str, build: int) -> Collection[str]:
    """None before 2012; since 2018 ``buildhub.json``, which alone is left after a year."""
    if (product, version, build) in WITH_NEIGHBOURS:
        return ("json", "neighbours")
    number = major(version)
    if number < 15:
        return ()
    if number < 60:
        return ("json",)
    return ("buildhub",) if number < 150 else ("json", "buildhub")


def _nightly(key: str, nightly: re.Match[str]) -> dict[str, File]:
    moment, product = nightly["moment"], nightly["product"]
    if "mozilla-central" not in nightly["tree"] and "comm-central" not in nightly["tree"]:
        return {}
    mac = nightly["platform"].startswith("mac")
    english = product != "mobile" or nightly["subfolder"] or mac
    folder = key.rpartition("/")[0].replace("-l10n", "")
    stem = f"{folder}/{nightly['app']}-{nightly['version']}.{'en-US' if english else 'multi'}."
    digits = moment.replace("-", "")
    origin = Origin(product, nightly["version"], nightly["platform"], digits.ljust(14, "0"))
    if moment < "2011-06":
        # Fennec's of that time have a short build id and name no repository.
        files = metadata_files(stem + origin.platform, origin, ("txt",), date="")
        if product == "mobile":
            body = f"{digits} {origin.revision}\n".encode()
            files = {name: File(body=body) for name in files}
        return _dated(files)
    kinds = ("json", "buildhub") if moment > "2018-08" else ("json",)
    return _dated(metadata_files(stem + origin.platform, origin, kinds, date=""))


def _dated(files: dict[str, File]) -> dict[str, File]:
    return {k: replace(f, date=f"{last_modified(k):%Y-%m-%dT%H:%M:%SZ}") for k, f in files.items()}
