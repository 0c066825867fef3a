"""A few records that others may be writing at the same moment: read, then write if unchanged.

A record is written only if the server still has what :func:`fetch_stored` found there
(``If-Match``), or still has nothing (``If-None-Match: *``). A record that somebody else changed
meanwhile is a :attr:`PutStatus.CONFLICT`: the caller fetches, makes the record anew, and tries
again (:mod:`buildhub.events.handler`).
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote_plus

from ..errors import BadInput, Unreachable
from .batch import BatchResponse, Request, record_data, send
from .client import Client
from .digests import differs, digest
from .errors import RequestRejected, reason_in

#: Characters of the ids in one URL: many servers and proxies accept 8 KB for its line.
_URL_LENGTH = 6_000

_PRECONDITION_FAILED = 412


class PutStatus(enum.Enum):
    """What became of a record."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"  #: the server has an equal one: nothing was sent
    CONFLICT = "conflict"  #: another writer changed it since it was fetched
    REFUSED = "refused"
    FAILED = "failed"


class PutResult(NamedTuple):
    """What became of a record, and why if it is not stored."""

    status: PutStatus
    reason: str = ""


class StoredRecord(NamedTuple):
    """A record on the server."""

    digest: bytes
    last_modified: int  #: milliseconds; its ``ETag``


def fetch_stored(client: Client, ids: Sequence[str]) -> dict[str, StoredRecord]:
    """The records that the server has under ``ids``, by id.

    Some 80 ids are one request. Raises :class:`Unreachable`, and :class:`Fatal` for wrong
    credentials or a missing collection.
    """
    stored = {}
    try:
        for some in _in_short_urls(ids):
            # In quotes, as Kinto would take an id of digits for a number.
            names = ",".join(f'"{record_id}"' for record_id in some)
            for page in client.pages(client.records_path, {"in_id": names}):
                for data in page:
                    stored[data["id"]] = StoredRecord(digest(data), data["last_modified"])
    except RequestRejected as error:
        raise client.fatal(error) from None
    return stored


def put_if_unchanged(
    client: Client, records: Sequence[Mapping[str, Any]], stored: Mapping[str, StoredRecord]
) -> dict[str, PutResult]:
    """Write those of ``records`` that differ from what is ``stored``, if that is still so.

    ``records`` look like ``{"data": {"id", …}}``; of two with one id the last counts. The result
    has each id, in the order of the records. Raises :class:`Fatal` for wrong credentials or a
    missing collection, :class:`BadInput` for what is not a record with an id.
    """
    data = {_id_of(one): one for one in map(record_data, records)}
    results = dict.fromkeys(data, PutResult(PutStatus.UNCHANGED))
    changed = [one for one in data if _is_change(stored.get(one), data[one])]
    requests = [_conditional_put(client, data[one], stored.get(one)) for one in changed]
    try:
        return results | dict(zip(changed, _send(client, requests), strict=True))
    except RequestRejected as error:
        raise client.fatal(error) from None


def _is_change(stored: StoredRecord | None, data: Mapping[str, Any]) -> bool:
    return differs(stored and stored.digest, digest(data))


def _id_of(data: Mapping[str, Any]) -> str:
    if "id" not in data:
        raise BadInput("a record without an id can't be stored under a condition")
    record_id: str = data["id"]
    return record_id


def _in_short_urls(ids: Sequence[str]) -> Iterator[list[str]]:
    """``ids`` in parts, each of which fits in one URL."""
    part: list[str] = []
    length = 0
    for record_id in ids:
        length += len(quote_plus(f'"{record_id}",'))
        if length > _URL_LENGTH and part:
            yield part
            part, length = [], 0
        part.append(record_id)
    if part:
        yield part


def _conditional_put(
    client: Client, data: Mapping[str, Any], stored: StoredRecord | None
) -> Request:
    """A PUT that is carried out only if the server still has what was ``stored``."""
    condition = {"If-Match": f'"{stored.last_modified}"'} if stored else {"If-None-Match": "*"}
    return {
        "method": "PUT",
        "path": f"{client.records_path}/{data['id']}",
        "headers": condition,
        "body": {"data": data},
    }


def _send(client: Client, requests: Sequence[Request]) -> list[PutResult]:
    """The result of each request; where the server can't be reached, the rest has failed."""
    results: list[PutResult] = []
    try:
        size = client.batch_size if requests else 1
        for start in range(0, len(requests), size):
            batch = requests[start : start + size]
            responses = send(client, batch)
            results += [_result(*pair) for pair in zip(batch, responses, strict=True)]
    except Unreachable as error:
        results += [PutResult(PutStatus.FAILED, str(error))] * (len(requests) - len(results))
    return results


def _result(request: Request, response: BatchResponse) -> PutResult:
    if response.stored:
        return PutResult(PutStatus.CREATED if response.status == 201 else PutStatus.UPDATED)
    if response.status == _PRECONDITION_FAILED:
        return PutResult(PutStatus.CONFLICT)
    if response.failed:
        return PutResult(PutStatus.FAILED, response.reason)
    if response.status in (401, 403, 404):
        raise RequestRejected(f"PUT {request['path']}", response.status, response.body)
    return PutResult(PutStatus.REFUSED, reason_in(response.body))
