"""Sphinx's configuration. `make docs` builds with warnings as errors."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import buildhub  # noqa: E402

project = "buildhub"
author = "The buildhub authors"
copyright = "Mozilla"
version = release = buildhub.__version__

extensions: list[str] = []

# What is generated is included in other pages.
exclude_patterns = ["_build", "generated"]
nitpicky = True

html_theme = "furo"
html_title = f"buildhub {version}"
html_show_copyright = False
# Fonts and scripts come from the pages' own server: they can be read without the internet.
html_copy_source = False


def publish_lookup_page(app: Sphinx, error: Exception | None) -> None:
    """Copy the page that looks builds up: html_extra_path would put it in place of the index."""
    if not error and app.builder.format == "html":
        shutil.copytree(ROOT / "buildhub" / "page", Path(app.outdir) / "lookup", dirs_exist_ok=True)


def setup(app: Sphinx) -> None:
    """Called by Sphinx."""
    app.connect("build-finished", publish_lookup_page)
