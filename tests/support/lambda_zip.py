"""Builds lambda.zip as `make lambda.zip` does, for the Python and the machine of this run."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

BUILD = Path(__file__).parents[2] / ".lambda" / "build.py"
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
ARCH = {"aarch64": "arm64"}.get(platform.machine(), platform.machine())


def build(output: Path, *, script: Path = BUILD) -> Path:
    """Make the zip at ``output``, with another clone's ``script`` if need be."""
    options = ["--python", PYTHON, "--arch", ARCH, "--output", str(output)]
    subprocess.run([sys.executable, str(script), *options], check=True, capture_output=True)
    return output
