"""Whatever the order of events, however often they come: the same records in the end.

Files appear in one order, and their events in another; events come in batches, as a queue
delivers them, and only of files that are there. ``BUILDHUB_ORDERS=50`` tries the whole release
in 50 orders (some minutes) instead of 2.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from buildhub.builds.recognise import recognise
from tests.support.archive_files import File
from tests.support.archive_tree import candidate_tree, nightly_tree, release_tree
from tests.support.event_system import EventSystem
from tests.support.locales import LOCALES
from tests.support.pipeline_records import pipeline_records
from tests.support.s3_events import created, in_sqs
from tests.support.sums import sums_of

pytestmark = pytest.mark.functional

ORDERS = int(os.environ.get("BUILDHUB_ORDERS", "2"))
EXAMPLES = 10 * ORDERS

Tree = dict[str, File]


def history(tree: Tree, random: random.Random, repeats: int) -> Iterator[tuple[Tree, list[str]]]:
    """The new files of each step, and its events; some files have two events."""
    coming = random.sample(sorted(tree), len(tree))
    events = coming + random.sample(coming, repeats)
    random.shuffle(events)
    there: set[str] = set()
    while events:
        size = random.randint(1, max(1, len(tree) // 4))
        batch, events = events[:size], events[size:]
        ahead = random.randint(0, len(coming))
        new = ({*batch} | {*coming[:ahead]}) - there
        there |= new
        yield {key: tree[key] for key in new}, batch


def live_through(system: EventSystem, steps: Iterator[tuple[Tree, list[str]]]) -> None:
    for new, batch in steps:
        system.archive.files.update(new)
        account = system.service.handle(in_sqs(*map(created, batch)))
        assert not account.failures


@pytest.mark.slow
@pytest.mark.parametrize("order", range(ORDERS))
def test_a_whole_release_in_any_order(system: EventSystem, order: int) -> None:
    """900 builds: candidates and release, 5 platforms, 90 locales; metadata; some twice."""
    tree = release_tree(locales=LOCALES, builds=(1,), metadata=("json", "neighbours"))
    assert sum(recognise(key) is not None for key in tree) == 900
    live_through(system, history(tree, random.Random(order), repeats=100))
    assert system.archive.files.keys() == tree.keys()
    records = system.records()
    assert len(records) == 900
    assert records == pipeline_records(system.archive)


TWO = ("en-US", "fr")

TREES: dict[str, Callable[[], Tree]] = {
    "release of two builds": lambda: release_tree(
        platforms=("win32", "win32-EME-free"), locales=TWO, builds=(9, 10)
    ),
    "both kinds of metadata": lambda: (
        release_tree(platforms=("mac",), locales=TWO, builds=(1,), metadata=("json",))
        | candidate_tree(
            platforms=("mac",),
            locales=(),
            metadata=("buildhub",),
            buildids={"mac": "20170101000000"},
        )
    ),
    "a build id in _info.txt": lambda: (
        release_tree(
            platforms=("linux-i686", "mac"), locales=TWO, builds=(1, 2), metadata=("buildhub",)
        )
        | {
            f"pub/firefox/candidates/54.0-candidates/build2/{name}_info.txt": File(
                body=b"buildID=20170608105825"
            )
            for name in ("linux", "linux32", "macosx64")
        }
    ),
    "mobile": lambda: release_tree(
        "mobile", "56.0b3", platforms=("android-api-15",), locales=(*TWO, "multi"), builds=(2,)
    ),
    "nightlies": lambda: (
        nightly_tree(platforms=("win64", "mac"), locales=TWO)
        | nightly_tree("mobile", platforms=("android-api-15",), locales=(*TWO, "multi"))
    ),
}


@pytest.mark.slow
@settings(
    max_examples=EXAMPLES,
    phases=set(Phase) - {Phase.shrink},  # a smaller random order explains no more, in minutes
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    tree=st.sampled_from(sorted(TREES)),
    sums=st.booleans(),
    luck=st.randoms(use_true_random=False),
)
def test_small_trees_in_any_order(
    system: EventSystem, tree: str, sums: bool, luck: random.Random
) -> None:
    """Also where listings lag behind, and with sums."""
    system.reset()
    checksums = str(sums).lower()
    system.service = system.container(CHECKSUMS=checksums)
    files = TREES[tree]()
    files |= sums_of(files)
    late = luck.sample(sorted(files), 4)
    for key in late:
        system.archive.lag(key, luck.randint(1, 3))
    live_through(system, history(files, luck, repeats=3))
    for key in late:
        system.archive.lag(key, 0)
    assert system.records() == pipeline_records(system.archive, CHECKSUMS=checksums)
