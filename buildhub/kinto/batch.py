"""Reads and writes records by their ids, many with one request."""

from __future__ import annotations

import contextlib
import re
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ..errors import BadInput, Fatal, Unreachable
from ..records import TOOLCHAIN_FIELDS, Outcome
from ..retries import RetryableError, retry_after
from .client import Client, Conflict, RequestRejected, ServerError, StoredData, reason_in
from .filters import quoted
from .record_index import differs, digest

#: Kinto's default for ids; ``fullmatch``, as ``$`` would allow a newline behind it.
_ID = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_-]*")

#: Ids in one URL: many servers and proxies accept 8 KB for its line.
_IDS = 60

#: The status of a request that got no response.
NO_RESPONSE = 0

_OUTCOMES = {200: Outcome.UPDATED, 201: Outcome.CREATED}
_OUTCOMES |= {304: Outcome.UNCHANGED, 412: Outcome.CONFLICT}
_OUTCOMES |= dict.fromkeys((NO_RESPONSE, 409, 429, *range(500, 600)), Outcome.FAILED)

#: One request of a batch, as Kinto's API writes it.
Request = dict[str, Any]


class BatchResponse(NamedTuple):
    """Kinto's response to one request of a batch."""

    status: int
    body: Mapping[str, Any]

    @property
    def outcome(self) -> Outcome:
        """Returns what became of the record of the request."""
        return _OUTCOMES.get(self.status, Outcome.REFUSED)

    @property
    def stored(self) -> bool:
        """Tells if the record is on the server now."""
        return self.outcome in (Outcome.CREATED, Outcome.UPDATED)

    @property
    def failed(self) -> bool:
        """Tells if the server failed, rather than accept or reject the request."""
        return self.outcome is Outcome.FAILED

    @property
    def concerns_all(self) -> bool:
        """Tells if every other record would be rejected, too."""
        return self.status in (401, 403, 404)

    @property
    def reason(self) -> str:
        """Says why the record is not stored; empty if it is."""
        if self.status == NO_RESPONSE:
            return str(self.body["message"])
        if self.failed:
            return f"Kinto answered {self.status}"
        if self.outcome is Outcome.CONFLICT:
            return "other writers keep changing it"
        return reason_in(self.body) if self.outcome is Outcome.REFUSED else ""


class BatchIncomplete(RetryableError):
    """A batch with a 5xx or 429 inside. ``responses`` are those of this attempt."""

    def __init__(self, responses: list[BatchResponse], wait: float) -> None:
        failed = sum(response.failed for response in responses)
        super().__init__(f"{failed} of the {len(responses)} requests of a batch failed", wait)
        self.responses = responses


class BatchConflict(Conflict):
    """A batch in which nothing failed but for a 409. ``responses`` are those of this attempt."""

    def __init__(self, responses: list[BatchResponse]) -> None:
        super().__init__("another writer was faster (409 in a batch)")
        self.responses = responses


def record_data(record: Any) -> Mapping[str, Any]:
    """Returns the data of a record ``{"data": {...}}`` without the fields that Kinto sets itself.

    A ``last_modified`` in the input would date the record back, and hide the change from every
    client that asks for changes. Raises :class:`BadInput` if it is not a record.
    """
    # ``dict`` as well, as the check of an abstract class takes a microsecond.
    data: Any = record.get("data") if isinstance(record, (dict, Mapping)) else None
    if not isinstance(data, (dict, Mapping)):
        raise BadInput('this is not a record: it must look like {"data": {…}}')
    if "last_modified" in data or "schema" in data:
        data = {k: v for k, v in data.items() if k not in ("last_modified", "schema")}
    record_id = data.get("id", "0")
    if not (isinstance(record_id, str) and _ID.fullmatch(record_id)):
        raise BadInput(
            f"{str(record_id)[:100]!r} is not a valid record id: only letters, digits, dashes and"
            " underscores are allowed, and the first must be a letter or digit"
        )
    return data  # type: ignore[no-any-return]


