"""``make chaos``: many chaotic runs in parallel, and a table of what they suffered.

CHAOS_RUNS is their number, CHAOS_SEED the first seed, CHAOS_FOLDER keeps what they printed.
"""

from __future__ import annotations

import logging
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from .run import Outcome, chaotic_run
from .servers import running_servers

WORKERS = 2


def main() -> int:
    """Run, print each outcome and the table; 1 if a run did not end right."""
    first = int(os.environ.get("CHAOS_SEED") or 1)
    number = int(os.environ.get("CHAOS_RUNS") or 40)
    folder = os.environ.get("CHAOS_FOLDER")
    outcomes = []
    with ProcessPoolExecutor(WORKERS) as pool:
        shares = [(range(first + w, first + number, WORKERS), folder) for w in range(WORKERS)]
        for done in pool.map(_work, shares):
            outcomes += done
    print(*table(outcomes), sep="\n")
    return 1 if any(outcome.problems for outcome in outcomes) else 0


def _work(share: tuple[Iterable[int], str | None]) -> list[Outcome]:
    seeds, folder = share
    outcomes = []
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # moto's server
    with running_servers() as servers:
        for seed in seeds:
            outcome = chaotic_run(seed, servers, Path(folder, f"{seed}") if folder else None)
            print(outcome, flush=True)
            outcomes.append(outcome)
    return outcomes


def table(outcomes: Iterable[Outcome]) -> Iterator[str]:
    """Faults by server: injected, and survived, which are those of runs that ended right."""
    outcomes = list(outcomes)
    injected: Counter[tuple[str, str]] = Counter()
    survived: Counter[tuple[str, str]] = Counter()
    for outcome in outcomes:
        injected += outcome.injected
        if not outcome.problems:
            survived += outcome.injected
    kills = sum((outcome.kills for outcome in outcomes), Counter[str]())
    yield ""
    yield f"{'server':<8} {'fault':<34} {'injected':>8} {'survived':>8}"
    for (server, name), count in sorted(injected.items()):
        yield f"{server:<8} {name:<34} {count:>8} {survived[server, name]:>8}"
    yield ""
    right = [outcome for outcome in outcomes if not outcome.problems]
    yield (
        f"{len(outcomes)} runs, {sum(o.attempts for o in outcomes)} attempts,"
        f" {injected.total():,} faults in {sum(o.exchanges for o in outcomes):,} exchanges,"
        f" {kills.total()} kills ({', '.join(f'{n} {k}' for k, n in kills.items())})."
    )
    yield f"{len(right)} ended right, {sum(o.calm for o in right)} of them after a calm run."


if __name__ == "__main__":
    sys.exit(main())
