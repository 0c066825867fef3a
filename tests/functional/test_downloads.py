"""An inventory's files from a real S3 API into a folder, with whatever can go wrong on the way."""

from __future__ import annotations

import contextlib
import fcntl
import gzip
import hashlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest

from buildhub.errors import Fatal, Unreachable
from buildhub.inventory.download import download
from buildhub.inventory.s3_inventories import Manifest
from tests.support import s3_bucket
from tests.support.hostile.faults import cut_at, damaged, slow_down
from tests.support.hostile.proxy import Behaviour, HostileProxy, SeenRequest
from tests.support.s3_bucket import BUCKET, Bucket, archive_inventories

pytestmark = pytest.mark.functional

DATE = "2017-08-02T00-11Z"
Fetch = Callable[..., Generator[Path]]
THREE_DAYS = 3 * 24 * 3600


def some_file(seed: int, size: int = 300_000, members: int = 1) -> bytes:
    """Random bytes, which gzip does not make smaller, so that it takes several reads."""
    return s3_bucket.packed(random.Random(seed).randbytes(size), members)


FILES = [some_file(1), some_file(2, members=3), some_file(3), some_file(4)]


def name_of(file: bytes) -> str:
    return f"{hashlib.md5(file).hexdigest()}.csv.gz"


@pytest.fixture
def proxy(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> Iterator[HostileProxy]:
    bucket.add_inventory("firefox", DATE, FILES)
    with HostileProxy(bucket.url) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.url)
        yield proxy


@pytest.fixture
def manifest(proxy: HostileProxy) -> Manifest:
    return archive_inventories(timeout_seconds=5, retries=3).newest_manifest("firefox")


@pytest.fixture
def fetch(manifest: Manifest, tmp_path: Path) -> Fetch:
    """Download to ``tmp_path``, with a client of its own, as a new run would: the paths."""

    def fetch(
        retries: int = 3, raise_if_cancelled: Callable[[], None] = lambda: None
    ) -> Generator[Path]:
        inventories = archive_inventories(timeout_seconds=5, retries=retries)
        downloads = download(
            inventories, manifest, tmp_path, retries=retries, raise_if_cancelled=raise_if_cancelled
        )
        with contextlib.closing(downloads):
            for path, _ in downloads:
                yield path

    return fetch


def ranges(requests: list[SeenRequest]) -> list[str | None]:
    return [request.range for request in requests]


def test_files_come_in_the_manifests_order_under_their_md5(fetch: Fetch, tmp_path: Path) -> None:
    paths = list(fetch())

    assert paths == [tmp_path / "buildhub" / name_of(file) for file in FILES]
    assert [path.read_bytes() for path in paths] == FILES
    assert len(gzip.decompress(paths[1].read_bytes())) == 300_000  # three members


def test_what_is_there_and_right_is_not_fetched_again(fetch: Fetch, proxy: HostileProxy) -> None:
    first = list(fetch())
    proxy.seen.clear()

    assert list(fetch()) == first
    assert not proxy.seen


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda data: data[: len(data) // 2], id="half"),
        pytest.param(lambda data: data[:-1] + bytes([data[-1] ^ 1]), id="one byte is wrong"),
        pytest.param(lambda data: b"", id="empty"),
    ],
)
def test_a_wrong_or_half_file_is_fetched_again_and_no_other(
    fetch: Fetch, proxy: HostileProxy, spoil: Callable[[bytes], bytes]
) -> None:
    _, second, *_ = list(fetch())
    second.write_bytes(spoil(FILES[1]))
    proxy.seen.clear()

    assert [path.read_bytes() for path in fetch()] == FILES
    assert len(proxy.seen) == 1


def test_a_broken_connection_is_taken_up_where_it_broke(
    fetch: Fetch, proxy: HostileProxy, manifest: Manifest
) -> None:
    key = manifest.files[1].key
    proxy.fault(key, cut_at(100_000), cut_at(50_000))

    assert [path.read_bytes() for path in fetch()] == FILES
    assert ranges(proxy.fetched(key)) == [None, "bytes=100000-", "bytes=150000-"]


def test_a_server_that_cannot_resume_is_asked_for_the_whole(
    fetch: Fetch, proxy: HostileProxy, manifest: Manifest
) -> None:
    proxy.ignores_range = True
    key = manifest.files[0].key
    proxy.fault(key, cut_at(100_000))

    assert [path.read_bytes() for path in fetch()] == FILES
    assert ranges(proxy.fetched(key)) == [None, "bytes=100000-", None]


def test_damage_on_the_way_means_that_file_again(
    fetch: Fetch, proxy: HostileProxy, manifest: Manifest
) -> None:
    key = manifest.files[0].key
    proxy.fault(key, damaged)

    assert [path.read_bytes() for path in fetch()] == FILES
    assert ranges(proxy.fetched(key)) == [None, None]


