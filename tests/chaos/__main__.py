"""``make chaos``: many chaotic runs one after the other, and tables of what they suffered.

CHAOS_RUNS is their number, CHAOS_SEED the first seed, CHAOS_FOLDER keeps what they printed.
"""

from __future__ import annotations

import logging
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from .run import Outcome, chaotic_run
from .servers import running_servers

#: Rows of the table of the attempts that took the longest.
LONGEST = 10


def main() -> int:
    """Run, print each outcome and the tables; 1 if a run did not end right."""
    first = int(os.environ.get("CHAOS_SEED") or 1)
    number = int(os.environ.get("CHAOS_RUNS") or 40)
    folder = os.environ.get("CHAOS_FOLDER")
    outcomes = []
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # moto's server
    with running_servers() as servers:
        for seed in range(first, first + number):
            outcomes.append(chaotic_run(seed, servers, Path(folder, f"{seed}") if folder else None))
            print(outcomes[-1], flush=True)
    print(*faults(outcomes), *longest(outcomes), *totals(outcomes), sep="\n")
    return 1 if any(outcome.problems for outcome in outcomes) else 0


def faults(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """Injected faults by their kind and server."""
    injected = sum((outcome.injected for outcome in outcomes), Counter[tuple[str, str]]())
    servers = sorted({server for server, _ in injected})
    yield ""
    yield f"{'fault':<34}" + "".join(f"{server:>8}" for server in servers)
    for name in sorted({name for _, name in injected}):
        yield f"{name:<34}" + "".join(f"{injected[server, name] or '':>8}" for server in servers)
    sums = [sum(n for (of, _), n in injected.items() if of == server) for server in servers]
    yield f"{'all':<34}" + "".join(f"{count:>8,}" for count in sums)


def longest(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """The attempts that took the longest, and what their retries allow."""
    attempts = [(one, outcome) for outcome in outcomes for one in outcome.attempts]
    attempts.sort(key=lambda pair: -pair[0].seconds)
    yield ""
    yield f"{'way':<8}{'seed':>5}{'faults':>8}{'seconds':>9}{'allowed':>9}  end"
    for one, outcome in attempts[:LONGEST]:
        end = "killed" if one.killed else "stored all" if one.ok else "failed"
        yield (
            f"{outcome.way:<8}{outcome.seed:>5}{one.faults:>8}{one.seconds:>9.0f}"
            f"{one.allowed:>9.0f}  {end}"
        )


def totals(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """All runs in two sentences."""
    kills = sum((outcome.kills for outcome in outcomes), Counter[str]())
    right = [outcome for outcome in outcomes if not outcome.problems]
    yield ""
    yield (
        f"{len(outcomes)} runs, {sum(len(o.attempts) for o in outcomes)} attempts,"
        f" {sum(o.injected.total() for o in outcomes):,} faults"
        f" in {sum(o.exchanges for o in outcomes):,} exchanges,"
        f" {kills.total()} kills ({', '.join(f'{n} {k}' for k, n in kills.items())})."
    )
    yield f"{len(right)} ended right, {sum(o.calm for o in right)} of them after a calm run."
    share = max(one.seconds / one.allowed for outcome in outcomes for one in outcome.attempts)
    yield f"No attempt took more than {share:.0%} of what its retries allow."


if __name__ == "__main__":
    sys.exit(main())
