"""Whether a collection was flushed or deleted, and perhaps made anew, while it was written to."""

from __future__ import annotations

from urllib.parse import urlencode

from .client import Client, validate_list
from .errors import CollectionFlushed, RequestRejected
from .filters import quoted


def raise_if_flushed(client: Client, record_id: str, *, may_list: bool) -> None:
    """Raise :class:`CollectionFlushed` unless the server has, or had, this record.

    The first record that was stored, or was there already, is gone after a flush at any later
    moment. If somebody has deleted it, Kinto keeps a tombstone, which a flush removes too.
    ``may_list``: these credentials are known to be allowed to read the collection; otherwise a
    refusal says nothing.
    """
    query = urlencode({"in_id": quoted(record_id), "_since": 1})
    try:
        body, _ = client.request("GET", f"{client.records_path}?{query}", validate=validate_list)
    except RequestRejected as error:
        if error.status == 403 and not may_list:
            return
        raise client.fatal(error) from None
    if not body["data"]:
        raise CollectionFlushed(
            f"Kinto at {client.url}: the collection {client.bucket}/{client.collection} was flushed"
            " or deleted while records were stored, so that some of them are missing: run the"
            " same command again."
        )
