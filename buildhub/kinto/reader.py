"""Records of a collection that fulfil conditions, page by page."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from .client import Client, StoredData
from .filters import Condition, date_of_build, value_of

#: Records in one page: some 20 MB for a moment.
PAGE_SIZE = 5_000

#: What distinguishes the builds of which only the newest are wanted.
GROUP = ("source.product", "target.channel", "target.platform")


def read_records(
    client: Client,
    conditions: Sequence[Condition] = (),
    *,
    anonymous: bool = False,
    page_size: int = PAGE_SIZE,
    raise_if_cancelled: Callable[[], None] = lambda: None,
) -> Iterator[list[StoredData]]:
    """Yields the records that fulfil all conditions, one list for each page (:meth:`Client.pages`).

    One that is created or deleted meanwhile comes once or not at all. A list is emptied before the
    next is read. Raises :class:`Fatal` where the collection cannot be read, and
    :class:`Unreachable`.
    """
    params: dict[str, str] = {}
    for condition in conditions:
        params |= condition.params
    raise_if_cancelled()
    for page in client.pages(params, page_size=page_size, anonymous=anonymous):
        wanted = [one for one in page if _is_wanted(one, conditions)]
        del page
        yield wanted
        wanted.clear()
        raise_if_cancelled()


def newest(records: Iterable[StoredData], count: int) -> list[StoredData]:
    """Returns the ``count`` newest records by build date of each product, channel and platform.

    They are sorted by these three, the newest first. Of builds of one date those win that come
    first. Records without a build date are left out. Memory: ``count`` records for each group.
    """
    heaps: dict[tuple[str, ...], list[tuple[Any, int, StoredData]]] = {}
    for number, record in enumerate(records):
        if date := date_of_build(record):
            group = tuple(str(value_of(record, field)) for field in GROUP)
            heap = heaps.setdefault(group, [])
            push = heapq.heappush if len(heap) < count else heapq.heappushpop
            push(heap, (date, -number, record))  # the number is unique: records never compare
    ordered = (sorted(heaps[group], reverse=True) for group in sorted(heaps))
    return [record for _, _, record in itertools.chain.from_iterable(ordered)]


def _is_wanted(record: Mapping[str, Any], conditions: Sequence[Condition]) -> bool:
    # A filter by ``last_modified`` makes Kinto add what was deleted.
    return record.get("deleted") is not True and all(c.matches(record) for c in conditions)
