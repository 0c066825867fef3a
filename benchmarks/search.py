"""``kinto-to-search``: its copy of 1,000,000 records, in the engine alone, without a server.

    .venv/bin/python -m benchmarks.search [RECORDS]

Prints how long it takes to load the records, to follow 1,000 changes, and to answer the requests of
public programs one at a time, on both paths.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice, product
from pathlib import Path
from typing import Any

from buildhub.kinto.refresh import Changes
from buildhub.search.answer import OURS, SUCCESSORS
from tests.support.locales import LOCALES
from tests.support.search_copy import ALL_READ, ask, copy_of, refresh
from tests.support.search_records import BUILDS, PLATFORMS, REQUESTS, make

PAGE = 10_000


def records(count: int) -> Iterator[dict[str, Any]]:
    """Records of the shape of a catalogue: each build for six platforms and 90 locales."""
    rounds = (
        (*build[:4], str(int(build[4]) + second)) for second in range(10**6) for build in BUILDS
    )
    every = (
        (*build, platform, locale)
        for build in rounds
        for platform, locale in product(PLATFORMS, LOCALES)
    )
    for number, build in enumerate(islice(every, count)):
        yield make(*build[:4], build[4][:12] + "00", *build[5:]) | {
            "id": f"record-{number}",
            "last_modified": number + 1,
        }


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as folder, copy_of([], Path(folder)) as copy:
        source, seconds, first = records(count), 0.0, True
        while page := list(islice(source, PAGE)):
            start = time.perf_counter()
            refresh(copy, Changes(first, page, [], ALL_READ))
            seconds, first = seconds + time.perf_counter() - start, False
        print(f"load {count:,} records: {seconds:.1f} s, with the view after each page")
        changed = [one | {"last_modified": 10**9} for one in records(1000)]
        start = time.perf_counter()
        refresh(copy, Changes(False, changed, [], ALL_READ))
        print(f"follow 1,000 changes: {time.perf_counter() - start:.2f} s")
        for dialect in (OURS, SUCCESSORS):
            times = []
            for request in REQUESTS * 5:
                start = time.perf_counter()
                ask(copy, request["body"], dialect)
                times.append((time.perf_counter() - start) * 1000)
            print(f"{dialect.table}: {statistics.median(times):.1f} ms, worst {max(times):.1f} ms")


if __name__ == "__main__":
    main()
