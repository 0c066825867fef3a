"""Records compared with what is known of the server."""

from __future__ import annotations

import hashlib
import operator
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..records import differs, digest
from .record_index import RecordIndex
from .settlement import Effect

#: How the lines begin that ``inventory-to-records`` prints, and then any id that Kinto accepts.
_LINE = re.compile(rb'\{"data":\{"id":"([\w-]+)"')


class Comparison:
    """Compares records with the index ``index``; without it nothing is on the server.

    With ``rewrite`` no record counts as unchanged.
    """

    def __init__(self, index: RecordIndex | None, rewrite: bool) -> None:
        self._index = index
        self._rewrite = rewrite

    def ids_if_known(self, lines: Sequence[bytes]) -> list[str]:
        """The ids of these lines if each was equal before to what the server has; else none.

        A line is not decoded, and counts as known only if all its bytes are the same.
        """
        ids = [match[1].decode() for match in map(_LINE.match, lines) if match]
        if self._index is None or self._rewrite or len(ids) < len(lines):
            return []
        known = self._index.lines(ids)
        return ids if all(map(operator.eq, known, map(_line_hash, lines))) else []

    def remember(self, record_id: str, line: bytes) -> None:
        """The record of this id, decoded from this line, equals the one on the server."""
        match = _LINE.match(line)
        if self._index is not None and match and match[1] == record_id.encode():
            self._index.remember_line(record_id, _line_hash(line))

    def look_up(self, records: Iterable[Any]) -> None:
        """Read what is known of records in one query; those that are not records do no harm."""
        if self._index is not None:
            self._index.preload([one for one in map(_id_of, records) if one])

    def id_if_equal(self, record: Any) -> str | None:
        """The id of a record that equals one on the server in all that counts.

        This is by far the most frequent case, and takes no more than it must: the record need not
        be valid, as the one on the server is. For None, :meth:`effect` says more.
        """
        record_id = _id_of(record)
        if self._index is None or self._rewrite or record_id is None:
            return None
        on_server = self._index.digest(record_id)
        return record_id if on_server and on_server == digest(record["data"]) else None

    def effect(self, data: Mapping[str, Any]) -> Effect:
        """What storing this record does, as far as is known."""
        record_id = data.get("id")
        if self._index is None or record_id is None:
            return Effect.CREATED
        on_server = self._index.digest(record_id)
        if on_server is None:
            return Effect.CREATED
        if self._rewrite or differs(on_server, digest(data)):
            return Effect.UPDATED
        return Effect.UNCHANGED


def _line_hash(line: bytes) -> bytes:
    return hashlib.blake2b(line, digest_size=16).digest()


def _id_of(record: Any) -> str | None:
    """The id of what may be a record."""
    try:
        record_id = record["data"]["id"]
    except (TypeError, KeyError):
        return None
    return record_id if isinstance(record_id, str) else None
