"""Rows → records; what became of each row."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple, Self

from ..archive.locations import MetadataLocation, location_of
from ..archive.lookup import MetadataLookup
from ..archive.metadata_formats import Metadata
from ..builds.products import PRODUCTS
from ..builds.recognise import Build, recognise
from ..errors import Unreachable
from ..inventory.row_formats import InventoryRow
from ..records import Outcome, Record, invalid_field, make_record


@dataclass
class PipelineCounts:
    """Counts of the rows of a run: each builds a record, is skipped or failed."""

    rows: int = 0
    bad_rows: int = 0
    unreadable_files: int = 0
    builds: int = 0
    records: int = 0
    failed: int = 0  #: builds whose metadata could not be fetched
    skipped: Counter[str] = field(default_factory=Counter)  #: builds, by reason
    newest_build: str = ""  #: the newest build date of a record; of some builds it is not known
    newest_file: str = ""  #: when the newest build's file was modified, also if that is too old

    @property
    def not_finished(self) -> int:
        """Returns the builds whose metadata was still awaited when the run was stopped."""
        return self.builds - self.records - self.failed - self.skipped.total()

    @property
    def ok(self) -> bool:
        """Tells if every row was read and no build failed."""
        return not (self.bad_rows or self.unreadable_files or self.failed)

    def as_dict(self) -> dict[str, Any]:
        """Returns the figures as ``--summary`` writes them."""
        counts = dataclasses.asdict(self) | {"not_finished": self.not_finished}
        del counts["newest_file"]
        return {"newest_build": counts.pop("newest_build") or None, "counts": counts}

    def skipped_by_reason(self) -> str:
        """Returns ``1,204 no metadata, 3 suspicious field``; empty if nothing was skipped."""
        return ", ".join(f"{number:,} {reason}" for reason, number in self.skipped.most_common())

    def __str__(self) -> str:
        skipped = self.skipped_by_reason()
        parts = [
            f"{self.rows:,} rows",
            f"{self.builds:,} builds",
            f"{self.records:,} records",
            f"skipped: {skipped}" if skipped else "none skipped",
            f"{self.bad_rows:,} bad rows" if self.bad_rows else "",
            f"{self.failed:,} failed" if self.failed else "",
            f"{self.not_finished:,} not finished" if self.not_finished else "",
        ]
        return ", ".join(filter(None, parts))


class Pending(NamedTuple):
    """A build whose metadata is being fetched."""

    row: InventoryRow
    build: Build
    location: MetadataLocation
    fetch: asyncio.Task[Metadata | None]  #: may be shared by builds with the same metadata


class NotMade(NamedTuple):
    """A row without a record, and why."""

    outcome: Outcome
    detail: str = ""  #: where the outcome alone does not say everything


class RecordMaker:
    """Makes the records of rows, and counts what becomes of each.

    ``products`` are the folders of the archive to process; files that were last modified before
    ``oldest`` (in UTC) are skipped. ``on_error`` is called with a sentence for each build that
    failed, ``on_skip`` for each that was skipped because of its metadata.
    """

    def __init__(
        self,
        lookup: MetadataLookup,
        *,
        archive_url: str,
        products: Sequence[str],
        oldest: datetime | None = None,
        on_error: Callable[[str], None] = lambda sentence: None,
        on_skip: Callable[[str], None] = lambda sentence: None,
    ) -> None:
        self.counts = PipelineCounts()
        self.archive_url = archive_url
        self.lookup = lookup
        self._products = {p.name for p in PRODUCTS.values() if p.folder in products}
        self._oldest = _comparable(oldest) if oldest else ""
        self._on_error = on_error
        self._on_skip = on_skip

    def renewed(self, row: InventoryRow | None = None) -> Self:
        """Returns a maker that asks the archive again.

        It knows all files that were seen, and ``row``, whether a listing shows them or not.
        """
        other = copy.copy(self)
        other.lookup = self.lookup.renewed()
        if row:
            other.lookup.cache.file_seen(row.key, row.date)
        return other

    async def record(self, row: InventoryRow, build: Build) -> Record | NotMade:
        """Makes the record of one row. Raises :class:`Fatal`.

        A caller that is cancelled does not take the metadata from those who wait for it, too.
        """
        made = self._begin(row, build)
        if isinstance(made, Pending):
            await asyncio.wait([made.fetch])
            made = self.finish(made)
        return made

    def make(self, row: InventoryRow) -> Record | Pending | NotMade:
        """Makes the record of a row, if its metadata is cached; otherwise begins to fetch that."""
        build = recognise(row.key)
        if build is None:
            return _IGNORED
        self.counts.builds += 1
        if build.product not in self._products:
            return self._skip("other product", _IGNORED)
        if row.date > self.counts.newest_file:
            self.counts.newest_file = row.date
        if row.date < self._oldest:
            return self._skip("too old", _IGNORED)
        return self._begin(row, build)

    def finish(self, pending: Pending) -> Record | NotMade:
        """Makes the record of a build whose metadata has been fetched. Raises :class:`Fatal`."""
        row, build, location, fetch = pending
        try:
            metadata = fetch.result()
        except Unreachable as error:
            self.counts.failed += 1
            self._on_error(f"{row.key}: its metadata cannot be fetched: {error}")
            return NotMade(Outcome.FAILED, str(error))
        return self._make(row, build, location, metadata)

    def _begin(self, row: InventoryRow, build: Build) -> Record | Pending | NotMade:
        location = location_of(build)
        found = self.lookup.find(build, location, row.size, row.date)
        if isinstance(found, asyncio.Task):
            return Pending(row, build, location, found)
        return self._make(row, build, location, found)

    def _make(
        self, row: InventoryRow, build: Build, location: MetadataLocation, metadata: Metadata | None
    ) -> Record | NotMade:
        if metadata is None:
            self._on_skip(f"{row.key}: no metadata.")
            without_id = location in self.lookup.without_id
            return self._skip("no metadata", _WITHOUT_ID if without_id else _NO_METADATA)
        record = make_record(
            build, metadata, url=self.archive_url + row.key, size=row.size, date=row.date
        )
        if field := invalid_field(record):
            self._on_skip(f"{row.key}: suspicious {field}.")
            return self._skip("suspicious field", NotMade(Outcome.INVALID, f"invalid {field}"))
        self.counts.records += 1
        date = metadata.build.get("date")
        if date and date > self.counts.newest_build:
            self.counts.newest_build = date
        return record

    def _skip(self, reason: str, not_made: NotMade) -> NotMade:
        self.counts.skipped[reason] += 1
        return not_made


_IGNORED = NotMade(Outcome.IGNORED)
_NO_METADATA = NotMade(Outcome.NO_METADATA)
_WITHOUT_ID = NotMade(Outcome.NO_METADATA, "the file has no usable build id")


def _comparable(moment: datetime) -> str:
    """Writes a time as inventory rows have it; strftime does not pad years before 1000."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"
