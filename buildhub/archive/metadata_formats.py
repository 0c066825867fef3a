"""Parses the archive's metadata files into the shape of a record.

One function for each format. All take the file's bytes and return a :class:`Metadata`, or None
where the bytes are not metadata: the archive sometimes serves an XML or HTML error page with
status 200, and a file without a usable build id is of no use.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple, NotRequired, TypedDict, TypeGuard, cast

from ..builds.products import PRODUCTS
from .locations import CandidateLocation, FileLocation, NightlyLocation, SamePushLocation

#: ``build`` of a record. Written as a call because ``as`` is a keyword.
BuildData = TypedDict(
    "BuildData",
    {
        "id": str,  # as in 20170612224034
        "date": str,  # the id as a date: 2017-06-12T22:40:34Z
        "number": int,  # of the build folder; releases and candidates only
        "as": str,
        "cc": str,
        "cxx": str,
        "ld": str,
        "host": str,
        "target": str,
    },
    total=False,
)


class SourceData(TypedDict):
    """``source`` of a record: what was built."""

    product: str
    revision: NotRequired[str]
    repository: NotRequired[str]
    tree: NotRequired[str]


class Metadata(NamedTuple):
    """The archive's statements about a build, in the shape of a record."""

    build: BuildData
    source: SourceData
    channel: str | None  #: the update channel, where the metadata contains it
    #: Whether it is a last resort, which a file that may appear later replaces.
    provisional: bool = False
    sha256: str = ""  #: of the build's own file, which is not in the metadata file


#: Field of a record's ``build`` → its names in a ``.json`` of the archive, the preferred first.
#: Since about 2024 there is no ``host_alias`` and no ``target_alias``.
TOOLCHAIN = {
    "as": ("as",),
    "cc": ("cc",),
    "cxx": ("cxx",),
    "ld": ("ld",),
    "host": ("host_alias", "host"),
    "target": ("target_alias", "target"),
}

_BUILD_ID = re.compile(r"(?:[0-9]{8}|[0-9]{10}|[0-9]{12}|[0-9]{14})")
_REPOSITORY_PREFIX = "MOZ_SOURCE_REPO="
_MERCURIAL = "hg.mozilla.org/"

_TEXT_WITH_URL = re.compile(
    r"\s*(?P<build_id>\d+)\s+(?P<repository>https?://\S+?)/rev/(?P<revision>[0-9a-f]+)\b"
)
_TEXT_WITH_REVISION = re.compile(r"\s*(?P<build_id>\d+)(?:[ \t]+(?P<revision>[0-9a-f]+))?\s*")


def build_date(build_id: str) -> str | None:
    """Returns the build id read as ``YYYYMMDDhhmmss``, or None if it is not a date.

    Old ids have 8, 10 or 12 digits (``2007091104``); the missing ones are taken as zero.
    """
    if not _BUILD_ID.fullmatch(build_id):
        return None
    try:
        moment = datetime.strptime(build_id.ljust(14, "0"), "%Y%m%d%H%M%S")
    except ValueError:
        return None
    return moment.isoformat() + "Z"


def from_json(content: bytes, product: str) -> Metadata | None:
    """Parses the ``.json`` beside a nightly or candidate, such as ``firefox-54.0.json``."""
    facts = json_object(content) or {}
    return _metadata(
        product,
        build_id=facts.get("buildid"),
        repository=facts.get("moz_source_repo"),
        revision=facts.get("moz_source_stamp"),
        channel=facts.get("moz_update_channel"),
        toolchain={
            field: next(filter(_is_text, map(facts.get, names)), None)
            for field, names in TOOLCHAIN.items()
        },
    )


def from_buildhub_json(content: bytes, product: str) -> Metadata | None:
    """Parses ``buildhub.json`` (since 2018), which has the shape of a record.

    Only ``build``, ``source`` and ``target.channel`` are used; the rest comes from the key.
    """
    facts = json_object(content) or {}
    build, source, target = (_mapping(facts.get(name)) for name in ("build", "source", "target"))
    return _metadata(
        product,
        build_id=build.get("id"),
        repository=source.get("repository"),
        revision=source.get("revision"),
        channel=target.get("channel"),
        toolchain={field: build.get(field) for field in TOOLCHAIN},
    )


def from_text(content: bytes, product: str) -> Metadata | None:
    """Parses the ``.txt`` of a very old nightly.

    ``<build id>\\n<repository>/rev/<revision>``, or ``<build id> <revision>``, a revision of
    ``old_repository`` of the product. Files from the time of CVS contain nothing but a build id.
    """
    text = content.decode("utf-8", "replace")
    found = _TEXT_WITH_URL.match(text) or _TEXT_WITH_REVISION.fullmatch(text)
    if not found:
        return None
    facts = found.groupdict()
    repository = facts.get("repository") or PRODUCTS[product].old_repository
    return _metadata(
        product,
        build_id=facts["build_id"],
        repository=repository if facts["revision"] else None,
        revision=facts["revision"],
    )


