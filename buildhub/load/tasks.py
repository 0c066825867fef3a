"""What a run has to load: inventories of S3, or sections of the archive's own bucket."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..errors import BadInput
from ..inventory.selection import SECTIONS, Selection
from ..settings import Settings


class InventoryTask(NamedTuple):
    """An inventory to load: the newest one, or what an earlier run left of one."""

    name: str  #: ``firefox``
    manifest: str | None = None  #: the date of its folder, ``2017-08-02T00-11Z``
    files: tuple[str, ...] | None = None  #: keys of the files to load; None: all

    @property
    def kind(self) -> str:
        """What the result calls it."""
        return "inventory"

    def as_dict(self) -> dict[str, Any]:
        """What :func:`parse_tasks` reads."""
        files = None if self.files is None else list(self.files)
        return {"inventory": self.name, "manifest": self.manifest, "files": files}


class SectionTask(NamedTuple):
    """A section of a product to load from the bucket, or what an earlier run left of one."""

    product: str  #: the folder, such as ``mobile``
    section: str  #: ``nightly``
    start_after: str = ""  #: raw key: objects up to this one are done

    @property
    def kind(self) -> str:
        """What the result calls it."""
        return "section"

    @property
    def name(self) -> str:
        """``mobile/nightly``"""
        return f"{self.product}/{self.section}"

    def as_dict(self) -> dict[str, Any]:
        """What :func:`parse_tasks` reads."""
        return self._asdict()


LoadTask = InventoryTask | SectionTask


def tasks_of(settings: Settings) -> list[LoadTask]:
    """All that is to be loaded, as SOURCE says."""
    if settings.source == "bucket":
        return [SectionTask(*section) for section in Selection(settings.products).all_sections()]
    return [InventoryTask(name) for name in settings.inventories]


def parse_tasks(remaining: Any) -> list[LoadTask]:
    """The tasks from the ``remaining`` of an earlier run. Raises :class:`BadInput`."""
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
