"""lambda.zip, unpacked, does its work under AWS's own runtime."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sample import tree
from tests.support import s3_bucket
from tests.support.archive_server import ArchiveServer
from tests.support.kinto_server import Kinto
from tests.support.lambda_runtime import LambdaRuntime

pytestmark = [
    pytest.mark.functional,
    pytest.mark.slow,
]

KEY = "pub/devedition/candidates/55.0b1-candidates/build5/win64/pt-BR/Firefox Setup 55.0b1.exe"
ID = "devedition_aurora_55-0b1rc5_win64_pt-br"


@pytest.fixture(scope="module")
def archive() -> Iterator[ArchiveServer]:
    with ArchiveServer(tree.files()) as server:
        yield server


@pytest.fixture
def environment(archive: ArchiveServer, kinto: Kinto, tmp_path: Path) -> dict[str, str]:
    return {
        "ARCHIVE_URL": archive.url,
        "SERVER_URL": kinto.url,
        "CACHE_FOLDER": str(tmp_path / "cache"),
        "CSV_DOWNLOAD_DIRECTORY": str(tmp_path),
    }


def test_the_event_lambda(lambda_folder: Path, environment: dict[str, str], kinto: Kinto) -> None:
    kinto.make_collection()
    key = KEY.replace(" ", "+")
    s3_event = {
        "Records": [
            {"eventName": "ObjectCreated:Put", "s3": {"object": {"key": key, "size": 1}}},
        ]
    }
    handler = "buildhub.lambda_s3_event.lambda_handler"
    with LambdaRuntime(handler, lambda_folder, environment) as function:
        function.invoke({"Event": "s3:TestEvent"})
        assert kinto.records() == {}
        function.invoke(
            {
                "Records": [
                    {"eventSource": "aws:sqs", "messageId": "1", "body": json.dumps(s3_event)}
                ]
            }
        )
    assert kinto.records()[ID]["target"]["locale"] == "pt-BR"


def test_the_inventory_lambda(
    lambda_folder: Path, environment: dict[str, str], kinto: Kinto
) -> None:
    """It initialises the server from the file in the zip, and reads S3 with botocore's."""
    handler = "buildhub.lambda_s3_inventory.lambda_handler"
    with s3_bucket.running() as bucket:
        for name in ("firefox", "archive"):
            files = [tree.INVENTORY.read_bytes()] if name == "archive" else [s3_bucket.packed(b"")]
            bucket.add_inventory(name, "2017-08-02T00-11Z", files)
        environment["AWS_ENDPOINT_URL"] = bucket.url
        with LambdaRuntime(handler, lambda_folder, environment) as function:
            answer = function.invoke({}, seconds=300)
    created = sum(inventory["created"] for inventory in answer["inventories"])
    assert len(kinto.records()) == created > 500
