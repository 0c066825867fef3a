"""Output shows no secret, and nothing that a terminal or a log reader acts upon."""

from __future__ import annotations

import re
import subprocess
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import buildhub
from tests.support import commands
from tests.support.gcs_server import BUCKET, GcsServer
from tests.support.kinto_server import Kinto

pytestmark = pytest.mark.functional

COMMANDS = sorted(
    entry.name
    for entry in entry_points(group="console_scripts")
    if entry.value.startswith("buildhub.")
)
SECRET = "sekret-word"
#: Nobody listens there.
NOWHERE = f"http://user:{SECRET}@127.0.0.1:9"
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]")


def run(command: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    env = {"NB_RETRY_REQUEST": "0", **variables}
    return commands.run([command, *arguments], text=True, env=env)


def test_messages_are_printed_in_one_place() -> None:
    """``runner.echo`` masks and escapes; what goes past it does not."""
    modules = Path(buildhub.__file__).parent.rglob("*.py")
    printing = {
        path.stem for path in modules if re.search(r"click\.echo|[^.\w]print\(", path.read_text())
    }
    assert printing == {"runner"}


@pytest.mark.parametrize(
    ("variable", "source"),
    [("STORAGE_EMULATOR_HOST", "bucket"), ("AWS_ENDPOINT_URL", "inventory")],
)
def test_the_password_of_a_source_that_does_not_answer_is_not_shown(
    kinto: Kinto, tmp_path: Path, variable: str, source: str
) -> None:
    done = run(
        "latest-inventory-to-kinto",
        SERVER_URL=kinto.url,
        CACHE_FOLDER=str(tmp_path),
        SOURCE=source,
        **{variable: NOWHERE, "PRODUCTS": "firefox", "INVENTORIES": "firefox"},
    )
    assert done.returncode == 1
    assert " is not complete: " in done.stderr
    assert SECRET not in done.stderr


@pytest.mark.parametrize(
    "url", [f"http:/user:{SECRET}@kinto", f"http//user:{SECRET}@kinto", f"user:{SECRET}@kinto"]
)
@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith(("to-k", "kinto-to-r"))])
def test_the_password_of_a_malformed_url_is_not_shown(command: str, url: str) -> None:
    for done in (run(command, SERVER_URL=url), run(command, "--server", url)):
        assert done.returncode == 2
        assert "is not a valid URL" in done.stderr
        assert SECRET not in done.stderr


def test_a_key_of_the_bucket_is_printed_as_a_word_for_the_shell(tmp_path: Path) -> None:
    """Bash reads it as the raw key; a terminal reads nothing in it."""
    key = "pub/firefox/releases/53.0/a'b\\c\x1b[2J\nd\u202e.exe"
    with GcsServer([]) as server:
        done = run(
            "archive-to-inventory",
            *("--product", "firefox", "--section", "releases", "--start-after", key),
            ARCHIVE_BUCKET="absent" + BUCKET,
            STORAGE_EMULATOR_HOST=server.url,
        )
    assert done.returncode == 1
    assert not CONTROLS.search(done.stderr)
    (word,) = re.findall(r"--start-after (.*)", done.stderr)
    read = subprocess.check_output(["bash", "-c", f"printf %s {word}"], env={"LC_ALL": "C.UTF-8"})
    assert read.decode() == key


@pytest.mark.parametrize("key", ["pub/firefox/\x1b[2J\x9b31m", "pub/x\rno build\u202e"])
def test_a_key_that_is_explained_can_not_control_the_terminal(key: str) -> None:
    done = run("inventory-to-records", "--explain", key)
    assert done.returncode == 0
    assert not CONTROLS.search(done.stdout)


def test_a_usage_error_can_not_control_the_terminal() -> None:
    done = run("archive-to-inventory", "--section", "\x1b[2J")
    assert done.returncode == 2
    assert not CONTROLS.search(done.stderr)


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_prints_its_version(command: str) -> None:
    said = f"{command} {buildhub.__version__}\n"
    assert run(command, "-V").stdout == said
    if command not in ("kinto-to-records", "archive-to-inventory"):  # where it is a filter
        assert run(command, "--version").stdout == said


BAD_ROWS = '"b","x"\n' * 30
#: What a command reads, its arguments, what of it is bad, and how its summary counts that.
MANY_ERRORS = {
    "rows": (BAD_ROWS, "inventory-to-records", "the row is skipped", " 30 bad rows"),
    "lines": ('{"data":{"id":"a"}}\n' + "{\n" * 30, "to-kinto", "not valid JSON", " 30 bad lines"),
    "records": ('{"data":{"id":"a/b"}}\n' * 30, "to-kinto", "not a valid record id", " 30 refused"),
    "events": ("{}\n" + "{\n" * 29, "s3-event-to-kinto -q", "input, line ", ""),
}


@pytest.mark.parametrize("kind", MANY_ERRORS)
def test_the_first_ten_errors_are_reported_and_all_are_counted(
    kinto: Kinto, tmp_path: Path, kind: str
) -> None:
    kinto.make_collection()
    text, command, message, count = MANY_ERRORS[kind]
    (tmp_path / "input").write_text(text)
    variables = {"SERVER_URL": kinto.url, "CACHE_FOLDER": str(tmp_path), "AUTH": "user:pass"}
    name, *options = command.split()
    done = run(name, *options, str(tmp_path / "input"), **variables)
    assert done.returncode == 1
    assert done.stderr.count(message) == 10
    assert count in done.stderr
    assert done.stderr.count("Further errors of this kind are only counted; -v shows them") == 1
    everything = run(name, "-v", str(tmp_path / "input"), **variables).stderr
    assert everything.count(message) == 30
    assert "Further errors" not in everything
