"""The published sdist, and the wheel made from it, work in a venv that has nothing else."""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import re
import shutil
import subprocess
import sys
import tarfile
import time
import venv
import zipfile
from pathlib import Path

import pytest
import requests
from readme_renderer import rst

import buildhub
from tests.sample import tree
from tests.support.archive_server import ArchiveServer
from tests.support.kinto_server import Kinto
from tests.support.ports import free_port

pytestmark = [pytest.mark.functional, pytest.mark.slow, pytest.mark.xdist_group("packaging")]

ROOT = Path(__file__).parents[2]
FILES = ("setup.py", "MANIFEST.in", "README.rst", "LICENSE", "CHANGELOG.rst")
FOLDERS = ("buildhub", "jobs")


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist and the wheel, made as `python -m build` makes them."""
    source = tmp_path_factory.mktemp("source")
    for name in FILES:
        shutil.copy2(ROOT / name, source / name)
    for name in FOLDERS:
        shutil.copytree(ROOT / name, source / name, symlinks=True)
    command = [sys.executable, "-m", "build", "--no-isolation"]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    return source / "dist"


@pytest.fixture(scope="module")
def commands(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the commands in a venv into which only the wheel was installed."""
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder, with_pip=True)
    pip = [folder / "bin" / "python", "-m", "pip", "--quiet", "install"]
    lock = ["--constraint", ROOT / "requirements" / "lock.txt"]
    subprocess.run([*pip, *lock, *dist.glob("*.whl")], check=True, capture_output=True)
    return folder / "bin"


def test_the_sdist_holds_what_the_wheel_is_made_of(dist):
    (sdist,) = dist.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"LICENSE", "README.rst", "CHANGELOG.rst", "setup.py"} <= names
    assert {"jobs/initialization.yml", "jobs/indexes.sql", "buildhub/py.typed"} <= names
    assert "Makefile" not in names  # what it does needs the rest of the repository


def test_the_wheel_holds_the_package_and_its_data_and_no_tests(dist):
    (wheel,) = dist.glob("*.whl")
    contents = zipfile.ZipFile(wheel)
    names = contents.namelist()
    assert {"buildhub/py.typed", "buildhub/commands/to_kinto.py"} <= set(names)
    for name in ("initialization.yml", "indexes.sql"):
        assert contents.read(f"buildhub/{name}") == (ROOT / "jobs" / name).read_bytes()
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"buildhub"}
    for path in (ROOT / "buildhub" / "page").iterdir():
        assert contents.read(f"buildhub/page/{path.name}") == path.read_bytes()


def test_one_line_serves_the_lookup_page_of_an_installed_wheel(commands, tmp_path):
    text = (ROOT / "docs" / "lookup.rst").read_text()
    line = re.search(r"^ +(python -m http\.server .*)$", text, re.MULTILINE)[1]
    port = free_port()
    environ = {"PATH": f"{commands}:{os.defpath}"}
    command = ["bash", "-c", f"exec {line.replace('8880', str(port))}"]
    with subprocess.Popen(command, env=environ, cwd=tmp_path, stderr=subprocess.DEVNULL) as server:
        try:
            answer = _get_when_up(f"http://localhost:{port}/main.js")
        finally:
            server.terminate()
    assert answer.content == (ROOT / "buildhub" / "page" / "main.js").read_bytes()
    assert answer.headers["Content-Type"].startswith("text/javascript")


def _get_when_up(url: str) -> requests.Response:
    for _ in range(200):
        with contextlib.suppress(requests.ConnectionError):
            return requests.get(url, timeout=10)
        time.sleep(0.05)
    raise AssertionError(f"{url} is not served")


@pytest.mark.parametrize(
    "command", ["inventory-to-records", "to-kinto", "latest-inventory-to-kinto"]
)
def test_an_installed_command_prints_its_version(commands, command):
    said = subprocess.check_output([commands / command, "--version"], text=True)
    assert said == f"{command} {buildhub.__version__}\n"


def test_the_wheel_alone_does_the_whole_sample(commands, kinto: Kinto, tmp_path):
    """Initialised by hand, as kinto-wizard belongs to who develops; then the pipe."""
    with ArchiveServer(tree.files()) as archive:
        environ = {
            "PATH": f"{commands}:{os.defpath}",
            "ARCHIVE_URL": archive.url,
            "SERVER_URL": kinto.url,
            "CACHE_FOLDER": str(tmp_path),
        }
        message = subprocess.run(
            [commands / "to-kinto"],
            input=b'{"data": {"id": "a"}}',
            env=environ,
            capture_output=True,
        ).stderr.decode()
        (named,) = re.findall(r"--auth … (\S+),", message)
        assert Path(named).read_bytes() == (ROOT / "jobs" / "initialization.yml").read_bytes()
        kinto.make_collection()
        pipe = f"zcat {tree.INVENTORY} | inventory-to-records | tee records | to-kinto"
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", pipe],
            env=environ,
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
    assert done.returncode == 0, done.stderr
    sent = (tmp_path / "records").read_text().splitlines()
    assert len(kinto.records()) == len(sent) > 500


def test_the_links_and_pictures_of_the_readme_are_absolute_and_lead_to_files_that_exist():
    """The index shows it without the repository around it."""
    text = (ROOT / "README.rst").read_text()
    targets = re.findall(r"<([^>]+)>`_|image:: (\S+)", text)
    for target in filter(None, itertools.chain.from_iterable(targets)):
        assert target.startswith("https://"), target
        if "mozilla-services/buildhub/" in target:
            assert (ROOT / target.partition("/main/")[2]).exists(), target


def test_the_readme_can_be_shown_by_the_index():
    """PyPI shows a README as plain text if docutils warns of anything in it."""
    warnings = io.StringIO()
    assert rst.render((ROOT / "README.rst").read_text(), stream=warnings), warnings.getvalue()
    assert not warnings.getvalue()
