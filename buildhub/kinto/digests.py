"""Records → digests, which tell whether one has to be stored over another."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from typing import Any

import orjson

from ..records import TOOLCHAIN_FIELDS

_BLANKS = ("",) * len(TOOLCHAIN_FIELDS)
_FACTS_SIZE = 16
_TOOL_SIZE = 4
_NO_TOOL = bytes(_TOOL_SIZE)
_NO_TOOLS = _NO_TOOL * len(TOOLCHAIN_FIELDS)

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
        tools = _tools_digest(*map(str, map(build.pop, TOOLCHAIN_FIELDS, _BLANKS)))
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
