"""The whole run: the newest inventories, or the archive's own bucket → records → Kinto."""

from .run import load_tasks
from .tasks import InventoryTask, LoadResult, LoadTask, SectionTask, parse_tasks, tasks_of

__all__ = [
    "InventoryTask",
    "LoadResult",
    "LoadTask",
    "SectionTask",
    "load_tasks",
    "parse_tasks",
    "tasks_of",
]
