"""Fixtures of several functional tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.kinto_server import Kinto
from tests.support.to_kinto_command import SCHEMA, Command


@pytest.fixture
def to_kinto(kinto: Kinto, tmp_path: Path) -> Command:
    kinto.make_collection(schema=SCHEMA)
    return Command(kinto, tmp_path)