def test_s3_may_be_busy_for_a_while(fetch: Fetch, proxy: HostileProxy, manifest: Manifest) -> None:
    proxy.fault(manifest.files[2].key, slow_down, slow_down)

    assert [path.read_bytes() for path in fetch()] == FILES


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (cut_at(10), "does not answer properly"),
        (damaged, "but its manifest says"),
        (slow_down, "answers 503"),
    ],
)
def test_a_file_that_cannot_be_had_fails_at_its_turn(
    fetch: Fetch,
    proxy: HostileProxy,
    manifest: Manifest,
    tmp_path: Path,
    fault: Behaviour,
    sentence: str,
) -> None:
    """The files before it are given out; the message has its URL and what to do."""
    bad = manifest.files[1].key
    proxy.fault(bad, *[fault] * 2)
    paths = fetch(retries=1)

    assert next(paths).read_bytes() == FILES[0]
    with pytest.raises(Unreachable, match=sentence) as caught:
        next(paths)
    assert f"{proxy.url}/{BUCKET}/{bad}" in str(caught.value)
    assert "run again later" in str(caught.value)
    assert [path.name for path in (tmp_path / "buildhub").iterdir()] == [name_of(FILES[0])]


def test_a_file_that_is_gone_is_a_sentence(
    bucket: Bucket, fetch: Fetch, manifest: Manifest
) -> None:
    gone = manifest.files[3].key
    bucket.remove(gone)
    with pytest.raises(Unreachable, match=f"{gone} is not there: run again later"):
        list(fetch())


def test_the_next_files_come_while_one_is_worked_on_but_not_all(
    fetch: Fetch, tmp_path: Path
) -> None:
    paths = fetch()
    next(paths)

    expected = {name_of(file) for file in FILES[:3]}
    wait_until(lambda: {path.name for path in (tmp_path / "buildhub").iterdir()} == expected)
    paths.close()


def test_closing_the_iterator_ends_its_thread(fetch: Fetch) -> None:
    paths = fetch()
    next(paths)
    assert "download_0" in names_of_threads()

    paths.close()
    assert "download_0" not in names_of_threads()


def test_no_thread_is_left_when_all_is_done(fetch: Fetch) -> None:
    assert len(list(fetch())) == len(FILES)
    assert "download_0" not in names_of_threads()


def test_a_wait_can_be_ended(fetch: Fetch, proxy: HostileProxy, tmp_path: Path) -> None:
    """Also while the server is silent; the part of a file vanishes."""
    proxy.flowing.clear()

    def raise_if_cancelled() -> None:
        if proxy.holding.is_set():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        next(fetch(raise_if_cancelled=raise_if_cancelled))
    proxy.flowing.set()
    wait_until(lambda: "download_0" not in names_of_threads())
    assert not list((tmp_path / "buildhub").iterdir())


@pytest.mark.parametrize(
    "signum", [signal.SIGKILL, pytest.param(signal.SIGINT, marks=pytest.mark.slow)]
)
def test_a_killed_run_is_followed_by_one_that_works(
    fetch: Fetch, proxy: HostileProxy, tmp_path: Path, signum: signal.Signals
) -> None:
    proxy.held_after = 1000  # so that listing and manifest get through, and no file does
    proxy.flowing.clear()
    program = (
        "import sys; from pathlib import Path\n"
        "from buildhub.inventory.download import download\n"
        "from tests.support.s3_bucket import archive_inventories\n"
        "inventories = archive_inventories(timeout_seconds=60, retries=0)\n"
        "manifest = inventories.newest_manifest('firefox')\n"
        "list(download(inventories, manifest, Path(sys.argv[1]), retries=0))\n"
    )
    run = subprocess.Popen([sys.executable, "-c", program, tmp_path], stderr=subprocess.DEVNULL)
    wait_until(lambda: list(tmp_path.glob("buildhub/*.part")) and proxy.fetched("/data/"))
    run.send_signal(signum)
    assert run.wait(timeout=30) in (-signum, 1)
    proxy.flowing.set()

    assert [path.read_bytes() for path in fetch()] == FILES
    assert not list(tmp_path.glob("buildhub/*.part"))


def test_a_part_that_another_run_writes_is_kept(fetch: Fetch, tmp_path: Path) -> None:
    part = tmp_path / "buildhub" / f"{'0' * 32}.abc.part"
    part.parent.mkdir()
    with part.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        list(fetch())
        assert part.exists()
    list(fetch())
    assert not part.exists()


def a_link(folder: Path) -> None:
    (folder.parent / "precious").mkdir()
    folder.symlink_to(folder.parent / "precious")


def of_another_user(folder: Path) -> None:
    folder.mkdir()
    os.chown(folder, 12345, 12345)


def open_to_all(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o777)


def open_to_the_group(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o775)


@pytest.mark.parametrize(
    ("prepare", "reason"),
    [
        (a_link, "it is a symbolic link"),
        (of_another_user, "it belongs to another user"),
        (open_to_all, "other users can write there"),
        (open_to_the_group, "other users can write there"),
    ],
)
def test_a_folder_that_others_prepared_is_not_used(
    fetch: Fetch, tmp_path: Path, prepare: Callable[[Path], None], reason: str
) -> None:
    if prepare is of_another_user and os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    prepare(tmp_path / "buildhub")
    with pytest.raises(Fatal, match=f"not used, as {reason}.*set CSV_DOWNLOAD_DIRECTORY"):
        list(fetch())


