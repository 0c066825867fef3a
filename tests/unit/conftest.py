"""Fixtures of several unit tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import responses

from tests.support.archive_keys import Expected, read_table
from tests.support.stub_kinto import StubKinto


@pytest.fixture
def server() -> Iterator[StubKinto]:
    """A Kinto that answers as the test says."""
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield StubKinto(mock)


@pytest.fixture(scope="session")
def table() -> dict[str, Expected | None]:
    """The real keys of the archive, and the build that each is; None: no build."""
    return dict(read_table())


@pytest.fixture(scope="session")
def builds(table: dict[str, Expected | None]) -> list[str]:
    """The keys of the table that are builds."""
    return [key for key, wanted in table.items() if wanted]
