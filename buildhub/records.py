"""Build + metadata + size and date → the record that is published; its checks; its digest.

Nothing here reads, waits, or knows what time it is.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from .archive.formats import Metadata
    from .builds.recognise import Build

Record = dict[str, Any]


def make_record(build: Build, metadata: Metadata, *, url: str, size: int, date: str) -> Record:
    """The record of a build.

    ``url`` is where it is downloaded from, ``size`` its exact size in bytes, ``date`` its last
    modification in whole seconds (``2017-06-14T00:41:56Z``). The channel of the metadata is
    preferred to the one guessed from the key, as it is more reliable: Thunderbird ESR really
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


_VALID = {
    "channel": re.compile(r"(?:release|aurora|beta|esr|nightly)(?:-old-id)?"),
    "locale": re.compile(r"multi|[A-Za-z]{2,3}(?:-[A-Za-z]+){0,2}"),
    "platform": re.compile(r"(?:win|mac|linux|android|maemo|eabi).*"),
    "version": re.compile(r"(?:[0-9.-]|esr|rc|b|a|pre|funnelcake|real|plugin)+"),
}


@functools.lru_cache(maxsize=4096)
def _is_valid(field: str, value: str) -> bool:
    return bool(_VALID[field].fullmatch(value))


def invalid_field(record: Record) -> str | None:
    """What makes a record too odd to be published (``channel 'default'``), or None."""
    target = record["data"]["target"]
    for field in _VALID:
        if not _is_valid(field, target[field]):
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
