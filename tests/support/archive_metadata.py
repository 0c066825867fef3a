"""Makes metadata files in the archive's formats."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from tests.support.archive_files import File

#: The app's name as its files spell it, by the archive's folder.
APPS = {
    "firefox": "firefox",
    "devedition": "firefox",
    "thunderbird": "thunderbird",
    "mobile": "fennec",
}

#: Where each channel's sources live, by the archive's folder; "esr" lacks its number.
TREES = {
    "firefox": {
        "release": "releases/mozilla-release",
        "beta": "releases/mozilla-beta",
        "esr": "releases/mozilla-esr",
        "nightly": "mozilla-central",
    },
    "thunderbird": {
        "release": "releases/comm-release",
        "beta": "releases/comm-beta",
        "esr": "releases/comm-esr",
        "nightly": "comm-central",
    },
}

_ANDROID = {
    "x86_64": "android-x86_64",
    "x86": "android-i386",
    "i386": "android-i386",
    "aarch64": "android-aarch64",
}


@dataclass(frozen=True)
class Origin:
    """Where a build comes from: everything that its metadata says.

    ``product`` is the archive's folder, ``platform`` the archive's spelling (``mac``).
    """

    product: str
    version: str
    platform: str
    buildid: str

    @property
    def app(self) -> str:
        return APPS[self.product]

    @property
    def channel(self) -> str:
        """``moz_update_channel``."""
        if "a" in self.version or "pre" in self.version:
            return "nightly"
        if "b" in self.version:
            return "aurora" if self.product == "devedition" else "beta"
        return "esr" if self.version.endswith("esr") else "release"

    @property
    def tree(self) -> str:
        """``releases/mozilla-beta``"""
        trees = TREES["thunderbird" if self.product == "thunderbird" else "firefox"]
        tree = trees["beta" if self.channel == "aurora" else self.channel]
        return tree + (self.version.partition(".")[0] if self.channel == "esr" else "")

    @property
    def repository(self) -> str:
        return f"https://hg.mozilla.org/{self.tree}"

    @property
    def revision(self) -> str:
        """40 hexadecimal digits, others for each build id."""
        return hashlib.sha1(f"{self.product} {self.buildid}".encode()).hexdigest()

    @property
    def toolchain(self) -> dict[str, str]:
        """as, cc, cxx, ld and the host and target, as the archive spells them per platform."""
        if self.platform.startswith("win"):
            triple = f"{'x86_64' if '64' in self.platform else 'i686'}-pc-mingw32"
            cl = "c:/builds/moz2_slave/build/src/vs2015u3/VC/bin/amd64/cl.exe"
            return {"as": "ml64.exe", "cc": cl, "cxx": cl, "ld": "link", "triple": triple}
        if self.platform.startswith("mac"):
            clang = "/home/worker/workspace/build/src/clang/bin/clang"
            arguments = " -target x86_64-apple-darwin11 -std=gnu99"
            return {
                "as": "$(CC)",
                "cc": clang + arguments,
                "cxx": clang.replace("clang/bin/clang", "clang/bin/clang++") + arguments,
                "ld": "ld",
                "triple": "x86_64-apple-darwin",
            }
        if self.platform.startswith("android"):
            x86 = self.package_platform == "android-i386"
            triple = "i686-unknown-linux-android" if x86 else "arm-unknown-linux-androideabi"
        else:
            triple = "x86_64-pc-linux-gnu" if "64" in self.platform else "i686-pc-linux-gnu"
        gcc = "/home/worker/workspace/build/src/gcc/bin/gcc"
        return {
            "as": "$(CC)",
            "cc": f"{gcc} -std=gnu99",
            "cxx": f"{gcc.replace('gcc/bin/gcc', 'gcc/bin/g++')} -std=gnu++11",
            "ld": "ld",
            "triple": triple,
        }

    def plain(self) -> dict[str, object]:
        """``firefox-54.0.json``"""
        tools = self.toolchain
        triple = tools.pop("triple")
        return {
            **tools,
            "buildid": self.buildid,
            "host_alias": triple,
            "host_cpu": triple.partition("-")[0],
            "moz_app_id": "{ec8030f7-c20a-464f-9b0e-13a3a9e97384}",
            "moz_app_maxversion": f"{self.version.partition('.')[0]}.*",
            "moz_app_name": self.app,
            "moz_app_vendor": "Mozilla",
            "moz_app_version": self.version.removesuffix("esr"),
            "moz_pkg_platform": self.package_platform,
            "moz_source_repo": f"MOZ_SOURCE_REPO={self.repository}",
            "moz_source_stamp": self.revision,
            "moz_update_channel": self.channel,
            "target_alias": triple,
            "target_cpu": triple.partition("-")[0],
            "target_vendor": "pc",
        }

    @property
    def package_platform(self) -> str:
        """``moz_pkg_platform``, which nightlies and apks have in their names: ``android-arm``."""
        if not self.platform.startswith("android"):
            return self.platform
        for word, name in _ANDROID.items():
            if word in self.platform:
                return name
        return "android-arm"

    def buildhub(self, url: str = "") -> dict[str, object]:
        """``buildhub.json``: a record without id, whose tree lacks ``releases/``."""
        tools = self.toolchain
        triple = tools.pop("triple")
        moment = datetime.strptime(self.buildid.ljust(14, "0"), "%Y%m%d%H%M%S")
        system = self.platform.partition("-")[0].rstrip("3264")
        return {
            "build": {
                **tools,
                "date": f"{moment.isoformat()}Z",
                "host": triple,
                "id": self.buildid,
                "target": triple,
            },
            "download": {
                "date": f"{moment.isoformat()}.123456Z",
                "mimetype": "application/octet-stream",
                "size": 53718907,
                "url": url,
            },
            "source": {
                "product": self.app,
                "repository": self.repository,
                "revision": self.revision,
                "tree": self.tree.removeprefix("releases/"),
            },
            "target": {
                "channel": self.channel,
                "locale": "en-US",
                "os": system,
                "platform": self.package_platform,
                "version": self.version,
            },
        }

    def text(self) -> str:
        """The ``.txt`` of a very old nightly: ``20100705040332`` and where it was built from."""
        return f"{self.buildid}\n{self.repository.replace('https', 'http')}/rev/{self.revision}\n"


def metadata_files(
    stem: str, origin: Origin, kinds: Collection[str], *, date: str, buildhub: str | None = None
) -> dict[str, File]:
    """The metadata beside an en-US build, and its neighbours that are none.

    ``stem`` is the key up to the extension: ``…/en-US/firefox-54.0``; ``kinds`` says what
    there is: ``json``, ``buildhub``, ``txt`` and ``neighbours``. ``buildhub`` is the key of the
    second, by default ``<stem>.buildhub.json``.
    """
    bodies: dict[str, str] = {}
    if "json" in kinds:
        bodies[f"{stem}.json"] = _pretty(origin.plain())
    if "buildhub" in kinds:
        bodies[buildhub or f"{stem}.buildhub.json"] = _pretty(origin.buildhub())
    if "txt" in kinds:
        bodies[f"{stem}.txt"] = origin.text()
    if "neighbours" in kinds:
        mozinfo = {"appname": origin.app, "asan": False, "bits": 64, "buildid": "19700101000000"}
        bodies[f"{stem}.mozinfo.json"] = _pretty(mozinfo)
        bodies[f"{stem}.test_packages.json"] = _pretty({"common": ["target.common.tests.zip"]})
        bodies[f"{stem}_info.txt"] = "buildID=19700101000000\n"
    return {key: File(body=body.encode(), date=date) for key, body in bodies.items()}


def candidate_metadata(
    root: str, origin: Origin, kinds: Collection[str], *, date: str
) -> dict[str, File]:
    """The files in ``<root><platform>/en-US/`` beside the build; ``root`` is the build folder."""
    folder = f"{root}{origin.platform}/en-US/"
    name = f"{origin.app}-{origin.version}"
    if origin.product == "mobile":
        name += f".en-US.{origin.package_platform}"
    return metadata_files(
        folder + name, origin, kinds, date=date, buildhub=f"{folder}buildhub.json"
    )


def _pretty(data: Mapping[str, object]) -> str:
    return json.dumps(data, indent=2, sort_keys=True) + "\n"
