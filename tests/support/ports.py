"""Ports of loopback for servers that have to be told theirs before they start."""

from __future__ import annotations

import random
import socket

#: Below those that the system gives to connections and to servers that ask for any, which are
#: from 32768 on Linux and from 49152 elsewhere: they may be taken before our server has started.
_PORTS = range(20_000, 32_000)

#: Not the seed that a test, or hypothesis, has set: two workers would choose the same.
_random = random.SystemRandom()


def free_port() -> int:
    """A port on which no server listens."""
    while True:
        port = _random.choice(_PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
