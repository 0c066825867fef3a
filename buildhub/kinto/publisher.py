"""A stream of records → batches → Kinto → counts of what became of each record.

A record is in one of these states:

- *open*: added to the batch that is being filled;
- *in flight*: its batch was handed to the thread that sends; there are at most two such batches,
  one that is being sent and one behind it;
- *counted*, once and for good, as created, updated, unchanged, refused or failed.

``add`` moves records from open to in flight, and counts batches as their responses come;
``flush`` counts everything; leaving the context does so too, and an error counts what is left
as failed.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple, Self
from urllib.parse import urlencode

from ..errors import BadInput, BuildhubError, Fatal, Interrupted, Unreachable
from ..records import Outcome
from ..retries import RetryableError
from .batch import BatchResponse, Request, record_data, send_with_extras, store_request
from .client import Client, RequestRejected, validate_page
from .filters import quoted
from .record_index import RecordIndex, differs, digest, lacks

#: Maximum number of batches in flight: while one is sent, the next is made.
_MAX_IN_FLIGHT = 2

#: After so many batches in a row without a proper answer to any record, the server counts as gone.
_MAX_FAILED_BATCHES = 3


class CollectionFlushed(Fatal):
    """Records that were stored are gone, and were not deleted one by one."""


@dataclass
class PublishCounts:
    """Counts of the records of a run, by outcome."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    refused: int = 0  #: rejected by the server (its schema), or not valid records
    failed: int = 0  #: may not have been stored

    def add(self, outcome: Outcome, count: int = 1) -> None:
        """Counts records of one outcome."""
        setattr(self, outcome.value, getattr(self, outcome.value) + count)

    @property
    def records(self) -> int:
        """Returns the number of all records that are counted."""
        return sum(dataclasses.astuple(self))

    @property
    def ok(self) -> bool:
        """Tells if every record is on the server."""
        return not (self.refused or self.failed)

    def __str__(self) -> str:
        return ", ".join(f"{count} {name}" for name, count in dataclasses.asdict(self).items())


