"""Publish: records into a Kinto collection. Knows nothing of the archive.

``client``        the HTTP client: credentials, timeouts, retries, error messages
``errors``        what an unusable response or a rejection means
``batch``         many requests in one, and the response to each
``record_index``  ids and digests of the records on the server, kept between runs
``refresh``       what changed on the server → the index
``comparison``    records against that index
``publisher``     a stream of records → the server → counts
``flushed``       whether the collection was deleted meanwhile
``settlement``    what becomes of each record, counted and reported
``conditional``   a few records that others may be writing at the same moment
``filters``       conditions on records, for the server and for us
``reader``        the records that fulfil them
``schema``        ``initialization.yml`` → bucket, collection, schema and permissions
"""

from .batch import BatchResponse, record_data
from .client import Client
from .conditional import PutResult, PutStatus, StoredRecord, fetch_stored, put_if_unchanged
from .errors import CollectionFlushed, RequestRejected
from .publisher import Publisher
from .record_index import RecordIndex
from .refresh import refresh
from .settlement import PublishCounts

__all__ = [
    "BatchResponse",
    "Client",
    "CollectionFlushed",
    "PublishCounts",
    "Publisher",
    "PutResult",
    "PutStatus",
    "RecordIndex",
    "RequestRejected",
    "StoredRecord",
    "fetch_stored",
    "put_if_unchanged",
    "record_data",
    "refresh",
]
