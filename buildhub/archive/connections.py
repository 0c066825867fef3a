"""The connections to the archive: kept alive, but never used again with unread bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import aiohttp


def connector(limit: int) -> aiohttp.TCPConnector:
    """A pool of at most ``limit`` connections.

    aiohttp looks for unread bytes when it puts a connection into the pool, but not when it takes
    one out: a response too many, sent in between, would answer the next request.
    """
    import aiohttp

    class Connector(aiohttp.TCPConnector):
        async def _get(self, *arguments: Any) -> Any:
            while True:
                connection: Any = await super()._get(*arguments)
                if connection is None or not connection.protocol.should_close:
                    return connection
                connection.close()

    return Connector(limit=limit)
