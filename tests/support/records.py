"""Records for tests that need any: complete, and different from each other."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import orjson


def make_record(number: int, **data: Any) -> dict[str, Any]:
    """The ``number``-th record, with all the fields that there are; ``data`` replaces some."""
    version = f"{number}.0b1"
    url = f"https://archive.mozilla.org/pub/firefox/releases/{version}/win64/fr/Firefox.exe"
    return {
        "data": {
            "id": f"firefox_beta_{number}-0b1_win64_fr",
            "build": {
                "id": "20170612224034",
                "date": "2017-06-12T22:40:34Z",
                "number": 5,
                "as": "ml64.exe",
                "cc": "c:/builds/cl.exe",
                "cxx": "c:/builds/cl.exe",
                "ld": "link.exe",
                "host": "x86_64-pc-mingw32",
                "target": "x86_64-pc-mingw32",
            },
            "source": {
                "product": "firefox",
                "revision": "6872377277a618b2b9e0d2b4c2b9e51765ac199e",
                "repository": "https://hg.mozilla.org/releases/mozilla-beta",
                "tree": "releases/mozilla-beta",
            },
            "target": {
                "platform": "win64",
                "os": "win",
                "locale": "fr",
                "version": version,
                "channel": "beta",
            },
            "download": {
                "url": url,
                "mimetype": "application/msdos-windows",
                "size": 53718907 + number,
                "date": "2017-06-14T00:41:56Z",
            },
            **data,
        }
    }


def ndjson(records: Iterable[Any]) -> bytes:
    """Records as a file holds them."""
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def ndjson_compact(records: Iterable[Any]) -> bytes:
    """Records as ``inventory-to-records`` prints them."""
    return b"".join(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE) for record in records)
