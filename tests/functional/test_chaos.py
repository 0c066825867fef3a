"""Five of the runs of ``make chaos``: nothing is lost, whatever servers do and who is killed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.run import chaotic_run
from tests.chaos.servers import Servers, running_servers

pytestmark = [pytest.mark.functional, pytest.mark.slow]


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    with running_servers() as servers:
        yield servers


@pytest.mark.parametrize("seed", [101, 103, 113, 116, 126])
def test_a_chaotic_run_ends_equal_to_the_truth(servers: Servers, seed: int, tmp_path: Path) -> None:
    """And its accounts add up, no password or traceback is printed, no part file is left."""
    outcome = chaotic_run(seed, servers, tmp_path)
    assert not outcome.problems, f"{outcome}; see {tmp_path}"
    assert outcome.injected
    assert outcome.records
