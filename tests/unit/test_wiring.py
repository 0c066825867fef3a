"""The default credentials are for a server on this machine; others are warned of."""

from __future__ import annotations

import pytest

from buildhub.settings import Settings
from buildhub.signals import CancellationToken
from buildhub.wiring import kinto_client

ELSEWHERE = "https://kinto.example/v1"


@pytest.mark.parametrize(
    ("environ", "read_only", "warned"),
    [
        ({"SERVER_URL": ELSEWHERE}, False, True),
        ({"SERVER_URL": "http://192.0.2.1:8888/v1"}, False, True),
        ({"SERVER_URL": ELSEWHERE, "AUTH": ""}, False, True),
        ({"SERVER_URL": ELSEWHERE, "AUTH": "user:pass"}, False, False),
        ({"SERVER_URL": ELSEWHERE}, True, False),
        ({"SERVER_URL": "http://localhost.example/v1"}, False, True),
        ({}, False, False),
        ({"SERVER_URL": "http://127.0.0.1:9/v1"}, False, False),
        ({"SERVER_URL": "http://[::1]:9/v1"}, False, False),
    ],
)
def test_default_credentials_for_another_machine_are_warned_of(
    environ: dict[str, str],
    read_only: bool,
    warned: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    kinto_client(Settings.from_environment(environ), CancellationToken(), read_only=read_only)
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == warned
    assert all("AUTH" in text and "AUTH_FILE" in text for text in said)
