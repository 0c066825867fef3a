"""Real servers for the tests, started on a free port of loopback."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from tests.support.ports import free_port

KINTO = Path(sys.executable).with_name("kinto")

#: As the documentation recommends, and as ``make run`` starts it. Without explicit permissions
#: the memory storage does not get slower with each record.
KINTO_SETTINGS = {
    "kinto.userid_hmac_secret": "of no use outside this machine",
    "multiauth.policies": "basicauth",
    "kinto.includes": "kinto.plugins.flush",
    "kinto.experimental_collection_schema_validation": "true",
    "kinto.explicit_permissions": "false",
    "kinto.bucket_create_principals": "system.Authenticated",
    "kinto.bucket_write_principals": "system.Authenticated",
    "kinto.collection_create_principals": "system.Authenticated",
    "kinto.collection_write_principals": "system.Authenticated",
    "kinto.record_create_principals": "system.Authenticated",
    "kinto.record_write_principals": "system.Authenticated",
}

#: The same server, but it lets only those write who created a bucket, as Kinto does by default.
STRICT_SETTINGS = {
    name: value
    for name, value in KINTO_SETTINGS.items()
    if not name.endswith(("_principals", "explicit_permissions"))
}

#: A server that knows its users: a wrong password is a 401, where basicauth takes any.
ACCOUNTS_SETTINGS = STRICT_SETTINGS | {
    "kinto.includes": "kinto.plugins.flush kinto.plugins.accounts",
    "multiauth.policies": "account",
    "multiauth.policy.account.use": (
        "kinto.plugins.accounts.authentication.AccountsAuthenticationPolicy"
    ),
    "kinto.account_create_principals": "system.Everyone",
    "kinto.bucket_create_principals": "system.Authenticated",
}

_INI = """\
[server:main]
use = egg:waitress#main
host = {host}
port = %(http_port)s
threads = 4

[app:main]
use = egg:kinto
"""


@dataclass
class Kinto:
    """A Kinto that runs."""

    url: str
    auth: tuple[str, str] = ("user", "pass")

    def call(self, method: str, path: str, **arguments: object) -> requests.Response:
        """Any request; raises for a status of 4xx or 5xx."""
        response = requests.request(
            method, self.url + path, **{"auth": self.auth, "timeout": 30, **arguments}
        )
        response.raise_for_status()
        return response

    def flush(self) -> None:
        """Forget everything."""
        self.call("POST", "/__flush__")

    def make_collection(
        self, bucket: str = "build-hub", collection: str = "releases", **data: object
    ) -> None:
        """A bucket and a collection, with ``data`` such as a schema."""
        self.call("PUT", f"/buckets/{bucket}", json={})
        self.call("PUT", f"/buckets/{bucket}/collections/{collection}", json={"data": data})

    def records(self, bucket: str = "build-hub", collection: str = "releases") -> dict[str, dict]:
        """All records (of one page), by their id."""
        path = f"/buckets/{bucket}/collections/{collection}/records"
        return {one["id"]: one for one in self.call("GET", path).json()["data"]}


def start_kinto(
    folder: Path,
    port: int,
    settings: dict[str, str] = KINTO_SETTINGS,
    *,
    host: str = "127.0.0.1",
    **options: Any,
) -> tuple[subprocess.Popen[bytes], Path]:
    """Start ``kinto start``, which may take some seconds to answer; the process, and its log.

    ``folder`` gets its ini file and its log; ``options`` are those of :class:`subprocess.Popen`.
    """
    ini, log = folder / f"kinto-{port}.ini", folder / f"kinto-{port}.log"
    lines = (f"{name} = {value}\n" for name, value in settings.items())
    ini.write_text(_INI.format(host=host) + "".join(lines))
    command = [KINTO, "start", "--ini", ini, "--port", str(port)]
    with log.open("ab") as output:
        if "kinto.storage_url" in settings:
            subprocess.run([KINTO, "migrate", "--ini", ini], check=True, stderr=output)
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, **options
        )
    return process, log


@contextlib.contextmanager
def running_kinto(
    folder: Path, settings: dict[str, str] = KINTO_SETTINGS, *, port: int | None = None
) -> Iterator[Kinto]:
    """``kinto start``, with its ini file and log in ``folder``; stopped at the end."""
    port = port or free_port()
    process, log = start_kinto(folder, port, settings)
    try:
        kinto = Kinto(f"http://127.0.0.1:{port}/v1")
        _wait_until_up(kinto, process, log)
        yield kinto
    finally:
        process.terminate()
        process.wait()


def _wait_until_up(kinto: Kinto, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(600):
        if process.poll() is not None:
            break
        with contextlib.suppress(requests.ConnectionError):
            kinto.call("GET", "/__lbheartbeat__")
            return
        time.sleep(0.05)
    raise RuntimeError(f"Kinto did not start:\n{log.read_text()}")
