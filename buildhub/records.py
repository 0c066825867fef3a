"""Build + metadata + size and date → the record that is published; its checks; its digest.

Pure: no I/O, no clock, no environment.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any, NotRequired, TypedDict

import orjson

from .archive.formats import TOOLCHAIN, BuildData, Metadata, SourceData
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


class RecordData(TypedDict):
    """What is stored about a build. The schema in ``jobs/initialization.yml`` describes the same.

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


def make_record(build: Build, metadata: Metadata, *, url: str, size: int, date: str) -> Record:
    """The record of a build.

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
        "download": {
            "url": url,
            "mimetype": build.mimetype,
            "size": size,
            "date": date,
        },
    }
    if not metadata.build:
        del data["build"]
    return {"data": data}


_VALID = {
    "channel": r"(?:release|aurora|beta|esr|nightly)(?:-old-id)?",
    "locale": r"multi|[A-Za-z]{2,3}(?:-[A-Za-z]+){0,2}",
    "platform": r"(?:win|mac|linux|android|maemo|eabi).*",
    "version": r"(?:[0-9.-]|esr|rc|b|a|pre|funnelcake|real|plugin)+",
}


def invalid_field(record: Record) -> str | None:
    """The field that keeps a record from being published (``channel 'default'``), or None."""
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
_TOOLCHAIN = tuple(TOOLCHAIN)
_BLANKS = ("",) * len(_TOOLCHAIN)
_FACTS_SIZE = 16
_TOOL_SIZE = 4
_NO_TOOL = bytes(_TOOL_SIZE)
_NO_TOOLS = _NO_TOOL * len(_TOOLCHAIN)

#: Bytes of a digest that is not empty.
DIGEST_SIZE = _FACTS_SIZE + len(_NO_TOOLS)


def digest(data: Mapping[str, Any]) -> bytes:
    """40 bytes for :func:`differs`: what a record says, then each field of its toolchain.

    ``last_modified`` and ``schema`` are set by the server and ignored; so is the order of fields,
    and ``download.date``, which depends on whom the archive's date was learned from. Of a record
    that we can't have made, such as one nested 300 deep, it is empty: it equals nothing.
    """
    facts = {**data}
    facts.pop("last_modified", None)
    facts.pop("schema", None)
    if isinstance(download := facts.get("download"), dict):
        facts["download"] = download = {**download}
        download.pop("date", None)
    tools = _NO_TOOLS
    if isinstance(build := facts.get("build"), dict):
        facts["build"] = build = {**build}
        tools = _tools_digest(*map(str, map(build.pop, _TOOLCHAIN, _BLANKS)))
    try:
        packed = orjson.dumps(facts, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # nested deeply, half of a surrogate pair, a number of more than 64 bits
        return b""
    return hashlib.blake2b(packed, digest_size=_FACTS_SIZE).digest() + tools


@functools.lru_cache(maxsize=4096)  # one toolchain for all locales of a platform
def _tools_digest(*tools: str) -> bytes:
    return b"".join(
        hashlib.blake2b(tool.encode("utf-8", "replace"), digest_size=_TOOL_SIZE).digest()
        if tool
        else _NO_TOOL
        for tool in tools
    )


def differs(stored: bytes | None, new: bytes) -> bool:
    """Whether a record has to be stored over another, by the digests of both.

    It need not be where only the date of the download differs, or where fields of the toolchain are
    missing that were stored: a candidate's ``.json`` is deleted after a year, and the
    ``buildhub.json`` that remains says less.
    """
    if stored and stored == new:
        return False
    if not stored or stored[:_FACTS_SIZE] != new[:_FACTS_SIZE]:
        return True
    starts = range(_FACTS_SIZE, len(new), _TOOL_SIZE)
    tools = (
        (stored[start : start + _TOOL_SIZE], new[start : start + _TOOL_SIZE]) for start in starts
    )
    return any(tool not in (_NO_TOOL, known) for known, tool in tools)
