"""AWS Lambda on loopback: AWS's own runtime (``awslambdaric``) runs a handler from a folder.

The runtime asks this stand-in for events and hands it the answers, as it does in a Lambda:
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

from __future__ import annotations

import importlib.util
import json
import os
import queue
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
import uuid
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple, Self

ROOT = Path(__file__).parents[2]
API = "/2018-06-01/runtime"
ARN = "arn:aws:lambda:us-east-1:123456789012:function:buildhub"

#: What the runtime consists of. It is all that a handler finds beside its own folder.
_RUNTIME_MODULES = ("awslambdaric", "runtime_client", "simplejson", "snapshot_restore_py")


class HandlerError(Exception):
    """The handler, or its import, raised. ``kind`` is the type's name, as the runtime tells."""

    def __init__(self, error: Mapping[str, Any]) -> None:
        super().__init__(f"{error['errorType']}: {error['errorMessage']}")
        self.kind: str = error["errorType"]
        self.message: str = error["errorMessage"]


class TimedOut(Exception):
    """The time of the invocation was over, and the container was killed, as AWS does it."""


class _Event(NamedTuple):
    id: str
    body: bytes
    deadline_ms: int


class LambdaRuntime:
    """A function: a context manager, to be invoked as often as one likes.

    Only the first invocation, and one after a container has died, is a cold start.
    """

    def __init__(self, handler: str, folder: Path, environment: Mapping[str, str]) -> None:
        """``handler`` is such as ``package.module.function``, to be found in ``folder``.

        ``environment`` is all that the handler sees of variables, beside AWS's own.
        """
        self.handler = handler
        self.folder = folder
        self.cold_starts = 0
        self._environment = dict(environment)
        self._events: queue.SimpleQueue[_Event | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.logger = tempfile.TemporaryFile()
        self._site = tempfile.TemporaryDirectory()
        _link_runtime(Path(self._site.name))
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _api_of(self))
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}
        )
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._kill()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._site.cleanup()
        self.logger.close()

    def invoke(self, event: Any = None, *, seconds: float = 60) -> Any:
        """Returns the handler's result for ``event``; it is given ``seconds``.

        Raises :class:`HandlerError` for what it raises, or :class:`TimedOut`.
        """
        if self._process is None or self._process.poll() is not None:
            self._start()
        deadline = time.time() + seconds
        self._events.put(
            _Event(str(uuid.uuid4()), json.dumps(event).encode(), int(deadline * 1000))
        )
        outcome, content = self._answer_until(deadline, seconds)
        if outcome != "response":
            raise HandlerError(content)
        return content

    @property
    def log(self) -> str:
        """All that the function has written so far: CloudWatch would have it."""
        return os.pread(self.logger.fileno(), os.fstat(self.logger.fileno()).st_size, 0).decode()

    def _start(self) -> None:
        self._kill()
        self._process = subprocess.Popen(
            # -S: what is installed here but lacks in the folder must be missing here, too.
            [sys.executable, "-S", "-m", "awslambdaric", self.handler],
            cwd=self.folder,
            env={
                "PATH": os.defpath,
                "LANG": "en_US.UTF-8",
                "TZ": ":UTC",
                "AWS_LAMBDA_FUNCTION_NAME": "buildhub",
                "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{self._server.server_port}",
                "AWS_REGION": "us-east-1",
                "LAMBDA_TASK_ROOT": str(self.folder),
                "PYTHONDONTWRITEBYTECODE": "1",
                "PYTHONPATH": f"{self.folder}:{self._site.name}",
                **self._environment,
            },
            stdin=subprocess.DEVNULL,
            stdout=self.logger,
            stderr=self.logger,
        )
        self.cold_starts += 1

    def _answer_until(self, deadline: float, seconds: float) -> tuple[str, Any]:
        assert self._process
        while time.time() < deadline:
            gone = self._process.poll() is not None
            try:
                return self._answers.get(timeout=0.05)
            except queue.Empty:
                if gone:
                    self._kill()
                    raise HandlerError(
                        {"errorType": "Runtime.ExitError", "errorMessage": "it exited"}
                    ) from None
        self._kill()
        raise TimedOut(f"Task timed out after {seconds:.2f} seconds")

    def _kill(self) -> None:
        """End the container; an event that it waits for, or has not taken, goes with it."""
        if self._process:
            self._process.kill()
            self._process.wait()
        self._process = None
        self._events.put(None)
        self._events = queue.SimpleQueue()
        self._answers = queue.SimpleQueue()


def installed_here(handler: str, folder: Path, environment: Mapping[str, str]) -> LambdaRuntime:
    """A handler of this clone, with the packages that are installed here."""
    packages = f"{ROOT}:{sysconfig.get_path('purelib')}"
    return LambdaRuntime(handler, folder, {"PYTHONPATH": packages, **environment})


def _api_of(runtime: LambdaRuntime) -> type[BaseHTTPRequestHandler]:
    class Api(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            event = runtime._events.get() if self.path == f"{API}/invocation/next" else None
            if event is None:
                self.close_connection = True
                return
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Lambda-Runtime-Aws-Request-Id", event.id)
            self.send_header("Lambda-Runtime-Deadline-Ms", str(event.deadline_ms))
            self.send_header("Lambda-Runtime-Invoked-Function-Arn", ARN)
            self.send_header("Content-Length", str(len(event.body)))
            self.end_headers()
            self.wfile.write(event.body)

        def do_POST(self) -> None:
            content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            # .../invocation/<id>/response, .../invocation/<id>/error, .../init/error
            runtime._answers.put((self.path.rpartition("/")[2], content))
            self.send_response(202)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Nothing on stderr."""

    return Api


def _link_runtime(site: Path) -> None:
    """Make the runtime's modules, and no others that are installed here, importable."""
    for name in _RUNTIME_MODULES:
        spec = importlib.util.find_spec(name)
        assert spec
        assert spec.origin
        origin = Path(spec.origin)
        target = origin.parent if origin.name == "__init__.py" else origin
        (site / target.name).symlink_to(target)
