"""Fixtures of several functional tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from buildhub.kinto.client import Client
from buildhub.kinto.initialization import initialize
from tests.sample import tree
from tests.support import commands, s3_bucket
from tests.support.archive_server import ArchiveServer
from tests.support.bucket_tree import made
from tests.support.gcs_server import GcsServer
from tests.support.kinto_server import KINTO_SETTINGS, Kinto, running_kinto
from tests.support.pipeline_records import Records, pipeline_records
from tests.support.records import ndjson
from tests.support.sources import FILES, Sources
from tests.support.to_kinto_command import SCHEMA, Command


@pytest.fixture(scope="session")
def sample() -> Records:
    """The records of the sample, by their ids."""
    with ArchiveServer(tree.files()) as archive:
        return pipeline_records(archive)


@pytest.fixture(scope="session")
def sample_kinto(sample: Records, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kinto]:
    """A Kinto with the sample, in pages of 100; no test changes it. Of the group "sample"."""
    settings = KINTO_SETTINGS | {"kinto.paginate_by": "100"}
    with running_kinto(tmp_path_factory.mktemp("sample"), settings) as kinto:
        yield with_records(kinto, sample)


def with_records(kinto: Kinto, records: Records) -> Kinto:
    """Initialise a Kinto and store records in it."""
    initialize(Client(kinto.url, "user:pass", "build-hub", "releases"))
    lines = ndjson({"data": data} for data in records.values())
    done = commands.run(["to-kinto"], input=lines, env={"SERVER_URL": kinto.url})
    assert done.returncode == 0, done.stderr
    return kinto


@pytest.fixture
def to_kinto(kinto: Kinto, tmp_path: Path) -> Command:
    kinto.make_collection(schema=SCHEMA)
    return Command(kinto, tmp_path)


@pytest.fixture
def sources(bucket: s3_bucket.Bucket, kinto: Kinto, tmp_path: Path) -> Iterator[Sources]:
    """A tree of a few builds, from everywhere."""
    objects = [made(key, file.date)._replace(size=file.size) for key, file in FILES.items()]
    with ArchiveServer(FILES) as archive, GcsServer(objects, page_size=20) as gcs:
        yield Sources(archive, gcs, bucket, kinto, tmp_path)
