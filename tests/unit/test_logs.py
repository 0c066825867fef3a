"""Logging and Sentry as the operator meets them: each run is a process of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from buildhub import __version__
from buildhub.logs import known_secrets, mask
from tests.support.sentry_server import Sentry, running_sentry

AUTH = "admin:hunter2/é'x"
PASSWORD = "hunter2/é'x"


def run(program: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A process that configures logging and then logs or fails."""
    program = "import logging, sys\nfrom buildhub import logs\n" + textwrap.dedent(program)
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **variables},
        timeout=60,
    )


ALL_LEVELS = """
    logs.configure(int(sys.argv[1]))
    ours, others = logging.getLogger("buildhub.x"), logging.getLogger("library")
    for level in ("debug", "info", "warning", "error"):
        getattr(ours, level)("ours %s", level)
        getattr(others, level)("other %s", level)
    logging.getLogger("kinto_http.batch").warning("PUT /v1/... - 201")
    logging.getLogger("urllib3.connectionpool").warning("Retrying")
    logging.getLogger("backoff").error("Giving up")
"""


@pytest.mark.parametrize(
    ("verbosity", "ours", "others"),
    [
        (-1, "error", "error"),
        (0, "warning error", "warning error"),
        (1, "info warning error", "warning error"),
        (2, "debug info warning error", "debug info warning error"),
    ],
)
def test_verbosity_decides_what_is_seen(verbosity: int, ours: str, others: str) -> None:
    result = run(ALL_LEVELS, str(verbosity))

    assert re.findall(r"ours (\w+)", result.stderr) == ours.split()
    assert re.findall(r"other (\w+)", result.stderr) == others.split()
    assert result.stdout == ""


@pytest.mark.parametrize(("verbosity", "seen"), [(0, False), (1, False), (2, True)])
def test_libraries_that_repeat_what_we_report_are_tamed(verbosity: int, seen: bool) -> None:
    result = run(ALL_LEVELS, str(verbosity))

    for line in ("201", "Retrying", "Giving up"):
        assert (line in result.stderr) is seen


def test_a_line_in_a_log_file_has_time_and_level() -> None:
    result = run('logs.configure(0); logging.getLogger("buildhub").warning("No news")')

    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ WARNING No news\n", result.stderr)


def test_a_line_on_a_terminal_is_short() -> None:
    result = run("""
        import os, pty
        reader, writer = pty.openpty()
        os.dup2(writer, 2)
        logs.configure(1)
        for level in (logging.WARNING, logging.INFO):
            logging.getLogger("buildhub").log(level, "News")
            print(os.read(reader, 1000))
    """)

    assert result.stdout == "b'Warning: News\\r\\n'\nb'News\\r\\n'\n"


def test_configured_twice_a_line_is_still_one() -> None:
    result = run("""
        logs.configure(0)
        logs.configure(1)
        logging.getLogger("buildhub").info("once")
    """)

    assert result.stderr.count("once") == 1


def test_an_unhandled_error_is_logged_with_its_traceback_and_exit_status_1() -> None:
    result = run("logs.configure(0); {}['key']")

    assert result.returncode == 1
    assert "CRITICAL KeyError: 'key'\nTraceback (most recent call last):\n" in result.stderr


def test_an_unhandled_error_of_ours_is_its_sentence_alone() -> None:
    result = run("""
        from buildhub.errors import Fatal
        logs.configure(0)
        raise Fatal("Cannot go on: sit down.")
    """)

    assert result.stderr.endswith("ERROR Cannot go on: sit down.\n")
    assert "Traceback" not in result.stderr


def test_an_unhandled_error_in_a_thread_is_logged_too() -> None:
    result = run("""
        import threading
        logs.configure(0)
        threading.Thread(target={}.__getitem__, args=["key"]).start()
    """)

    assert "CRITICAL KeyError: 'key'\n" in result.stderr


def test_ctrl_c_is_no_error() -> None:
    result = run("logs.configure(0); raise KeyboardInterrupt")

    assert "CRITICAL" not in result.stderr


# Secrets