def from_info_text(content: bytes, product: str) -> Metadata | None:
    """Parses ``<platform>_info.txt``, the last resort: ``buildID=20100115144158`` and no more."""
    first_line, _, _ = content.decode("utf-8", "replace").partition("\n")
    name, _, build_id = first_line.strip().partition("=")
    found = _metadata(product, build_id=build_id) if name == "buildID" else None
    return found and found._replace(provisional=True)


def of_push(found: Metadata) -> Metadata:
    """Drops what does not hold for all products made from one push: toolchain and channel."""
    return Metadata({"id": found.build["id"], "date": found.build["date"]}, found.source, None)


def without_build_id(product: str, number: int | None = None) -> Metadata:
    """Returns what is published about a build without metadata; ``number`` is its candidate's.

    For products without metadata of their own only: others are not published then.
    """
    build: BuildData = {} if number is None else {"number": number}
    return Metadata(build, {"product": product}, None, provisional=True)


#: Ending of a nightly's metadata files → its parser, in the order in which they are tried.
FORMATS: dict[str, Callable[[bytes, str], Metadata | None]] = {
    ".json": from_json,
    ".buildhub.json": from_buildhub_json,
    ".txt": from_text,
}


def _metadata(
    product: str,
    *,
    build_id: Any,
    repository: Any = None,
    revision: Any = None,
    channel: Any = None,
    toolchain: Mapping[str, Any] | None = None,
) -> Metadata | None:
    build_id = str(build_id)
    date = build_date(build_id)
    if date is None:
        return None
    tools = {field: tool for field, tool in (toolchain or {}).items() if _is_text(tool)}
    build: BuildData = {"id": build_id, "date": date, **cast(BuildData, tools)}
    source: SourceData = {"product": product}
    if _is_text(revision):
        source["revision"] = revision
    if _is_text(repository):
        repository = repository.removeprefix(_REPOSITORY_PREFIX)
        source["repository"] = repository
        _, mercurial, tree = repository.partition(_MERCURIAL)
        if mercurial:
            source["tree"] = tree.strip("/")
    return Metadata(build, source, channel if _is_text(channel) else None)


def _is_text(value: Any) -> TypeGuard[str]:
    return isinstance(value, str) and value != ""


def json_object(content: bytes) -> Mapping[str, Any] | None:
    """Returns the one whole JSON object that the bytes are, or None."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


# ---- whether a file is about the build that it was requested for ----

#: Operating systems whose names are the same everywhere; those of devices are not.
_FAMILIES = ("win", "mac", "linux", "android")

_NIGHTLY_FILE = re.compile(
    r"[a-z]+-\d[^-]*?\.(?:[a-zA-Z]{2,3}(?:-[a-zA-Z]+)*|multi)\.(?P<platform>[\w-]+)"
)


def contradiction(content: bytes, location: FileLocation) -> str:
    """Returns what in a JSON metadata file belongs to another build; empty if nothing does.

    Only what must agree is compared: versions may differ, and that of the key is the record's.
    """
    facts = json_object(content) or {}
    if {"prefixes", "files"} <= facts.keys():
        return "it is a listing"
    expected_app, expected_platform = _expected(location)
    app, platform = facts.get("moz_app_name"), facts.get("moz_pkg_platform")
    if isinstance(target := facts.get("target"), Mapping):  # buildhub.json
        app, platform = None, target.get("platform")
    if isinstance(app, str) and app.lower() != expected_app:
        return f"it is about {app}"
    family = _family(expected_platform)
    if family and _family(platform) not in ("", family):
        return f"it is about {platform}"
    return ""


def is_doubtful(build_id: str, location: FileLocation) -> bool:
    """Tells if a build id is not that of the folder's name, as it nearly always is.

    ``20170808100025`` is the build id in ``2017-08-08-10-00-25-mozilla-central/``; old folders
    are called ``2010-07-05-04-mozilla-central/``.
    """
    if not isinstance(location, NightlyLocation):
        return False
    folder = location.stem.split("/")[-2]
    date = "".join(itertools.takewhile(str.isdecimal, folder.split("-")))
    length = min(len(date), len(build_id))
    return build_id[:length] != date[:length]


def _expected(location: FileLocation) -> tuple[str, str]:
    if isinstance(location, SamePushLocation):
        return location.app, ""
    app = PRODUCTS[location.product].app
    if isinstance(location, CandidateLocation):
        return app, location.folder.rstrip("/").split("/")[-2]
    found = _NIGHTLY_FILE.fullmatch(location.stem.rpartition("/")[2])
    return app, found["platform"] if found else ""


def _family(platform: Any) -> str:
    """Returns ``win`` of ``win64-aarch64``; empty where it is not known for sure."""
    name = platform.lower() if isinstance(platform, str) else ""
    return next((family for family in _FAMILIES if name.startswith(family)), "")
