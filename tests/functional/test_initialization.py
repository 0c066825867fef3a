"""The bucket, the collection and the schema, by kinto-wizard and by ourselves, on a real Kinto."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import requests

from buildhub.errors import Fatal
from buildhub.kinto.client import Client
from buildhub.kinto.initialization import definition, initialize
from tests.support.kinto_server import Kinto
from tests.support.records import make_record

pytestmark = pytest.mark.functional

FILE = Path(__file__).parents[2] / "jobs/initialization.yml"
WIZARD = Path(sys.executable).with_name("kinto-wizard")
BUCKET = "/buckets/build-hub"
COLLECTION = f"{BUCKET}/collections/releases"


def client_of(kinto: Kinto, auth: str = "user:pass", **changes: str) -> Client:
    place = {"bucket": "build-hub", "collection": "releases"} | changes
    return Client(kinto.url, auth, place["bucket"], place["collection"], retries=0)


def load_with_wizard(kinto: Kinto) -> None:
    subprocess.run(
        [WIZARD, "load", "--server", kinto.url, "--auth", "user:pass", FILE],
        check=True, capture_output=True,
    )  # fmt: skip


def state(kinto: Kinto) -> list[object]:
    """All that there is to know of the two objects, when they were changed included."""
    return [kinto.call("GET", path).json() for path in (BUCKET, COLLECTION)]


def test_kinto_wizard_and_we_come_to_the_same_and_each_changes_nothing_the_second_time(
    strict_kinto,
):
    load_with_wizard(strict_kinto)
    before = state(strict_kinto)
    load_with_wizard(strict_kinto)
    assert state(strict_kinto) == before
    assert initialize(client_of(strict_kinto)) == []
    assert state(strict_kinto) == before


def test_an_empty_server_is_initialised_and_the_second_time_nothing_is_changed(kinto):
    assert len(initialize(client_of(kinto))) == 2
    before = state(kinto)
    assert initialize(client_of(kinto)) == []
    assert state(kinto) == before


def test_a_bucket_without_the_collection_gets_it(kinto):
    kinto.call("PUT", BUCKET, json={"data": {"note": "by hand"}, "permissions": {}})
    changes = initialize(client_of(kinto))
    assert changes == [f"{BUCKET} was changed: read.", f"{COLLECTION} was created."]
    assert state(kinto)[0]["data"]["note"] == "by hand"


def test_only_what_differs_is_changed(strict_kinto):
    initialize(client_of(strict_kinto))
    changed = {"data": {"displayFields": ["id"], "note": "ours"}}
    strict_kinto.call("PATCH", COLLECTION, json=changed)
    bucket = state(strict_kinto)[0]
    assert initialize(client_of(strict_kinto)) == [f"{COLLECTION} was changed: displayFields."]
    assert state(strict_kinto)[0] == bucket
    assert state(strict_kinto)[1]["data"]["note"] == "ours"


def test_principals_that_were_given_more_rights_keep_them(strict_kinto):
    initialize(client_of(strict_kinto))
    more = {"permissions": {"read": ["system.Authenticated"], "write": ["someone"]}}
    strict_kinto.call("PATCH", BUCKET, json=more)
    assert initialize(client_of(strict_kinto)) == [f"{BUCKET} was changed: read."]
    permissions = state(strict_kinto)[0]["permissions"]
    assert set(permissions["read"]) == {"system.Authenticated", "system.Everyone"}
    assert "someone" in permissions["write"]


def test_who_may_not_change_anything_needs_not_where_nothing_differs(strict_kinto):
    initialize(client_of(strict_kinto))
    assert initialize(client_of(strict_kinto, auth="other:person")) == []


def test_without_permission_to_change_what_differs_it_is_an_error(strict_kinto):
    strict_kinto.call("PUT", BUCKET, json={"permissions": {"read": ["system.Everyone"]}})
    with pytest.raises(Fatal, match=r"--auth or AUTH, or set INITIALIZE_SERVER=false") as caught:
        initialize(client_of(strict_kinto, auth="other:secret-of-other"))
    assert "secret-of-other" not in str(caught.value)


@pytest.mark.parametrize(
    ("place", "sentence"),
    [
        ({"bucket": "buildhub"}, r"no bucket 'buildhub', only build-hub: check --bucket"),
        ({"collection": "release"}, r"no collection 'release', only releases: check --coll"),
    ],
)
def test_what_the_file_does_not_define_is_an_error_before_anything_is_written(
    kinto, place, sentence
):
    with pytest.raises(Fatal, match=sentence):
        initialize(client_of(kinto, **place))
    assert kinto.call("GET", "/buckets").json()["data"] == []


def test_everyone_may_read_and_only_read(strict_kinto):
    initialize(client_of(strict_kinto))
    assert strict_kinto.call("GET", f"{COLLECTION}/records", auth=None).json() == {"data": []}
    with pytest.raises(requests.HTTPError, match="401"):
        strict_kinto.call("POST", f"{COLLECTION}/records", json=make_record(1), auth=None)


def without(record: dict, path: str) -> dict:
    """The record less one field."""
    *parents, last = path.split(".")
    part = record["data"]
    for name in parents:
        part = part[name]
    del part[last]
    return record


REQUIRED = [
    "source", "source.product",
    "target", "target.platform", "target.locale", "target.version", "target.channel",
    "download", "download.url", "download.mimetype", "download.size", "download.date",
]  # fmt: skip


@pytest.mark.parametrize("path", REQUIRED)
def test_what_is_required_is_required(initialised, path):
    with pytest.raises(requests.HTTPError, match="400"):
        initialised.call("POST", f"{COLLECTION}/records", json=without(make_record(1), path))


OPTIONAL = [
    "build", "build.id", "build.date", "build.number", "build.as", "build.cc", "build.cxx",
    "build.ld", "build.host", "build.target",
    "source.revision", "source.repository", "source.tree", "target.os",
]  # fmt: skip


@pytest.mark.parametrize("path", OPTIONAL)
def test_what_is_not_required_may_be_missing(initialised, path):
    initialised.call("POST", f"{COLLECTION}/records", json=without(make_record(1), path))


@pytest.mark.parametrize("part", ["", "source", "target", "build", "download"])
def test_nothing_else_is_allowed(initialised, part):
    record = make_record(1)
    (record["data"][part] if part else record["data"])["colour"] = "blue"
    with pytest.raises(requests.HTTPError, match="400"):
        initialised.call("POST", f"{COLLECTION}/records", json=record)


@pytest.mark.parametrize(("os", "status"), [*((os, 201) for os in (
    "linux", "win", "mac", "android", "maemo")), ("windows", 400), ("", 400)])  # fmt: skip
def test_os_is_one_of_five(initialised, os, status):
    record = make_record(1)
    record["data"]["target"]["os"] = os
    url = initialised.url + f"{COLLECTION}/records"
    assert requests.post(url, json=record, auth=initialised.auth, timeout=30).status_code == status


@pytest.fixture
def initialised(kinto: Kinto) -> Kinto:
    initialize(client_of(kinto))
    return kinto


def objects_of(schema: dict) -> list[dict]:
    """A schema and all object schemas in it."""
    inner = [one for one in schema["properties"].values() if one["type"] == "object"]
    return [schema, *(deeper for one in inner for deeper in objects_of(one))]


def test_every_property_is_explained_and_no_object_is_open():
    _, collection = definition("build-hub", "releases")
    schemas = objects_of(collection["data"]["schema"])
    assert len(schemas) == 5
    for schema in schemas:
        assert schema["additionalProperties"] is False
        for name, one in schema["properties"].items():
            assert one["title"], name
            assert one["description"], name


def test_the_admin_and_elasticsearch_know_every_property():
    _, collection = definition("build-hub", "releases")
    data = collection["data"]

    def compare(schema: dict, ui: dict, index: dict) -> None:
        assert set(ui["ui:order"]) == set(index["properties"]) == set(schema["properties"])
        for name, one in schema["properties"].items():
            if one["type"] == "object":
                compare(one, ui[name], index["properties"][name])

    compare(data["schema"], data["uiSchema"], data["index:schema"])
    for path in data["displayFields"]:
        part, name = path.split(".")
        assert name in data["schema"]["properties"][part]["properties"]
