"""Tasks of a run, inventories of S3 or sections of the archive's own bucket, and their results."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from ..builds.products import products_in
from ..errors import BadInput
from ..inventory.selection import SECTIONS, Selection
from ..kinto.publisher import PublishCounts
from ..pipeline.record_maker import PipelineCounts
from ..settings import Settings


@dataclass(frozen=True)
class InventoryTask:
    """An inventory to load: the newest one, or what an earlier run left of one."""

    kind: ClassVar[str] = "inventory"
    name: str  #: ``firefox``
    manifest: str | None = None  #: the date of its folder, ``2017-08-02T00-11Z``
    files: tuple[str, ...] | None = None  #: keys of the files to load; None: all

    @property
    def is_rest(self) -> bool:
        """Tells if an earlier run has begun it."""
        return self.files is not None

    def as_dict(self) -> dict[str, Any]:
        """Returns what :func:`parse_tasks` reads."""
        files = None if self.files is None else list(self.files)
        return {"inventory": self.name, "manifest": self.manifest, "files": files}


@dataclass(frozen=True)
class SectionTask:
    """A section of a product to load from the bucket, or what an earlier run left of one."""

    kind: ClassVar[str] = "section"
    product: str  #: the folder, such as ``mobile``
    section: str  #: ``nightly``
    start_after: str = ""  #: raw key: objects up to this one are done

    @property
    def name(self) -> str:
        """Returns ``mobile/nightly``."""
        return f"{self.product}/{self.section}"

    @property
    def has_builds(self) -> bool:
        """Tells if the table of products says that there are builds."""
        return any(self.section in product.sections for product in products_in(self.product))

    @property
    def is_rest(self) -> bool:
        """Tells if an earlier run has begun it."""
        return bool(self.start_after)

    def as_dict(self) -> dict[str, Any]:
        """Returns what :func:`parse_tasks` reads."""
        return dataclasses.asdict(self)


LoadTask = InventoryTask | SectionTask


@dataclass
class LoadResult:
    """The result of one task, also while it is being loaded."""

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
    unknown: Sequence[str] = ()  #: nightly folders of unknown trees

    @property
    def name(self) -> str:
        """Returns ``firefox``, or ``firefox/nightly``."""
        return self.task.name

    @property
    def title(self) -> str:
        """Returns ``Inventory firefox``, or ``Section firefox/nightly``: for messages."""
        return f"{self.task.kind.capitalize()} {self.name}"

    @property
    def problem(self) -> str:
        """Returns why it is not complete, in a sentence without figures; empty if it is."""
        if self.error or self.ok:
            return self.error
        if self.remaining:
            return "the run ended before all of it was loaded."
        return "some builds failed or were refused, or rows were bad; the log names them."

    @property
    def ok(self) -> bool:
        """Tells if all of it was read and every build with metadata is stored."""
        return (
            not (self.error or self.remaining or self.failed)
            and self.pipeline.ok
            and self.published.ok
        )

    @property
    def failed(self) -> int:
        """Counts builds whose metadata could not be fetched, or whose record is not stored."""
        return self.pipeline.failed + self.published.failed

    @property
    def not_finished(self) -> int:
        """Counts the builds that were not done when the run was stopped."""
        return self.pipeline.not_finished + self.pipeline.records - self.published.records

    @property
    def seconds(self) -> float:
        """Returns how long it took, or has taken so far."""
        return (self.ended or time.monotonic()) - self.began

    def as_dict(self) -> dict[str, Any]:
        """Returns the figures as the Lambda returns them."""
        return {
            self.task.kind: self.name,
            "manifest": self.manifest,
            "rows": self.pipeline.rows,
            "bad_rows": self.pipeline.bad_rows,
            "builds": self.pipeline.builds,
            "records": self.pipeline.records,
            **dataclasses.asdict(self.published),
            "failed": self.failed,
            "not_finished": self.not_finished,
            "skipped": dict(self.pipeline.skipped),
            "newest_build": self.pipeline.newest_build or None,
            "seconds": round(self.seconds, 1),
            "error": self.problem or None,
        }


def tasks_of(settings: Settings) -> list[LoadTask]:
    """Returns all that is to be loaded, as SOURCE says."""
    if settings.source == "bucket":
        return [SectionTask(*section) for section in Selection(settings.products).all_sections()]
    return [InventoryTask(name) for name in settings.inventories]


def parse_tasks(remaining: Any) -> list[LoadTask]:
    """Reads the tasks from the ``remaining`` of an earlier run. Raises :class:`BadInput`."""
    try:
        return [_parse(one) for one in remaining]
    except (TypeError, KeyError, AttributeError, ValueError):
        raise BadInput(
            "The event's 'remaining' is not what an earlier run returned: send its result"
            " unchanged, or {} to load everything."
        ) from None


def _parse(one: Any) -> LoadTask:
    if "section" in one:
        section = SECTIONS[SECTIONS.index(one["section"])]
        return SectionTask(str(one["product"]), section, str(one["start_after"]))
    if one.get("manifest"):
        return InventoryTask(str(one["inventory"]), one["manifest"], tuple(map(str, one["files"])))
    return InventoryTask(str(one["inventory"]))
