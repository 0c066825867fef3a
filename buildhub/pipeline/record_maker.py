"""Rows → records, as far as all metadata is cached; what became of each row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

from ..archive.cache import NotCached
from ..archive.cached_lookup import CachedLookup
from ..archive.formats import Metadata
from ..archive.locations import MetadataLocation, location_of
from ..builds.products import PRODUCTS
from ..builds.recognise import Build, recognise
from ..errors import Unreachable
from ..inventory.row_formats import InventoryRow
from ..records import Record, invalid_field, make_record

#: Rows whose records are made and given out together.
BATCH = 200


@dataclass
class PipelineCounts:
    """What became of the rows of a run: each builds a record, is skipped or failed."""

    rows: int = 0
    bad_rows: int = 0
    unreadable_files: int = 0
    builds: int = 0
    records: int = 0
    failed: int = 0  #: builds whose metadata could not be fetched
    skipped: Counter[str] = field(default_factory=Counter)  #: builds, by reason

    @property
    def not_finished(self) -> int:
        """Builds whose metadata was still awaited when the run was stopped."""
        return self.builds - self.records - self.failed - self.skipped.total()

    @property
    def ok(self) -> bool:
        """Whether every row was read and no build failed."""
        return not (self.bad_rows or self.unreadable_files or self.failed)

    def skipped_by_reason(self) -> str:
        """``1,204 no metadata, 3 suspicious field``; empty if nothing was skipped."""
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


class Missing(NamedTuple):
    """A build whose metadata is not cached."""

    row: InventoryRow
    build: Build
    location: MetadataLocation  #: of the metadata


class RecordMaker:
    """Makes the records of rows, and counts what becomes of each.

    ``products`` are the folders of the archive to process; files that were last modified before
    ``oldest`` (in UTC) are skipped. ``on_error`` is called with a sentence for each build that
    failed, ``on_skip`` for each that was skipped because of its metadata.
    """

    def __init__(
        self,
        cache: CachedLookup,
        *,
        archive_url: str,
        products: Sequence[str],
        oldest: datetime | None,
        on_error: Callable[[str], None],
        on_skip: Callable[[str], None],
    ) -> None:
        self.counts = PipelineCounts()
        self._cache = cache
        self.archive_url = archive_url
        self._products = {p.name for p in PRODUCTS.values() if p.folder in products}
        self._oldest = _comparable(oldest) if oldest else ""
        self._on_error = on_error
        self._on_skip = on_skip

    def make(self, rows: Iterable[InventoryRow]) -> list[Record | Missing]:
        """The records of rows, in order; :class:`Missing` where metadata has to be fetched."""
        made = map(self._make, rows)
        return [one for one in made if one is not None]

    def _make(self, row: InventoryRow) -> Record | Missing | None:
        """None if the row is not to be published."""
        build = recognise(row.key)
        if build is None:
            return None
        self.counts.builds += 1
        if build.product not in self._products:
            self.counts.skipped["other product"] += 1
            return None
        if row.date < self._oldest:
            self.counts.skipped["too old"] += 1
            return None
        location = location_of(build)
        metadata = self._cache.find(location, row.date)
        if isinstance(metadata, NotCached):
            return Missing(row, build, location)
        return self.finish(row, build, metadata)

    def finish(self, row: InventoryRow, build: Build, metadata: Metadata | None) -> Record | None:
        """The record of a build whose metadata is known; None if it is not to be published."""
        if metadata is None:
            self._on_skip(f"{row.key}: no metadata.")
            self.counts.skipped["no metadata"] += 1
            return None
        record = make_record(
            build, metadata, url=self.archive_url + row.key, size=row.size, date=row.date
        )
        if suspicious := invalid_field(record):
            self._on_skip(f"{row.key}: suspicious {suspicious}.")
            self.counts.skipped["suspicious field"] += 1
            return None
        self.counts.records += 1
        return record

    def fail(self, row: InventoryRow, error: Unreachable) -> None:
        """The metadata of a build could not be fetched."""
        self.counts.failed += 1
        self._on_error(f"{row.key}: its metadata cannot be fetched: {error}")


def _comparable(moment: datetime) -> str:
    """A time as inventory rows have it; strftime does not pad years before 1000."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"
