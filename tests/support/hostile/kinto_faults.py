"""Faults of Kinto: those of any server, and those that its batches and its storage may show."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import time
from typing import Any
from urllib.parse import urlsplit

from .faults import RESTART, SMALL_WAIT, http_faults
from .proxy import Behaviour, Exchange, Fault, Response

#: Requests in a batch that a server takes whose limit has shrunk.
SHRUNK = 4

_BUCKET = "/buckets/build-hub"
_COLLECTION = f"{_BUCKET}/collections/releases"
_RECORDS = f"{_COLLECTION}/records"

_FLUSHER = "Basic " + base64.b64encode(b"chaos:chaos").decode()


def _is_batch(exchange: Exchange) -> bool:
    return exchange.method == "POST" and exchange.path.endswith("/batch")


def _is_large_batch(exchange: Exchange) -> bool:
    return _is_batch(exchange) and len(_requests(exchange)) > SHRUNK


def _is_write(exchange: Exchange) -> bool:
    return exchange.method in ("POST", "PUT", "PATCH", "DELETE")


def _is_list(exchange: Exchange) -> bool:
    return exchange.method == "GET" and "/records?" in exchange.path


def _requests(exchange: Exchange) -> list[Any]:
    requests: list[Any] = json.loads(exchange.body)["requests"]
    return requests


def _json(status: int, body: object, *headers: tuple[str, str]) -> Response:
    content_type = ("Content-Type", "application/json")
    return Response(status, [content_type, *headers], json.dumps(body).encode())


def _error(status: int, message: str) -> dict[str, object]:
    return {"code": status, "errno": 999, "error": message, "message": message}


def backoff(exchange: Exchange) -> bool:
    """The request is answered, but the next one should come later."""
    exchange.send(exchange.forward().with_header("Backoff", str(SMALL_WAIT)))
    return True


def lost_response(exchange: Exchange) -> bool:
    """The request was carried out; the client does not learn of it."""
    exchange.forward()
    return exchange.reset()


def status_in_batch(status: int, *, applied: bool) -> Behaviour:
    """One request of a batch is answered with ``status``, though it was carried out or not."""

    def behaviour(exchange: Exchange) -> bool:
        requests = _requests(exchange)
        chosen = exchange.random.randrange(len(requests))
        rest = requests if applied else requests[:chosen] + requests[chosen + 1 :]
        response = _forward_batch(exchange, rest)
        if response.status == 200:
            answers = json.loads(response.body)["responses"]
            answer = _in_batch(status, requests[chosen])
            answers[chosen : chosen + applied] = [answer]
            response = response._replace(body=json.dumps({"responses": answers}).encode())
        exchange.send(response)
        return True

    return behaviour


def _forward_batch(exchange: Exchange, requests: list[Any]) -> Response:
    if not requests:
        return _json(200, {"responses": []})
    return exchange.forward(json.dumps({"requests": requests}).encode())


def _in_batch(status: int, request: Any) -> dict[str, object]:
    return {
        "status": status,
        "path": request["path"],
        "headers": {"Content-Type": "application/json"},
        "body": _error(status, "chaos"),
    }


def rolled_back(exchange: Exchange) -> bool:
    """As on PostgreSQL: the last request conflicts, which undoes those that were answered 201."""
    *others, last = _requests(exchange)
    answers = [_in_batch(201, one) | {"body": one.get("body", {})} for one in others]
    exchange.send(_json(200, {"responses": [*answers, _in_batch(409, last)]}))
    return True


def too_large(exchange: Exchange) -> bool:
    exchange.send(_json(413, _error(413, "Request Entity Too Large")))
    return True


def shrunk_limit(exchange: Exchange) -> bool:
    """Returns Kinto's response to a batch that exceeds ``batch_max_requests``."""
    exchange.send(_json(400, _error(400, f"Number of requests is limited to {SHRUNK}")))
    return True


