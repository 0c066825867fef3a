"""A stream of records → batches → the server → a summary of what became of each record."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from concurrent.futures import (
    FIRST_COMPLETED,
    CancelledError,
    Future,
    ThreadPoolExecutor,
    wait,
)
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

from ..errors import BadInput, BuildhubError, Interrupted, Unreachable
from ..records import digest
from .batch import BatchResponse, Request, record_data, send, store_request
from .client import Client
from .errors import RequestRejected, reason_in
from .record_index import RecordIndex

#: Batches that wait or are under way for each connection: one is sent, one is ready.
_AHEAD = 2

#: After so many batches in a row that no try could deliver, the server is taken for dead.
_PATIENCE = 3


@dataclass
class PublishCounts:
    """What became of the records: how many were created, updated, left, refused, or failed."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    refused: int = 0  #: by the server (its schema), or no records at all
    failed: int = 0  #: not known to be stored

    def count(self, what: str, how_many: int = 1) -> None:
        """Count records; ``what`` is the name of a field."""
        setattr(self, what, getattr(self, what) + how_many)

    @property
    def ok(self) -> bool:
        """Whether every record is on the server."""
        return not (self.refused or self.failed)

    def __str__(self) -> str:
        return (
            f"{self.created} created, {self.updated} updated, {self.unchanged} unchanged,"
            f" {self.refused} refused, {self.failed} failed"
        )


class _Item(NamedTuple):
    """A record on its way."""

    where: str
    request: Request

    @property
    def data(self) -> Mapping[str, Any]:
        """As it is sent: with an id in any case."""
        data: Mapping[str, Any] = self.request["body"]["data"]
        return data

    @property
    def is_new(self) -> bool:
        """Whether it came without an id."""
        return bool(self.request["method"] == "POST")

    @property
    def name(self) -> str:
        """For messages: an id that we have made up means nothing to anybody."""
        return "a record without id" if self.is_new else str(self.data["id"])