@pytest.fixture
def auth_is_known() -> Iterator[None]:
    known_secrets([AUTH])
    yield
    known_secrets([])


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("http://user:pass@localhost:8888/v1 is away", "http://***@localhost:8888/v1 is away"),
        ("https://key@sentry.io/1", "https://***@sentry.io/1"),
        ("'https://user:p@ss@host/'", "'https://***@host/'"),
        ("url = http://a:b@c and http://d:e@f", "url = http://***@c and http://***@f"),
        ("Authorization: Basic dXNlcjpwYXNz\nHost: x", "Authorization: ***\nHost: x"),
        ("{'Authorization': 'Basic dXNl', 'Age': '1'}", "{'Authorization': '***', 'Age': '1'}"),
        ('{"authorization": "Bearer dXNl"}', '{"authorization": "***"}'),
        ("[(b'Authorization', b'Basic dXNl')]", "[(b'Authorization', b'***')]"),
        ("X-Sentry-Auth: Sentry sentry_key=a, sentry_secret=b", "X-Sentry-Auth: ***"),
        ("Client(auth=('user', 'pass'), retry=3)", "Client(auth=***, retry=3)"),
        ("AUTH=user:pass to-kinto", "AUTH=*** to-kinto"),
        ("SENTRY_DSN='https://a@b/1' x", "SENTRY_DSN=*** x"),
        ("{'password': 'it is', 'user': 'me'}", "{'password': ***, 'user': 'me'}"),
        ("?token=abc&page=2", "?token=***&page=2"),
    ],
)  # fmt: skip
def test_what_looks_like_a_secret_is_masked(text: str, masked: str) -> None:
    assert mask(text) == masked


