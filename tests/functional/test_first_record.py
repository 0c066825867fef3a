"""The first records come soon, however many versions are looked up."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from buildhub.records import Record
from tests.support.archive_server import ArchiveServer
from tests.support.archive_tree import release_tree
from tests.support.pipeline_records import inventory_of, process

pytestmark = pytest.mark.functional

VERSIONS = 500


def test_the_first_record_comes_after_few_requests_although_500_versions_are_looked_up() -> None:
    """Each version needs several requests, one after the other. Requests are counted, not time."""
    files = {}
    for version in range(100, 100 + VERSIONS):
        files |= release_tree(
            "firefox", f"{version}.0", builds=(1,), platforms=("mac",), locales=("en-US",)
        )
    releases = {key: file for key, file in files.items() if "/releases/" in key}
    requests = list[int]()
    records = list[Record]()
    with ArchiveServer(files, latency=0.01) as server:

        def sink(made: Sequence[Record]) -> None:
            requests.append(server.total)
            records.extend(made)

        process(server, inventory_of(releases), sink)
        assert server.total >= 3 * VERSIONS
    assert len(records) == VERSIONS
    assert requests[0] < 150