def writable_by_all(path: Path) -> None:
    path.write_bytes(FILES[0])
    path.chmod(0o666)


@pytest.mark.parametrize(
    "occupy", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("x"), writable_by_all]
)
def test_what_is_not_a_file_under_its_name_is_a_sentence(
    fetch: Fetch, tmp_path: Path, occupy: Callable[[Path], None]
) -> None:
    """A FIFO would wait for ever for somebody who writes into it."""
    (tmp_path / "buildhub").mkdir()
    occupy(tmp_path / "buildhub" / name_of(FILES[0]))
    with pytest.raises(Fatal, match="Cannot write"):
        list(fetch())


def test_the_folder_is_for_nobody_else(fetch: Fetch, tmp_path: Path) -> None:
    list(fetch())
    assert (tmp_path / "buildhub").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    "swap",
    [
        lambda path: path.write_bytes(FILES[2]),
        lambda path: path.write_bytes(b""),
        lambda path: (path.unlink(), path.symlink_to("/etc/passwd")),
        lambda path: path.unlink(),
    ],
    ids=["another inventory", "empty", "a link", "gone"],
)
def test_a_file_is_verified_where_it_is_read(
    manifest: Manifest, tmp_path: Path, swap: Callable[[Path], object]
) -> None:
    """Before it is read, and what has its name later does not matter."""
    inventories = archive_inventories(timeout_seconds=5, retries=0)
    downloads = download(inventories, manifest, tmp_path, retries=0)
    path, fd = next(downloads)
    second = tmp_path / "buildhub" / name_of(FILES[1])
    wait_until(second.exists)
    os.replace(path, tmp_path / "moved")
    path.write_bytes(b"another")
    assert os.pread(fd, 1 << 20, 0) == FILES[0]
    swap(second)
    with pytest.raises((Fatal, Unreachable), match=r"was changed after|Cannot"):
        next(downloads)
    downloads.close()


def test_own_old_files_go_and_no_others(fetch: Fetch, tmp_path: Path) -> None:
    folder = tmp_path / "buildhub"
    folder.mkdir()
    md5 = "0" * 32
    old = [f"{md5}.csv.gz", f"{md5}.abc_123x.part", f"{hashlib.md5(FILES[0]).hexdigest()}.x.part"]
    others = ["notes.txt", f"{md5}.csv", "x.csv.gz", f"{md5}0.csv.gz", f"{md5}.part"]
    young = [f"{'1' * 32}.csv.gz"]
    for name in old + others + young:
        (folder / name).write_bytes(b"x")
    long_ago = time.time() - THREE_DAYS
    for name in old + others:
        os.utime(folder / name, (long_ago, long_ago))

    list(fetch())

    left = {path.name for path in folder.iterdir()}
    assert left == {*others, *young, *map(name_of, FILES)}


def test_an_old_file_that_is_still_needed_is_kept_and_touched(
    fetch: Fetch, proxy: HostileProxy
) -> None:
    first, *_ = list(fetch())
    os.utime(first, (time.time() - THREE_DAYS,) * 2)
    proxy.seen.clear()

    list(fetch())

    assert not proxy.seen
    assert time.time() - first.stat().st_mtime < THREE_DAYS / 3


def test_a_folder_that_cannot_be_is_a_sentence(manifest: Manifest, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    inventories = archive_inventories(timeout_seconds=5, retries=0)

    with pytest.raises(Fatal, match=r"Cannot write .*file/buildhub.*set CSV_DOWNLOAD_DIRECTORY"):
        list(download(inventories, manifest, tmp_path / "file", retries=0))


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_FSIZE stands for a full disk")
def test_a_disk_that_is_full_is_a_sentence(proxy: HostileProxy, tmp_path: Path) -> None:
    """The limit on a file's size makes write() fail as a full disk does."""
    program = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from buildhub.inventory.download import download\n"
        "from tests.support.s3_bucket import archive_inventories\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "inventories = archive_inventories(timeout_seconds=60, retries=0)\n"
        "manifest = inventories.newest_manifest('firefox')\n"
        "list(download(inventories, manifest, Path(sys.argv[1]), retries=0))\n"
    )
    # The measurement of coverage would have to write a file, too.
    environment = {name: value for name, value in os.environ.items() if "COVERAGE" not in name}
    run = subprocess.run(
        [sys.executable, "-c", program, tmp_path],
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        env=environment,
    )

    assert run.returncode == 1
    assert (
        f"Fatal: Cannot write {tmp_path / 'buildhub' / name_of(FILES[0])}: File too large;"
        in (run.stderr.splitlines()[-1])
    )
    assert not list((tmp_path / "buildhub").iterdir())


def names_of_threads() -> set[str]:
    return {thread.name for thread in threading.enumerate()}


def wait_until(true: Callable[[], object]) -> None:
    """Fails if it has not become true after half a minute."""
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)
