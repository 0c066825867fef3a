"""The lookup page, served on this machine until it is stopped."""

from __future__ import annotations

import contextlib
import functools
import socket
import subprocess
import sys
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO, Any

from tests.demo import background

ROOT = Path(__file__).parents[2]
PAGE_FOLDER = ROOT / "buildhub" / "page"

#: Tried in this order, so that the page's address is the same each time; 0 is any free port.
PORTS = (8880, 8881, 8882, 0)

#: Where the page looks for Kinto unless its address says otherwise.
DEFAULT_SERVER = "http://localhost:8888/v1"


def ensure(folder: Path, server_url: str) -> str:
    """The page's address, with the Kinto at ``server_url``; the page is served if it wasn't.

    The pid file and the log are in ``folder``.
    """
    port = background.running_port(folder, "page") or _start(folder)
    query = "" if server_url == DEFAULT_SERVER else f"?server={server_url}"
    return f"http://localhost:{port}/{query}"


def stop_all(folder: Path) -> list[str]:
    """Stop each page that was started with this ``folder``; one sentence for each."""
    return background.stop_all(folder, "page", "The lookup page")


def _start(folder: Path) -> int:
    """Listen here and serve there: no other process can take the port in between."""
    with next(filter(None, map(_listen, PORTS))) as listener:
        port = int(listener.getsockname()[1])
        with (folder / f"page-{port}.log").open("ab") as output:
            background.start(
                folder / f"page-{port}.pid", lambda options: _launch(listener, output, options)
            )
    return port


def _listen(port: int) -> socket.socket | None:
    """A socket that listens on the port, or on any for 0; None if it is taken."""
    with contextlib.suppress(OSError):
        return socket.create_server(("127.0.0.1", port))
    return None


def _launch(
    listener: socket.socket, output: IO[bytes], options: dict[str, Any]
) -> background.Process:
    options["pass_fds"].append(listener.fileno())
    return subprocess.Popen(
        [sys.executable, "-m", __name__, str(listener.fileno())],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        **options,
    )


def _serve(fd: int) -> None:
    """Serve the page on a socket that was inherited."""
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(PAGE_FOLDER))
    server = ThreadingHTTPServer(("", 0), handler, bind_and_activate=False)
    server.socket.close()
    server.socket = socket.socket(fileno=fd)
    server.serve_forever()


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
