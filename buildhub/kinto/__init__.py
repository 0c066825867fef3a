"""Records into a Kinto collection and back. Knows nothing of the archive."""

from ..records import Outcome
from .batch import BatchResponse, record_data
from .client import Client, RequestRejected
from .conditional_writes import PutResult, StoredRecord, fetch_stored, put_if_unchanged
from .publisher import CollectionFlushed, PublishCounts, Publisher
from .record_index import RecordIndex, differs, digest
from .refresh import Changes, Position, read_changes

__all__ = [
    "BatchResponse",
    "Changes",
    "Client",
    "CollectionFlushed",
    "Outcome",
    "Position",
    "PublishCounts",
    "Publisher",
    "PutResult",
    "RecordIndex",
    "RequestRejected",
    "StoredRecord",
    "differs",
    "digest",
    "fetch_stored",
    "put_if_unchanged",
    "read_changes",
    "record_data",
]
