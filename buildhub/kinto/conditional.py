"""A few records that others may be writing at the same moment: nobody undoes the other's work.

Each record is compared with what the server has, and written only under the condition that this
is still so (``If-None-Match: *``, ``If-Match``). But who made a record may have looked at the
archive before somebody else did, whose record is on the server by now. So what would replace
another record is first made anew, from what the archive says after the look at the server. Who
loses the race looks again, at both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote_plus

from ..errors import BadInput, Unreachable
from ..records import digest
from .batch import BatchResponse, Request, record_data, send
from .client import Client
from .errors import RequestRejected, reason_in

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


#: Of records whose race is still open.
_UNSETTLED = Outcome("", "failed")


#: Ids → their records, made from what the archive says at this moment.
RefreshRecords = Callable[[Sequence[str]], Iterable[Mapping[str, Any]]]


def store(
    client: Client, records: Iterable[Mapping[str, Any]], *, refresh: RefreshRecords
) -> list[Outcome]:
    """Store those of ``records`` (``{"data": {"id", …}}``) that the server has not or otherwise.

    ``refresh`` makes those anew that are to replace others; one that it does not make stays
    as it is on the server. An outcome for each id, in the order of the records; of two records
    of one id the last counts. 80 new records cost one request to look and one for each batch to
    write. Raises :class:`Fatal` for wrong credentials or a missing collection,
    :class:`BadInput` for what is no record with an id, and what ``refresh`` raises.
    """
    waiting = _by_id(records)
    outcomes: dict[str, Outcome] = dict.fromkeys(waiting, _UNSETTLED)
    try:
        for _ in range(_ROUNDS):
            if not (waiting := _round(client, waiting, outcomes, refresh)):
                break
    except Unreachable as error:
        reason = str(error)
    except RequestRejected as error:
        raise client.fatal(error) from None
    else:
        reason = "others keep writing it"
    return [
        Outcome(record_id, "failed", reason) if outcome is _UNSETTLED else outcome
        for record_id, outcome in outcomes.items()
    ]


def _by_id(records: Iterable[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    by_id: dict[str, Mapping[str, Any]] = {}
    for record in records:
        data = record_data(record)
        if "id" not in data:
            raise BadInput("a record without an id can't be stored under a condition")
        by_id[data["id"]] = data
    return by_id


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


def _round(
    client: Client,
    waiting: Mapping[str, Mapping[str, Any]],
    outcomes: dict[str, Outcome],
    refresh: RefreshRecords,
) -> dict[str, Mapping[str, Any]]:
    """Look, then write what differs; returns the records whose race was lost."""
    there = look(client, list(waiting))
    other = [one for one in waiting if one in there and there[one][0] != digest(waiting[one])]
    made = _by_id(refresh(other)) if other else {}
    differing: dict[str, Mapping[str, Any]] = {}
    for record_id, data in waiting.items():
        now = made.get(record_id) if record_id in there else data
        if now and (record_id not in there or there[record_id][0] != digest(now)):
            differing[record_id] = now
        else:
            outcomes[record_id] = Outcome(record_id, "unchanged")
    return _write(client, differing, there, outcomes)


def _write(
    client: Client,
    records: Mapping[str, Mapping[str, Any]],
    there: Mapping[str, tuple[bytes, int]],
    outcomes: dict[str, Outcome],
) -> dict[str, Mapping[str, Any]]:
    """Write records over what is ``there``; returns those whose race was lost."""
    size = client.batch_size if records else 1
    lost = {}
    for start in range(0, len(records), size):
        ids = list(records)[start : start + size]
        requests = [_conditional(client, records[one], there.get(one)) for one in ids]
        for record_id, answer in zip(ids, send(client, requests), strict=True):
            if answer.status == _LOST_THE_RACE:
                lost[record_id] = records[record_id]
            else:
                outcomes[record_id] = _outcome(record_id, answer)
    return lost


def _conditional(
    client: Client, data: Mapping[str, Any], seen: tuple[bytes, int] | None
) -> Request:
    """A PUT that is carried out only if the server still has what was ``seen`` there."""
    return {
        "method": "PUT",
        "path": f"{client.records_path}/{data['id']}",
        "headers": {"If-Match": f'"{seen[1]}"'} if seen else {"If-None-Match": "*"},
        "body": {"data": data},
    }


def _outcome(record_id: str, answer: BatchResponse) -> Outcome:
    """What a final answer means."""
    if answer.stored:
        return Outcome(record_id, "created" if answer.status == 201 else "updated")
    if answer.failed:
        return Outcome(record_id, "failed", answer.reason)
    if answer.status in (401, 403, 404):
        raise RequestRejected(f"PUT {record_id}", answer.status, answer.body)
    return Outcome(record_id, "refused", reason_in(answer.body))
