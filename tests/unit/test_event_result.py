"""The message about files of an event that failed."""

from __future__ import annotations

import pytest

from buildhub.events.service import EventResult


@pytest.mark.parametrize(("count", "end"), [(1, "."), (100, "."), (10_000, "; and 9,900 more.")])
def test_the_first_hundred_keys_that_failed_are_named_and_the_rest_is_counted(
    count: int, end: str
) -> None:
    keys = [f"pub/{number}.exe" for number in range(count)]
    message = str(EventResult(failures=dict.fromkeys(keys, "it is busy")).problem)
    assert message.count(".exe") == min(count, 100)
    assert keys[0] in message
    assert message.endswith(f": it is busy{end}")