class _Item(NamedTuple):
    """A record on its way."""

    where: str
    request: Request
    may_lack: bool  #: what the server has, and the next version keeps

    @property
    def data(self) -> dict[str, Any]:
        """Returns it as it is sent: always with an id."""
        return self.request["body"]["data"]  # type: ignore[no-any-return]

    @property
    def came_without_id(self) -> bool:
        """Tells if its id was generated here."""
        return bool(self.request["method"] == "POST")

    @property
    def name(self) -> str:
        """Returns a name for messages: a generated id would mean nothing to the reader."""
        return "a record without id" if self.came_without_id else str(self.data["id"])


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
        on_difference: Callable[[str, str], None] = lambda record_id, outcome: None,
        on_error: Callable[[str], None],
        on_not_stored: Callable[[Any], None] = lambda record: None,
    ) -> None:
        self.counts = PublishCounts()
        self._client = client
        self._index = index
        self._rewrite = rewrite
        self._dry_run = dry_run
        self._on_difference = on_difference
        self._on_error = on_error
        self._on_not_stored = on_not_stored
        self._size = client.batch_size
        self._open: list[_Item] = []
        self._in_flight: deque[tuple[list[_Item], Future[list[BatchResponse]]]] = deque()
        #: Ids of records that are open or in flight: other versions of them may yet be stored.
        self._on_their_way: Counter[str] = Counter()
        self._sender = ThreadPoolExecutor(1, thread_name_prefix="kinto")
        self._unnamed: list[_Item] = []  # failed, and reported at the end
        self._first_id = ""  # of the records that are on the server

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None or issubclass(kind, Interrupted):
                self.flush()
            if kind is None and not self._dry_run and self._first_id:
                self._raise_if_flushed()
        finally:
            self._abandon()  # nothing is left if all went well
            self._sender.shutdown()

    def skip_known(self, lines: Sequence[bytes]) -> bool:
        """Counts lines as unchanged if each was found equal before; else returns False.

        It takes a third of the time of decoding and adding them. Otherwise ``add``, which comes
        next, is faster: what is known of them was read in one query.
        """
        ids = self._index.ids_if_equal(lines) if self._index is not None else []
        if not ids or self._rewrite or not self._on_their_way.keys().isdisjoint(ids):
            return False
        self._count_unchanged(ids)
        return True

    def add(self, record: Any, where: str, line: bytes = b"") -> None:
        """Stores ``record``, soon. ``where`` (``"line 3"``) is for messages.

        ``line``, from which it was decoded, is what ``skip_known`` knows if it is unchanged.
        Blocks while two batches are in flight. What is not a record is reported and counted as
        refused. Raises :class:`Fatal` if no record can be stored, or if the server is gone.
        """
        try:
            given = record_data(record)
        except BadInput as error:
            self._refuse(record, f"{where}: {error}.")
            return
        data = self._client.without_unknown(given)
        line = line if data is given else b""  # it is another once the server knows all of it
        outcome, may_lack = self._compare(data)
        if outcome is Outcome.UNCHANGED and data["id"] not in self._on_their_way:
            self._count_unchanged([data["id"]], line)
        elif self._dry_run:
            self.counts.add(outcome)
            self._on_difference(data.get("id", ""), outcome.value)
        else:
            item = _Item(where, store_request(self._client, data), may_lack)
            self._open.append(item)
            self._on_their_way[item.data["id"]] += 1
            if len(self._open) >= self._size:
                self._send()

    def flush(self) -> None:
        """Sends what is open, and waits until every record is counted."""
        self._send()
        while self._in_flight:
            self._count_oldest()

    def _compare(self, data: Mapping[str, Any]) -> tuple[Outcome, bool]:
        """Returns what storing this record does, as far as is known.

        Tells as well if the server may have fields that this version of it lacks.
        """
        if "id" not in data or self._index is None:
            return Outcome.CREATED, "id" in data
        on_server = self._index.digest(data["id"])
        if on_server is None:
            return Outcome.CREATED, False
        new = digest(data)
        if self._rewrite or differs(on_server, new):
            return Outcome.UPDATED, lacks(on_server, new)
        return Outcome.UNCHANGED, on_server != new and lacks(on_server, new)

    def _count_unchanged(self, ids: Sequence[str], line: bytes = b"") -> None:
        self.counts.unchanged += len(ids)
        self._first_id = self._first_id or ids[0]
        if line and self._index is not None:
            self._index.remember_line(ids[0], line)

    def _send(self) -> None:
        """Moves what is open to in flight."""
        if not self._open:
            return
        while len(self._in_flight) >= _MAX_IN_FLIGHT:
            self._count_oldest()
        requests = [item.request for item in self._open]
        lacking = [item.data["id"] for item in self._open if item.may_lack]
        future = self._sender.submit(send_with_extras, self._client, requests, lacking)
        self._in_flight.append((self._open, future))
        self._open = []

    def _count_oldest(self) -> None:
        """Counts the oldest batch in flight, when its response is there."""
        items, future = self._in_flight.popleft()
        self._on_their_way -= Counter(item.data["id"] for item in items)
        try:
            responses = future.result()
        except CancelledError:
            self._fail(items, "")
        except BuildhubError as error:
            self._count_unanswered(items, error)
        else:
            self._count_responses(items, responses)
            if all(response.failed for response in responses):
                problem = f"all records of {_MAX_FAILED_BATCHES} batches in a row failed"
                reason = RetryableError(problem, status=responses[-1].status)
                self._note_failed_batch(self._client.unreachable(reason))
            else:
                self._client.failed_batches = 0

    def _count_unanswered(self, items: Sequence[_Item], error: BuildhubError) -> None:
        """Counts a batch without response; raises if the next would have none either."""
        self._fail(items, str(error))
        if isinstance(error, RequestRejected):
            raise self._client.fatal(error)
        self._note_failed_batch(error)

    def _note_failed_batch(self, error: BuildhubError) -> None:
        """Raises :class:`Fatal` if the server seems to be gone; any other error as it is."""
        self._client.failed_batches += 1
        if not isinstance(error, Unreachable):
            raise error
        if self._client.failed_batches >= _MAX_FAILED_BATCHES:
            raise Fatal(str(error)) from None

    def _count_responses(self, items: Sequence[_Item], responses: Sequence[BatchResponse]) -> None:
        """Counts each record; raises :class:`Fatal` for a rejection that concerns all records."""
        rejection = None
        stored = []
        for item, response in zip(items, responses, strict=True):
            if response.stored:
                # A POST that is answered with 200 was stored by an earlier attempt.
                self.counts.add(Outcome.CREATED if item.came_without_id else response.outcome)
                stored.append((item.data["id"], digest(item.data)))
            elif response.failed:
                self._fail([item], response.reason)
            elif response.concerns_all:
                rejection = RequestRejected(item.where, response.status, response.body)
                self._fail([item], "")
            else:
                reason = f"Kinto refuses {item.name}: {response.reason}."
                self._refuse({"data": item.data}, f"{item.where}: {reason}")
        if stored:
            self._first_id = self._first_id or stored[0][0]
        if self._index is not None:
            self._index.mark_stored(stored)
        if rejection:
            raise self._client.fatal(rejection)

    def _refuse(self, record: Any, sentence: str) -> None:
        """Counts and reports what is not a record, or is not one for the server."""
        self.counts.refused += 1
        self._on_not_stored(record)
        self._on_error(sentence)

    def _fail(self, items: Sequence[_Item], reason: str) -> None:
        """Counts records that may or may not be stored; reports them, at the end if no reason."""
        self.counts.failed += len(items)
        for item in items:
            self._on_not_stored({"data": item.data})
        if self._index is not None:
            self._index.invalidate(item.data["id"] for item in items)
        if reason:
            self._report(items, reason)
        else:
            self._unnamed += items

    def _report(self, items: Sequence[_Item], reason: str) -> None:
        if items:
            first, last = items[0], items[-1]
            what = f"this and the records up to {last.where}" if last is not first else first.name
            self._on_error(f"{first.where}: {what} may not have been stored: {reason.rstrip('.')}.")

    def _raise_if_flushed(self) -> None:
        """Raises :class:`CollectionFlushed` unless the server has, or had, the first record.

        That was stored, or was there already, and is gone after a flush at any later moment. If
        somebody has deleted it, Kinto keeps a tombstone, which a flush removes too.
        """
        client = self._client
        query = urlencode({"in_id": quoted(self._first_id), "_since": 1})
        path = f"{client.records_path}?{query}"
        try:
            body, _ = client.request("GET", path, validate=validate_page)
        except RequestRejected as error:
            # Without an index, these credentials may be allowed to write, but not to read.
            if error.status == 403 and self._index is None:
                return
            raise client.fatal(error) from None
        except Unreachable as error:
            raise Fatal(str(error)) from None
        if not body["data"]:
            raise CollectionFlushed(
                f"Kinto at {client.url}: the collection {client.bucket}/{client.collection} was"
                " flushed or deleted while records were stored, so that some of them are missing:"
                " run the same command again."
            )

    def _abandon(self) -> None:
        """Counts all that is left: the batch that is being sent completes, no other is sent."""
        for _, future in self._in_flight:
            future.cancel()
        while self._in_flight:
            with contextlib.suppress(BuildhubError):
                self._count_oldest()
        self._fail(self._open, "")
        self._open = []
        self._report(self._unnamed, "the run ended")
