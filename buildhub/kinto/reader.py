"""Records of a collection that fulfil conditions, page by page."""

from __future__ import annotations

import heapq
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from .client import Client, RequestRejected, StoredData
from .filters import Condition, OneOf, date_of_build, value_of

#: Records in one page: some 20 MB for a moment.
PAGE_SIZE = 5_000

#: What distinguishes the builds of which only the newest are wanted.
GROUP = ("source.product", "target.channel", "target.platform")

#: One file for each build and platform, in the order in which PostgreSQL has an index for it.
ENGLISH = OneOf("target.locale", ("en-US", "multi"))

_NEVER = datetime.min.replace(tzinfo=UTC)


def read_records(
    client: Client,
    conditions: Sequence[Condition] = (),
    *,
    fields: Sequence[str] = (),
    anonymous: bool = False,
    page_size: int = PAGE_SIZE,
    raise_if_cancelled: Callable[[], None] = lambda: None,
) -> Iterator[list[StoredData]]:
    """Yields the records that fulfil all conditions, one list for each page (:meth:`Client.pages`).

    One that is created or deleted meanwhile comes once or not at all. A list is emptied before the
    next is read. With ``fields`` the records have no others. Raises :class:`Fatal` where the
    collection cannot be read, and :class:`Unreachable`.
    """
    params = _params(conditions) | ({"_fields": ",".join(fields)} if fields else {})
    raise_if_cancelled()
    for page in client.pages(params, page_size=page_size, anonymous=anonymous):
        wanted = [one for one in page if _is_wanted(one, conditions)]
        del page
        yield wanted
        wanted.clear()
        raise_if_cancelled()


def count_records(
    client: Client, conditions: Sequence[Condition] = (), *, anonymous: bool = False
) -> int | None:
    """Returns how many records fulfil all conditions; None where Kinto cannot count them.

    Raises as :func:`read_records` does.
    """
    if not all(condition.is_exact for condition in conditions):
        return None
    path = f"{client.records_path}?{urlencode(_params(conditions))}"
    try:
        _, headers = client.request("HEAD", path, anonymous=anonymous)
    except RequestRejected as error:
        raise client.fatal(error, anonymous) from None
    return int(headers["Total-Records"])


def _params(conditions: Sequence[Condition]) -> dict[str, str]:
    params: dict[str, str] = {}
    for condition in conditions:
        params |= condition.params
    return params


def newest(records: Iterable[StoredData], count: int) -> list[StoredData]:
    """Returns the ``count`` newest records by build date of each product, channel and platform.

    They are sorted by these three, the newest first. Of builds of one date a release comes before
    its candidates, then those that come first. Records without a build date are the last, by the
    date of their file. Memory: ``count`` records for each group.
    """
    heaps: dict[tuple[str, ...], list[tuple[Any, int, StoredData]]] = {}
    for number, record in enumerate(records):
        group = tuple(str(value_of(record, field)) for field in GROUP)
        heap = heaps.setdefault(group, [])
        push = heapq.heappush if len(heap) < count else heapq.heappushpop
        push(heap, (_age(record), -number, record))  # the number is unique: records never compare
    ordered = (sorted(heaps[group], reverse=True) for group in sorted(heaps))
    return [record for _, _, record in itertools.chain.from_iterable(ordered)]


def _age(record: Mapping[str, Any]) -> tuple[datetime, bool, int, str]:
    """What is greater the newer a record is."""
    candidate = re.search(r"rc(\d+)", str(value_of(record, "target.version")))
    number = int(candidate[1]) if candidate else 0
    built = date_of_build(record) or _NEVER
    return built, candidate is None, number, str(value_of(record, "download.date"))


def _is_wanted(record: Mapping[str, Any], conditions: Sequence[Condition]) -> bool:
    # A filter by ``last_modified`` makes Kinto add what was deleted.
    return record.get("deleted") is not True and all(c.matches(record) for c in conditions)
