"""Whether a metadata file is about the build that it was requested for.

Only what must agree is compared: folder and file may name different versions otherwise.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping
from typing import Any

from ..builds.products import PRODUCTS
from .locations import CandidateLocation, FileLocation, NightlyLocation, SamePushLocation

#: Operating systems whose names are the same everywhere; those of devices are not.
_FAMILIES = ("win", "mac", "linux", "android")

_NIGHTLY_FILE = re.compile(
    r"[a-z]+-(?P<version>\d[^-]*?)\.(?:[a-zA-Z]{2,3}(?:-[a-zA-Z]+)*|multi)\.(?P<platform>[\w-]+)"
)


def is_json_object(content: bytes) -> bool:
    """Whether the bytes are one whole JSON object, whatever is in it."""
    return _object(content) is not None


def contradiction(content: bytes, location: FileLocation) -> str:
    """What in a JSON metadata file belongs to another build; empty if nothing does."""
    facts = _object(content) or {}
    if {"prefixes", "files"} <= facts.keys():
        return "it is a listing"
    build, platform, version = _expected(location)
    found = {
        "product": facts.get("moz_app_name"),
        "platform": facts.get("moz_pkg_platform"),
        "version": facts.get("moz_app_version"),
    }
    if isinstance(target := facts.get("target"), Mapping):  # buildhub.json
        found = {"platform": target.get("platform"), "version": target.get("version")}
    app = found.get("product")
    if isinstance(app, str) and app.lower() != build:
        return f"it is about {app}"
    if _family(found["platform"]) not in ("", _family(platform)) and _family(platform):
        return f"it is about {found['platform']}"
    if version and isinstance(found["version"], str) and found["version"] != version:
        return f"it is about version {found['version']}"
    return ""


def is_doubtful(build_id: str, location: FileLocation) -> bool:
    """Whether a build id is not that of the folder's name, as it nearly always is.

    ``20170808100025`` is the build id in ``2017-08-08-10-00-25-mozilla-central/``; old folders
    are called ``2010-07-05-04-mozilla-central/``.
    """
    if not isinstance(location, NightlyLocation):
        return False
    folder = location.stem.split("/")[-2]
    date = "".join(itertools.takewhile(str.isdecimal, folder.split("-")))
    length = min(len(date), len(build_id))
    return build_id[:length] != date[:length]


def _expected(location: FileLocation) -> tuple[str, str, str]:
    """Name of the app, platform and, of a nightly, version."""
    product = PRODUCTS[location.product]
    if isinstance(location, SamePushLocation):
        return PRODUCTS[product.same_push or product.name].app, "", ""
    app = product.app
    if isinstance(location, CandidateLocation):
        return app, location.folder.rstrip("/").split("/")[-2], ""
    found = _NIGHTLY_FILE.fullmatch(location.stem.rpartition("/")[2])
    return (app, found["platform"], found["version"]) if found else (app, "", "")


def _family(platform: Any) -> str:
    """``win`` of ``win64-aarch64``; empty where it is not known for sure."""
    name = platform.lower() if isinstance(platform, str) else ""
    return next((family for family in _FAMILIES if name.startswith(family)), "")


def _object(content: bytes) -> Mapping[str, Any] | None:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
