"""A Kinto that answers what a test says, however odd; requests never leave the process."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import responses

from buildhub.kinto.client import Client
from buildhub.kinto.publisher import PublishCounts, Publisher
from tests.support.records import make_record

URL = "http://kinto.test/v1"
RECORDS = f"{URL}/buckets/b/collections/c/records"

#: What a server of this name answers, in turn; the last one again and again.
Answer = tuple[int, dict[str, str], Any] | Exception


class StubKinto:
    """Plays the answers to ``POST /batch`` that a test gives, and keeps what was asked."""

    def __init__(self, mock: responses.RequestsMock) -> None:
        self.mock = mock
        self.batches: list[list[dict[str, Any]]] = []
        self.answers: list[Callable[[list[dict[str, Any]]], Answer] | Answer] = []
        self.limit: Any = 3
        #: What is answered where records are looked up by their ids before they are written.
        self.stored: Answer = (200, {}, '{"data": []}')
        mock.add_callback("GET", f"{URL}/", self._root)
        mock.add_callback("POST", f"{URL}/batch", self._batch)
        mock.add_callback("GET", re.compile(rf"{RECORDS}\?in_id=[^&]*&_since=1$"), self._found)
        mock.add_callback("GET", re.compile(rf"{RECORDS}\?_sort=id.*&in_id="), self._look_up)

    def _root(self, request: Any) -> Answer:
        return (
            200,
            {},
            json.dumps({"settings": {"batch_max_requests": self.limit}, "user": {"id": "x"}}),
        )

    def _found(self, request: Any) -> Answer:
        """Every record that is asked for by its id is there."""
        found = {"id": json.loads(request.params["in_id"]), "last_modified": 1}
        return 200, {}, json.dumps({"data": [found]})

    def _look_up(self, request: Any) -> Answer:
        return self.stored

    def _batch(self, request: Any) -> Answer:
        asked = json.loads(request.body)["requests"]
        self.batches.append(asked)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        answer = answer(asked) if callable(answer) else answer
        if isinstance(answer, Exception):
            return answer
        status, headers, body = answer
        return status, headers, body if isinstance(body, str) else json.dumps(body)

    def ids(self) -> list[list[str]]:
        """The ids of each batch that came."""
        return [[one["path"].rpartition("/")[2] for one in batch] for batch in self.batches]


def each(*statuses: int, headers: dict[str, str] | None = None) -> Callable[..., Answer]:
    """An answer to a batch: these statuses for its requests, 201 for all others."""

    def answer(asked: list[dict[str, Any]]) -> Answer:
        inner = []
        for number, request in enumerate(asked):
            status = statuses[number] if number < len(statuses) else 201
            body = {"data": request["body"]["data"]}
            if status >= 400:
                body = {"code": status, "message": "the server's reason"}
            inner.append({"status": status, "headers": headers or {}, "body": body})
        return 200, {}, {"responses": inner}

    return answer


def client(**options: Any) -> Client:
    return Client(URL, "user:secret-word", "b", "c", **{"first_pause": 0, **options})


def publish(count: int, **options: Any) -> tuple[PublishCounts, list[str]]:
    """Publish records 0 to ``count`` - 1; the summary, and what was reported."""
    said: list[str] = []
    with Publisher(client(**options), index=None, on_error=said.append) as publisher:
        for number in range(count):
            publisher.add(make_record(number, id=f"r{number}"), f"line {number + 1}")
    return publisher.counts, said