@pytest.mark.parametrize(
    "text",
    [
        "https://archive.mozilla.org/pub/firefox/releases/55.0/mac/ar/Firefox 55.0.dmg",
        "http://localhost:8888/v1/buckets/build-hub/collections/releases/records?_since=%22123%22",
        "https://example.com/a@b",
        "No authorization for this bucket: check --auth and run again.",
        "such as https://<key>:<secret>@sentry.io/buildhub",
        "The password is wrong; author: unknown",
        '{"id": "firefox_55-0_mac_ar", "size": 12}',
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert mask(text) == text


@pytest.mark.usefixtures("auth_is_known")
@pytest.mark.parametrize(
    "spelling",
    [
        AUTH,
        PASSWORD,
        repr(AUTH),
        repr({"x": PASSWORD}),
        json.dumps([PASSWORD]),
        "hunter2%2F%C3%A9%27x",
        "YWRtaW46aHVudGVyMi/DqSd4",
        f"in a word{PASSWORD}word",
    ],
)
def test_a_known_secret_is_masked_in_every_spelling(spelling: str) -> None:
    masked = mask(f"before {spelling} after")

    assert "***" in masked
    assert "hunter2" not in masked
    assert "YWRtaW46" not in masked
    assert masked.startswith("before ")
    assert masked.endswith(" after")


def test_the_default_password_is_a_common_word_and_stays_one() -> None:
    known_secrets(["user:pass"])
    try:
        assert mask("user:pass will pass") == "*** will pass"
    finally:
        known_secrets([])


def test_a_traceback_is_masked_too() -> None:
    result = run(
        """
        logs.configure(2, secrets=[sys.argv[1]])
        try:
            raise ValueError(f"cannot log in with {sys.argv[1]} at http://a:b@c/")
        except ValueError:
            logging.getLogger("library").exception("No %s", sys.argv[1].split(":")[1])
        raise KeyError(sys.argv[1])
        """,
        AUTH,
    )

    assert result.stderr.count("cannot log in with *** at http://***@c/") == 1
    assert "hunter2" not in result.stderr


HOSTILE_KEY = "pub/a\r\n2026-11-01T00:00:00Z CRITICAL all is lost\x1b[2J\x9b31m\u202e.exe"


def test_control_characters_of_a_key_never_reach_the_log() -> None:
    """A key of an event can neither imitate a log line nor send commands to a terminal."""
    result = run(
        """
        logs.configure(0)
        logging.getLogger("buildhub").warning("%s: skipped.", sys.argv[1])
        raise ValueError(sys.argv[1])
        """,
        HOSTILE_KEY,
    )

    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", result.stderr)
    warning, *_ = result.stderr.splitlines()
    assert (
        r"WARNING pub/a\r\n2026-11-01T00:00:00Z CRITICAL all is lost\x1b[2J\x9b31m\u202e" in warning
    )


# In a Lambda

RUNTIME = """
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter("[%(levelname)s]\\t%(message)s"))
    logging.getLogger().addHandler(handler)
"""


def test_in_a_lambda_the_runtimes_handlers_do_the_writing_and_are_masked() -> None:
    result = run(
        RUNTIME
        + """
    for _ in range(2):  # a warm container comes here again
        logs.configure(1, secrets=[sys.argv[1]], in_lambda=True)
        logging.getLogger("buildhub").info("with %s", sys.argv[1])
        """,
        AUTH,
    )

    assert result.stdout == "[INFO]\twith ***\n" * 2
    assert result.stderr == ""


def test_a_handlers_error_is_logged_and_raised_without_the_secret() -> None:
    result = run(
        RUNTIME
        + """
    logs.configure(1, secrets=[sys.argv[1]], in_lambda=True)
    with logs.unhandled_errors_logged():
        raise ValueError(sys.argv[1])
        """,
        AUTH,
    )

    assert result.returncode == 1
    assert result.stdout.startswith("[CRITICAL]\tValueError: ***\nTraceback")
    assert result.stderr.endswith("buildhub.errors.BuildhubError: ValueError: ***\n")
    assert "hunter2" not in result.stdout + result.stderr


# Sentry


@pytest.fixture
def sentry() -> Iterator[Sentry]:
    with running_sentry() as sentry:
        yield sentry


FAILING = """
    logs.configure(0, sys.argv[1], secrets=[sys.argv[2]])
    password = auth = sys.argv[2]
    logging.getLogger("buildhub.kinto").error("%s refuses %s", "http://a:b@c/v1", auth)
    logging.getLogger("buildhub.kinto").warning("not worth a mail")
    raise ValueError(f"cannot log in as {auth}")
"""


def test_errors_of_a_failing_run_arrive_with_the_version_and_without_the_password(
    sentry: Sentry,
) -> None:
    result = run(FAILING, sentry.dsn, AUTH)

    logged, unhandled = sentry.events
    assert result.returncode == 1
    assert logged["message"] == "http://***@c/v1 refuses ***"
    assert logged["release"] == unhandled["release"] == __version__
    assert unhandled["exception"]["values"][0]["type"] == "ValueError"
    assert unhandled["exception"]["values"][0]["value"] == "cannot log in as ***"
    for secret in ("hunter2", "secret4711", "YWRtaW46"):
        assert secret not in "".join(sentry.bodies)
        assert secret not in result.stderr
    ((path, headers), _) = sentry.requests
    assert path == "/api/1/store/"
    assert "sentry_key=key0815" in headers["X-Sentry-Auth"]


def test_a_secret_is_masked_however_deep_in_the_arguments_of_a_message_it_is(
    sentry: Sentry,
) -> None:
    run(
        """
        from typing import NamedTuple
        Pair = NamedTuple("Pair", [("name", str), ("value", object)])
        logs.configure(0, sys.argv[1], secrets=[sys.argv[2]])
        deep = Pair("a", {"b": [(sys.argv[2],), Pair("c", sys.argv[2])]})
        logging.getLogger("buildhub.kinto").error("%s: %s", deep, [deep])
        """,
        sentry.dsn,
        AUTH,
    )
    assert len(sentry.events) == 1
    assert "hunter2" not in "".join(sentry.bodies)


def test_a_sentry_that_refuses_is_a_warning_and_the_error_is_still_seen(sentry: Sentry) -> None:
    sentry.status = 403

    result = run(FAILING, sentry.dsn, AUTH)

    assert result.returncode == 1
    assert "WARNING An error could not be sent to Sentry at http://127.0.0.1" in result.stderr
    assert "403" in result.stderr
    assert "ValueError: cannot log in as ***" in result.stderr
    assert "secret4711" not in result.stderr


def test_a_sentry_that_is_down_never_hides_the_error() -> None:
    result = run(FAILING, "http://key0815:secret4711@127.0.0.1:9/1", AUTH)

    assert result.returncode == 1
    assert "could not be sent to Sentry at http://127.0.0.1:9/api/1/store/" in result.stderr
    assert "ValueError: cannot log in as ***" in result.stderr
    assert "secret4711" not in result.stderr


def test_a_flood_of_errors_is_cut_but_what_ended_the_run_gets_through(sentry: Sentry) -> None:
    result = run(
        """
        from buildhub.sentry import MAX_EVENTS
        logs.configure(-1, sys.argv[1])
        for number in range(MAX_EVENTS + 50):
            logging.getLogger("buildhub.kinto").error("record %d is refused", number)
        raise ValueError
        """,
        sentry.dsn,
    )

    assert result.stderr.count("is refused") == 150
    assert len(sentry.events) == 101
    assert sentry.events[-1]["exception"]["values"][0]["type"] == "ValueError"


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_sentry_that_redirects_gets_the_key_and_the_event_alone(
    sentry: Sentry, status: int
) -> None:
    with running_sentry() as elsewhere:
        sentry.status = status
        sentry.location = elsewhere.dsn.replace("key0815:secret4711@", "")
        result = run(FAILING, sentry.dsn, AUTH)

    assert "could not be sent to Sentry" in result.stderr
    assert sentry.requests
    assert not elsewhere.requests


def test_the_credentials_of_netrc_are_not_sent_to_sentry(sentry: Sentry, tmp_path: Path) -> None:
    (tmp_path / ".netrc").write_text("default login me password mine\n")
    run(FAILING, sentry.dsn, AUTH, HOME=str(tmp_path))

    assert [headers.get("Authorization") for _, headers in sentry.requests] == [None, None]


def test_a_warm_lambda_has_one_client_and_reports_anew_in_each_invocation(sentry: Sentry) -> None:
    result = run(
        """
        import gc
        import raven
        from buildhub.sentry import MAX_EVENTS
        for invocation in range(3):
            logs.configure(-1, sys.argv[1], in_lambda=True)
            for number in range(MAX_EVENTS if invocation == 0 else 1):
                logging.getLogger("buildhub.kinto").error("record %d is refused", number)
        print(sum(isinstance(one, raven.Client) for one in gc.get_objects()))
        """,
        sentry.dsn,
    )

    assert result.stdout == "1\n"
    assert len(sentry.events) == 102


@pytest.mark.parametrize(
    "dsn",
    [
        "nonsense-hunter2",
        "https://sentry.io/1",
        "https://hunter2@sentry.io",
        "https://hunter2@sentry.io/",
        "https://hunter2@sentry.io/1/",
        "https://hunter2@sentry.io:0/1",
        "https://hunter2@:9000/1",
        "https://hunter2@sentry.io:port/1",
        "https://hunter2@[sentry/1",
        "ftp://hunter2@sentry.io/1",
        "requests+https://hunter2@sentry.io/1",
    ],
)
def test_a_malformed_dsn_is_one_sentence_without_it(dsn: str) -> None:
    result = run("logs.configure(0, sys.argv[1])", dsn)

    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1
    assert "ERROR SENTRY_DSN is not a valid DSN: copy it from" in result.stderr
    assert "hunter2" not in result.stderr


@pytest.mark.parametrize(
    "dsn", ["https://key@o1.ingest.sentry.io/1", "https://key:secret@sentry.io/path/buildhub"]
)
def test_a_dsn_may_lack_the_secret_and_have_a_path(dsn: str) -> None:
    assert run("logs.configure(0, sys.argv[1])", dsn).returncode == 0


def test_without_a_dsn_nothing_of_sentry_is_imported() -> None:
    result = run("""
        logs.configure(0, None)
        print(sorted({"raven", "requests", "urllib3", "buildhub.sentry"} & set(sys.modules)))
    """)

    assert result.stdout == "[]\n"
