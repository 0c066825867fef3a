"""What the cache says of the place of a build's metadata; no request is made.

No event loop is needed either: a run that finds everything here starts none.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable

from .cache import CachedAnswers, LookupCache, NotCached
from .formats import Metadata, without_build_id
from .locations import (
    CandidateLocation,
    FileLocation,
    MetadataLocation,
    NightlyLocation,
    NoLocation,
    ReleaseLocation,
    SamePushLocation,
)

#: Locations whose metadata is at hand without looking into the cache again.
SETTLED = 1_000

_NOT_SETTLED = (None, "")
_NO_LIMIT = "9999"


class CachedLookup(CachedAnswers):
    """The cached answers by the location of a build's metadata.

    The arguments are those of :class:`CachedAnswers`.
    """

    def __init__(
        self,
        cache: LookupCache,
        *,
        keep_absent: bool = True,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(cache, keep_absent=keep_absent, clock=clock)
        self._folders_seen: set[str] = set()
        # With the date up to which the answer is the same. Builds that share it are adjacent rows.
        self._settled: dict[MetadataLocation, tuple[Metadata | None, str]] = {}

    def find(self, location: MetadataLocation, date: str) -> Metadata | NotCached | None:
        """The metadata, None if there is none, or ``NOT_CACHED``.

        ``date`` is the last modification of the build whose metadata is wanted.
        """
        metadata, until = self._settled.get(location, _NOT_SETTLED)
        if date <= until:
            return metadata
        found = self._find(location, date)
        if isinstance(found, Metadata) and not found.provisional:
            if len(self._settled) >= SETTLED:
                self._settled.clear()
            self._settled[location] = found, self._same_until(location)
        return found

    def _find(self, location: MetadataLocation, date: str) -> Metadata | NotCached | None:
        if isinstance(location, NoLocation):
            return without_build_id(location.product, location.number)
        if isinstance(location, ReleaseLocation):
            number = self.highest_build(location.candidates, date)
            if number is None or isinstance(number, NotCached):
                return number
            location = location.in_build(number)
        elif isinstance(location, CandidateLocation) and location.folder not in self._folders_seen:
            self._folders_seen.add(location.folder)
            self.build_seen(location.candidates, location.number, date)
        return self.metadata(address(location), date)

    def _same_until(self, location: MetadataLocation) -> str:
        """The date of the newest build for which the answer that was just found is valid."""
        if isinstance(location, ReleaseLocation):
            return self.newest(location.candidates)
        return _NO_LIMIT

    def put_metadata(self, address: str, metadata: Metadata | None, date: str) -> None:
        """See :class:`CachedAnswers`."""
        self._settled.clear()
        super().put_metadata(address, metadata, date)

    def put_highest_build(self, candidates: str, number: int | None, date: str) -> int | None:
        """See :class:`CachedAnswers`."""
        self._settled.clear()
        return super().put_highest_build(candidates, number, date)

    def build_seen(self, candidates: str, number: int, date: str) -> None:
        """See :class:`CachedAnswers`."""
        self._settled.clear()
        super().build_seen(candidates, number, date)


@functools.lru_cache(maxsize=1024)  # all locales of a platform have the same location
def address(location: FileLocation) -> str:
    """The name under which the cache keeps what is known of a location."""
    if isinstance(location, NightlyLocation):
        return location.stem
    if isinstance(location, SamePushLocation):
        return f"{location.folder} {location.product}"
    return f"{location.folder}{location.versions[0]} {location.file_platform}".rstrip()
