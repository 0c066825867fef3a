"""Build + metadata + size and date → the record that is published; its checks; its digest.

Nothing here reads, waits, or knows what time it is.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

if TYPE_CHECKING:
    from .builds import Build

Record = dict[str, Any]


class Metadata(NamedTuple):
    """What was published beside a build about it, in the shape of a record."""

    build: Mapping[str, Any]  #: id, date, number (releases and candidates), as, cc, cxx, …
    source: Mapping[str, Any]  #: product, revision, repository, tree
    channel: str | None  #: the update channel, where the metadata knows it


def make_record(build: Build, metadata: Metadata, *, url: str, size: int, date: str) -> Record:
    """The record of a build.

    ``url`` is where it is downloaded from, ``size`` its exact size in bytes, ``date`` its last
    modification in whole seconds (``2017-06-14T00:41:56Z``). The channel of the metadata is
    preferred to the one guessed from the key, as it is more reliable: Thunderbird's ESR really
    is on ``release``. The id never changes with it.
    """
    return {
        "data": {
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
    }


_SOUND = {
    "channel": re.compile(r"(?:release|aurora|beta|esr|nightly)(?:-old-id)?"),
    "locale": re.compile(r"multi|[A-Za-z]{2,3}(?:-[A-Za-z]+){0,2}"),
    "platform": re.compile(r"(?:win|mac|linux|android|maemo|eabi).*"),
    "version": re.compile(r"(?:[0-9.-]|esr|rc|b|a|pre|funnelcake|real|plugin)+"),
}


@functools.lru_cache(maxsize=4096)
def _sound(field: str, value: str) -> bool:
    return bool(_SOUND[field].fullmatch(value))


def suspicion(record: Record) -> str | None:
    """What makes a record too odd to be published (``channel 'default'``), or None."""
    target = record["data"]["target"]
    for field in _SOUND:
        if not _sound(field, target[field]):
            return f"{field} {target[field]!r}"
    return None


def digest(data: Mapping[str, Any]) -> bytes:
    """16 bytes that are equal for records which say the same.

    ``last_modified`` and ``schema`` are the server's own and do not count; neither does the
    order of the fields.
    """
    facts = {name: value for name, value in data.items() if name not in ("last_modified", "schema")}
    packed = orjson.dumps(facts, option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(packed, digest_size=16).digest()
