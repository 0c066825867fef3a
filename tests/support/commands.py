"""Runs commands without the time of their imports, which is most of what a short run takes.

They are forked from a process that has imported what they import. Each is a process of its own,
with its standard streams, variables, folder and exit status; but it is not started by its script,
and variables of Python have no effect. Tests of signals, pipes and the start itself start it.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import importlib
import multiprocessing.forkserver
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any
from unittest.mock import patch

ROOT = Path(__file__).parents[2]


def run(
    command: Sequence[object],
    *,
    env: Mapping[str, str],
    input: bytes | str = b"",
    text: bool = False,
    cwd: Path = ROOT,
    timeout: float = 120,
) -> subprocess.CompletedProcess[Any]:
    """Run a command of ours to its end, as :func:`subprocess.run` with ``capture_output`` does."""
    reader, writer = os.pipe()
    data = input if isinstance(input, bytes) else input.encode()
    feeder = threading.Thread(target=_feed, args=(writer, data))
    feeder.start()
    with tempfile.TemporaryDirectory() as folder:
        outputs = [Path(folder, name) for name in ("stdout", "stderr")]
        with Connection(reader, writable=False) as stdin:
            arguments = (list(map(str, command)), dict(env), cwd, stdin, outputs)
            process = _context().Process(target=_command, args=arguments)
            # Without __file__, the new process does not import this one's main module, pytest.
            with patch.object(sys.modules["__main__"], "__file__", None, create=True):
                process.start()
            process.join(timeout)
            if process.exitcode is None:
                process.kill()
                process.join()
                raise subprocess.TimeoutExpired(command, timeout)
        feeder.join()
        contents = [path.read_text() if text else path.read_bytes() for path in outputs]
    return subprocess.CompletedProcess(command, process.exitcode, *contents)


def _feed(writer: int, data: bytes) -> None:
    with contextlib.suppress(BrokenPipeError), open(writer, "wb") as file:
        file.write(data)


@functools.cache
def _context() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.support.preloaded"])
    with contextlib.chdir(ROOT), patch.dict(os.environ, _coverage()):
        multiprocessing.forkserver.ensure_running()
    return context


def _coverage() -> dict[str, str]:
    """The variable that has a process measured, if this one is."""
    measured = "coverage" in sys.modules and sys.modules["coverage"].Coverage.current()
    return {"COVERAGE_PROCESS_START": str(ROOT / "pyproject.toml")} if measured else {}


def _command(
    argv: list[str], environ: dict[str, str], cwd: Path, stdin: Connection, outputs: list[Path]
) -> None:
    """Be that command: in a new process, which ends with it."""
    gc.freeze()
    os.dup2(stdin.fileno(), 0)
    stdin.close()
    sys.stdin = os.fdopen(0, closefd=False)  # multiprocessing has put /dev/null there
    for number, path in enumerate(outputs, 1):
        with path.open("wb") as file:
            os.dup2(file.fileno(), number)
    os.environ.clear()
    os.environ.update(environ)
    time.tzset()
    os.chdir(cwd)
    sys.argv = argv
    module = Path(argv[0]).name.replace("-", "_")
    try:
        importlib.import_module(f"buildhub.commands.{module}").main()
    finally:
        if _coverage():
            sys.modules["coverage"].Coverage.current().save()
