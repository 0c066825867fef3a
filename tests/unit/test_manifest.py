"""Manifests of inventories: what is read from them and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from buildhub.errors import BadInput, Fatal
from buildhub.inventory.s3_inventories import InventoryFile, Manifest

MD5 = "f11166069f1990abeb9c97ace9cdfabc"
FILE = {
    "key": "inventories/net-mozaws-prod-delivery-firefox/delivery-firefox/data/2ca8.csv.gz",
    "size": 7_046_191,
    "MD5checksum": MD5,
}
MANIFEST = {
    "sourceBucket": "net-mozaws-prod-delivery-firefox",
    "destinationBucket": "arn:aws:s3:::net-mozaws-prod-delivery-inventory-us-east-1",
    "version": "2016-11-30",
    "creationTimestamp": "1501545600000",
    "fileFormat": "CSV",
    "fileSchema": "Bucket, Key, Size, LastModifiedDate, ETag",
    "files": [FILE],
}
KEY = "public/inventories/x/2017-08-01T00-12Z/manifest.json"
WHERE = "http://s3/manifest.json"


def parse(content: Any) -> Manifest:
    return Manifest.parse(
        json.dumps(content).encode(), "firefox", "2017-08-01T00-12Z", key=KEY, where=WHERE
    )


def test_the_manifest_of_the_archive() -> None:
    assert parse(MANIFEST) == Manifest(
        inventory="firefox",
        date="2017-08-01T00-12Z",
        source_bucket="net-mozaws-prod-delivery-firefox",
        columns=("Bucket", "Key", "Size", "LastModifiedDate", "ETag"),
        files=(
            InventoryFile(
                "public/inventories/net-mozaws-prod-delivery-firefox/delivery-firefox/"
                "data/2ca8.csv.gz",
                7_046_191,
                MD5,
            ),
        ),
    )


def test_the_rest_of_an_inventory() -> None:
    manifest = parse(MANIFEST | {"files": [FILE | {"key": key} for key in "abc"]})

    assert [file.key for file in manifest.only(["public/c", "public/b"]).files] == [
        "public/b",
        "public/c",
    ]
    assert manifest.only(None) == manifest


@pytest.mark.parametrize(
    ("schema", "columns"),
    [
        ("Key,Size,LastModifiedDate", ("Key", "Size", "LastModifiedDate")),
        (
            "Bucket, Key, VersionId, IsLatest, IsDeleteMarker, Size, LastModifiedDate",
            (
                "Bucket", "Key", "VersionId", "IsLatest", "IsDeleteMarker", "Size",
                "LastModifiedDate",
            ),
        ),
    ],
)  # fmt: skip
def test_the_schema_names_the_columns(schema: str, columns: tuple[str, ...]) -> None:
    assert parse(MANIFEST | {"fileSchema": schema}).columns == columns


def test_an_md5_may_be_in_capitals() -> None:
    (file,) = parse(MANIFEST | {"files": [FILE | {"MD5checksum": MD5.upper()}]}).files

    assert file.md5 == MD5


@pytest.mark.parametrize("file_format", ["ORC", "Parquet", "csv2", None])
def test_other_formats_are_refused_in_a_sentence(file_format: str | None) -> None:
    with pytest.raises(Fatal, match=f"the files are {file_format}, but only CSV can be read"):
        parse(MANIFEST | {"fileFormat": file_format, "fileSchema": "struct<key:string>"})


@pytest.mark.parametrize(
    "content",
    [
        None,
        [],
        "text",
        {},
        {key: value for key, value in MANIFEST.items() if key != "fileFormat"},
        {key: value for key, value in MANIFEST.items() if key != "sourceBucket"},
        {key: value for key, value in MANIFEST.items() if key != "files"},
        MANIFEST | {"files": None},
        MANIFEST | {"files": []},
        MANIFEST | {"files": {}},
        MANIFEST | {"files": ["a"]},
        MANIFEST | {"files": [{}]},
        MANIFEST | {"files": [FILE | {"key": None}]},
        MANIFEST | {"files": [FILE | {"size": "big"}]},
        MANIFEST | {"files": [FILE | {"size": float("inf")}]},
        MANIFEST | {"files": [FILE | {"size": -1}]},
        MANIFEST | {"files": [FILE | {"key": "\ud800"}]},
        MANIFEST | {"files": [FILE | {"MD5checksum": None}]},
        MANIFEST | {"files": [FILE | {"MD5checksum": ""}]},
        MANIFEST | {"files": [FILE | {"MD5checksum": "../../../../../../../../etc/crontab"}]},
        MANIFEST | {"files": [FILE | {"MD5checksum": MD5 + "\n"}]},
        MANIFEST | {"fileSchema": None},
        MANIFEST | {"fileSchema": ""},
        MANIFEST | {"fileSchema": "Bucket, Key, Size"},
    ],
)
def test_a_malformed_manifest_is_a_sentence_with_its_address(content: Any) -> None:
    with pytest.raises(
        BadInput, match=rf"^{WHERE} is not an inventory manifest \(.*\): look at it"
    ):
        parse(content)


@pytest.mark.parametrize("data", [b"", b"<Error/>", b'{"files": [', b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_json_is_malformed_too(data: bytes) -> None:
    with pytest.raises(BadInput, match="is not an inventory manifest"):
        Manifest.parse(data, "firefox", "2017-08-01T00-12Z", key=KEY, where=WHERE)
