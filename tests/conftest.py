"""What is costly to make, and used by tests of several files."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from .lambda_zip import build


@pytest.fixture(scope="session")
def lambda_zip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """lambda.zip, for the Python and the machine of this run."""
    return build(tmp_path_factory.mktemp("zip") / "lambda.zip")


@pytest.fixture(scope="session")
def lambda_folder(lambda_zip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a Lambda finds in its folder: lambda.zip, unpacked."""
    folder = tmp_path_factory.mktemp("task")
    shutil.unpack_archive(lambda_zip, folder)
    return folder
