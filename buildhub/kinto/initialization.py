"""``initialization.yml`` → the server: bucket, collection, schema and permissions.

kinto-wizard does the same from outside, but downloads all records of the server first. Here only
the two objects are looked at, and only what differs is changed.
"""

from __future__ import annotations

import importlib.resources
from collections.abc import Mapping
from typing import Any

from ..errors import Fatal
from .client import Client, RequestRejected

EVERYONE = "system.Everyone"


def initialize(client: Client) -> list[str]:
    """Makes the client's bucket and collection what ``initialization.yml`` says.

    Returns a sentence for each change, none if nothing differed. Fields that the file does not
    name stay as they are, and principals that were given more rights keep them. Raises
    :class:`Fatal`, before anything is written, for a bucket or collection that the file does
    not define, and where the credentials do not allow a change that is needed.
    """
    bucket, collection = definition(client.bucket, client.collection)
    done = []
    for path, wanted in ((client.bucket_path, bucket), (client.collection_path, collection)):
        if change := _bring_about(client, path, wanted):
            done.append(f"{path} {change}.")
    return done


def exists(client: Client) -> bool:
    """Returns True if the client's collection exists and is shown to these credentials."""
    return _get(client, client.collection_path) is not None


def definition(bucket: str, collection: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns what the packaged file says of a bucket and a collection: data and permissions."""
    import yaml  # takes 15 ms, which a run that does not initialize the server does not need

    text = importlib.resources.files("buildhub").joinpath("initialization.yml").read_text()
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml takes a tenth of the time
    in_bucket = _defined("bucket", bucket, yaml.load(text, loader)["buckets"])
    in_collection = _defined("collection", collection, in_bucket["collections"])
    objects = [
        {part: one.get(part) or {} for part in ("data", "permissions")}
        for one in (in_bucket, in_collection)
    ]
    return objects[0], objects[1]


def _defined(kind: str, name: str, defined: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    if name not in defined:
        raise Fatal(
            f"initialization.yml defines no {kind} {name!r}, only {', '.join(defined)}: check"
            f" --{kind} or {kind.upper()}, or set INITIALIZE_SERVER=false and make the {kind}"
            " yourself."
        )
    return defined[name]


def _bring_about(client: Client, path: str, wanted: Mapping[str, Any]) -> str | None:
    """Creates or changes one object; returns what was done to it."""
    found = _get(client, path)
    if found is None:
        if _write(client, "PUT", path, wanted, {"If-None-Match": "*"}):
            return "was created"
        found = _get(client, path)  # another run was faster
    if found is None:
        raise _not_allowed(client, path)
    data = found.get("data") or {}
    changes = {
        "data": {name: v for name, v in wanted["data"].items() if data.get(name) != v},
        "permissions": _missing(client, path, found.get("permissions"), wanted["permissions"]),
    }
    changes = {part: values for part, values in changes.items() if values}
    if not changes:
        return None
    _write(client, "PATCH", path, changes)
    names = [name for values in changes.values() for name in values]
    return f"was changed: {', '.join(names)}"


def _get(client: Client, path: str) -> dict[str, Any] | None:
    """Returns the object; None if it is not there, or is not shown to us."""
    try:
        found: dict[str, Any] = client.request("GET", path)[0]
    except RequestRejected as error:
        if error.status in (403, 404):  # Kinto hides by 403 whether a bucket exists
            return None
        raise client.fatal(error) from None
    return found


def _write(
    client: Client, method: str, path: str, body: Mapping[str, Any],
    condition: Mapping[str, str] | None = None,
) -> bool:  # fmt: skip
    """Creates or changes the object; returns False if the condition does not hold."""
    try:
        client.request(method, path, body=body, headers=condition)
    except RequestRejected as error:
        if error.status == 412:
            return False
        raise _not_allowed(client, path) if error.status == 403 else client.fatal(error) from None
    return True


def _missing(
    client: Client, path: str, found: Mapping[str, list[str]] | None, wanted: Mapping[str, Any]
) -> dict[str, list[str]]:
    """Returns the permissions that lack a principal, with all that they should have.

    Kinto shows permissions only to those who are named as writers, so to nobody on a server
    with ``explicit_permissions = false``. Whether everyone may read can then be tried.
    """
    missing = {}
    for permission, principals in wanted.items():
        there = set((found or {}).get(permission, ()))
        if not found and permission == "read" and _everyone_reads(client, path):
            there.add(EVERYONE)
        if not there.issuperset(principals):
            missing[permission] = sorted(there.union(principals))
    return missing


def _everyone_reads(client: Client, path: str) -> bool:
    try:
        client.request("GET", path, anonymous=True)
    except RequestRejected:
        return False
    return True


def _not_allowed(client: Client, path: str) -> Fatal:
    return Fatal(
        f"Kinto at {client.url} does not let these credentials create or change {path}, which is"
        " not as initialization.yml says: give others with --auth or AUTH, or set"
        " INITIALIZE_SERVER=false."
    )
