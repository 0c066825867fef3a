"""Writes a few records that others may be writing at the same moment: each only if unchanged.

A record is written only if the server still has what :func:`fetch_stored` found there
(``If-Match``), or still has nothing (``If-None-Match: *``). A record that somebody else changed
meanwhile is a conflict: the caller fetches, makes the record again, and tries again
(:mod:`buildhub.events.handler`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ..errors import Unreachable
from ..records import Outcome
from .batch import Request, keep_extras, record_data, send, store_request, stored_records
from .client import Client, RequestRejected, StoredData
from .record_index import differs, digest


class PutResult(NamedTuple):
    """The outcome for a record, and the reason if it is not stored."""

    outcome: Outcome
    reason: str = ""


def fetch_stored(client: Client, ids: Sequence[str]) -> dict[str, StoredData]:
    """Returns the records that the server has under ``ids``, by id."""
    return {data["id"]: data for data in stored_records(client, ids)}


def put_if_unchanged(
    client: Client, records: Sequence[Mapping[str, Any]], stored: Mapping[str, StoredData]
) -> dict[str, PutResult]:
    """Writes those of ``records`` that differ from what is ``stored``, if that is still so.

    What is stored of the toolchain and the file's sum, and not known now, is kept.

    ``records`` look like ``{"data": {"id", …}}``; of two with one id the last counts. The result
    has each id, in the order of the records. Raises :class:`Fatal` for wrong credentials or a
    missing collection.
    """
    data = {one["id"]: client.without_unknown(one) for one in map(record_data, records)}
    results = dict.fromkeys(data, PutResult(Outcome.UNCHANGED))
    changed = [
        one
        for one, new in data.items()
        if one not in stored or differs(digest(stored[one]), digest(new))
    ]
    requests = [_request(client, data[one], stored.get(one)) for one in changed]
    try:
        return results | dict(zip(changed, _send(client, requests), strict=True))
    except RequestRejected as error:
        raise client.fatal(error) from None


def _request(client: Client, data: Mapping[str, Any], stored: StoredData | None) -> Request:
    """Returns a PUT under the condition that the server still has what was ``stored``."""
    if stored is None:
        return store_request(client, data, {"If-None-Match": "*"})
    condition = {"If-Match": f'"{stored["last_modified"]}"'}
    return store_request(client, keep_extras(data, stored), condition)


def _send(client: Client, requests: Sequence[Request]) -> list[PutResult]:
    """Returns the result of each request; where the server is unreachable, the rest has failed."""
    results: list[PutResult] = []
    try:
        size = client.batch_size if requests else 1
        for start in range(0, len(requests), size):
            batch = requests[start : start + size]
            for request, response in zip(batch, send(client, batch), strict=True):
                if response.concerns_all:
                    raise RequestRejected(f"PUT {request['path']}", *response)
                results.append(PutResult(response.outcome, response.reason))
    except Unreachable as error:
        results += [PutResult(Outcome.FAILED, str(error))] * (len(requests) - len(results))
    return results
