"""The stand-in for AWS Lambda does what the tests of our Lambdas rely on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import buildhub
from tests.support.lambda_runtime import HandlerError, LambdaRuntime, TimedOut

pytestmark = pytest.mark.functional

HANDLERS = """
import logging, os, sys, time
calls = 0

def echo(event, context):
    global calls
    calls += 1
    left = context.get_remaining_time_in_millis()
    return {"event": event, "calls": calls, "left": left, "color": os.environ["COLOR"]}

def obey(event, context):
    logging.warning("asked to %s", event)
    if event == "raise":
        raise ValueError("no é such thing")
    if event == "exit":
        os._exit(3)
    if event == "hang":
        time.sleep(60)
    if event == "import":
        import requests
    return event

def report(event, context):
    from buildhub import logs
    logs.configure(logs.VERBOSE, secrets=["admin:hunter22"], in_lambda=True)
    logging.getLogger("buildhub").info("logged in as %s", "admin:hunter22")
    with logs.unhandled_errors_logged():
        raise ValueError("cannot log in with hunter22")
"""


@pytest.fixture
def function(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[LambdaRuntime]:
    """The handler named by the test's parameter, in a folder with ours and nothing else."""
    (tmp_path / "handlers.py").write_text(HANDLERS)
    (tmp_path / "buildhub").symlink_to(Path(buildhub.__file__).parent)
    handler = f"handlers.{request.param}"
    with LambdaRuntime(handler, tmp_path, {"COLOR": "blue"}) as runtime:
        yield runtime


@pytest.mark.parametrize("function", ["echo"], indirect=True)
def test_events_go_in_and_answers_come_out_of_a_warm_container(function: LambdaRuntime) -> None:
    first = function.invoke({"key": "é"}, seconds=30)
    second = function.invoke(None, seconds=900)

    assert (first["event"], first["calls"], first["color"]) == ({"key": "é"}, 1, "blue")
    assert (second["event"], second["calls"]) == (None, 2)
    assert 0 < first["left"] <= 30_000 < second["left"] <= 900_000
    assert function.cold_starts == 1


@pytest.mark.parametrize("function", ["obey"], indirect=True)
def test_an_error_is_reported_and_the_container_survives(function: LambdaRuntime) -> None:
    with pytest.raises(HandlerError, match="ValueError: no é such thing"):
        function.invoke("raise")
    assert function.invoke("well") == "well"
    assert function.cold_starts == 1
    assert "[WARNING]" in function.log
    assert "asked to raise" in function.log


@pytest.mark.parametrize("function", ["obey"], indirect=True)
def test_a_container_that_exits_or_takes_too_long_is_replaced(function: LambdaRuntime) -> None:
    with pytest.raises(HandlerError) as caught:
        function.invoke("exit")
    assert caught.value.kind == "Runtime.ExitError"
    with pytest.raises(TimedOut):
        function.invoke("hang", seconds=1)
    assert function.invoke("well") == "well"
    assert function.cold_starts == 3


@pytest.mark.parametrize("function", ["obey"], indirect=True)
def test_what_lacks_in_the_folder_is_missing_although_it_is_installed_here(
    function: LambdaRuntime,
) -> None:
    with pytest.raises(HandlerError, match="No module named 'requests'"):
        function.invoke("import")


@pytest.mark.parametrize("function", ["no_such_function"], indirect=True)
def test_a_missing_handler_is_reported(function: LambdaRuntime) -> None:
    with pytest.raises(HandlerError, match="Handler 'no_such_function' missing"):
        function.invoke()


@pytest.mark.parametrize("function", ["report"], indirect=True)
def test_the_runtimes_own_log_is_masked_by_our_reporting(function: LambdaRuntime) -> None:
    for _ in range(2):  # cold, then warm
        with pytest.raises(HandlerError, match=r"BuildhubError: ValueError: cannot .* \*\*\*"):
            function.invoke()

    assert function.log.count("logged in as ***") == 2
    assert function.log.count("CRITICAL") == 2
    assert "hunter22" not in function.log
