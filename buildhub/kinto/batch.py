"""Batches: many requests in one, and the response to each."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ..errors import BadInput, Unreachable
from ..retries import RetryableError, retry_after
from .client import Client
from .errors import RequestRejected, ServerError

#: Kinto's default for ids; ``fullmatch``, as ``$`` would allow a newline behind it.
_ID = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_-]*")

_CREATED = 201

#: The status of a request that got no response.
NO_RESPONSE = 0

#: One request of a batch, as Kinto's API writes it.
Request = dict[str, Any]


class BatchResponse(NamedTuple):
    """Kinto's response to one request of a batch."""

    status: int
    body: Mapping[str, Any]

    @property
    def stored(self) -> bool:
        """Whether the record is on the server now."""
        return self.status in (200, _CREATED)

    @property
    def reason(self) -> str:
        """Why the record may not be stored, for messages."""
        if self.status == NO_RESPONSE:
            return str(self.body["message"])
        return f"Kinto answered {self.status}"

    @property
    def failed(self) -> bool:
        """Whether the server failed, rather than accept or reject the request."""
        return _is_failure(self.status)


class BatchIncomplete(RetryableError):
    """A batch with a 409 or 5xx inside. ``responses`` are those of this attempt."""

    def __init__(self, responses: list[BatchResponse], wait: float) -> None:
        failed = sum(response.failed for response in responses)
        super().__init__(f"{failed} of the {len(responses)} requests of a batch failed", wait)
        self.responses = responses


def record_data(record: Any) -> Mapping[str, Any]:
    """The data of a record ``{"data": {...}}`` without the fields that Kinto sets itself.

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


def store_request(client: Client, data: Mapping[str, Any]) -> Request:
    """The request that stores a record: PUT if it has an id, else POST.

    A record without an id gets one here: Kinto responds to a POST of an id that it has with 200
    and changes nothing, so a batch may be sent twice without storing the record twice.
    """
    if "id" in data:
        return {"method": "PUT", "path": f"{client.records_path}/{data['id']}",
                "body": {"data": data}}  # fmt: skip
    data = {**data, "id": str(uuid.uuid4())}
    return {"method": "POST", "path": client.records_path, "body": {"data": data}}


def send(client: Client, requests: Sequence[Request]) -> list[BatchResponse]:
    """Send requests as one batch; returns a response for each, in their order.

    A batch in which a request got a 409 or a 5xx is sent again whole: a 409 aborts the database
    transaction, which also undoes the requests before it that got a 201. If that does not help,
    each request is sent on its own, once, so that a record on which the server fails does not
    affect the others. A batch that is too large for the server (413) or for its limit (400) is
    halved. Sending a request twice must do no harm.

    Raises :class:`Unreachable` if no attempt brought a response, and :class:`RequestRejected`
    if the server rejects the whole batch (wrong credentials).
    """
    try:
        return _send_whole(client, requests)
    except BatchIncomplete as error:
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
        created.update(n for n, response in enumerate(responses) if response.status == _CREATED)
        if any(response.failed for response in responses):
            raise BatchIncomplete(responses, _wait(body))

    body, _ = client.request("POST", "/batch", body={"requests": requests}, validate=validate)
    # What an earlier attempt created, the last one updates: it counts as created nevertheless.
    return [
        response._replace(status=_CREATED) if n in created and response.stored else response
        for n, response in enumerate(_responses_in(body, len(requests)))
    ]


def _send_singly(client: Client, requests: Sequence[Request]) -> list[BatchResponse]:
    """Each request once: their batch has had all its retries."""
    responses = []
    for request in requests:
        try:
            body, _ = client.request(
                "POST", "/batch", body={"requests": [request]}, retry=False,
                validate=_validate_single,
            )  # fmt: skip
        except Unreachable as error:
            status = error.status if isinstance(error, ServerError) else NO_RESPONSE
            responses.append(BatchResponse(status, {"message": str(error)}))
        else:
            responses += _responses_in(body, 1)
    return responses


def _validate_single(body: Any) -> None:
    _responses_in(body, 1)


def _responses_in(body: Any, expected: int) -> list[BatchResponse]:
    """The responses in a batch's body; :class:`RetryableError` if one is missing."""
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
    """The longest ``Retry-After`` in the responses of a batch, in seconds."""
    headers = (one.get("headers") for one in body["responses"])
    texts = (str(h.get("Retry-After", "")) for h in headers if isinstance(h, Mapping))
    return max((retry_after({"Retry-After": text}) for text in texts), default=0)


def _is_failure(status: int) -> bool:
    return status >= 500 or status in (NO_RESPONSE, 409, 429)
