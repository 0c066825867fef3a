"""The container's entry point, as the shell script that it is, without Docker."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import signal
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import buildhub

ROOT = Path(__file__).parents[2]
ENTRYPOINT = ROOT / ".docker" / "entrypoint.sh"

COMMANDS = sorted(
    entry.name
    for entry in entry_points(group="console_scripts")
    if entry.value.startswith("buildhub.")
)
OF_DEV = ["lambda.zip", "test", "lint"]

#: Instead of the real command: it says how it was called, and copies what it is given.
STAND_IN = '#!/bin/sh\necho "$(basename "$0")" "$@"\ncase "$*" in *-) cat ;; esac\n'


@pytest.fixture
def path(tmp_path: Path) -> str:
    """A PATH on which our commands and make are stand-ins."""
    for name in [*COMMANDS, "make"]:
        command = tmp_path / name
        command.write_text(STAND_IN)
        command.chmod(0o755)
    return f"{tmp_path}:{Path(sys.executable).parent}:{os.environ['PATH']}"


def enter(
    path: str, *arguments: str, image: str = "runtime", **options: object
) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": path, "BUILDHUB_IMAGE": image}
    return subprocess.run(
        [str(ENTRYPOINT), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        **options,
    )


@pytest.mark.parametrize("arguments", [[], ["help"], ["--help"], ["-h"]])
def test_without_a_command_all_of_them_are_listed_with_a_line_each(path, arguments):
    result = enter(path, *arguments)
    assert result.returncode == 0
    listed = re.findall(r"^  (\S+)  +\S.+$", result.stdout, re.MULTILINE)
    assert sorted(listed) == sorted([*COMMANDS, *OF_DEV, "every", "version"])


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_gets_its_options_as_they_were_given(path, command):
    assert enter(path, command, "--since", "2 h").stdout == f"{command} --since 2 h\n"


def test_a_pipe_goes_through(path):
    result = enter(path, "to-kinto", "-", input="one\ntwo\n")
    assert result.stdout == "to-kinto -\none\ntwo\n"


def test_every_runs_a_command_again_also_where_it_fails_and_ends_with_it_at_sigterm(path, tmp_path):
    """The stand-in fails at first, then waits for the signal, and tells when it came."""
    command = tmp_path / "to-kinto"
    command.write_text(
        f"#!/bin/sh\ncd {tmp_path}\nmkdir once 2> /dev/null && exit 7\n"
        'trap "echo stopped; exit 143" TERM\necho again\nsleep 60 & wait\n'
    )
    with subprocess.Popen(
        [str(ENTRYPOINT), "every", "0", "to-kinto"],
        env={"PATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout.readline() == "again\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == "stopped\n"
        assert process.wait() == 143
        with contextlib.suppress(ProcessLookupError):  # the stand-in's sleep
            os.killpg(process.pid, signal.SIGKILL)
        assert "`to-kinto` has failed (7)" in process.stderr.read()


def test_version(path):
    assert enter(path, "version").stdout == f"buildhub {buildhub.__version__}\n"


@pytest.mark.parametrize("command", OF_DEV)
def test_runtime_says_which_image_has_the_commands_of_developers(path, command):
    result = enter(path, command)
    assert result.returncode == 2
    assert "needs the dev image" in result.stderr
    assert "make docker TARGET=dev" in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("command", ["test", "lint"])
def test_dev_has_them(path, command):
    assert enter(path, command, image="dev").stdout == f"make {command}\n"


def test_dev_refuses_to_write_a_zip_to_a_terminal(path):
    terminal, child = pty.openpty()
    try:
        result = subprocess.run(
            [str(ENTRYPOINT), "lambda.zip"],
            env={"PATH": path, "BUILDHUB_IMAGE": "dev"},
            stdout=child,
            stderr=subprocess.PIPE,
            text=True,
        )
    finally:
        os.close(terminal)
        os.close(child)
    assert result.returncode == 2
    assert "> lambda.zip" in result.stderr


def test_any_other_command_is_executed_and_its_status_is_ours(path):
    result = enter(path, "sh", "-c", "echo hello; exit 7")
    assert (result.returncode, result.stdout) == (7, "hello\n")


def test_sigterm_reaches_the_program():
    """The script has become the program: it is one process, and the signal is the program's."""
    program = "import signal; signal.signal(15, lambda *_: exit(143)); print(1, flush=1);"
    process = subprocess.Popen(
        [str(ENTRYPOINT), sys.executable, "-c", program + "signal.pause()"],
        stdout=subprocess.PIPE,
    )
    with process:
        assert process.stdout.read(1) == b"1"
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 143
