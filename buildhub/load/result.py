"""What became of an inventory, or of a section of the bucket, while it is loaded and after."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from ..kinto import PublishCounts
from ..pipeline.record_maker import PipelineCounts
from .tasks import LoadTask


@dataclass
class LoadResult:
    """What became of one task."""

    task: LoadTask
    manifest: str = ""  #: the date of the inventory's folder
    pipeline: PipelineCounts = field(default_factory=PipelineCounts)
    published: PublishCounts = field(default_factory=PublishCounts)
    step: str = ""  #: what is being loaded, for the progress display
    fraction: float | None = None  #: how much of it is loaded, if that is known
    began: float = field(default_factory=time.monotonic)
    ended: float | None = None
    error: str = ""  #: a sentence, if not everything could be loaded
    remaining: LoadTask | None = None  #: what is left to do

    @property
    def name(self) -> str:
        """``firefox``, or ``firefox/nightly``."""
        return self.task.name

    @property
    def title(self) -> str:
        """``Inventory firefox``, or ``Section firefox/nightly``: for messages."""
        return f"{self.task.kind.capitalize()} {self.name}"

    @property
    def ok(self) -> bool:
        """Whether all of it was read and every build with metadata is stored."""
        return (
            not (self.error or self.remaining or self.failed)
            and self.pipeline.ok
            and self.published.ok
        )

    @property
    def failed(self) -> int:
        """Builds whose metadata could not be fetched, or whose record could not be stored."""
        return self.pipeline.failed + self.published.failed

    @property
    def not_finished(self) -> int:
        """Builds that were not settled when the run was stopped."""
        return self.pipeline.not_finished + self.pipeline.records - self.published.records

    @property
    def seconds(self) -> float:
        """How long it took, or has taken so far."""
        return (self.ended or time.monotonic()) - self.began

    @property
    def rate(self) -> float:
        """Rows per second."""
        return self.pipeline.rows / self.seconds if self.seconds else 0.0

    def as_dict(self) -> dict[str, Any]:
        """The figures, as the Lambda returns them."""
        return {
            self.task.kind: self.name,
            "manifest": self.manifest,
            "rows": self.pipeline.rows,
            "bad_rows": self.pipeline.bad_rows,
            "builds": self.pipeline.builds,
            "records": self.pipeline.records,
            "created": self.published.created,
            "updated": self.published.updated,
            "unchanged": self.published.unchanged,
            "refused": self.published.refused,
            "failed": self.failed,
            "not_finished": self.not_finished,
            "skipped": dict(self.pipeline.skipped),
            "newest_build": self.pipeline.newest_build or None,
            "seconds": round(self.seconds, 1),
            "error": self.error or None,
        }
