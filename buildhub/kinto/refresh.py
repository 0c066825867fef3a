"""Follows a collection: yields what changed on the server since the last time, or everything.

A copy of a collection is never trusted further than it can be checked. The newest record of the
copy has to be in the next difference (itself, a newer version, or its tombstone): otherwise the
server is another one, or was restored from a backup. A transaction may show a record later than
others that are dated after it, so the last ten minutes are read again. The number of records is
compared, as a flush and a collection that was deleted and recreated leave no tombstones; if others
write meanwhile, it may differ by as many as the next difference has.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import NamedTuple

from ..errors import Fatal
from .client import Client, StoredData

logger = logging.getLogger(__name__)

#: Milliseconds after which a record is settled, by the server's clock: no transaction that is
#: still open is older.
_OVERLAP = 10 * 60 * 1000

#: Milliseconds after which everything is read again: a difference can't show everything.
_WEEK = 7 * 24 * 3600 * 1000

#: Passes over the collection, each of them a difference if possible: others may write all the time.
_PASSES = 4


@dataclass(frozen=True)
class Position:
    """A point up to which a collection was read. Times are milliseconds since 1970."""

    newest_id: str = ""  #: of the newest record or tombstone that is known
    newest: int = 0  #: its ``last_modified``
    clock: int = 0  #: the server's clock when the last reading began
    full: int = 0  #: the server's clock when everything was last read; 0 if it never was
    etag: int = 0  #: that of the collection: all changes up to it are in, unless ``after`` is set
    after: str = ""  #: the id up to which everything is read so far

    def to_json(self) -> str:
        """Returns the text for :meth:`from_json`."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str | None) -> Position:
        """Returns the position; that of a copy without records for a text that is unusable."""
        try:
            fields = json.loads(text or "")
            valid = all(type(fields[f.name]).__name__ == f.type for f in dataclasses.fields(cls))
            position = cls(**fields)
            sizes = position.newest, position.clock, position.full, position.etag
            return position if valid and 0 <= min(sizes) <= max(sizes) < 1 << 53 else cls()
        except (ValueError, TypeError, KeyError, RecursionError):
            return cls()


class Changes(NamedTuple):
    """A page of changes, to be applied in one transaction.

    ``restart``: the copy is dropped first. A ``position`` of None leaves the one that is saved.
    """

    restart: bool
    changed: list[StoredData]
    deleted: list[str]
    position: Position | None


class _State(NamedTuple):
    """A collection's own account. Times are milliseconds since 1970."""

    records: int
    etag: int
    clock: int


def read_changes(
    client: Client,
    position: Position,
    *,
    count: Callable[[], int],
) -> Iterator[Changes]:
    """Yields what changed since ``position``, in pages to be applied before the next is asked for.

    When it ends, the copy is as the collection was at ``etag`` of the last position (it may have
    later changes if others made more than a page of them during each pass). ``count`` returns the
    number of records of the copy. A record may come again although it did not change. Where
    everything is read, each page has a position: a run that is stopped goes on there.

    Raises as :meth:`Client.pages`.
    """
    state = _state(client)
    clock, missing = state.clock, 0
    if clock - position.full > _WEEK or position.clock - clock > _WEEK:
        position = Position()
    since = min(position.newest - 1, position.clock - _OVERLAP)
    for _ in range(_PASSES):
        if position.after or not position.full:
            position = yield from _read_everything(client, position, state)
        else:
            position = yield from _read_difference(client, position, state, since, missing)
        state = _state(client)._replace(clock=clock)
        missing = abs(count() - state.records)
        if position.full and state.etag <= position.etag:
            if not missing:
                return
            position = Position()
        # Others have written meanwhile: the next difference has all that, and little else.
        since = min(position.newest, position.etag) - 1


def _state(client: Client) -> _State:
    """Returns how many records there are, and when they changed last."""
    _, headers = client.read("HEAD", client.records_path)
    try:
        etag = int(headers["ETag"].strip('"'))
        return _State(int(headers["Total-Records"]), etag, _clock(headers, etag))
    except (KeyError, ValueError):
        raise Fatal(f"{client.url} does not count its records as Kinto does.") from None


def _read_everything(
    client: Client, position: Position, state: _State
) -> Generator[Changes, None, Position]:
    """Reads all records, or goes on where that was stopped. Returns the new position."""
    if not position.after:
        position = Position(clock=state.clock, full=state.clock, etag=state.etag)
        logger.info("All records of the server are read.")
    restart = not position.after
    for page in client.pages({}, after=position.after):
        after = page[-1]["id"] if page else position.after
        position = dataclasses.replace(_advanced(position, page), after=after)
        yield Changes(restart, page, [], position)
        page.clear()  # only one is in memory
        restart = False
    position = dataclasses.replace(position, after="")
    yield Changes(False, [], [], position)
    return position


def _read_difference(
    client: Client, position: Position, state: _State, since: int, least: int
) -> Generator[Changes, None, Position]:
    """Reads what changed. Returns the new position; an empty one if it is another server.

    That is so, too, if fewer than ``least`` records changed.
    """
    found, pages, records = not position.newest_id, 0, 0
    new = dataclasses.replace(position, clock=state.clock, etag=state.etag)
    for page in client.pages({"_since": str(max(0, since))}):
        pages, records = pages + 1, records + len(page)
        found = found or any(
            one["id"] == position.newest_id and one["last_modified"] >= position.newest
            for one in page
        )
        new = _advanced(new, page)
        deleted = [one["id"] for one in page if one.get("deleted") is True]
        changed = [one for one in page if one.get("deleted") is not True]
        page.clear()  # only one is in memory
        yield Changes(False, changed, deleted, None)
        changed.clear()
    if not found or records < least:
        logger.info("The server was restored, flushed or replaced since it was read.")
        return Position()
    if pages == 1:  # it shows one moment, which may be later than the first request
        new = dataclasses.replace(new, etag=max(new.etag, new.newest))
    yield Changes(False, [], [], new)
    return new


def _advanced(position: Position, page: Sequence[StoredData]) -> Position:
    """Returns the position with the newest record of a page, if that is newer."""
    newest = max(page, key=lambda one: one["last_modified"], default=None)
    if newest is None or newest["last_modified"] <= position.newest:
        return position
    return dataclasses.replace(position, newest_id=newest["id"], newest=newest["last_modified"])


def _clock(headers: Mapping[str, str], etag: int) -> int:
    """Returns the server's clock; a time that certainly is not later if it does not send one."""
    try:
        clock = int(parsedate_to_datetime(headers["Date"]).timestamp() * 1000)
    except (KeyError, ValueError, TypeError, OverflowError):
        clock = min(etag, int(time.time() * 1000))
    return max(clock, 1)
