"""Records into a Kinto collection and back. Knows nothing of the archive.

``client``              requests of one collection: retries, pages, error messages
``session``             one HTTP request: deadline, credentials, bounds
``batch``               many requests in one, and the response to each
``record_index``        ids and digests of the records on the server, kept between runs
``refresh``             what changed in a collection
``publisher``           a stream of records → the server → counts
``conditional_writes``  a few records that others may be writing at the same moment
``filters``             conditions on records, for the server and for us
``reader``              the records that fulfil them
``initialization``      ``initialization.yml`` → bucket, collection, schema and permissions
"""

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