def restart(exchange: Exchange) -> bool:
    """The server goes away while it answers, and comes back with all that it had."""
    exchange.forward()
    exchange.proxy.out_of_service(RESTART)
    return exchange.reset()


def flush(exchange: Exchange) -> bool:
    """Everything on the server is deleted, then the request is answered."""
    _direct(exchange, "POST", "/__flush__")
    exchange.send(exchange.forward())
    return True


def backup_restored(exchange: Exchange) -> bool:
    """The server has what it had a while ago, with the dates of then; then it answers."""
    bucket, collection = (_direct(exchange, "GET", path) for path in (_BUCKET, _COLLECTION))
    records = sorted(_direct(exchange, "GET", _RECORDS).get("data", []), key=_last_modified)
    _direct(exchange, "POST", "/__flush__")
    if "data" in collection:
        _direct(exchange, "PUT", _BUCKET, bucket)
        _direct(exchange, "PUT", _COLLECTION, collection)
    for record in records[: exchange.random.randrange(len(records) + 1)]:
        _direct(exchange, "PUT", f"{_RECORDS}/{record['id']}", {"data": record})
    exchange.send(exchange.forward())
    return True


def _direct(exchange: Exchange, method: str, path: str, body: object = None) -> Any:
    """The server's answer to a request in the name of the client."""
    connection = http.client.HTTPConnection(exchange.proxy.server, timeout=60)
    credentials = next((v for n, v in exchange.headers if n.lower() == "authorization"), _FLUSHER)
    headers = {"Authorization": credentials, "Content-Type": "application/json"}
    path = urlsplit(exchange.proxy.url).path + path
    with contextlib.closing(connection):
        connection.request(method, path, json.dumps(body or {}), headers)
        return json.loads(connection.getresponse().read())


def _last_modified(record: Any) -> int:
    return int(record["last_modified"])


def late_transaction(exchange: Exchange) -> bool:
    """Dates what is written minutes before, as a transaction does that began then and ends now."""
    requests = _requests(exchange)
    dated = int(time.time() * 1000) - exchange.random.randrange(5 * 60_000)
    for number, request in enumerate(requests):
        request["body"]["data"]["last_modified"] = dated + number
    exchange.send(_forward_batch(exchange, requests))
    return True


def half_a_page(exchange: Exchange) -> bool:
    """A page of a list in which records are missing."""
    response = exchange.forward()
    if response.status == 200:
        body = json.loads(response.body)
        body["data"] = [one for one in body["data"] if exchange.random.random() < 0.5]
        response = response._replace(body=json.dumps(body).encode())
    exchange.send(response)
    return True


def _status_fault(status: int, *, applied: bool) -> Fault:
    name = f"{status} in a batch, {'applied' if applied else 'not applied'}"
    return Fault(name, status_in_batch(status, applied=applied), _is_batch, special=True)


def kinto_faults(elsewhere: str) -> list[Fault]:
    """The faults of Kinto."""
    return [
        *http_faults(elsewhere),
        Fault("Backoff", backoff),
        Fault("response lost after the write", lost_response, _is_write, special=True),
        _status_fault(409, applied=True),
        _status_fault(409, applied=False),
        Fault("409 in a batch, all rolled back", rolled_back, _is_batch, special=True),
        _status_fault(412, applied=True),
        _status_fault(412, applied=False),
        _status_fault(503, applied=True),
        _status_fault(503, applied=False),
        Fault("413", too_large, _is_large_batch, special=True),
        Fault("limit of batches shrinks", shrunk_limit, _is_large_batch, special=True),
        Fault("half a page of records", half_a_page, _is_list, special=True),
        Fault("restart", restart, limit=3),
        Fault("late transaction", late_transaction, _is_batch, special=True),
        Fault("restored backup", backup_restored, _is_write, limit=2, special=True, credible=True),
        Fault("flush", flush, limit=1, credible=True),
    ]
