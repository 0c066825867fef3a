"""Tests of one group run in one process: they share what takes long to start, and ports."""

from __future__ import annotations

import pytest


@pytest.mark.xdist_group("one process")
def test_groups_are_seen_by_xdist(request: pytest.FixtureRequest) -> None:
    """It adds the group to the id of a test, which fails silently with some versions of pytest."""
    if not hasattr(request.config, "workerinput"):
        pytest.skip("there is only one process")
    assert request.node.nodeid.endswith("@one process")