class Publisher:
    """Stores records; a context manager that sends the rest at the end.

    With ``known``, what is on the server already is left alone, unless ``rewrite`` is set. With
    ``dry_run`` nothing is sent: the counts tells what would be, as far as is known. ``on_error``
    gets a sentence for each record that was not stored. To be used by one thread at a time.

    ``jobs`` connections send batches. Records of one id are stored in their order in any case.
    """

    def __init__(
        self,
        client: Client,
        *,
        known: RecordIndex | None,
        rewrite: bool = False,
        jobs: int = 1,
        dry_run: bool = False,
        on_error: Callable[[str], None],
    ) -> None:
        self.counts = PublishCounts()
        self._client = client
        self._known = known
        self._rewrite = rewrite
        self._jobs = jobs
        self._dry_run = dry_run
        self._on_error = on_error
        self._size = client.batch_size
        self._batch: list[_Item] = []
        self._ids: set[str] = set()  # of the batch that is being filled
        self._under_way: dict[Future[list[BatchResponse]], tuple[list[_Item], set[str]]] = {}
        self._pool = ThreadPoolExecutor(jobs, thread_name_prefix="kinto")
        self._lost_in_a_row = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None or issubclass(kind, Interrupted):
                self.flush()
        finally:
            self._abandon()  # nothing is left if all went well
            self._pool.shutdown()

    def add(self, record: Any, where: str) -> None:
        """Store ``record``, soon. ``where`` (``"line 3"``) is for messages.

        Blocks while enough is under way. What is no record is reported and counted as refused.
        Raises :class:`Fatal` where no record can be stored, :class:`Unreachable` where the
        server is gone.
        """
        try:
            data = record_data(record)
        except BadInput as error:
            self.counts.refused += 1
            self._on_error(f"{where}: {error}.")
            return
        change = self._change(data)
        if self._dry_run or change == "unchanged":
            self.counts.count(change)
            return
        if "id" in data:
            self._ids.add(data["id"])
        self._batch.append(_Item(where, store_request(self._client, data)))
        if len(self._batch) >= self._size:
            self._send_batch()

    def flush(self) -> None:
        """Send what is there, and wait until it is accounted for."""
        self._send_batch()
        while self._under_way:
            self._account()

    def close(self) -> None:
        """Send the rest and end."""
        self.__exit__(None)

    def _change(self, data: Mapping[str, Any]) -> str:
        """What storing this record does, as far as is known: created, updated or unchanged."""
        record_id = data.get("id")
        if self._known is None or record_id is None:
            return "created"
        there = self._known.digest(record_id)
        if there is None:
            return "created"
        if self._rewrite or there != digest(data):
            return "updated"
        # What is on its way may be stored or refused: only the server knows then.
        return "updated" if self._on_its_way(record_id) else "unchanged"

    def _on_its_way(self, record_id: str) -> bool:
        return record_id in self._ids or any(
            record_id in ids for _, ids in self._under_way.values()
        )

    def _send_batch(self) -> None:
        if not self._batch:
            return
        while len(self._under_way) >= self._jobs * _AHEAD or self._would_overtake():
            self._account()
        future = self._pool.submit(send, self._client, [item.request for item in self._batch])
        self._under_way[future] = (self._batch, self._ids)
        self._batch, self._ids = [], set()

    def _would_overtake(self) -> bool:
        """Whether an older record of an id in this batch is under way on another connection."""
        return self._jobs > 1 and any(self._ids & ids for _, ids in self._under_way.values())

    def _account(self) -> None:
        """Wait for a batch that is under way, and account for its records."""
        done, _ = wait(self._under_way, return_when=FIRST_COMPLETED)
        for future in done:
            items, _ = self._under_way.pop(future)
            try:
                answers = future.result()
            except CancelledError:
                self._fail(items, "")
            except BuildhubError as error:
                self._lose(items, error)
            else:
                self._lost_in_a_row = 0
                self._take(items, answers)

    def _lose(self, items: list[_Item], error: BuildhubError) -> None:
        """Account for a batch that had no answer; raise if the next would have none either."""
        self._fail(items, str(error))
        if isinstance(error, RequestRejected):
            raise self._client.fatal(error)
        self._lost_in_a_row += 1
        if not isinstance(error, Unreachable) or self._lost_in_a_row >= _PATIENCE:
            raise error

    def _take(self, items: list[_Item], answers: list[BatchResponse]) -> None:
        """Account for a batch whose records were answered, each for itself."""
        fatal = None
        stored = []
        for item, answer in zip(items, answers, strict=True):
            if answer.stored:
                # A POST that is answered with 200 was stored by an earlier try.
                new = answer.status == 201 or item.is_new
                self.counts.count("created" if new else "updated")
                stored.append((item.data["id"], digest(item.data)))
            elif answer.failed:
                self._fail([item], answer.reason)
            elif answer.status in (401, 403, 404):
                fatal = self._client.fatal(RequestRejected(item.where, answer.status, answer.body))
                self._fail([item], "")
            else:
                self._refuse(item, answer)
        if self._known is not None:
            self._known.mark_stored(stored)
        if fatal:
            raise fatal

    def _refuse(self, item: _Item, answer: BatchResponse) -> None:
        self.counts.count("refused")
        self._on_error(f"{item.where}: Kinto refuses {item.name}: {reason_in(answer.body)}.")

    def _fail(self, items: list[_Item], reason: str) -> None:
        """Count records of which nobody knows whether they are stored; report them if new."""
        if not items:
            return
        self.counts.count("failed", len(items))
        if self._known is not None:
            self._known.invalidate(item.data["id"] for item in items)
        if reason:
            first, last = items[0], items[-1]
            what = f"this and the records up to {last.where}" if last is not first else first.name
            self._on_error(f"{first.where}: {what} may not be stored: {reason.rstrip('.')}.")

    def _abandon(self) -> None:
        """Account for all that is left: let what is being sent end, send no more."""
        for future in self._under_way:
            future.cancel()
        while self._under_way:
            with contextlib.suppress(BuildhubError):
                self._account()
        self._fail(self._batch, "")
        self._batch, self._ids = [], set()
