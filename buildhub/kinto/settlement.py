"""What becomes of each record: counted once and for good, and reported if it is not stored."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..errors import BadInput
from .batch import BatchResponse, Request
from .digests import digest
from .errors import RequestRejected, reason_in
from .record_index import RecordIndex


@dataclass
class PublishCounts:
    """What became of the records of a run."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    refused: int = 0  #: rejected by the server (its schema), or not valid records
    failed: int = 0  #: may not be stored

    @property
    def records(self) -> int:
        """All records that are settled."""
        return self.created + self.updated + self.unchanged + self.refused + self.failed

    @property
    def ok(self) -> bool:
        """Whether every record is on the server."""
        return not (self.refused or self.failed)

    def __str__(self) -> str:
        return (
            f"{self.created} created, {self.updated} updated, {self.unchanged} unchanged,"
            f" {self.refused} refused, {self.failed} failed"
        )


class Effect(enum.Enum):
    """What storing a record does to the server."""

    CREATED = enum.auto()
    UPDATED = enum.auto()
    UNCHANGED = enum.auto()


class Item(NamedTuple):
    """A record on its way."""

    where: str
    request: Request

    @property
    def data(self) -> Mapping[str, Any]:
        """As it is sent: always with an id."""
        data: Mapping[str, Any] = self.request["body"]["data"]
        return data

    @property
    def came_without_id(self) -> bool:
        """Whether its id was generated here."""
        return bool(self.request["method"] == "POST")

    @property
    def name(self) -> str:
        """For messages: a generated id would mean nothing to the reader."""
        return "a record without id" if self.came_without_id else str(self.data["id"])


class Settlement:
    """Counts records once it is known what became of them, and updates the index."""

    def __init__(
        self,
        index: RecordIndex | None,
        on_error: Callable[[str], None],
        on_not_stored: Callable[[Any], None],
    ) -> None:
        self.counts = PublishCounts()
        self.first_id: str | None = None  #: of the records that are on the server
        self._index = index
        self._on_error = on_error
        self._on_not_stored = on_not_stored

    def unchanged(self, record_id: str, line: bytes) -> None:
        """A record that is not sent, as the server has an equal one."""
        self.known([record_id])
        if line and self._index is not None:
            self._index.remember_line(record_id, line)

    def known(self, ids: Sequence[str]) -> None:
        """Records that are not sent, as their lines are known."""
        self.counts.unchanged += len(ids)
        self.first_id = self.first_id or ids[0]

    def not_sent(self, effect: Effect) -> None:
        """A record that is not sent although it differs: what sending it would have done."""
        if effect is Effect.UPDATED:
            self.counts.updated += 1
        else:
            self.counts.created += 1

    def invalid(self, where: str, record: Any, error: BadInput) -> None:
        """Input that is not a record."""
        self.counts.refused += 1
        self._on_not_stored(record)
        self._on_error(f"{where}: {error}.")

    def responses(
        self, items: Sequence[Item], responses: Sequence[BatchResponse]
    ) -> RequestRejected | None:
        """Settle each record; returns the rejection that concerns all records, if any."""
        rejection = None
        stored = []
        for item, response in zip(items, responses, strict=True):
            if response.stored:
                self._stored(item, response)
                stored.append((item.data["id"], digest(item.data)))
            elif response.failed:
                self.failed([item], response.reason)
            elif response.status in (401, 403, 404):
                rejection = RequestRejected(item.where, response.status, response.body)
                self.failed([item], "")
            else:
                self.counts.refused += 1
                self._on_not_stored({"data": item.data})
                reason = reason_in(response.body)
                self._on_error(f"{item.where}: Kinto refuses {item.name}: {reason}.")
        if self._index is not None:
            self._index.mark_stored(stored)
        return rejection

    def _stored(self, item: Item, response: BatchResponse) -> None:
        self.first_id = self.first_id or item.data["id"]
        # A POST that is answered with 200 was stored by an earlier attempt.
        if response.status == 201 or item.came_without_id:
            self.counts.created += 1
        else:
            self.counts.updated += 1

    def failed(self, items: Sequence[Item], reason: str) -> None:
        """Records that may or may not be stored; reported unless ``reason`` is empty."""
        if not items:
            return
        self.counts.failed += len(items)
        for item in items:
            self._on_not_stored({"data": item.data})
        if self._index is not None:
            self._index.invalidate(item.data["id"] for item in items)
        if reason:
            first, last = items[0], items[-1]
            what = f"this and the records up to {last.where}" if last is not first else first.name
            self._on_error(f"{first.where}: {what} may not be stored: {reason.rstrip('.')}.")
