"""A PostgreSQL of its own for the tests, from the system's packages, on a free port of loopback."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from .kinto_server import KINTO_SETTINGS
from .ports import free_port

#: Debian keeps the programs of each version apart from PATH.
_FOLDERS = sorted(Path("/usr/lib/postgresql").glob("*/bin"))

#: PostgreSQL refuses to run as root: the package makes this user.
_USER = "postgres"


def programs() -> Path | None:
    """The folder with ``initdb`` and ``pg_ctl``; None where PostgreSQL is not installed."""
    if _FOLDERS:
        return _FOLDERS[-1]
    found = shutil.which("initdb")
    return Path(found).parent if found else None


def kinto_settings(url: str) -> dict[str, str]:
    """The settings of a Kinto that keeps everything in the database at ``url``."""
    return KINTO_SETTINGS | {
        "kinto.storage_backend": "kinto.core.storage.postgresql",
        "kinto.storage_url": url,
        "kinto.permission_backend": "kinto.core.permission.postgresql",
        "kinto.permission_url": url,
    }


def new_database(url: str, name: str) -> str:
    """The URL of a new, empty database beside the one at ``url``."""
    subprocess.run(["psql", "-X", "-q", "-c", f"CREATE DATABASE {name}", url], check=True)
    return f"{url.rpartition('/')[0]}/{name}"


@contextlib.contextmanager
def running_postgres(data: Path | None = None) -> Iterator[str]:
    """The URL of a database; the server is stopped at the end.

    The database is empty, and its files are deleted, unless it is kept in ``data``. Texts are
    sorted as in English, not by their bytes: more servers do the one than the other.
    """
    folder = programs()
    assert folder, "PostgreSQL is not installed"
    port = free_port()
    mode = "fast" if data else "immediate"
    with tempfile.TemporaryDirectory(prefix="buildhub-pg-") as name:
        data = data or Path(name) / "data"
        if os.geteuid() == 0:
            shutil.chown(name, _USER)
        if not data.exists():
            _initialize(folder, data)
        options = f"-p {port} -h 127.0.0.1 -k {name} -c fsync=off -c timezone=UTC"
        _run(folder / "pg_ctl", "-D", data, "-l", f"{name}/log", "-w", "-o", options, "start")
        try:
            yield f"postgresql://{_USER}@127.0.0.1:{port}/postgres"
        finally:
            _run(folder / "pg_ctl", "-D", data, "-m", mode, "-w", "stop")


def _initialize(folder: Path, data: Path) -> None:
    data.mkdir()
    if os.geteuid() == 0:
        shutil.chown(data, _USER)
    icu = ("--locale-provider=icu", "--icu-locale=en-US")
    _run(folder / "initdb", "-D", data, "-U", _USER, "-A", "trust", "-E", "UTF8", "-N", *icu)


def _run(*command: object) -> None:
    become = ["runuser", "-u", _USER, "--"] if os.geteuid() == 0 else []
    subprocess.run(
        [*become, *map(str, command)],
        check=True, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
    )  # fmt: skip
