"""Fixtures of several unit tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import responses

from tests.support.stub_kinto import StubKinto


@pytest.fixture
def server() -> Iterator[StubKinto]:
    """A Kinto that answers as the test says."""
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield StubKinto(mock)
