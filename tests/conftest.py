"""Fixtures of several files: real servers, each started when first asked for, and packages."""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from .support import postgres, s3_bucket
from .support.archive_server import ArchiveServer
from .support.event_system import EventSystem
from .support.kinto_server import ACCOUNTS_SETTINGS, STRICT_SETTINGS, Kinto, running_kinto
from .support.lambda_zip import build

# All examples are for CI, where Hypothesis chooses a profile of its own.
settings.register_profile("fast", max_examples=20)
if not os.environ.get("CI"):
    settings.load_profile("fast")


def _in_memory(folder: str = "/dev/shm") -> bool:
    """Return whether temporary files may lie there: on a disk, making a database takes long."""
    try:
        file_system = os.statvfs(folder)
    except OSError:
        return False
    free = file_system.f_bavail * file_system.f_frsize
    return free > 1 << 30 and not file_system.f_flag & os.ST_NOEXEC


if "TMPDIR" not in os.environ and _in_memory():
    os.environ["TMPDIR"] = tempfile.tempdir = "/dev/shm"

#: What takes long to start, and the group of the tests that use it: they share a process.
GROUPS = {
    "strict_kinto": "sample",
    "accounts_kinto": "accounts",
    "lambda_zip": "lambda zip",
    "postgresql": "postgresql",
}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Before pytest-xdist looks at the groups; it needs time for each group, or test without."""
    for item in items:
        if item.path.parent.name == "unit":
            item.add_marker(pytest.mark.xdist_group(item.path.stem))
        for name in GROUPS.keys() & getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group(GROUPS[name]))
    if os.environ.get("PYTEST_XDIST_WORKER"):
        _spread(items)


def _spread(items: list[pytest.Item]) -> None:
    """Put groups first, as they take longest, and unit tests, which never wait, among the others.

    While some processes wait, others then have something to compute.
    """
    unit = [item for item in items if item.path.parent.name == "unit"]
    others = [item for item in items if item.path.parent.name != "unit"]
    places = {item: n / len(part) for part in (unit, others) for n, item in enumerate(part, 1)}
    for item in others:
        if item.get_closest_marker("xdist_group"):
            places[item] = 0
    items.sort(key=places.__getitem__)


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Keep what was imported and collected out of all further garbage collections."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def _kinto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kinto]:
    with running_kinto(tmp_path_factory.mktemp("kinto")) as kinto:
        yield kinto


@pytest.fixture(scope="session")
def _strict_kinto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kinto]:
    with running_kinto(tmp_path_factory.mktemp("strict"), STRICT_SETTINGS) as kinto:
        yield kinto


@pytest.fixture(scope="session")
def _accounts_kinto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kinto]:
    with running_kinto(tmp_path_factory.mktemp("accounts"), ACCOUNTS_SETTINGS) as kinto:
        yield kinto


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The URL of a database, in whose server :func:`postgres.new_database` makes others."""
    with postgres.running_postgres() as url:
        yield url


@pytest.fixture(scope="session")
def _bucket() -> Iterator[s3_bucket.Bucket]:
    with s3_bucket.running() as bucket:
        yield bucket


@pytest.fixture
def bucket(_bucket: s3_bucket.Bucket) -> s3_bucket.Bucket:
    """The bucket of the inventories, empty."""
    _bucket.empty()
    return _bucket


@pytest.fixture
def kinto(_kinto: Kinto) -> Kinto:
    """An empty Kinto where everybody who gives a name may write."""
    _kinto.flush()
    return _kinto


@pytest.fixture
def strict_kinto(_strict_kinto: Kinto) -> Kinto:
    """An empty Kinto with its default permissions: what a user made is that user's."""
    _strict_kinto.flush()
    return _strict_kinto


@pytest.fixture
def accounts_kinto(_accounts_kinto: Kinto) -> Kinto:
    """An empty Kinto that knows one user, user:pass, and no other."""
    _accounts_kinto.flush()
    account = {"data": {"password": "pass"}}
    _accounts_kinto.call("PUT", "/accounts/user", json=account, auth=None)
    return _accounts_kinto


@pytest.fixture
def system(kinto: Kinto) -> Iterator[EventSystem]:
    """An empty archive, a Kinto that has the real schema, and a container for events."""
    with ArchiveServer({}) as archive:
        system = EventSystem(archive, kinto)
        system.reset()
        yield system
        system.close()


@pytest.fixture(scope="session")
def lambda_zip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """lambda.zip, for the Python and the machine of this run."""
    return build(tmp_path_factory.mktemp("zip") / "lambda.zip")


@pytest.fixture(scope="session")
def lambda_folder(lambda_zip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns the folder of a Lambda: lambda.zip, unpacked."""
    folder = tmp_path_factory.mktemp("task")
    shutil.unpack_archive(lambda_zip, folder)
    return folder
