"""The archive in which metadata is looked up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import pytest

from tests.support.archive_server import ArchiveServer

pytestmark = pytest.mark.functional


@pytest.fixture(params=["2018", "today"])
def style(request: pytest.FixtureRequest) -> Literal["2018", "today"]:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def server(style: Literal["2018", "today"]) -> Iterator[ArchiveServer]:
    """The archive, with the lister of 2018 and that of today."""
    with ArchiveServer({}, style=style) as server:
        yield server
