"""The lookup page, served on this machine until it is stopped."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from pathlib import Path

from tests.demo import background
from tests.demo.kinto_service import Problem

FOLDER = Path(__file__).parents[2] / "docs" / "lookup"

#: Tried in this order, so that the page's address is the same each time; 0 is any free port.
PORTS = (8880, 8881, 8882, 0)

#: Where the page looks for Kinto unless its address says otherwise.
DEFAULT_SERVER = "http://localhost:8888/v1"


def ensure(folder: Path, server_url: str) -> str:
    """The page's address, with the Kinto at ``server_url``; the page is served if it wasn't.

    The pid file and the log are in ``folder``. Raises :class:`Problem` if it does not start.
    """
    port = _running_port(folder) or _start(folder)
    query = "" if server_url == DEFAULT_SERVER else f"?server={server_url}"
    return f"http://localhost:{port}/{query}"


def stop_all(folder: Path) -> list[str]:
    """Stop each page that was started with this ``folder``; one sentence for each."""
    sentences = []
    for pid_file in sorted(folder.glob("page-*.pid")):
        state = "is stopped" if background.stop(pid_file) else "had ended already"
        sentences.append(f"The lookup page on port {_port_of(pid_file)} {state}.")
    return sentences


def _port_of(pid_file: Path) -> int:
    return int(pid_file.stem.partition("-")[2])


def _running_port(folder: Path) -> int | None:
    running = (path for path in sorted(folder.glob("page-*.pid")) if background.runs(path))
    return next(map(_port_of, running), None)


def _start(folder: Path) -> int:
    port = next(filter(None, map(_free_port, PORTS)))
    log = folder / f"page-{port}.log"
    options = ["--bind", "127.0.0.1", "--directory", str(FOLDER)]
    command = [sys.executable, "-m", "http.server", str(port), *options]
    with log.open("ab") as output:
        process = background.start(
            folder / f"page-{port}.pid",
            lambda options: subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, **options
            ),
        )
    deadline = time.monotonic() + background.PATIENCE
    while not _answers(port):
        if not process or process.poll() is not None or time.monotonic() > deadline:
            raise Problem(
                f"The lookup page was not served: {background.last_line(log)}; see {log}."
            )
        time.sleep(0.05)
    return port


def _free_port(port: int) -> int | None:
    """The port, or any for 0; None if it is taken."""
    with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)) as probe:
        return int(probe.getsockname()[1])
    return None


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5):
        return True
    return False
