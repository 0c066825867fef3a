"""Many requests in one, and what became of each of them."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ..errors import BadInput, Unreachable
from .client import Client
from .errors import RequestRejected, RetryableError, ServerError, retry_after

#: Kinto's default for ids; ``fullmatch``, as ``$`` would allow a newline behind it.
_ID = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_-]*")

_CREATED = 201

#: Stands for the status where there was none.
_NO_ANSWER = 503

#: One request of a batch, as Kinto's API writes it.
Request = dict[str, Any]


class BatchResponse(NamedTuple):
    """What Kinto said to one request of a batch."""

    status: int
    body: Mapping[str, Any]

    @property
    def stored(self) -> bool:
        """Whether the record is on the server now."""
        return self.status in (200, _CREATED)

    @property
    def failed(self) -> bool:
        """Whether the server failed; otherwise it decided."""
        return _is_failure(self.status)


class BatchIncomplete(RetryableError):
    """A batch with a 409 or 5xx inside. ``answers`` are those of this try."""

    def __init__(self, answers: list[BatchResponse], wait: float) -> None:
        failed = sum(answer.failed for answer in answers)
        super().__init__(f"{failed} of the {len(answers)} requests of a batch failed", wait)
        self.answers = answers


def record_data(record: Any) -> Mapping[str, Any]:
    """The data of a record ``{"data": {...}}``, less what Kinto writes into it itself.

    A ``last_modified`` that came along would date the record back, and hide the change from
    everybody who asks for changes. Raises :class:`BadInput` if it is no record.
    """
    if not isinstance(record, Mapping) or not isinstance(record.get("data"), Mapping):
        raise BadInput('this is no record: it must look like {"data": {…}}')
    data: Mapping[str, Any] = record["data"]
    if "last_modified" in data or "schema" in data:
        data = {k: v for k, v in data.items() if k not in ("last_modified", "schema")}
    if "id" in data and not (isinstance(data["id"], str) and _ID.fullmatch(data["id"])):
        raise BadInput(
            f"{str(data['id'])[:100]!r} is no record id: letters, digits, dashes and underscores"
            " are allowed, the first a letter or digit"
        )
    return data


def store_request(client: Client, data: Mapping[str, Any]) -> Request:
    """The request that stores a record: PUT if it has an id, else POST.

    A record without an id gets one here: Kinto answers a POST of an id that it has with 200 and
    changes nothing, so that a batch may be sent twice without storing the record twice.
    """
    if "id" in data:
        return {"method": "PUT", "path": f"{client.records_path}/{data['id']}",
                "body": {"data": data}}  # fmt: skip
    data = {**data, "id": str(uuid.uuid4())}
    return {"method": "POST", "path": client.records_path, "body": {"data": data}}


def send(client: Client, requests: Sequence[Request]) -> list[BatchResponse]:
    """Send requests as one batch: an answer for each, in their order.

    A batch in which a request got a 409 or a 5xx is sent again whole: a 409 aborts the
    database's transaction, which also undoes requests before it that were answered with 201.
    Where that does not help, each request is sent on its own, once, so that one record at which
    the server stumbles takes no other with it. A batch that is too large for the server (413)
    or for its limit (400) is halved. Requests must bear to be sent twice.

    Raises :class:`Unreachable` where no try brought an answer, and :class:`RequestRejected`
    where the server refuses the batch as such (wrong credentials).
    """
    try:
        return _send_whole(client, requests)
    except BatchIncomplete as error:
        return _send_singly(client, requests) if len(requests) > 1 else error.answers
    except ServerError:
        answers = _send_singly(client, requests) if len(requests) > 1 else []
        if all(answer.failed for answer in answers):
            raise
        return answers
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
        answers = _answers(body, len(requests))
        created.update(n for n, answer in enumerate(answers) if answer.status == _CREATED)
        if any(answer.failed for answer in answers):
            raise BatchIncomplete(answers, _wait(body))

    body, _ = client.request("POST", "/batch", body={"requests": requests}, validate=validate)
    # What was created by an earlier try is updated by the last one: it is new nevertheless.
    return [
        answer._replace(status=_CREATED) if n in created and answer.stored else answer
        for n, answer in enumerate(_answers(body, len(requests)))
    ]


def _send_singly(client: Client, requests: Sequence[Request]) -> list[BatchResponse]:
    """Each request without more ado: their batch has had all the retries there are."""
    answers = []
    for request in requests:
        try:
            body, _ = client.request(
                "POST", "/batch", body={"requests": [request]}, retry=False,
                validate=_validate_single,
            )  # fmt: skip
        except Unreachable as error:
            answers.append(BatchResponse(_NO_ANSWER, {"message": str(error)}))
        else:
            answers += _answers(body, 1)
    return answers


def _validate_single(body: Any) -> None:
    _answers(body, 1)


def _answers(body: Any, expected: int) -> list[BatchResponse]:
    """The responses in a batch's body; :class:`RetryableError` if one is missing."""
    try:
        answers = [BatchResponse(one["status"], one.get("body") or {}) for one in body["responses"]]
    except (KeyError, TypeError, AttributeError):
        raise RetryableError("its answer to a batch has no responses") from None
    if len(answers) != expected:
        raise RetryableError(f"it answered {len(answers)} of the {expected} requests of a batch")
    return answers


def _wait(body: Any) -> float:
    """The longest ``Retry-After`` in the answers of a batch, in seconds."""
    return max((retry_after(one.get("headers") or {}) for one in body["responses"]), default=0)


def _is_failure(status: int) -> bool:
    return status >= 500 or status in (409, 429)
