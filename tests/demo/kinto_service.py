"""A real Kinto on this machine, that keeps running until it is stopped."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from urllib.parse import urlsplit

import requests

from tests.demo import background
from tests.support.kinto_server import start_kinto


class Problem(Exception):
    """There can be no Kinto; the message is one sentence."""


def ensure(server_url: str, folder: Path) -> bool:
    """See to it that a Kinto answers at ``server_url`` (``http://localhost:8888/v1``).

    One that answers already is used, and False returned. Otherwise one is started, with its
    configuration, pid file and log in ``folder``. Raises :class:`Problem` if something else
    answers there, or nothing does and the address is another machine's.
    """
    if _answers(server_url):
        return False
    address = urlsplit(server_url)
    if address.scheme != "http" or address.hostname not in ("localhost", "127.0.0.1", "::1"):
        raise Problem(
            f"No Kinto answers at {server_url}, and one can only be started on this machine:"
            " check SERVER_URL, or leave it out."
        )
    _start(server_url, folder, address.hostname, address.port or 80)
    return True


def stop_all(folder: Path) -> list[str]:
    """Stop each Kinto that was started with this ``folder``; one sentence for each."""
    return background.stop_all(folder, "kinto", "Kinto")


def is_ours(server_url: str, folder: Path) -> bool:
    """Tells if the Kinto at ``server_url`` is one that :func:`ensure` has started."""
    pid_file = folder / f"kinto-{urlsplit(server_url).port or 80}.pid"
    return pid_file.exists() and background.runs(pid_file)


def _answers(server_url: str) -> bool:
    """Tells if a Kinto answers; False if nothing listens there."""
    address = urlsplit(server_url)
    port = address.port or (443 if address.scheme == "https" else 80)
    try:
        socket.create_connection((address.hostname or "", port), timeout=5).close()
    except OSError:
        return False
    where = f"What listens at {address.hostname}:{port} is no Kinto"
    advice = "stop it, or choose another port: SERVER_URL=http://localhost:8889/v1 make run"
    try:
        answer = requests.get(f"{server_url}/", timeout=5)
        body = answer.json()
    except requests.exceptions.JSONDecodeError:
        raise Problem(f"{where} (it answers with HTTP {answer.status_code}): {advice}.") from None
    except requests.exceptions.RequestException as error:
        raise Problem(f"{where} ({type(error).__name__}): {advice}.") from None
    if not (isinstance(body, dict) and "http_api_version" in body):
        raise Problem(f"{where} (it answers with HTTP {answer.status_code}): {advice}.")
    return True


def _start(server_url: str, folder: Path, host: str, port: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    address = "127.0.0.1" if host == "localhost" else host
    log = folder / f"kinto-{port}.log"
    process = background.start(
        folder / f"kinto-{port}.pid",
        lambda options: start_kinto(folder, port, host=address, **options)[0],
    )
    if process is None:
        raise Problem(f"The Kinto on port {port} doesn't answer: see {log}, or make stop.")
    deadline = time.monotonic() + background.PATIENCE
    while not _answers(server_url):
        if process.poll() is not None or time.monotonic() > deadline:
            raise Problem(f"Kinto did not start: {background.last_line(log)}; see {log}.")
        time.sleep(0.1)
