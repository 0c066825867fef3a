"""A plugin of Kinto: each request takes some milliseconds more, and is counted.

In the ini: ``kinto.includes = benchmarks.slow_kinto`` and ``slow_kinto.seconds = 0.02``. The
number of requests so far is in each answer's ``Requests-So-Far``.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any

COUNT_HEADER = "Requests-So-Far"


def includeme(config: Any) -> None:
    """Called by Pyramid."""
    config.add_tween("benchmarks.slow_kinto.tween")


def tween(handler: Callable[[Any], Any], registry: Any) -> Callable[[Any], Any]:
    """Not for the requests inside a batch: they don't pass through tweens."""
    seconds = float(registry.settings["slow_kinto.seconds"])
    count = itertools.count(1)

    def answer(request: Any) -> Any:
        time.sleep(seconds)
        response = handler(request)
        response.headers[COUNT_HEADER] = str(next(count))
        return response

    return answer
