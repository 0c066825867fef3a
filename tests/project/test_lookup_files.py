"""What can be said of the lookup page, and of where it is served, without a browser."""

from __future__ import annotations

import base64
import hashlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "lookup" / "index.html"
TEXT = PAGE.read_text()


def test_the_policy_allows_the_script_and_nothing_else():
    script = re.search(r"<script>(.*)</script>", TEXT, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', TEXT)[1]
    assert f"script-src 'sha256-{digest}';" in policy, f"the script's hash is now sha256-{digest}"
    assert policy.startswith("default-src 'none';")


def test_it_depends_on_no_other_file_and_never_makes_html_of_text():
    assert re.findall(r'<script\b[^>]+>|<link rel="stylesheet|@import|<img\b', TEXT) == []
    assert re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", TEXT) == []


def test_compose_serves_it_beside_the_kinto_that_it_asks():
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    base = re.search(r"^ARG BASE_IMAGE=(.+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)[1]
    assert services["lookup"]["image"] == base
    source, target, mode = services["lookup"]["volumes"][0].split(":")
    assert ((ROOT / source).resolve(), mode) == (PAGE.parent, "ro")
    assert services["lookup"]["command"][-1] == target
    port = services["kinto"]["ports"][0].split(":")[1]
    assert f'name="kinto-server" content="http://localhost:{port}/v1"' in TEXT


@pytest.mark.slow
def test_the_documentation_has_a_copy(tmp_path):
    command = [sys.executable, "-m", "sphinx", "-q", "-b", "html", "docs", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True)
    assert (tmp_path / "lookup" / "index.html").read_text() == TEXT
    assert 'href="lookup/index.html"' in (tmp_path / "lookup.html").read_text()
    assert "toctree" in (tmp_path / "index.html").read_text(), "it replaced the index"
