"""What changed on the server → the index: the difference, and everything only if need be."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, NamedTuple

from ..errors import Fatal
from .client import Client
from .errors import RequestRejected
from .record_index import RecordIndex

logger = logging.getLogger(__name__)

#: Milliseconds that a refresh reads again: a database may show a record only after a younger
#: one, as transactions do not end in the order in which their records were dated.
_OVERLAP = 10_000

#: Records in one page of a refresh: some 40 MB for a moment. Smaller pages are slower.
_PAGE = 10_000

#: How often the difference is read before all is read: others may write all the time.
_ATTEMPTS = 3


class CollectionState(NamedTuple):
    """What a collection says of itself."""

    records: int
    changed: int  #: when it changed last, in milliseconds


def refresh(
    index: RecordIndex, client: Client, raise_if_cancelled: Callable[[], None] = lambda: None
) -> None:
    """Learn what changed on the server since the last time, deletions included.

    ``raise_if_cancelled`` is called after each page; what was learned until then is kept.

    After it, every record of the server is known, so what is known is right if it is as many. A
    record that was stored after the difference was read is in the next difference. A server that
    was flushed, or a collection made anew, leaves no tombstones: the numbers differ, and all is
    read afresh. So it is where the collection's last change lies before what was read of it
    already (an older backup came back).
    """
    since = index.since
    if since and state_of(client).changed < since:
        logger.info("The collection is an older one than was known: all of it is read.")
        index.forget_all()
    for _ in range(_ATTEMPTS):
        _read(index, client, raise_if_cancelled)
        state = state_of(client)
        if len(index) == state.records:
            return
        if state.changed <= index.since:
            break
    logger.info("What was known does not fit the server: all of it is read.")
    index.forget_all()
    _read(index, client, raise_if_cancelled)


def state_of(client: Client) -> CollectionState:
    """How many records the server has, and when the collection last changed."""
    try:
        _, headers = client.request("HEAD", client.records_path)
    except RequestRejected as error:
        raise client.fatal(error) from None
    try:
        return CollectionState(int(headers["Total-Records"]), int(headers["ETag"].strip('"')))
    except (KeyError, ValueError):
        raise Fatal(f"{client.url} does not count its records as Kinto does.") from None


def _read(index: RecordIndex, client: Client, raise_if_cancelled: Callable[[], None]) -> None:
    """Read what is new, oldest first.

    So what changes meanwhile comes last, and a run that was killed goes on where it was.
    """
    since = index.since
    params: dict[str, Any] = {"_sort": "last_modified", "_limit": _PAGE}
    if since:
        params["_since"] = max(0, since - _OVERLAP)
    try:
        for page in client.pages(client.records_path, params):
            since = max([since, *(one["last_modified"] for one in page)])
            index.learn(page, since)
            del page
            raise_if_cancelled()
    except RequestRejected as error:
        raise client.fatal(error) from None