def store_request(
    client: Client, data: Mapping[str, Any], condition: Mapping[str, str] | None = None
) -> Request:
    """Returns the request that stores a record: PUT if it has an id, else POST.

    A record without an id gets one here: Kinto responds to a POST of an id that it has with 200
    and changes nothing, so a batch may be sent twice without storing the record twice.
    ``condition`` are headers.
    """
    request = {"method": "PUT", "path": f"{client.records_path}/{data.get('id')}"}
    if "id" not in data:
        data = {**data, "id": str(uuid.uuid4())}
        request = {"method": "POST", "path": client.records_path}
    headers = {"headers": condition} if condition else {}
    return {**request, **headers, "body": {"data": data}}


def fetch_stored(client: Client, ids: Sequence[str]) -> dict[str, StoredData]:
    """Returns the records that the server has under ``ids``, by id; sixty ids are one request."""
    found: dict[str, StoredData] = {}
    for start in range(0, len(ids), _IDS):
        for page in client.pages({"in_id": ",".join(map(quoted, ids[start : start + _IDS]))}):
            found |= {data["id"]: data for data in page}
    return found


def keep_extras(data: Mapping[str, Any], stored: Mapping[str, Any]) -> dict[str, Any]:
    """Adds to a record what it lacks of the stored toolchain of its build and sum of its file."""
    kept = dict(data)
    for part, same, extras in (
        ("build", ("id",), TOOLCHAIN_FIELDS),
        ("download", ("url", "size"), ("sha256",)),
    ):
        new, old = data.get(part), stored.get(part)
        if not (isinstance(new, Mapping) and isinstance(old, Mapping)):
            continue
        if all(new.get(name) == old.get(name) for name in same):
            kept[part] = {name: old[name] for name in extras if name in old} | dict(new)
    return kept


def send_with_extras(
    client: Client, requests: Sequence[Request], lacking: Sequence[str]
) -> list[BatchResponse]:
    """Sends records as :func:`send` does, after :func:`keep_extras` of those ids ``lacking``."""
    with contextlib.suppress(Fatal):  # who may write need not be allowed to read
        stored = fetch_stored(client, lacking)
        for body in (request["body"] for request in requests):
            if body["data"]["id"] in stored:
                body["data"] = keep_extras(body["data"], stored[body["data"]["id"]])
    return send(client, requests)


def put_if_unchanged(
    client: Client, records: Sequence[Mapping[str, Any]], stored: Mapping[str, StoredData]
) -> dict[str, BatchResponse]:
    """Writes those of ``records`` that differ from what is ``stored``, if that is still so.

    Otherwise somebody else changed it since :func:`fetch_stored`, which is a conflict. Stored
    extras (:func:`keep_extras`) are kept.

    ``records`` look like ``{"data": {"id", …}}``; of two with one id the last counts. The result
    has each id, in the order of the records. Raises :class:`Fatal` for wrong credentials or a
    missing collection.
    """
    data = {one["id"]: client.without_unknown(one) for one in map(record_data, records)}
    responses = dict.fromkeys(data, BatchResponse(304, {}))  # of what is not sent, as it is equal
    changed = [
        one
        for one, new in data.items()
        if one not in stored or differs(digest(stored[one]), digest(new))
    ]
    requests = [_store_if_unchanged(client, data[one], stored.get(one)) for one in changed]
    try:
        return responses | dict(zip(changed, _send_all(client, requests), strict=True))
    except RequestRejected as error:
        raise client.fatal(error) from None


def _store_if_unchanged(
    client: Client, data: Mapping[str, Any], stored: StoredData | None
) -> Request:
    if stored is None:
        return store_request(client, data, {"If-None-Match": "*"})
    condition = {"If-Match": f'"{stored["last_modified"]}"'}
    return store_request(client, keep_extras(data, stored), condition)


