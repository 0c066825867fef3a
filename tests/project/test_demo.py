"""``make run`` does what the README promises of it: here with the present interpreter."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from tests.demo.__main__ import ROOT
from tests.sample import tree
from tests.support.ports import free_port

pytestmark = [pytest.mark.functional, pytest.mark.xdist_group("make run")]


class Demo:
    """``make run`` and ``make stop`` with a folder and a port of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()

    def __call__(self, action: str, **variables: str) -> subprocess.CompletedProcess[str]:
        ours = ("ARCHIVE_URL", "INVENTORY", "CACHE_FOLDER")
        environ = {name: value for name, value in os.environ.items() if name not in ours}
        environ |= {"SERVER_URL": f"http://localhost:{self.port}/v1"} | variables
        command = [sys.executable, "-m", "tests.demo", action, "--folder", str(self.folder)]
        return subprocess.run(
            command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=120
        )


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    demo = Demo(tmp_path / "run")
    yield demo
    demo("stop")


def stored(output: str) -> int:
    found = re.search(r"now stores ([\d,]+) records", output)
    assert found, output
    return int(found[1].replace(",", ""))


def test_it_shows_the_job_done_and_the_second_time_nothing_changes(demo: Demo) -> None:
    first = demo("run")
    assert first.returncode == 0, first.stderr
    rows = len(list(tree.rows()))
    assert f"{rows:,} rows" in first.stderr
    assert 500 < stored(first.stdout) < rows
    assert '"revision": "' in first.stdout
    assert "Nothing changed" not in first.stdout

    curl, ids = re.search(r"\$ (curl -s .*)\n((?:  .*\n)+)", first.stdout).groups()  # type: ignore[union-attr]
    answer = subprocess.run(curl, shell=True, capture_output=True, text=True, check=True)
    assert all(identifier in answer.stdout for identifier in ids.split())

    page = re.search(r"open (\S+)\n\Z", first.stdout)[1]  # type: ignore[index]
    assert page.endswith(f"?server=http://localhost:{demo.port}/v1")
    assert "<title>buildhub</title>" in requests.get(page, timeout=10).text

    assert "This is a sample" in first.stdout
    url = re.search(r'"url": "(http://127.0.0.1:(\d+)/.+)"', first.stdout)  # type: ignore[union-attr]
    assert url
    second = demo("run")
    assert second.returncode == 0, second.stderr
    assert "Nothing changed" in second.stdout
    assert stored(second.stdout) == stored(first.stdout)

    assert second.stdout.splitlines()[-1] == first.stdout.splitlines()[-1]
    assert requests.head(url[1], timeout=10).status_code == 200, "the file's link is dead"
    assert demo("stop").stdout.count("is stopped") == 3
    for port in (demo.port, int(urlsplit(page).port or 0), int(url[2])):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=5)


@pytest.mark.slow
def test_the_archive_waits_for_its_port_as_the_records_link_to_it(demo: Demo) -> None:
    first = demo("run", PRODUCTS="devedition")
    port = int(re.search(r"Serving .*:(\d+)/\n", first.stdout)[1])  # type: ignore[index]
    demo("stop")
    with socket.create_server(("127.0.0.1", port)) as other:  # as another `make run`, for a while
        threading.Timer(2, other.close).start()
        second = demo("run", PRODUCTS="devedition")
    assert second.returncode == 0, second.stderr
    assert f":{port}/\n" in second.stdout


@pytest.mark.slow
def test_a_kinto_that_answers_already_is_used_and_left_alone(demo: Demo, tmp_path: Path) -> None:
    other = Demo(tmp_path / "other")
    other.port = demo.port
    demo("run", PRODUCTS="devedition")
    used = other("run", PRODUCTS="devedition")
    assert used.returncode == 0, used.stderr
    assert "answers already" in used.stdout
    assert "make stop leaves it alone" in used.stdout
    assert "No Kinto of ours" in other("stop").stdout
    assert "is stopped" in demo("stop").stdout


def test_another_server_on_the_port_is_reported(demo: Demo) -> None:
    with HTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever).start()
        demo.port = server.server_port
        done = demo("run")
        server.shutdown()
    assert done.returncode == 1
    assert done.stderr.startswith(f"What listens at localhost:{demo.port} is no Kinto")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"SERVER_URL": "http://kinto.invalid/v1"}, "No Kinto answers at http://kinto.invalid/v1"),
        ({"SERVER_URL": "kinto"}, "SERVER_URL"),
        ({"INVENTORY": "/nowhere/*.csv.gz"}, "INVENTORY: no file matches /nowhere/*.csv.gz"),
    ],
)
def test_what_cannot_work_is_one_sentence(
    demo: Demo, variables: dict[str, str], sentence: str
) -> None:
    done = demo("run", **variables)
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert sentence in done.stderr


def test_nothing_to_stop_is_no_error(demo: Demo) -> None:
    done = demo("stop")
    assert (done.returncode, done.stdout) == (0, "No Kinto of ours is running.\n")
