"""Records of a collection, page by page: each once, although others write meanwhile."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from ..errors import Fatal
from ..retries import RetryableError
from .client import Client
from .errors import RequestRejected
from .filters import Condition, date_of_build, quoted, value_of

#: Records in one page: some 20 MB for a moment.
PAGE_SIZE = 5_000

#: What distinguishes the builds of which only the newest are wanted.
GROUP = ("source.product", "target.channel", "target.platform")

Record = dict[str, Any]


def read_records(
    client: Client,
    conditions: Sequence[Condition] = (),
    *,
    anonymous: bool = False,
    page_size: int = PAGE_SIZE,
    raise_if_cancelled: Callable[[], None] = lambda: None,
) -> Iterator[list[Record]]:
    """The records that fulfil all conditions, one list for each page, in the order of their ids.

    An id never changes, unlike ``last_modified``: a record that exists from the beginning to
    the end of the reading comes exactly once, whatever is written meanwhile. One that is
    created or deleted meanwhile comes once or not at all. A page that fails is asked for again,
    the others are not. Only one page is in memory: a list is emptied before the next is read.

    Raises :class:`Fatal` where the collection cannot be read, :class:`Unreachable` where the
    server does not answer properly.
    """
    params = {"_sort": "id", "_limit": str(page_size)}
    for condition in conditions:
        params |= condition.params
    more = True
    while more:
        raise_if_cancelled()
        page, more = _read_page(client, params, anonymous)
        if page:
            params["gt_id"] = quoted(page[-1]["id"])
        wanted = [one for one in page if _is_wanted(one, conditions)]
        del page
        yield wanted
        wanted.clear()


def newest(records: Iterable[Record], count: int) -> list[Record]:
    """The ``count`` newest records by build date of each product, channel and platform.

    They are sorted by these three, the newest first. Of builds of one date those win that come
    first. Records without a build date are left out. Memory: ``count`` records for each group.
    """
    heaps: dict[tuple[str, ...], list[tuple[Any, int, Record]]] = {}
    for number, record in enumerate(records):
        if date := date_of_build(record):
            group = tuple(str(value_of(record, field)) for field in GROUP)
            heap = heaps.setdefault(group, [])
            push = heapq.heappush if len(heap) < count else heapq.heappushpop
            push(heap, (date, -number, record))  # the number is unique: records never compare
    ordered = (sorted(heaps[group], reverse=True) for group in sorted(heaps))
    return [record for _, _, record in itertools.chain.from_iterable(ordered)]


def _is_wanted(record: Record, conditions: Sequence[Condition]) -> bool:
    # A filter by ``last_modified`` makes Kinto add what was deleted.
    return record.get("deleted") is not True and all(c.matches(record) for c in conditions)


def _read_page(
    client: Client, params: Mapping[str, str], anonymous: bool
) -> tuple[list[Record], bool]:
    """One page, and whether there are more."""
    try:
        body, headers = client.request(
            "GET",
            f"{client.records_path}?{urlencode(params)}",
            anonymous=anonymous,
            validate=_validate,
        )
    except RequestRejected as error:
        raise _fatal(client, error, anonymous) from None
    return body["data"], "Next-Page" in headers


def _validate(body: Any) -> None:
    try:
        valid = all(isinstance(one["id"], str) and one["last_modified"] for one in body["data"])
    except (KeyError, TypeError):
        valid = False
    if not valid:
        raise RetryableError("its answer is not a list of records")


def _fatal(client: Client, error: RequestRejected, anonymous: bool) -> Fatal:
    name = f"{client.bucket}/{client.collection}"
    if error.status in (401, 403):
        # Kinto answers the same whether a bucket is private or does not exist.
        who, advice = ("anonymous users", "") if anonymous else ("these credentials", "other ")
        return Fatal(
            f"Kinto at {client.url} has no collection {name}, or does not show it to {who}"
            f" ({error.status}): check --server, --bucket and --collection, or give"
            f" {advice}credentials with --auth or AUTH."
        )
    if error.status == 404:
        return Fatal(
            f"Kinto at {client.url} has no collection {name}: check --server, --bucket and"
            " --collection."
        )
    return client.fatal(error)
