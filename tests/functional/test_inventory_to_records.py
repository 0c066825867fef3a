"""The real command in a real shell: what it reads, says, and how it ends."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote_plus

import pytest

from tests.support.archive_server import ArchiveServer
from tests.support.archive_tree import release_tree
from tests.support.commands import run

COMMAND = str(Path(sys.executable).with_name("inventory-to-records"))
DATE = "2017-06-13T12:00:00.000Z"


@pytest.fixture(scope="module")
def _server() -> Iterator[ArchiveServer]:
    with ArchiveServer(release_tree("firefox", "54.0", builds=(1,))) as server:
        yield server


@pytest.fixture
def server(_server: ArchiveServer) -> ArchiveServer:
    _server.reset()
    return _server


class Tool:
    """The command with an archive and a cache of its own."""

    def __init__(self, server: ArchiveServer, cache: Path) -> None:
        self.server = server
        self.environ = {
            **{k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG")},
            "ARCHIVE_URL": server.url,
            "CACHE_FOLDER": str(cache),
            "NB_RETRY_REQUEST": "1",
        }

    def __call__(
        self, *arguments: str, stdin: bytes = b"", **environ: str
    ) -> subprocess.CompletedProcess[bytes]:
        return run([COMMAND, *arguments], input=stdin, env=self.environ | environ)

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [COMMAND, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self.environ,
        )


@pytest.fixture
def tool(server: ArchiveServer, tmp_path: Path) -> Tool:
    return Tool(server, tmp_path / "cache")


def row(key: str, size: object = 5_000, date: str = DATE) -> bytes:
    encoded = quote_plus(key, safe="/")
    return f'"net-mozaws-prod-delivery-firefox","{encoded}","{size}","{date}","etag"\n'.encode()


WINDOWS = "pub/firefox/releases/54.0/win64/fr/Firefox Setup 54.0.exe"
MAC = "pub/firefox/releases/54.0/mac/ja/Firefox 54.0.dmg"
GOOD = row(WINDOWS) + row("pub/firefox/releases/54.0/SHA512SUMS") + row(MAC)


def urls(output: bytes) -> list[str]:
    return [json.loads(line)["data"]["download"]["url"] for line in output.splitlines()]


def sentences(error: bytes) -> list[str]:
    return error.decode().splitlines()


def both(server: ArchiveServer) -> list[str]:
    return [server.url + WINDOWS, server.url + MAC]


def test_records_come_in_the_order_of_the_inventory(tool: Tool) -> None:
    done = tool(stdin=GOOD)
    assert urls(done.stdout) == both(tool.server)
    assert done.returncode == 0
    assert sentences(done.stderr) == [
        "inventory-to-records: 3 rows, 2 builds, 2 records, none skipped."
    ]


def test_a_record_is_whole(tool: Tool) -> None:
    record = json.loads(tool(stdin=row(WINDOWS, "2E+10")).stdout)
    assert record["data"]["id"] == "firefox_54-0_win64_fr"
    assert record["data"]["build"]["number"] == 1
    assert record["data"]["target"] == {
        "platform": "win64",
        "os": "win",
        "locale": "fr",
        "version": "54.0",
        "channel": "release",
    }
    assert record["data"]["download"] == {
        "url": tool.server.url + WINDOWS,
        "mimetype": "application/msdos-windows",
        "size": 20_000_000_000,
        "date": "2017-06-13T12:00:00Z",
    }


@pytest.mark.parametrize(
    "packed",
    [
        GOOD,
        gzip.compress(GOOD),
        gzip.compress(GOOD[:100]) + gzip.compress(GOOD[100:]),
        gzip.compress(b"") + gzip.compress(GOOD),
        GOOD.removesuffix(b"\n"),
        GOOD.replace(b"+", b"%20"),
    ],
    ids=["plain", "gzip", "two members", "empty member", "no last newline", "blanks as %20"],
)
@pytest.mark.parametrize(
    "way", ["file", *(pytest.param(way, marks=pytest.mark.slow) for way in ("stdin", "dash"))]
)
def test_any_packing_by_any_way(tool: Tool, tmp_path: Path, packed: bytes, way: str) -> None:
    if way == "file":
        (tmp_path / "a.csv.gz").write_bytes(packed)
        done = tool(str(tmp_path / "a.csv.gz"))
    else:
        done = tool(*(["-"] if way == "dash" else []), stdin=packed)
    assert urls(done.stdout) == both(tool.server)
    assert done.returncode == 0


def test_several_files_are_read_in_their_order(tool: Tool, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(row(MAC))
    (tmp_path / "b").write_bytes(gzip.compress(row(WINDOWS)))
    done = tool(str(tmp_path / "b"), str(tmp_path / "a"))
    assert urls(done.stdout) == both(tool.server)


@pytest.mark.parametrize(
    ("bad", "sentence"),
    [
        (b'"net"\n', "standard input, line 2: 1 columns where the schema has 5"),
        (row(MAC, date="yesterday"), "standard input, line 2: the date 'yesterday' is not a time"),
        (row(MAC, "many"), "standard input, line 2: the size 'many' is not a number of bytes"),
        (b"\xff\xfe\n", "standard input, line 2: the row is not UTF-8"),
    ],
)
def test_a_bad_row_is_one_sentence_and_exit_1(tool: Tool, bad: bytes, sentence: str) -> None:
    done = tool(stdin=row(WINDOWS) + bad + row(MAC))
    assert urls(done.stdout) == both(tool.server)
    assert done.returncode == 1
    messages = sentences(done.stderr)
    assert len(messages) == 2
    assert sentence in messages[0]
    assert "1 bad rows" in messages[1]


def test_a_cut_gzip_is_one_sentence_and_what_came_before_is_kept(
    tool: Tool, tmp_path: Path
) -> None:
    good = b"".join(row(WINDOWS, n) for n in range(20_000))
    packed = gzip.compress(good)
    (tmp_path / "cut.gz").write_bytes(packed[: len(packed) // 2])
    (tmp_path / "whole.gz").write_bytes(gzip.compress(row(MAC)))
    done = tool(str(tmp_path / "cut.gz"), str(tmp_path / "whole.gz"))
    assert done.returncode == 1
    assert "cut.gz: the gzip data ends in the middle" in sentences(done.stderr)[0]
    found = urls(done.stdout)
    assert 8_000 < len(found) < 12_000
    assert found[-1] == tool.server.url + MAC


def test_a_missing_file_does_not_stop_the_others(tool: Tool, tmp_path: Path) -> None:
    (tmp_path / "here").write_bytes(GOOD)
    done = tool(str(tmp_path / "gone"), str(tmp_path / "here"))
    assert len(urls(done.stdout)) == 2
    assert done.returncode == 1
    assert f"Cannot read {tmp_path / 'gone'}: No such file" in sentences(done.stderr)[0]


def test_builds_are_skipped_by_reason(tool: Tool) -> None:
    rows = (
        row(WINDOWS)
        + row(WINDOWS.replace("54.0", "53.0"))
        + row(MAC, date="2016-01-01T00:00:00Z")
        + row("pub/thunderbird/releases/54.0/mac/fr/Thunderbird 54.0.dmg")
    )
    done = tool("--since", "2017-01-01", "--product", "firefox", stdin=rows)
    assert done.returncode == 0
    (messages,) = sentences(done.stderr)
    assert messages.startswith("inventory-to-records: 4 rows, 4 builds, 1 records, skipped: ")
    for reason in ("1 no metadata", "1 too old", "1 other product"):
        assert reason in messages


@pytest.mark.parametrize(
    ("hours", "records"),
    [
        ("0", 2),
        ("1", 0),
        pytest.param("1000000", 2, marks=pytest.mark.slow),
        pytest.param("0.5", 0, marks=pytest.mark.slow),
    ],
)
def test_min_age_is_hours_and_0_turns_it_off(tool: Tool, hours: str, records: int) -> None:
    done = tool(stdin=GOOD, MIN_AGE_LAST_MODIFIED_HOURS=hours)
    assert len(urls(done.stdout)) == records


@pytest.mark.parametrize(
    ("arguments", "environ", "sentence"),
    [
        (["--since", "soon"], {}, "'soon' is not a valid date"),
        (["--product", "netscape"], {}, "'netscape' is not a known product"),
        ([], {"PRODUCTS": "firefox, netscape"}, "PRODUCTS: 'netscape' is not a known product"),
        ([], {"NB_RETRY_REQUEST": "-1"}, "NB_RETRY_REQUEST: '-1' is not a whole number"),
        (
            [],
            {"ARCHIVE_URL": "archive.mozilla.org"},
            "ARCHIVE_URL: 'archive.mozilla.org' is not a valid URL",
        ),
        (["--jobs", "many"], {}, "'many' is not a whole number from 1 to"),
        (["--nonsense"], {}, "No such option"),
    ],
)
def test_a_wrong_option_or_variable_is_exit_2(
    tool: Tool, arguments: list[str], environ: dict[str, str], sentence: str
) -> None:
    done = tool(*arguments, stdin=GOOD, **environ)
    assert done.returncode == 2
    assert sentence in done.stderr.decode()
    assert done.stdout == b""


def test_a_wrong_schema_is_one_sentence(tool: Tool) -> None:
    done = tool("--schema", "Bucket, Size", stdin=GOOD)
    assert done.returncode == 2
    assert "Invalid value for '--schema': there is no column Key" in done.stderr.decode()


def test_a_failed_request_is_reported_with_its_key_and_exit_1(tool: Tool) -> None:
    with ArchiveServer(release_tree("firefox", "54.0", builds=(1,))) as server:
        tool.environ["ARCHIVE_URL"] = server.url
        folder = "pub/firefox/candidates/54.0-candidates/build1/win64/en-US/"
        server.fail(f"{folder}firefox-54.0.json", 503, 503)
        done = tool(stdin=GOOD)
        assert done.returncode == 1
        assert urls(done.stdout) == [server.url + MAC]
        messages = sentences(done.stderr)
        assert f"{WINDOWS}: its metadata cannot be fetched: {server.url}pub/firefox" in messages[0]
        assert "HTTP 503 (2 attempts)" in messages[0]
        assert "1 failed" in messages[1]
        # nothing wrong was remembered
        assert len(urls(tool(stdin=GOOD).stdout)) == 2


def test_an_archive_that_is_down_is_reported_and_ends_the_run(tool: Tool) -> None:
    done = tool(stdin=GOOD, ARCHIVE_URL="http://127.0.0.1:9/", NB_RETRY_REQUEST="0")
    assert done.returncode == 1
    assert "http://127.0.0.1:9/pub/firefox/candidates/54.0-candidates/" in done.stderr.decode()
    assert done.stdout == b""


def test_a_second_run_asks_the_archive_nothing(tool: Tool) -> None:
    first = tool(stdin=GOOD)
    tool.server.reset()
    assert tool(stdin=GOOD).stdout == first.stdout
    assert tool.server.total == 0


def test_what_is_cached_needs_no_http_client(tool: Tool) -> None:
    tool(stdin=GOOD)
    done = subprocess.run(
        [COMMAND], input=GOOD, capture_output=True,
        env=tool.environ | {"PYTHONPROFILEIMPORTTIME": "1"},
    )  # fmt: skip
    assert urls(done.stdout) == both(tool.server)
    assert b"buildhub" in done.stderr
    assert b"aiohttp" not in done.stderr


@pytest.mark.parametrize(
    "cached", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 199, 200, 450)), 201]
)
def test_the_output_is_the_same_however_much_is_cached(tool: Tool, cached: int) -> None:
    """The event loop takes over in the middle of a batch of rows, or at its end."""
    builds = [row(MAC)] * cached + [row(WINDOWS)] * 2 + [row(MAC), row(WINDOWS)] * 150
    tool(stdin=row(MAC))
    done = tool(stdin=b"".join(builds))
    mac, windows = both(tool.server)[::-1]
    assert urls(done.stdout) == [mac] * cached + [windows] * 2 + [mac, windows] * 150
    assert f"{len(builds)} rows, {len(builds)} builds, {len(builds)} records" in str(done.stderr)


def test_a_record_is_out_before_the_next_row_is_in(tool: Tool) -> None:
    process = tool.start()
    assert process.stdin
    assert process.stdout
    for key in (WINDOWS, MAC):
        process.stdin.write(row(key))
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["data"]["download"]["url"].endswith(key)
    process.stdin.close()
    assert process.wait(30) == 0
    process.stdout.close()
    process.stderr.close()  # type: ignore[union-attr]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_while_it_waits_for_input(tool: Tool, number: signal.Signals) -> None:
    process = tool.start()
    assert process.stdin
    assert process.stdout
    process.stdin.write(row(WINDOWS))
    process.stdin.flush()
    assert process.stdout.readline()
    process.send_signal(number)
    _, error = process.communicate(timeout=30)
    assert process.returncode == 128 + number
    assert sentences(error) == ["inventory-to-records: 1 rows, 1 builds, 1 records, none skipped."]


def test_a_signal_ends_it_while_the_archive_is_silent(tool: Tool) -> None:
    with ArchiveServer(release_tree("firefox", "54.0", builds=(1,))) as server:
        tool.environ["ARCHIVE_URL"] = server.url
        server.fail(
            "pub/firefox/candidates/54.0-candidates/build1/mac/en-US/firefox-54.0.json", "hang"
        )
        process = tool.start()
        assert process.stdin
        process.stdin.write(GOOD)
        process.stdin.close()
        process.stdin = None
        assert process.stdout
        assert process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
        assert process.returncode == 143


def test_a_closed_output_is_exit_141_without_a_message(tool: Tool) -> None:
    many = b"".join(row(WINDOWS, n) for n in range(20_000))
    process = tool.start("-q")
    assert process.stdout
    assert process.stdin
    process.stdout.close()
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(many)
    process.stdout = None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()
    process.stdin = None
    _, error = process.communicate(timeout=30)
    assert process.returncode == 141
    assert error == b""


def test_head_ends_a_pipe_quietly(tool: Tool, tmp_path: Path) -> None:
    (tmp_path / "many").write_bytes(b"".join(row(WINDOWS, n) for n in range(20_000)))
    done = subprocess.run(
        ["bash", "-c", f"{COMMAND} -q {tmp_path}/many | head -n 1; echo ${{PIPESTATUS[0]}}"],
        capture_output=True,
        env=tool.environ,
        timeout=60,
    )
    assert done.stdout.splitlines()[1] == b"141"
    assert done.stderr == b""


def test_a_terminal_as_stdin_gets_the_help_and_exit_2(tool: Tool) -> None:
    leader, follower = pty.openpty()
    done = subprocess.run(
        [COMMAND], stdin=follower, capture_output=True, env=tool.environ, timeout=30
    )
    os.close(leader)
    os.close(follower)
    assert done.returncode == 2
    assert b"zcat *.csv.gz | inventory-to-records | to-kinto" in done.stderr


def test_a_cache_folder_that_cant_be_written_is_one_sentence(tool: Tool, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = tool(stdin=GOOD, CACHE_FOLDER=str(tmp_path / "file" / "cache"))
    assert done.returncode == 1
    assert "set CACHE_FOLDER to a folder of your own that can be written" in done.stderr.decode()


def test_two_runs_share_a_cache_folder(tool: Tool) -> None:
    processes = [tool.start() for _ in range(3)]
    outputs = []
    for process in processes:
        output, error = process.communicate(GOOD, timeout=60)
        assert process.returncode == 0, error
        outputs.append(output)
    assert len(set(outputs)) == 1


def test_explain_says_why_without_the_network(tool: Tool) -> None:
    done = tool("--explain", WINDOWS, "pub/firefox/releases/54.0/SHA512SUMS")
    assert done.returncode == 0
    first, second = done.stdout.decode().splitlines()
    assert "firefox_54-0_win64_fr" in first
    assert "no build" in second
    assert tool.server.total == 0


def test_explain_takes_a_url(tool: Tool) -> None:
    url = "http://ftp.mozilla.org/pub/mozilla.org/firefox/releases/54.0/win64/fr/"
    done = tool("--explain", url + "Firefox%20Setup%2054.0.exe", f"gs://bucket/{WINDOWS}")
    assert done.stdout.count(b"id firefox_54-0_win64_fr.") == 2


def test_a_killed_run_is_continued_by_the_next(tool: Tool) -> None:
    """The archive does not answer a request in the middle; there it is killed."""
    with ArchiveServer({}) as server:
        keys = []
        for version in range(40, 60):
            tree = release_tree("firefox", f"{version}.0", builds=(1,), platforms=("win64",))
            server.files |= tree
            keys += [k for k in tree if "/releases/" in k]
        middle = "pub/firefox/candidates/50.0-candidates/build1/win64/en-US/firefox-50.0.json"
        server.fail(middle, "hang")
        tool.environ |= {"ARCHIVE_URL": server.url}
        inventory = b"".join(map(row, keys))
        process = tool.start("--jobs", "1")
        assert process.stdin
        process.stdin.write(inventory)
        process.stdin.flush()
        deadline = time.monotonic() + 30
        while not server.requests["GET", middle]:
            assert process.poll() is None
            assert time.monotonic() < deadline, server.requests
            time.sleep(0.01)
        process.kill()
        process.communicate()
        assert 10 < server.total < 60
        done = tool(stdin=inventory)
        assert done.returncode == 0
        assert len(urls(done.stdout)) == len(keys)
        # What the first run had found was kept, except for the requests under way.
        assert server.total <= 60 + 3 + 1


@pytest.mark.parametrize(
    ("arguments", "environ", "sentence"),
    [
        (
            ["--explain"],
            {},
            "--explain needs one or more keys or URLs of the archive as arguments.",
        ),
        ([], {"ARCHIVE_URL": "http://[::1"}, "ARCHIVE_URL: 'http://[::1' is not a valid URL"),
        (["--archive-url", "http://a:secret@b/"], {}, "a user or password in the URL"),
    ],
)
def test_what_cannot_be_used_is_a_usage_error(
    tool: Tool, arguments: list[str], environ: dict[str, str], sentence: str
) -> None:
    done = tool(*arguments, stdin=GOOD, **environ)
    assert done.returncode == 2
    assert sentence in " ".join(done.stderr.decode().split())
    assert b"secret" not in done.stderr


def test_a_limit_before_the_year_1000_skips_nothing(tool: Tool) -> None:
    done = tool(stdin=GOOD, MIN_AGE_LAST_MODIFIED_HOURS="9999999")
    assert len(urls(done.stdout)) == 2


def test_a_time_with_an_offset_is_compared_in_utc(tool: Tool) -> None:
    """The file is of 12:00Z."""
    assert len(urls(tool("--since", "2017-06-13T14:00+02:00", stdin=GOOD).stdout)) == 2
    assert len(urls(tool("--since", "2017-06-13T14:00:01+02:00", stdin=GOOD).stdout)) == 0
