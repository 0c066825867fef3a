"""A stream of records → batches → Kinto → counts of what became of each record.

A record is in one of these states:

- *open*: added to the batch that is being filled;
- *in flight*: its batch was handed to the thread that sends; there are at most two such batches,
  one that is being sent and one behind it;
- *settled*: counted, once and for good, as created, updated, unchanged, rejected or failed.

``add`` moves records from open to in flight, and settles batches as their responses come;
``flush`` settles everything; leaving the context does so too, and an error settles what is left
as failed.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Self

from ..errors import BadInput, BuildhubError, Interrupted, Unreachable
from .batch import BatchResponse, record_data, send, store_request
from .client import Client
from .comparison import Comparison
from .errors import RequestRejected
from .flushed import raise_if_flushed
from .record_index import RecordIndex
from .settlement import Effect, Item, Settlement

#: Maximum number of batches in flight: while one is sent, the next is made.
_MAX_IN_FLIGHT = 2

#: After so many batches in a row without any response, the server counts as gone.
_MAX_FAILED_BATCHES = 3


@dataclass
class _Batch:
    """Records that are sent together."""

    items: list[Item] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)  #: those that came with the records

    def append(self, item: Item) -> None:
        self.items.append(item)
        if not item.came_without_id:
            self.ids.add(item.data["id"])


class Publisher:
    """Stores records; a context manager that sends the rest at the end.

    With ``index``, records that are equal on the server are not sent, unless ``rewrite`` is set.
    With ``dry_run`` nothing is sent: the counts say what would be stored, and ``on_difference``
    gets the id of each such record (``""`` if it has none) and ``"created"`` or ``"updated"``.
    ``on_error`` gets a sentence for each record that was not stored, ``on_not_stored`` the record
    itself, with the id under which it was sent. To be used by one thread at a time.
    """

    def __init__(
        self,
        client: Client,
        *,
        index: RecordIndex | None,
        rewrite: bool = False,
        dry_run: bool = False,
        on_difference: Callable[[str, str], None] = lambda record_id, effect: None,
        on_error: Callable[[str], None],
        on_not_stored: Callable[[Any], None] = lambda record: None,
    ) -> None:
        self._client = client
        self._index = index
        self._comparison = Comparison(index, rewrite)
        self._dry_run = dry_run
        self._on_difference = on_difference
        self._settlement = Settlement(index, on_error, on_not_stored)
        self.counts = self._settlement.counts
        self._size = client.batch_size
        self._open = _Batch()
        self._in_flight: deque[tuple[_Batch, Future[list[BatchResponse]]]] = deque()
        self._sender = ThreadPoolExecutor(1, thread_name_prefix="kinto")
        self._failed_batches = 0  # in a row

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None or issubclass(kind, Interrupted):
                self.flush()
            if kind is None and not self._dry_run and self._settlement.first_id:
                raise_if_flushed(
                    self._client, self._settlement.first_id, may_list=self._index is not None
                )
        finally:
            self._abandon()  # nothing is left if all went well
            self._sender.shutdown()

    def look_up(self, records: Iterable[Any]) -> None:
        """Read what is known of these in one query: ``add``, which comes next, is then faster."""
        self._comparison.look_up(records)

    def skip_known(self, lines: Sequence[bytes]) -> bool:
        """Settle lines as unchanged if each was found equal before and is so still.

        Returns False if nothing was settled: decode the lines then, and ``add`` all of them.
        """
        ids = self._comparison.ids_if_known(lines)
        if not ids or self._are_on_their_way(ids):
            return False
        self._settlement.known(ids)
        return True

    def add(self, record: Any, where: str, line: bytes = b"") -> None:
        """Store ``record``, soon. ``where`` (``"line 3"``) is for messages.

        ``line``, from which it was decoded, is what ``skip_known`` knows if it is unchanged.
        Blocks while two batches are in flight. What is not a record is reported and counted as
        refused. Raises :class:`Fatal` if no record can be stored, :class:`Unreachable` if the
        server is gone.
        """
        record_id = self._comparison.id_if_equal(record)
        if record_id and not self._are_on_their_way([record_id]):
            self._settlement.unchanged(record_id, line)
            return
        try:
            data = record_data(record)
        except BadInput as error:
            self._settlement.invalid(where, record, error)
            return
        effect = self._comparison.effect(data)
        if effect is Effect.UNCHANGED and not self._are_on_their_way([data["id"]]):
            self._settlement.unchanged(data["id"], line)
            return
        if self._dry_run:
            self._settlement.not_sent(effect)
            self._on_difference(data.get("id", ""), effect.name.lower())
            return
        self._open.append(Item(where, store_request(self._client, data)))
        if len(self._open.items) >= self._size:
            self._send()

    def flush(self) -> None:
        """Send what is open, and wait until every record is settled."""
        self._send()
        while self._in_flight:
            self._settle_oldest()

    def _are_on_their_way(self, ids: Sequence[str]) -> bool:
        """Whether other versions of any record are open or in flight: they may yet be stored."""
        if not (self._open.ids or self._in_flight):
            return False
        return not self._open.ids.isdisjoint(ids) or any(
            not batch.ids.isdisjoint(ids) for batch, _ in self._in_flight
        )

    def _send(self) -> None:
        """Open → in flight."""
        if not self._open.items:
            return
        while len(self._in_flight) >= _MAX_IN_FLIGHT:
            self._settle_oldest()
        requests = [item.request for item in self._open.items]
        self._in_flight.append((self._open, self._sender.submit(send, self._client, requests)))
        self._open = _Batch()

    def _settle_oldest(self) -> None:
        """In flight → settled: wait for the response to the oldest batch."""
        batch, future = self._in_flight.popleft()
        try:
            responses = future.result()
        except CancelledError:
            self._settlement.failed(batch.items, "")
        except BuildhubError as error:
            self._settle_failed(batch, error)
        else:
            self._failed_batches = 0
            if rejection := self._settlement.responses(batch.items, responses):
                raise self._client.fatal(rejection)

    def _settle_failed(self, batch: _Batch, error: BuildhubError) -> None:
        """A batch without response; raises if the next would have none either."""
        self._settlement.failed(batch.items, str(error))
        if isinstance(error, RequestRejected):
            raise self._client.fatal(error)
        self._failed_batches += 1
        if not isinstance(error, Unreachable) or self._failed_batches >= _MAX_FAILED_BATCHES:
            raise error

    def _abandon(self) -> None:
        """Settle all that is left: the batch that is being sent completes, no other is sent."""
        for _, future in self._in_flight:
            future.cancel()
        while self._in_flight:
            with contextlib.suppress(BuildhubError):
                self._settle_oldest()
        self._settlement.failed(self._open.items, "")
        self._open = _Batch()
