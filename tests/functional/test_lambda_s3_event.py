"""The event Lambda in AWS's own runtime, and the command that does the same without AWS."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from buildhub import lambda_s3_event
from tests.support import commands
from tests.support.archive_tree import candidate_tree
from tests.support.event_system import EventSystem
from tests.support.lambda_runtime import HandlerError, LambdaRuntime, installed_here
from tests.support.locales import LOCALES
from tests.support.s3_events import created, in_sqs
from tests.support.sentry_server import running_sentry

pytestmark = pytest.mark.functional

COMMAND = Path(sys.executable).with_name("s3-event-to-kinto")
FOLDER = "pub/firefox/candidates/54.0-candidates/build1/win64"
EXE = f"{FOLDER}/fr/Firefox Setup 54.0.exe"
JSON = f"{FOLDER}/en-US/firefox-54.0.json"
ABSENT = EXE.replace("/fr/", "/xx/")
TEST_MESSAGE = {"Service": "Amazon S3", "Event": "s3:TestEvent"}


def variables(system: EventSystem, **more: str) -> dict[str, str]:
    return {
        "SERVER_URL": system.kinto.url,
        "ARCHIVE_URL": system.archive.url,
        "AUTH": "user:correct-horse-battery",
        "NB_RETRY_REQUEST": "0",
        **more,
    }


def function(system: EventSystem, tmp_path: Path, **more: str) -> LambdaRuntime:
    handler = "buildhub.lambda_s3_event.lambda_handler"
    return installed_here(handler, tmp_path, variables(system, **more))


@pytest.fixture
def container(system: EventSystem, tmp_path: Path) -> Iterator[LambdaRuntime]:
    system.archive.files.update(candidate_tree(platforms=("win64",)))
    with function(system, tmp_path) as container:
        yield container


def test_two_invocations_of_one_process(system: EventSystem, container: LambdaRuntime) -> None:
    """A file that is there for the second event is seen, although the first did not find it."""
    metadata = system.archive.files.pop(JSON)
    assert container.invoke(created(EXE)) == {"handled": 1, "ignored": 0, "malformed": 0}
    assert not system.records()
    system.archive.files[JSON] = metadata
    assert container.invoke(created(JSON, "favicon.ico"))["ignored"] == 1
    assert len(system.records()) == 3
    assert container.cold_starts == 1


def test_a_test_message_is_acknowledged(container: LambdaRuntime) -> None:
    assert container.invoke(TEST_MESSAGE) == {"handled": 0, "ignored": 1, "malformed": 0}


def test_each_record_is_a_line_of_the_log_and_no_secret_is(
    system: EventSystem, container: LambdaRuntime
) -> None:
    container.invoke(created(EXE))
    container.invoke(created(JSON, "favicon.ico"))
    with pytest.raises(HandlerError):
        container.invoke(created(ABSENT))
    lines = [line for line in container.log.splitlines() if line.endswith(" ms).")]
    for key, done in (
        (EXE, "created"),
        (JSON, "2 created, 1 unchanged"),
        ("favicon.ico", "ignored, no build"),
        (ABSENT, f"failed, {system.archive.url}{ABSENT} is not there"),
    ):
        assert [line for line in lines if f"{key}: {done}" in line]
    assert len(lines) == 4
    assert "correct-horse" not in container.log


def test_failures_are_raised_at_the_end_and_named(
    system: EventSystem, container: LambdaRuntime
) -> None:
    other = ABSENT.replace("/xx/", "/yy/")
    with pytest.raises(HandlerError) as error:
        container.invoke(created(ABSENT, EXE, other))
    assert ABSENT in error.value.message
    assert other in error.value.message
    assert EXE not in error.value.message
    assert len(system.records()) == 1


def test_a_queue_gets_the_messages_that_failed(
    system: EventSystem, container: LambdaRuntime
) -> None:
    """A message with two records fails with one of them; what never gets better does not."""
    event = in_sqs(created(EXE), created(JSON, ABSENT), "no notification", TEST_MESSAGE)
    answer = container.invoke(event)
    assert answer == {"batchItemFailures": [{"itemIdentifier": "message-1"}]}
    assert len(system.records()) == 3
    assert container.invoke(in_sqs(created(EXE))) == {"batchItemFailures": []}


@pytest.mark.slow
def test_metadata_that_hangs_to_the_time_limit_fails_every_message(
    system: EventSystem, container: LambdaRuntime
) -> None:
    """All of them look the same metadata up; none of them ends in a bare CancelledError."""
    keys = [EXE.replace("/fr/", f"/{locale}/") for locale in LOCALES[:40]]
    system.archive.files.update(candidate_tree(platforms=("win64",), locales=LOCALES))
    system.archive.fail(JSON, *["hang"] * 90)
    answer = container.invoke(in_sqs(*map(created, keys)), seconds=4)
    assert [one["itemIdentifier"] for one in answer["batchItemFailures"]] == [
        f"message-{number}" for number in range(40)
    ]
    assert all(f"{key}: there was no time left" in container.log for key in keys)
    with pytest.raises(HandlerError, match="there was no time left") as error:
        container.invoke(created(*keys), seconds=4)
    assert all(key in error.value.message for key in keys)


def test_a_failed_message_without_an_id_is_not_acknowledged(container: LambdaRuntime) -> None:
    event = in_sqs(created(ABSENT), created(EXE))
    del event["Records"][0]["messageId"]
    with pytest.raises(HandlerError, match="/xx/"):
        container.invoke(event)


@pytest.mark.parametrize("context", [None, object()], ids=["none", "without a time"])
def test_a_context_that_does_not_know_the_time_sets_no_limit(
    system: EventSystem, monkeypatch: pytest.MonkeyPatch, context: object
) -> None:
    for name, value in variables(system).items():
        monkeypatch.setenv(name, value)
    system.archive.files.update(candidate_tree(platforms=("win64",)))
    try:
        assert lambda_s3_event.lambda_handler(created(EXE), context)["handled"] == 1
    finally:
        lambda_s3_event.cool_down()


def test_it_ends_before_its_time_is_over(system: EventSystem, container: LambdaRuntime) -> None:
    for seconds in (4, 8, 16, 32):  # a busy machine takes long for the other file
        system.archive.fail(ABSENT, "hang")
        with pytest.raises(HandlerError, match="there was no time left"):
            container.invoke(created(ABSENT, EXE), seconds=seconds)
        if system.records():
            break
    assert len(system.records()) == 1


def test_a_setting_that_can_not_be_used_is_named(system: EventSystem, tmp_path: Path) -> None:
    with function(system, tmp_path, NB_PARALLEL_REQUESTS="many") as container:
        with pytest.raises(HandlerError, match="NB_PARALLEL_REQUESTS"):
            container.invoke(created(EXE))


@pytest.mark.parametrize("wrap", [created, lambda key: in_sqs(created(key))], ids=["S3", "SQS"])
def test_failures_and_malformed_records_reach_sentry(
    system: EventSystem, tmp_path: Path, wrap: Any
) -> None:
    with running_sentry() as sentry:
        with function(system, tmp_path, SENTRY_DSN=sentry.dsn) as container:
            container.invoke({"Records": [{"s3": {}}]})
            if wrap is created:
                with pytest.raises(HandlerError):
                    container.invoke(wrap(ABSENT))
            else:
                container.invoke(wrap(ABSENT))
    malformed, failed = sentry.bodies
    assert "malformed" in malformed
    assert ABSENT in failed
    assert "correct-horse" not in malformed + failed


# The command


def command(
    system: EventSystem, *arguments: str, **options: Any
) -> subprocess.CompletedProcess[str]:
    return commands.run([COMMAND, *arguments], env=variables(system), text=True, **options)


@pytest.fixture
def event_file(system: EventSystem, tmp_path: Path) -> Path:
    system.archive.files.update(candidate_tree(platforms=("win64",)))
    path = tmp_path / "event.json"
    path.write_text(json.dumps(created(EXE, JSON)))
    return path


def test_the_command_handles_a_file(system: EventSystem, event_file: Path) -> None:
    done = command(system, str(event_file))
    assert (done.returncode, done.stdout) == (0, "")
    assert f"{EXE}: created" in done.stderr
    summary = "s3-event-to-kinto: 2 events, 2 handled, 0 ignored, 0 malformed, 0 failed; records:"
    assert done.stderr.splitlines()[-1].startswith(summary)
    assert len(system.records()) == 3


def test_the_command_handles_an_event_per_line(system: EventSystem, event_file: Path) -> None:
    """A line that is not JSON is malformed, as a record that is not an event is in the Lambda."""
    lines = [json.dumps(created(EXE)), "", "{", json.dumps({"s3": {}}), json.dumps(created(JSON))]
    done = command(system, input="\n".join(lines))
    assert done.returncode == 1
    assert "standard input, line 3: this is not an event" in done.stderr
    assert "4 events, 2 handled, 0 ignored, 2 malformed, 0 failed" in done.stderr
    assert len(system.records()) == 3


def test_the_command_handles_an_event_on_several_lines(
    system: EventSystem, event_file: Path
) -> None:
    event_file.write_text(json.dumps(created(EXE, JSON), indent=2))
    assert command(system, str(event_file)).returncode == 0
    assert len(system.records()) == 3


def test_an_event_that_is_too_large_is_reported_and_the_others_are_handled(
    system: EventSystem, event_file: Path
) -> None:
    long = b"[" + b"1," * (9 << 20) + b"1]"
    event = event_file.read_bytes()
    event_file.write_bytes(event + b"\n" + long + b"\n" + event)
    done = command(system, str(event_file))
    assert done.returncode == 1
    assert f"{event_file}, line 2: this is not an event: it is longer than 16 MiB." in done.stderr
    assert "5 events, 4 handled, 0 ignored, 1 malformed, 0 failed" in done.stderr
    event_file.write_bytes(long.replace(b",", b",\n"))
    done = command(system, str(event_file))
    assert done.returncode == 1
    assert f"{event_file}: the event is larger than 16 MiB." in done.stderr


def test_a_file_that_can_not_be_read_keeps_no_other_from_being_handled(
    system: EventSystem, event_file: Path
) -> None:
    assert command(system, "nowhere.json", str(event_file)).returncode == 1
    assert len(system.records()) == 3


def test_the_command_handles_standard_input(system: EventSystem, event_file: Path) -> None:
    for arguments in ([], ["-"]):
        assert command(system, *arguments, input=event_file.read_bytes()).returncode == 0
    assert len(system.records()) == 3


def test_options_go_before_variables(system: EventSystem, event_file: Path) -> None:
    done = command(system, "-s", "http://127.0.0.1:9/v1", str(event_file))
    assert done.returncode == 1
    assert "127.0.0.1:9" in done.stderr


@pytest.mark.parametrize(
    ("content", "status", "sentence"),
    [
        ('{"Records": ', 1, "it is not JSON"),
        ("{}", 1, "is not an event in any known wrapping"),
        (json.dumps(created(ABSENT)), 1, ABSENT),
        (json.dumps(created("favicon.ico")), 0, "favicon.ico: ignored"),
        (json.dumps(TEST_MESSAGE), 0, "a test message"),
    ],
)
def test_the_status_says_how_it_went(
    system: EventSystem, event_file: Path, content: str, status: int, sentence: str
) -> None:
    event_file.write_text(content)
    done = command(system, str(event_file))
    assert done.returncode == status
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_errors_alone_if_asked(system: EventSystem, event_file: Path) -> None:
    assert command(system, "-q", str(event_file)).stderr == ""
    event_file.write_text(json.dumps(created(ABSENT)))
    assert ABSENT in command(system, "-q", str(event_file)).stderr


def test_a_file_that_is_not_there(system: EventSystem) -> None:
    done = command(system, "nowhere.json")
    assert (done.returncode, "Cannot read nowhere.json" in done.stderr) == (1, True)


def test_records_given_by_mistake_are_called_so_once(system: EventSystem, tmp_path: Path) -> None:
    records = tmp_path / "records.ndjson"
    records.write_text('{"data":{"id":"firefox_55-0_win32_de"}}\n' * 1000)
    done = command(system, str(records))
    assert done.returncode == 1
    message = f"{records}: these are records, not events: pass them to to-kinto."
    assert done.stderr.splitlines()[0].endswith(f" ERROR {message}")
    assert len(done.stderr.splitlines()) == 2


@pytest.mark.parametrize(
    "row",
    ['"b","pub/firefox/releases/55.0/mac/de/a.dmg","1","2017-07-13T23:37:23.000Z","e"', "a,b,c,d"],
)
def test_an_inventory_given_by_mistake_is_called_so_once(
    system: EventSystem, tmp_path: Path, row: str
) -> None:
    inventory = tmp_path / "inventory.csv"
    inventory.write_text(f"{row}\n" * 1000)
    done = command(system, str(inventory))
    assert done.returncode == 1
    message = f"{inventory}: it is an inventory, not events: pass it to inventory-to-records."
    assert done.stderr.splitlines()[0].endswith(f" ERROR {message}")
    assert len(done.stderr.splitlines()) == 2


def test_each_failure_is_one_line_and_the_first_ten_are_errors(
    system: EventSystem, event_file: Path
) -> None:
    keys = [ABSENT.replace("/xx/", f"/x{letter}/") for letter in "abcdefghijkl"]
    event_file.write_text("".join(f"{json.dumps(created(key))}\n" for key in keys))
    done = command(system, "--nb-retry-request", "0", str(event_file))
    assert done.returncode == 1
    *lines, _summary = done.stderr.splitlines()
    assert [line.split()[1] for line in lines] == [*["ERROR"] * 10, *["INFO"] * 2]
    assert all(f" {key}: failed, " in line for key, line in zip(keys, lines, strict=True))


def test_a_malformed_record_is_named_with_file_and_line(
    system: EventSystem, event_file: Path
) -> None:
    lines = [json.dumps(created("favicon.ico")), json.dumps({"Records": [{"s3": {}}]})]
    event_file.write_text("\n".join(lines))
    done = command(system, str(event_file))
    assert done.returncode == 1
    assert f" ERROR {event_file}, line 2: a record is malformed: " in done.stderr


def test_a_terminal_gets_the_help(system: EventSystem) -> None:
    _, terminal = pty.openpty()
    env = {"PATH": os.environ["PATH"], **variables(system)}
    done = subprocess.run(
        [COMMAND], stdin=terminal, env=env, capture_output=True, text=True, timeout=60
    )
    os.close(terminal)
    assert done.returncode == 2
    assert "s3-event-to-kinto event.json" in done.stderr


@pytest.mark.parametrize(
    ("signum", "status"),
    [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow)],
)
def test_a_signal_stops_it(system: EventSystem, event_file: Path, signum: int, status: int) -> None:
    system.archive.fail(EXE, "hang")
    process = subprocess.Popen(
        [COMMAND, str(event_file)],
        env={"PATH": os.environ["PATH"], **variables(system)},
        stderr=subprocess.PIPE,
        text=True,
    )
    while not system.archive.requests["HEAD", EXE]:
        time.sleep(0.01)
    process.send_signal(signum)
    _, messages = process.communicate(timeout=30)
    assert process.returncode == status
    assert f"{EXE}: stopped by signal {signum:d}" in messages
    assert messages.splitlines()[-1].startswith("s3-event-to-kinto: 2 events,")
    assert "Traceback" not in messages
