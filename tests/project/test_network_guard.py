"""The tests themselves: none of them gets at a server of somebody else by mistake."""

from __future__ import annotations

import socket

import pytest
from pytest_socket import SocketConnectBlockedError


def test_no_other_machine_can_be_reached():
    """pytest-socket warns before it refuses, and here a warning is an error already."""
    with pytest.raises((UserWarning, SocketConnectBlockedError), match=r"192\.0\.2\.1"):
        socket.create_connection(("192.0.2.1", 80), timeout=1)


def test_this_machine_can_be_reached():
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname()).close()
