"""The files of the lookup page are right, as far as that can be checked without a browser."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "buildhub" / "page"
TEXT = (PAGE / "index.html").read_text()
SCRIPTS = {path.name: path.read_text() for path in PAGE.glob("*.js")}


def test_the_policy_allows_what_is_beside_the_page_and_nothing_else() -> None:
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', TEXT)[1]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in policy
    assert re.findall(r"<style|style=|<script(?![^>]* src=)", TEXT) == []


def test_it_depends_on_nothing_but_its_own_files() -> None:
    linked = re.findall(r'(?:src|href)="([^"?#:]+)"', TEXT)
    imported = [name for text in SCRIPTS.values() for name in re.findall(r'from "(.+)";', text)]
    assert {f"./{name}" for name in SCRIPTS} == {*imported, "./main.js"}
    assert sorted(linked) == ["main.js", "style.css"]
    assert "@import" not in (PAGE / "style.css").read_text()


@pytest.mark.parametrize("name", SCRIPTS)
def test_text_never_becomes_html_and_each_module_says_what_it_is_for(name: str) -> None:
    text = SCRIPTS[name]
    unsafe = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|setHTML"
    assert re.findall(unsafe, text) == []
    assert text.startswith("/** ")


def test_it_is_small_enough_to_be_read() -> None:
    lines = {path.name: len(path.read_text().splitlines()) for path in PAGE.iterdir()}
    assert sum(lines.values()) <= 1_900, lines


def test_compose_serves_it_beside_the_kinto_that_it_asks() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    base = re.search(r"^ARG BASE_IMAGE=(.+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)[1]
    assert services["lookup"]["image"] == base
    source, target, mode = services["lookup"]["volumes"][0].split(":")
    assert ((ROOT / source).resolve(), mode) == (PAGE, "ro")
    assert services["lookup"]["command"][-1] == target
    port = services["kinto"]["ports"][0].split(":")[1]
    assert f'name="kinto-server" content="http://localhost:{port}/v1"' in TEXT


@pytest.mark.slow
def test_the_documentation_has_a_copy(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sphinx", "-q", "-b", "html", "docs", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True)
    copies = {path.name: path.read_text() for path in (tmp_path / "lookup").iterdir()}
    assert copies == {path.name: path.read_text() for path in PAGE.iterdir()}
    assert 'href="lookup/index.html"' in (tmp_path / "lookup.html").read_text()
    assert "toctree" in (tmp_path / "index.html").read_text(), "it replaced the index"
