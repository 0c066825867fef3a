"""Build + metadata + size and date → the record that is published; its checks. No I/O, no clock."""

from __future__ import annotations

import enum
import functools
import json
import re
from collections.abc import Sequence
from typing import Any, NotRequired, TypedDict

import orjson

from .archive.metadata_formats import TOOLCHAIN, BuildData, Metadata, SourceData
from .builds.recognise import Build


class TargetData(TypedDict):
    """``target`` of a record: what the build is for."""

    platform: str
    os: str
    locale: str
    version: str
    channel: str


class DownloadData(TypedDict):
    """``download`` of a record: the file in the archive."""

    url: str
    mimetype: str
    size: int  #: exact, in bytes
    date: str  #: of publication: ``2017-06-14T00:41:56Z``
    sha256: NotRequired[str]  #: hexadecimal


class RecordData(TypedDict):
    """The stored data of a build. The schema in ``jobs/initialization.yml`` describes the same.

    ``last_modified`` and ``schema``, which that has besides, are added by the server.
    """

    id: str
    build: NotRequired[BuildData]
    source: SourceData
    target: TargetData
    download: DownloadData


class Record(TypedDict):
    """A record as Kinto exchanges it, and one line of the commands' output."""

    data: RecordData


def line_of(value: Any) -> bytes:
    """Returns a record, or another value, as a line of JSON."""
    try:
        return orjson.dumps(value, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError:  # nested deeply, a number of more than 64 bits, half of a surrogate pair
        return json.dumps(value).encode() + b"\n"


class Outcome(enum.Enum):
    """The outcome for a record that was to be stored, or for a file that was published."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"  #: the server has an equal one
    CONFLICT = "conflict"  #: another writer changed it since it was fetched
    REFUSED = "refused"  #: by the server, or not a record
    FAILED = "failed"  #: may not have been stored
    NO_METADATA = "no metadata yet"
    NO_BUILDS = "no builds yet"  #: of a metadata file
    INVALID = "not stored"  #: a field of the record can't be right
    IGNORED = "ignored"


def make_record(build: Build, metadata: Metadata, *, url: str, size: int, date: str) -> Record:
    """Returns the record of a build.

    ``url`` is where it is downloaded from, ``size`` its exact size in bytes, ``date`` its last
    modification in whole seconds (``2017-06-14T00:41:56Z``). The channel of the metadata replaces
    the one guessed from the key: Thunderbird ESR really is on ``release``. The id keeps the guess.
    """
    data: RecordData = {
        "id": build.id,
        "build": metadata.build,
        "source": metadata.source,
        "target": {
            "platform": build.platform,
            "os": build.os,
            "locale": build.locale,
            "version": build.version,
            "channel": metadata.channel or build.channel,
        },
        "download": {"url": url, "mimetype": build.mimetype, "size": size, "date": date},
    }
    if not metadata.build:
        del data["build"]
    if metadata.sha256:
        data["download"]["sha256"] = metadata.sha256
    return {"data": data}


_VALID = {
    "channel": r"(?:release|aurora|beta|esr|nightly)(?:-old-id)?",
    "locale": r"multi|[A-Za-z]{2,3}(?:-[A-Za-z]+){0,2}",
    "platform": r"(?:win|mac|linux|android|maemo|eabi).*",
    "version": r"(?:[0-9.-]|esr|rc|beta|b|a|pre|funnelcake|real|plugin)+",
}


def invalid_field(record: Record) -> str | None:
    """Returns the field that keeps a record from being published: ``channel 'default'``."""
    target = record["data"]["target"]
    return _first_invalid(
        ("channel", "platform", "version"),
        (target["channel"], target["platform"], target["version"]),
    ) or _first_invalid(("locale",), (target["locale"],))


# The locale on its own: adjacent builds have all else in common.
@functools.lru_cache(maxsize=4096)
def _first_invalid(fields: Sequence[str], values: Sequence[str]) -> str | None:
    for field, value in zip(fields, values, strict=True):
        if not re.fullmatch(_VALID[field], value):
            return f"{field} {value!r}"
    return None


#: Fields of ``build`` that one metadata file has and another of the same build lacks.
TOOLCHAIN_FIELDS = tuple(TOOLCHAIN)
