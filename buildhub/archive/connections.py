"""The connections to the archive: kept alive, but never used again with unread bytes."""

from __future__ import annotations

import select
from typing import TYPE_CHECKING, Any

from .. import USER_AGENT

if TYPE_CHECKING:
    import aiohttp


#: Seconds to get a connection; TIMEOUT_SECONDS is for the whole request.
CONNECT_SECONDS = 30


def open_session(limit: int, timeout: float) -> aiohttp.ClientSession:
    """A session of at most ``limit`` connections, with the proxies of the environment.

    aiohttp is imported here: a run that finds everything in its cache never needs it (0.1 s).
    """
    from urllib.request import getproxies

    import aiohttp

    return aiohttp.ClientSession(
        connector=_connector(limit),
        timeout=aiohttp.ClientTimeout(total=timeout, sock_connect=min(CONNECT_SECONDS, timeout)),
        headers={"User-Agent": USER_AGENT},
        # Looking the proxy up takes a thread and longer than the rest of a request.
        trust_env=bool(getproxies()),
    )


def _connector(limit: int) -> aiohttp.TCPConnector:
    """A pool of at most ``limit`` connections.

    aiohttp looks for unread bytes when it puts a connection into the pool, but not when it takes
    one out: a response too many, sent in between, would answer the next request. It may also have
    come while the event loop was busy, and wait in the socket.
    """
    import aiohttp

    class Connector(aiohttp.TCPConnector):
        async def _get(self, *arguments: Any) -> Any:
            while True:
                connection: Any = await super()._get(*arguments)
                if connection is None or _is_quiet(connection.protocol):
                    return connection
                connection.close()

    return Connector(limit=limit)


def _is_quiet(protocol: Any) -> bool:
    """Whether an idle connection has nothing to read, neither bytes nor its end."""
    if protocol.should_close:
        return False
    poll = select.poll()
    poll.register(protocol.transport.get_extra_info("socket"), select.POLLIN)
    return not poll.poll(0)
