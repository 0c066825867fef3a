"""lambda.zip, built as `make lambda.zip` builds it, for the Python and machine of this run."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support.lambda_zip import build

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.slow]


def run_on_its_own(folder: Path, code: str) -> str:
    """Run ``code`` with the modules of ``folder`` and Python's own, and no others."""
    start = f"import sys; sys.path.insert(0, {str(folder)!r}); sys.dont_write_bytecode = True\n"
    command = [sys.executable, "-I", "-S", "-W", "error", "-c", start + code]
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd="/").stdout


def test_another_clone_at_another_time_gives_the_same_bytes(lambda_zip, tmp_path):
    """The folder's name, the files' times, and other files in the folder make no difference."""
    clone = tmp_path / "clone"
    for name in ("buildhub", "jobs", ".lambda", "requirements"):
        shutil.copytree(ROOT / name, clone / name, symlinks=True, copy_function=shutil.copyfile)
    for name in ("setup.py", "MANIFEST.in", "README.rst", "LICENSE", "CHANGELOG.rst"):
        shutil.copyfile(ROOT / name, clone / name)
    stale = clone / "build" / "lib" / "buildhub" / "deleted.py"
    stale.parent.mkdir(parents=True)
    stale.write_text("an older build's")
    again = build(clone / "lambda.zip", script=clone / ".lambda" / "build.py")
    assert again.read_bytes() == lambda_zip.read_bytes()


def test_entries_are_sorted_and_readable_and_have_one_time(lambda_zip):
    entries = zipfile.ZipFile(lambda_zip).infolist()
    assert [e.filename for e in entries] == sorted(e.filename for e in entries)
    assert {e.date_time for e in entries} == {(1980, 1, 1, 0, 0, 0)}
    assert {e.external_attr >> 16 for e in entries} == {0o100644}


def test_it_holds_what_the_handlers_read_and_nothing_else(lambda_zip):
    names = zipfile.ZipFile(lambda_zip).namelist()
    assert "buildhub/initialization.yml" in names
    services = {n.split("/")[2] for n in names if n.startswith("botocore/data/") if "/20" in n}
    assert services == {"s3", "secretsmanager"}
    for useless in ("/tests/", "direct_url.json", "bin/"):
        assert not [name for name in names if useless in f"/{name}"]
    for needless in ("kinto/", "moto/", "pytest/", "pip/", "boto3/"):
        assert not [name for name in names if name.startswith(needless)]


def test_every_module_is_compiled_whatever_the_times_of_the_files_are(lambda_folder):
    """Lambda unpacks to a folder that cannot be written: otherwise each cold start compiles."""
    for source in lambda_folder.rglob("*.py"):
        compiled = Path(importlib.util.cache_from_source(str(source))).read_bytes()
        assert compiled[:4] == importlib.util.MAGIC_NUMBER
        assert int.from_bytes(compiled[4:8], "little") == 0b01, "a hash that is not checked"
        assert str(lambda_folder).encode() not in compiled


@pytest.mark.parametrize("handler", ["lambda_s3_inventory", "lambda_s3_event"])
def test_unpacked_it_imports_the_handler(lambda_folder, handler):
    code = f"import buildhub.{handler} as module; print(callable(module.lambda_handler))"
    assert run_on_its_own(lambda_folder, code) == "True\n"


def test_the_client_of_s3_works_with_the_data_that_is_left(lambda_folder):
    code = """
import botocore.session, botocore
from botocore.config import Config
client = botocore.session.Session().create_client(
    "s3", "us-east-1", config=Config(signature_version=botocore.UNSIGNED))
print(client.get_paginator("list_objects_v2") is not None, client.meta.endpoint_url)
"""
    assert run_on_its_own(lambda_folder, code) == "True https://s3.amazonaws.com\n"


@pytest.mark.parametrize(
    ("arch", "python", "ending"),
    [("arm64", "3.11", "aarch64"), ("x86_64", "3.13", "x86_64")],
)
def test_it_is_built_for_another_machine_or_python_than_this(tmp_path, arch, python, ending):
    output = tmp_path / "other.zip"
    command = ["make", "lambda.zip", f"LAMBDA_ARCH={arch}", f"LAMBDA_PYTHON={python}"]
    subprocess.run([*command, f"LAMBDA_ZIP={output}"], cwd=ROOT, check=True, capture_output=True)
    libraries = [n for n in zipfile.ZipFile(output).namelist() if n.endswith(".so")]
    tag = f"cpython-{python.replace('.', '')}-{ending}-linux-gnu.so"
    assert libraries
    assert {n.partition(".")[2] for n in libraries} == {tag}


def test_a_failure_of_pip_leaves_the_zip_that_was_there(tmp_path):
    output = tmp_path / "lambda.zip"
    output.write_bytes(b"the last good one")
    command = [sys.executable, str(ROOT / ".lambda" / "build.py"), "--python", "3.2"]
    result = subprocess.run([*command, "--output", str(output)], capture_output=True, text=True)
    assert result.returncode == 1
    assert "pip failed" in result.stderr
    assert output.read_bytes() == b"the last good one"
    assert list(tmp_path.iterdir()) == [output]
