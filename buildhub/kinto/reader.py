"""Records of a collection that fulfil conditions, page by page."""

from __future__ import annotations

import heapq
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from .client import Client, StoredData
from .filters import SHORT_REVISION, Condition, OneOf, Revision, date_of_build, quoted, value_of

#: Records in one page: some 20 MB for a moment.
_PAGE_SIZE = 5_000

#: What distinguishes the builds of which only the newest are wanted.
GROUP = ("source.product", "target.channel", "target.platform")

#: One file for each build and platform, in the order in which PostgreSQL has an index for it.
ENGLISH = OneOf("target.locale", ("en-US", "multi"))

#: Revisions that begin alike and are asked for one by one.
_MAX_REVISIONS = 20

_NEVER = datetime.min.replace(tzinfo=UTC)


def read_records(
    client: Client,
    conditions: Sequence[Condition],
    *,
    fields: Sequence[str] = (),
) -> Iterator[list[StoredData]]:
    """Yields the records that fulfil all conditions, one list for each page (:meth:`Client.pages`).

    One that is created or deleted meanwhile comes once or not at all. A list is emptied before the
    next is read. With ``fields`` the records have no others.
    """
    params = _params(_found(client, conditions))
    if fields:
        params["_fields"] = ",".join(fields)
    for page in client.pages(params, page_size=_PAGE_SIZE):
        wanted = [one for one in page if _is_wanted(one, conditions)]
        del page
        yield wanted
        wanted.clear()


def count_records(client: Client, conditions: Sequence[Condition], fields: Sequence[str]) -> int:
    """Returns how many records fulfil all conditions, which look at no other ``fields``."""
    if not all(condition.is_exact for condition in conditions):
        return sum(map(len, read_records(client, conditions, fields=fields)))
    path = f"{client.records_path}?{urlencode(_params(conditions))}"
    return int(client.read("HEAD", path)[1]["Total-Records"])


def _found(client: Client, conditions: Sequence[Condition]) -> Iterator[Condition]:
    """Yields the conditions; instead of how revisions begin, those that begin so.

    PostgreSQL takes a range of revisions for a fourth of all records, and reads them all.
    """
    for condition in conditions:
        if isinstance(condition, Revision) and len(condition.values) == 1:
            start = condition.values[0][:SHORT_REVISION]
            revisions = list(itertools.islice(_revisions(client, start), _MAX_REVISIONS))
            if revisions and len(revisions) < _MAX_REVISIONS:
                condition = OneOf("source.revision", revisions)
        yield condition


def _revisions(client: Client, start: str) -> Iterator[str]:
    """Yields the revisions of all records that begin with ``start``, the greatest first."""
    query = {"_sort": "-source.revision", "_limit": "1", "_fields": "source.revision"}
    below = start + "g"  # greater than any hexadecimal digit
    while True:
        path = f"{client.records_path}?{urlencode({'lt_source.revision': quoted(below)} | query)}"
        found = client.read("GET", path)[0]["data"]
        revision = value_of(found[0], "source.revision") if found else None
        if not isinstance(revision, str) or not revision.startswith(start) or revision >= below:
            return
        yield (below := revision)


def _params(conditions: Iterable[Condition]) -> dict[str, str]:
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
    """Returns what is greater the newer a record is."""
    candidate = re.search(r"rc(\d+)", str(value_of(record, "target.version")))
    number = int(candidate[1]) if candidate else 0
    built = date_of_build(record) or _NEVER
    return built, candidate is None, number, str(value_of(record, "download.date"))


def _is_wanted(record: Mapping[str, Any], conditions: Sequence[Condition]) -> bool:
    # A filter by ``last_modified`` makes Kinto add what was deleted.
    return record.get("deleted") is not True and all(c.matches(record) for c in conditions)
