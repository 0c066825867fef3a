"""Build ``lambda.zip``: buildhub and what it needs, for AWS Lambda, without Docker.

pip itself fetches the wheels made for Lambda's system, whatever this machine is. The same
sources and lock give the same bytes: entries are sorted, with one time and one mode for all.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

from prune import prune

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements" / "lock.txt"

#: What the wheel is made of. It is made from a copy, as setuptools would else leave its own
#: folders here, and put into the next wheel what has been deleted since.
SOURCES = ("setup.py", "MANIFEST.in", "README.rst", "LICENSE", "CHANGELOG.rst", "buildhub", "jobs")

#: The machine's name in wheels, by the name that Lambda gives to it.
MACHINES = {"x86_64": "x86_64", "arm64": "aarch64"}

#: Lambda's limit of what is unpacked, in bytes.
LIMIT = 250 * 1024 * 1024

#: A zip file knows no time before this one, in seconds since 1970.
START_OF_ZIP = 315532800


def platforms(machine: str, python: str) -> list[str]:
    """The wheels that run on Lambda, newest first.

    Python 3.11 runs there on Amazon Linux 2 (glibc 2.26), later ones on Amazon Linux 2023
    (glibc 2.34): a wheel for a newer glibc would only fail when it is imported there.
    """
    glibc = 34 if tuple(map(int, python.split("."))) >= (3, 12) else 26
    newer = [f"manylinux_2_{minor}_{machine}" for minor in range(glibc, 16, -1)]
    return [*newer, f"manylinux2014_{machine}"]


def install(target: Path, *, arch: str, python: str) -> None:
    """Install buildhub and its dependencies, as locked, into ``target``."""
    with tempfile.TemporaryDirectory() as folder:
        wheel = _wheel(Path(folder))
        _pip(
            *("install", "--target", str(target), "--no-compile"),
            *("--only-binary=:all:", "--implementation=cp", f"--python-version={python}"),
            *(f"--platform={name}" for name in platforms(MACHINES[arch], python)),
            *("--constraint", str(LOCK), str(wheel)),
        )


def _wheel(folder: Path) -> Path:
    """buildhub's own wheel, made in ``folder`` with the setuptools of this environment."""
    copy = folder / "source"
    copy.mkdir()
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, copy / name, symlinks=True, ignore=ignored)
        else:
            shutil.copy(source, copy / name)
    _pip("wheel", "--no-deps", "--no-build-isolation", f"--wheel-dir={folder}", str(copy))
    (wheel,) = folder.glob("*.whl")
    return wheel


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    subprocess.run(command, check=True, stdout=sys.stderr)


def add_bytecode(folder: Path, python: str) -> None:
    """Compile all modules: Lambda's folder is read-only, so each cold start would do it again.

    Bytecode belongs to one version of Python. It contains neither times nor this machine's paths.
    """
    interpreter = _interpreter(python)
    if interpreter is None:
        print(f"Without bytecode: there is no python{python} here to compile it.", file=sys.stderr)
        return
    options = ("-q", "-s", str(folder), "-p", "/var/task", "--invalidation-mode", "unchecked-hash")
    subprocess.run(
        [interpreter, "-m", "compileall", *options, str(folder)],
        check=True,
        stdout=sys.stderr,
        env=os.environ | {"PYTHONHASHSEED": "0"},
    )


def _interpreter(python: str) -> str | None:
    """Returns a Python of that version: this one, or one that is in PATH and runs."""
    if python == f"{sys.version_info.major}.{sys.version_info.minor}":
        return sys.executable
    found = shutil.which(f"python{python}")
    runs = found and not subprocess.run([found, "--version"], capture_output=True).returncode
    return found if runs else None


def pack(folder: Path, output: Path) -> None:
    """Zip ``folder`` so that the same files give the same bytes."""
    seconds = max(int(os.environ.get("SOURCE_DATE_EPOCH") or 0), START_OF_ZIP)
    with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path in _files(folder):
            name = path.relative_to(folder).as_posix()
            entry = zipfile.ZipInfo(name, time.gmtime(seconds)[:6])
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o100644 << 16
            entry.create_system = 3  # Unix, also where it is built elsewhere
            archive.writestr(entry, path.read_bytes())


def _files(folder: Path) -> Iterator[Path]:
    files = (path for path in folder.rglob("*") if path.is_file())
    yield from sorted(files, key=Path.as_posix)


def build(output: Path, *, arch: str, python: str) -> None:
    """Make the zip at ``output``: there whole or, if anything fails, not at all."""
    with tempfile.TemporaryDirectory(dir=output.resolve().parent, prefix=".lambda-") as name:
        folder = Path(name, "content")
        install(folder, arch=arch, python=python)
        prune(folder)
        add_bytecode(folder, python)
        size = sum(path.stat().st_size for path in _files(folder))
        if size > LIMIT:
            sys.exit(f"{size:,} bytes unpacked are more than Lambda takes ({LIMIT:,}).")
        whole = Path(name, "whole.zip")
        pack(folder, whole)
        whole.chmod(0o644)
        whole.replace(output)
    print(
        f"{output}: {output.stat().st_size:,} bytes, {size:,} unpacked,"
        f" for Python {python} on {arch}.",
        file=sys.stderr,
    )


def main() -> None:
    """The command line: what to build for, and where to."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--arch", choices=MACHINES, default="x86_64", help="LAMBDA_ARCH")
    parser.add_argument("--python", default="3.11", help="Lambda's Python")
    parser.add_argument("--output", type=Path, default=Path("lambda.zip"))
    options = parser.parse_args()
    try:
        build(options.output, arch=options.arch, python=options.python)
    except subprocess.CalledProcessError as error:
        failed = "compileall" if "compileall" in error.cmd else "pip"
        sys.exit(
            f"{failed} failed (see above), so there is no {options.output}: {error.returncode}"
        )


if __name__ == "__main__":
    main()
