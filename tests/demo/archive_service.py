"""The sample archive, served on this machine until it is stopped: its records link to it."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from tests.demo import background
from tests.demo.kinto_service import Problem

ROOT = Path(__file__).parents[2]

#: Its port is in its records' URLs: each folder keeps the one of its first run.
PORTS = (18_888, 18_889, 18_890, 0)


def ensure(folder: Path) -> str:
    """The sample archive's address; it is served if it wasn't."""
    return f"http://127.0.0.1:{background.running_port(folder, 'archive') or _start(folder)}/"


def stop_all(folder: Path) -> list[str]:
    """Stop each archive that was started with this ``folder``; one sentence for each."""
    return background.stop_all(folder, "archive", "The sample archive")


def _start(folder: Path) -> int:
    """Serve it on the port of the last run, for which it waits, or on a new one."""
    folder.mkdir(parents=True, exist_ok=True)
    port_file = folder / "archive-port"
    deadline = time.monotonic() + background.PATIENCE
    while port_file.exists() and time.monotonic() < deadline:
        port = int(port_file.read_text())
        if _is_free(port) and _launch(folder, port):
            return port
        time.sleep(0.1)
    for port in filter(None, (_is_free(port) for port in PORTS)):
        if _launch(folder, port):
            port_file.write_text(str(port))
            return port
    raise Problem("No port is free to serve the sample archive.")


def _is_free(port: int) -> int:
    """The port, or one that is free for 0; 0 if it is taken."""
    with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)) as server:
        return int(server.getsockname()[1])
    return 0


def _launch(folder: Path, port: int) -> bool:
    """Serve it on a port, in the background; False if that process ended."""
    with (folder / f"archive-{port}.log").open("ab") as output:
        command = [sys.executable, "-m", __name__, str(port)]
        process = background.start(
            folder / f"archive-{port}.pid",
            lambda options: subprocess.Popen(
                command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=output, **options
            ),
        )
    while process and process.poll() is None:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
            return True
        time.sleep(0.05)
    return False


def _serve(port: int) -> None:
    from tests.sample import tree
    from tests.support.archive_server import ArchiveServer

    with ArchiveServer(tree.files(), port=port):
        signal.pause()


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
