"""A few records that others may be writing at the same moment: nobody undoes the other's work.

Each record is compared with what the server has now, and written only under the condition that
this is still so (``If-None-Match: *``, ``If-Match``). Who lost the race looks again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote_plus

from ..errors import BadInput, Unreachable
from ..records import digest
from .batches import Answer, Request, send
from .client import Client, Refused, reason_in
from .publisher import checked

#: Characters of the ids in one URL: many servers and proxies take 8 KB for its line.
_URL_LENGTH = 6_000

#: How often a race may be lost. Each time somebody else has stored a record.
_ROUNDS = 5

_LOST_THE_RACE = 412


class Outcome(NamedTuple):
    """What became of a record: ``created updated unchanged refused`` or ``failed``, and why."""

    id: str
    what: str
    reason: str = ""

    @property
    def ok(self) -> bool:
        """Whether the record is on the server now."""
        return self.what in ("created", "updated", "unchanged")


class _Writer:
    """The state of one call of :func:`store`."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.outcomes: dict[str, Outcome] = {}
        self.tried: dict[str, str] = {}  # id → what its last try would have done

    def settle(self, record_id: str, what: str, reason: str = "") -> None:
        self.outcomes[record_id] = Outcome(record_id, what, reason)


def store(client: Client, records: Iterable[Mapping[str, Any]]) -> list[Outcome]:
    """Store those of ``records`` (``{"data": {"id", …}}``) that the server has not or otherwise.

    An outcome for each id, in the order of the records; of two records of one id the last
    counts. 80 records cost one request to look and one for each batch to write. Raises
    :class:`Fatal` for wrong credentials or a missing collection, :class:`BadInput` for what is
    no record with an id.
    """
    waiting: dict[str, Mapping[str, Any]] = {}
    for record in records:
        data = checked(record)
        if "id" not in data:
            raise BadInput("a record without an id can't be stored under a condition")
        waiting[data["id"]] = data
    order = list(waiting)
    writer = _Writer(client)
    try:
        for _ in range(_ROUNDS):
            if not (waiting := _round(writer, waiting)):
                break
        for record_id in waiting:
            writer.settle(record_id, "failed", "others keep writing it")
    except Unreachable as error:
        for record_id in order:
            if record_id not in writer.outcomes:
                writer.settle(record_id, "failed", str(error))
    except Refused as error:
        raise client.fatal(error) from None
    return [writer.outcomes[record_id] for record_id in order]


def look(client: Client, ids: Sequence[str]) -> dict[str, tuple[bytes, int]]:
    """id → digest and ``last_modified`` of those of ``ids`` that the server has."""
    found = {}
    for some in _shares(ids):
        # In quotes, as Kinto would take an id of digits for a number.
        names = ",".join(f'"{record_id}"' for record_id in some)
        for page in client.pages(client.records_path, {"in_id": names}):
            for data in page:
                found[data["id"]] = (digest(data), data["last_modified"])
    return found


def _shares(ids: Sequence[str]) -> Iterator[list[str]]:
    share: list[str] = []
    length = 0
    for record_id in ids:
        length += len(quote_plus(f'"{record_id}",'))
        if length > _URL_LENGTH and share:
            yield share
            share, length = [], 0
        share.append(record_id)
    if share:
        yield share


def _round(writer: _Writer, waiting: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Look, then write what differs; returns the records whose race was lost."""
    there = look(writer.client, list(waiting))
    requests = {}
    for record_id, data in waiting.items():
        seen = there.get(record_id)
        if seen and seen[0] == digest(data):
            # Equal after a try of ours: that try got through, though its answer did not.
            writer.settle(record_id, writer.tried.get(record_id, "unchanged"))
        else:
            writer.tried[record_id] = "updated" if seen else "created"
            requests[record_id] = _conditional(writer.client, data, seen[1] if seen else None)
    if not requests:
        return {}
    lost = []
    size = writer.client.batch_size()
    ids = list(requests)
    for start in range(0, len(ids), size):
        some = ids[start : start + size]
        for record_id, answer in zip(
            some, send(writer.client, [requests[one] for one in some]), strict=True
        ):
            if answer.status == _LOST_THE_RACE:
                lost.append(record_id)
            else:
                _take(writer, record_id, answer)
    return {record_id: waiting[record_id] for record_id in lost}


def _conditional(client: Client, data: Mapping[str, Any], last_modified: int | None) -> Request:
    condition = {"If-None-Match": "*"}
    if last_modified is not None:
        condition = {"If-Match": f'"{last_modified}"'}
    return {
        "method": "PUT",
        "path": f"{client.records_path}/{data['id']}",
        "headers": condition,
        "body": {"data": data},
    }


def _take(writer: _Writer, record_id: str, answer: Answer) -> None:
    """Settle a record whose answer is final."""
    if answer.stored:
        writer.settle(record_id, writer.tried[record_id])
    elif answer.failed:
        writer.settle(record_id, "failed", f"Kinto answered {answer.status}")
    elif answer.status in (401, 403, 404):
        raise Refused(f"PUT {record_id}", answer.status, answer.body)
    else:
        writer.settle(record_id, "refused", reason_in(answer.body))
