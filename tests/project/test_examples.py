"""The examples of the README and the documentation, run as they are written.

In a block of ``console``, what follows ``$`` is run, and the lines below it must be what it
prints; ``...`` stands for anything, alone on a line for any lines. Blocks of ``python`` are run
as well, those of ``javascript`` are parsed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.sample import tree
from tests.support.archive_server import ArchiveServer
from tests.support.bucket_tree import made
from tests.support.gcs_server import GcsServer
from tests.support.kinto_server import running_kinto
from tests.support.ports import free_port

pytestmark = [
    pytest.mark.functional,
    pytest.mark.skipif(
        not (shutil.which("curl") and shutil.which("jq")), reason="the examples use curl and jq"
    ),
]

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
PAGES = [ROOT / "README.rst", *sorted((ROOT / "docs").rglob("*.rst"))]


class Example(NamedTuple):
    """A command, and the lines that it is said to print."""

    command: str
    printed: tuple[str, ...]

    def pattern(self) -> str:
        """A regular expression for all that it may print."""
        return "".join(
            r"(?:.*\n)*?" if line == "..." else re.escape(line).replace(r"\.\.\.", ".*") + r"\n"
            for line in self.printed
        )


def blocks(page: Path, language: str) -> list[str]:
    """The blocks of code in a language: what is further in than the directive, up to what isn't."""
    text = page.read_text() + "\n"
    directive = rf"^( *)\.\. code-block:: {language}\n\n((?:\1 +.*\n|\n)+)"
    return [textwrap.dedent(block).strip() for _, block in re.findall(directive, text, re.M)]


def examples(page: Path) -> list[Example]:
    return [
        Example(command, tuple(printed))
        for block in blocks(page, "console")
        for command, *printed in map(str.splitlines, re.split(r"^\$ ", block, flags=re.M)[1:])
    ]


def run(page: Path, folder: Path, environ: dict[str, str], port: int) -> None:
    """Run a page's examples in one shell, one after the other, and compare what they print."""
    shell = ["set -e -o pipefail"]
    for number, example in enumerate(examples(page)):
        command = example.command.replace("8888", str(port))
        shell.append(f"echo '=== {number}'\n{{ {command}\n}} 2>&1\necho")
    script = "\n".join(shell)
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "LC_ALL": "C.UTF-8"} | environ,
        capture_output=True,
        text=True,
        timeout=300,
    )
    outputs = re.split(r"^=== \d+\n", done.stdout.replace("\r", ""), flags=re.M)[1:]
    for example, output in zip(examples(page), outputs, strict=False):
        printed = output.rstrip("\n") + "\n" if output.strip() else ""
        told = f"$ {example.command}\n{printed}"
        assert re.fullmatch(example.pattern().replace("8888", str(port)), printed), told
    assert done.returncode == 0, f"{outputs[-1]}\n{done.stderr}"


@pytest.fixture
def clone(tmp_path: Path) -> Iterator[Path]:
    """The repository as a newcomer has it, but with our .venv, as making one takes a minute."""
    folder = tmp_path / "buildhub"
    ignored = [".git", ".venv*", ".run", "_build", "build", "dist", "__pycache__", ".*_cache"]
    shutil.copytree(ROOT, folder, symlinks=True, ignore=shutil.ignore_patterns(*ignored))
    (folder / ".venv").symlink_to(sys.prefix)
    for name in ("setup.py", "requirements/lock.txt"):
        os.utime(folder / name, (0, 0))  # older than .venv: it isn't made anew
    yield folder
    subprocess.run(["make", "stop"], cwd=folder, check=True, capture_output=True)


@pytest.mark.xdist_group("make run")
@pytest.mark.parametrize(
    "name", ["README.rst", pytest.param("docs/tutorial.rst", marks=pytest.mark.slow)]
)
def test_what_a_newcomer_types(name: str, clone: Path) -> None:
    port = free_port()
    environ = {"SERVER_URL": f"http://localhost:{port}/v1"}
    run(ROOT / name, clone, environ, port)


class Site(NamedTuple):
    """A Kinto with the sample in it, and the environment to use it."""

    port: int
    environ: dict[str, str]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    objects = [made(row.key, f"{row.date[:-1]}.000Z") for row in tree.rows()]
    with (
        running_kinto(folder) as kinto,
        ArchiveServer(tree.files()) as archive,
        GcsServer(objects) as bucket,
    ):
        environ = {
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "SERVER_URL": kinto.url,
            "ARCHIVE_URL": archive.url,
            "ARCHIVE_BUCKET": bucket.bucket,
            "STORAGE_EMULATOR_HOST": bucket.url,
            "CHECKSUMS": "true",
        }
        definition = ROOT / "jobs" / "initialization.yml"
        load = f"kinto-wizard load --server {kinto.url} --auth user:pass {definition}"
        pipe = f"inventory-to-records {tree.INVENTORY} | to-kinto"
        subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", f"{load}\n{pipe}"],
            cwd=folder,
            env=environ,
            check=True,
            capture_output=True,
        )
        yield Site(int(kinto.url.rpartition(":")[2].partition("/")[0]), environ)


@pytest.mark.slow
@pytest.mark.xdist_group("site")
@pytest.mark.parametrize(
    "page",
    [p for p in PAGES if examples(p) and p.stem not in ("README", "tutorial")],
    ids=lambda page: page.stem,
)
def test_what_is_shown_elsewhere(page: Path, site: Site, tmp_path: Path) -> None:
    shutil.copy(tree.INVENTORY, tmp_path / "delivery.csv.gz")
    run(page, tmp_path, site.environ, site.port)


@pytest.mark.slow
@pytest.mark.xdist_group("site")
@pytest.mark.parametrize(
    "page", [page for page in PAGES if blocks(page, "python")], ids=lambda page: page.stem
)
def test_the_python_that_is_shown(page: Path, site: Site) -> None:
    """The blocks of a page are one program: each builds on those above."""
    program = "\n".join(blocks(page, "python")).replace("8888", str(site.port))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "_nightly_" in done.stdout


@pytest.mark.skipif(not shutil.which("node"), reason="there is no Node.js to parse JavaScript")
@pytest.mark.parametrize(
    "page", [page for page in PAGES if blocks(page, "javascript")], ids=lambda page: page.stem
)
def test_the_javascript_that_is_shown_can_be_parsed(page: Path, tmp_path: Path) -> None:
    program = tmp_path / "example.mjs"
    program.write_text("\n".join(blocks(page, "javascript")))
    subprocess.run(["node", "--check", program], check=True)