def _send_all(client: Client, requests: Sequence[Request]) -> list[BatchResponse]:
    """Returns the response to each request; where the server is unreachable, the rest has none."""
    responses: list[BatchResponse] = []
    try:
        size = client.batch_size if requests else 1
        for start in range(0, len(requests), size):
            batch = requests[start : start + size]
            for request, response in zip(batch, send(client, batch), strict=True):
                if response.concerns_all:
                    raise RequestRejected(f"PUT {request['path']}", *response)
                responses.append(response)
    except Unreachable as error:
        none = BatchResponse(NO_RESPONSE, {"message": str(error)})
        responses += [none] * (len(requests) - len(responses))
    return responses


def send(client: Client, requests: Sequence[Request]) -> list[BatchResponse]:
    """Sends requests as one batch; returns a response for each, in their order.

    A batch in which a request got a 409 or a 5xx is sent again whole: a 409 aborts the database
    transaction, which also undoes the requests before it that got a 201. If that does not help,
    or the response is 500 or 503, each request is sent on its own, once, so that a record on which
    the server fails does not affect the others. A batch that is too large for the server (413) or
    for its limit (400) is halved. Sending a request twice must do no harm. Raises
    :class:`Unreachable` if no attempt had a proper response, and :class:`RequestRejected` if the
    server rejects the whole batch.
    """
    try:
        return _send_whole(client, requests)
    except (BatchIncomplete, BatchConflict) as error:
        return _send_singly(client, requests) if len(requests) > 1 else error.responses
    except ServerError:
        responses = _send_singly(client, requests) if len(requests) > 1 else []
        if all(response.failed for response in responses):
            raise
        return responses
    except RequestRejected as error:
        if error.status not in (400, 413):
            raise
        if len(requests) == 1:
            return [BatchResponse(error.status, error.body)]
        middle = len(requests) // 2
        return send(client, requests[:middle]) + send(client, requests[middle:])


def _send_whole(client: Client, requests: Sequence[Request]) -> list[BatchResponse]:
    created: set[int] = set()

    def validate(body: Any) -> None:
        responses = _responses_in(body, len(requests))
        created.update(n for n, one in enumerate(responses) if one.outcome is Outcome.CREATED)
        failed = {response.status for response in responses if response.failed}
        if failed:
            raise (
                BatchConflict(responses)
                if failed == {409}
                else BatchIncomplete(responses, _wait(body))
            )

    body, _ = client.request("POST", "/batch", body={"requests": requests}, validate=validate)
    # What an earlier attempt created, the last one updates: it counts as created nevertheless.
    return [
        response._replace(status=201) if n in created and response.stored else response
        for n, response in enumerate(_responses_in(body, len(requests)))
    ]


def _send_singly(client: Client, requests: Sequence[Request]) -> list[BatchResponse]:
    """Sends each request once: their batch has had all its retries."""
    responses = []
    for request in requests:
        try:
            body, _ = client.request(
                "POST", "/batch", body={"requests": [request]}, retry=False,
                validate=lambda body: _responses_in(body, 1),
            )  # fmt: skip
        except Unreachable as error:
            status = error.status if isinstance(error, ServerError) else NO_RESPONSE
            responses.append(BatchResponse(status, {"message": str(error)}))
        else:
            responses += _responses_in(body, 1)
    return responses


def _responses_in(body: Any, expected: int) -> list[BatchResponse]:
    """Returns the responses in a batch's body; raises :class:`RetryableError` if one is missing."""
    try:
        responses = [_response_in(one) for one in body["responses"]]
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        raise RetryableError("its response to a batch is incomplete") from None
    if len(responses) != expected:
        raise RetryableError(
            f"it responded to {len(responses)} of the {expected} requests of a batch"
        )
    return responses


def _response_in(one: Any) -> BatchResponse:
    status, body = int(one["status"]), one.get("body")
    if not 100 <= status <= 599:
        raise ValueError(f"{status} is not an HTTP status")
    return BatchResponse(status, body if isinstance(body, Mapping) else {})


def _wait(body: Any) -> float:
    """Returns the longest ``Retry-After`` in the responses of a batch, in seconds."""
    headers = (one.get("headers") for one in body["responses"])
    texts = (str(h.get("Retry-After", "")) for h in headers if isinstance(h, Mapping))
    return max((retry_after({"Retry-After": text}) for text in texts), default=0)
