"""Work that a thread does ahead of its use."""

from __future__ import annotations

import threading
from collections.abc import Generator

import pytest

from buildhub.inventory.download import prefetch


class Work:
    """Squares numbers, and remembers which; a 4 is too hard."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.third = threading.Event()  #: set when a third item is begun
        self.fifth = threading.Event()  #: set when a 5 is begun, which takes until it is stopped
        self.stopped = threading.Event()

    def square(self, number: int, stop: threading.Event) -> int:
        self.begun.append(number)
        if len(self.begun) == 3:
            self.third.set()
        if number == 4:
            raise ValueError("4 is too hard")
        if number == 5:
            self.fifth.set()
            stop.wait(60)
            self.stopped.set()
        return number**2


@pytest.fixture
def work() -> Work:
    return Work()


def results(work: Work, numbers: list[int], depth: int = 2) -> Generator[int]:
    return prefetch(work.square, numbers, depth=depth, raise_if_cancelled=lambda: None, name="test")


@pytest.mark.parametrize("numbers", [[], [3], [3, 1, 2, 9, 8, 7]])
@pytest.mark.parametrize("depth", [1, 2])
def test_results_come_in_the_order_of_the_items(work: Work, numbers: list[int], depth: int) -> None:
    assert list(results(work, numbers, depth)) == [number**2 for number in numbers]
    assert all(not thread.name.startswith("test_") for thread in threading.enumerate())


def test_no_more_than_the_depth_is_done_ahead(work: Work) -> None:
    iterator = results(work, [1, 2, 3, 6, 7, 8])

    assert next(iterator) == 1
    assert work.third.wait(30)
    assert work.begun == [1, 2, 3]
    iterator.close()
    assert work.begun == [1, 2, 3]


def test_nothing_is_done_before_the_first_is_requested(work: Work) -> None:
    results(work, [1, 2]).close()

    assert work.begun == []


def test_an_error_surfaces_at_its_turn_and_is_the_last(work: Work) -> None:
    iterator = results(work, [1, 4, 2])

    assert next(iterator) == 1
    with pytest.raises(ValueError, match="4 is too hard"):
        next(iterator)
    assert list(iterator) == []
    assert work.begun == [1, 4]


def test_closing_cancels_the_running_function(work: Work) -> None:
    iterator = results(work, [1, 5, 2])
    next(iterator)
    assert work.fifth.wait(30)

    iterator.close()

    assert work.stopped.wait(30)
    assert 2 not in work.begun


def test_what_the_check_raises_ends_the_wait(work: Work) -> None:
    def raise_if_cancelled() -> None:
        if work.begun:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        next(
            prefetch(work.square, [5], depth=1, raise_if_cancelled=raise_if_cancelled, name="test")
        )
    assert work.stopped.wait(30)
