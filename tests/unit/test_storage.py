"""A lock has one holder, who is named. A cache file is set aside only if it is corrupt or of
another version; all else leaves it."""

from __future__ import annotations

import contextlib
import os
import resource
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from buildhub.archive.cache import LookupCache
from buildhub.errors import Fatal
from buildhub.kinto.record_index import RecordIndex
from buildhub.storage import LockHeld, locked, open_database

TABLES = "CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT)"


def opened(path: Path, version: int = 1) -> contextlib.closing[sqlite3.Connection]:
    return contextlib.closing(open_database(path, version=version, tables=TABLES))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A healthy file with something in it."""
    path = tmp_path / "folder" / "cache.sqlite3"
    with opened(path) as database:
        database.execute("INSERT INTO facts VALUES ('answer', '42')")
    return path


def holds_the_answer(path: Path) -> bool:
    with opened(path) as database:
        return bool(database.execute("SELECT * FROM facts").fetchall() == [("answer", "42")])


def test_what_was_written_is_there_the_next_time(path: Path) -> None:
    assert holds_the_answer(path)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"this is not a database" * 100,
        lambda data: data[:100] + b"\xff" * (len(data) - 100),
        lambda data: data[: len(data) // 2],
    ],
    ids=["text", "garbage", "half"],
)
def test_a_corrupt_file_is_set_aside_and_never_over_an_older_one(
    path: Path, damage: Callable[[bytes], bytes], caplog: pytest.LogCaptureFixture
) -> None:
    contents = []
    for _ in range(3):
        contents.append(damage(path.read_bytes()) + bytes(len(contents)))
        path.write_bytes(contents[-1])
        assert not holds_the_answer(path)
    assert "is damaged: it is set aside as" in caplog.text
    aside = sorted(path.parent.glob("*.damaged-*"))
    assert [file.name[-1] for file in aside] == ["1", "2", "3"]
    assert [file.read_bytes() for file in aside] == contents


def test_a_file_of_another_version_is_set_aside(path: Path) -> None:
    with opened(path, version=2) as database:
        assert not database.execute("SELECT * FROM facts").fetchall()
    (aside,) = path.parent.glob("*.damaged-*")
    assert holds_the_answer(aside)


@contextlib.contextmanager
def few_descriptors() -> Iterator[None]:
    """No file can be opened any more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest_free = os.dup(0)
    os.close(lowest_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_too_many_open_files_leave_it_alone(path: Path) -> None:
    with few_descriptors(), pytest.raises(Fatal, match=r"Cannot use .*Too many open files"):
        open_database(path, version=1, tables=TABLES)
    assert holds_the_answer(path)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 400 KB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", folder]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only root can mount a file system, and not in every container")
    yield folder
    subprocess.run(["umount", folder], check=True)


def fill(disk: Path) -> None:
    with (disk / "fill").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(1024))


@pytest.mark.parametrize("version", [1, 2])
def test_a_full_disk_leaves_it_alone(small_disk: Path, version: int) -> None:
    path = small_disk / "cache"
    with opened(path) as database:
        database.execute("INSERT INTO facts VALUES ('answer', '42')")
    before = path.read_bytes()
    fill(small_disk)
    with pytest.raises(Fatal, match=r"Cannot use .*disk.*The file was left as it is"):
        open_database(path, version=version, tables=TABLES)
    assert path.read_bytes() == before
    assert not list(small_disk.glob("*.damaged*"))
    (small_disk / "fill").unlink()
    assert holds_the_answer(path)


def test_a_disk_that_becomes_full_during_a_run(
    small_disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The run goes on, without the cache of the archive and with the index in memory."""
    date = "2017-06-13T12:00:00Z"
    cache = LookupCache(small_disk, "http://archive/")
    index = RecordIndex(small_disk, "http://kinto/v1")
    index.mark_stored([("x", b"1" * 40)])
    fill(small_disk)
    for number in range(300):
        cache.put_highest_build(f"pub/{number}", number, date)
    assert "can't be used any more" in caplog.text
    assert cache.highest_build("pub/299", date) == 299
    records = [(f"record-{number}", b"digest" * 20) for number in range(10_000)]
    index.mark_stored(records)
    assert "is full: what is on the server is kept in memory" in caplog.text
    assert len(index) == 10_001
    index.remember_line("x", b'{"data":{"id":"x"}}')
    index.close()
    with RecordIndex(small_disk, "http://kinto/v2") as another:
        another.mark_stored(records)
        assert len(another) == 10_000
    (small_disk / "fill").unlink()
    cache = LookupCache(small_disk, "http://archive/")
    cache.put_highest_build("pub/1", 1, date)
    cache.close()
    with RecordIndex(small_disk, "http://kinto/v1") as index:
        assert index.digest("x") == b"1" * 40
    assert not list(small_disk.glob("*.damaged*"))


#: Opens the database after ``argv[2]`` was executed, and writes into it.
PROGRAM = """
import os, resource, signal, sys
from pathlib import Path
from buildhub.archive.cache import LookupCache
from buildhub.errors import Fatal
from buildhub.kinto.record_index import RecordIndex
from buildhub.storage import open_database
exec(sys.argv[2])
try:
    open_database(Path(sys.argv[1]), version=int(sys.argv[3]), tables="CREATE TABLE facts (x)")
except Fatal as error:
    sys.exit(str(error))
"""
NOBODY = "os.setuid(65534)"
SMALL = (
    "signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
    "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))"
)


@pytest.mark.parametrize("trouble", [NOBODY, SMALL], ids=["no rights", "size limit"])
@pytest.mark.parametrize("version", ["1", "2"])
def test_a_file_that_cannot_be_used_now_is_left_alone(
    path: Path, trouble: str, version: str
) -> None:
    if trouble == NOBODY and os.geteuid() != 0:
        pytest.skip("only root can become another user")
    for folder in (path.parent, *path.parents[1:4]):
        if folder.owner() == path.owner() and trouble == NOBODY and folder != Path("/tmp"):
            folder.chmod(0o755)
    path.chmod(0o600)
    before = path.read_bytes()
    # Coverage could not write its own file there either.
    environ = {k: v for k, v in os.environ.items() if not k.startswith("COVERAGE_")}
    command = [sys.executable, "-c", PROGRAM, path, trouble, version]
    done = subprocess.run(command, capture_output=True, text=True, env=environ)
    if not (trouble == SMALL and version == "1"):  # nothing needs to be written then
        assert "Cannot use" in done.stderr
        assert "Traceback" not in done.stderr
    assert path.read_bytes() == before
    assert not list(path.parent.glob("*.damaged*"))


@pytest.mark.parametrize("occupy", [os.mkdir, os.mkfifo], ids=["folder", "FIFO"])
def test_what_is_not_a_file_is_a_sentence(tmp_path: Path, occupy: Callable[[Path], None]) -> None:
    occupy(tmp_path / "cache")
    with pytest.raises(Fatal, match="Cannot use"):
        open_database(tmp_path / "cache", version=1, tables=TABLES)


def test_a_file_that_another_run_is_just_making_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "cache.sqlite3"
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    with contextlib.closing(other):
        other.execute(TABLES)
        other.execute("PRAGMA user_version=1")
        other.execute("BEGIN IMMEDIATE")
        other.execute("INSERT INTO facts VALUES ('answer', '42')")
        timer = threading.Timer(0.3, other.execute, ["COMMIT"])
        timer.start()
        assert holds_the_answer(path)
        timer.join()


def test_runs_that_make_a_file_at_the_same_moment_all_can_use_it(tmp_path: Path) -> None:
    together = threading.Barrier(8)

    def write(path: Path, name: str) -> None:
        together.wait()
        with opened(path) as database:
            database.execute("INSERT INTO facts VALUES (?, 'x')", [name])

    with ThreadPoolExecutor(8) as threads:
        for path in (tmp_path / f"cache-{number}" for number in range(30)):
            list(threads.map(write, [path] * 8, "abcdefgh"))
            with opened(path) as database:
                assert database.execute("SELECT count(*) FROM facts").fetchone() == (8,)
                assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def given_away(path: Path) -> None:
    """The file becomes another user's, who lets everybody read and write it."""
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    path.chmod(0o666)
    os.chown(path, 65534, 65534)


def open_to_all(path: Path) -> None:
    path.chmod(0o646)


def linked(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


NOT_OURS = {
    given_away: "it belongs to another user",
    open_to_all: "other users may write to it",
    linked: "it is not a regular file",
}


@pytest.mark.parametrize("change", NOT_OURS)
def test_a_database_that_others_may_have_written_is_refused(
    path: Path, change: Callable[[Path], None]
) -> None:
    before = path.read_bytes()
    change(path)
    with pytest.raises(Fatal, match=rf"Cannot use {path} \({NOT_OURS[change]}\)"):
        open_database(path, version=1, tables=TABLES)
    assert path.read_bytes() == before


@pytest.mark.parametrize("companion", ["-wal", "-shm", "-journal"])
def test_a_file_beside_the_database_that_others_wrote_is_refused(
    path: Path, companion: str
) -> None:
    """SQLite would take changes out of it."""
    beside = path.with_name(path.name + companion)
    beside.write_bytes(b"")
    given_away(beside)
    with pytest.raises(Fatal, match=rf"Cannot use {beside} \(it belongs to another user\)"):
        open_database(path, version=1, tables=TABLES)


@pytest.mark.parametrize("change", [given_away, open_to_all])
def test_a_lock_of_others_is_refused(tmp_path: Path, change: Callable[[Path], None]) -> None:
    (tmp_path / "lock").touch()
    change(tmp_path / "lock")
    with pytest.raises(Fatal, match="Cannot write "), locked(tmp_path / "lock"):
        pass


@pytest.mark.parametrize(
    ("name", "problem"), [("file", "it is a file, not a folder"), ("file/sub", "Not a directory")]
)
def test_a_file_in_place_of_the_folder_is_called_so(
    tmp_path: Path, name: str, problem: str
) -> None:
    (tmp_path / "file").touch()
    sentence = rf"^Cannot use {tmp_path}/{name} \({problem}\): set CACHE_FOLDER to a folder"
    with pytest.raises(Fatal, match=sentence):
        open_database(tmp_path / name / "database", version=1, tables=TABLES)


def test_a_folder_in_which_others_may_replace_files_is_refused(path: Path) -> None:
    path.parent.chmod(0o777)
    with pytest.raises(Fatal, match=r"Cannot use .* \(other users may replace files in "):
        open_database(path, version=1, tables=TABLES)
    with pytest.raises(Fatal, match="Cannot write "), locked(path.parent / "lock"):
        pass


@pytest.mark.parametrize("mode", [0o1777, 0o2775, 0o770, 0o700], ids=["/tmp", "group", "", "own"])
def test_a_folder_in_which_only_we_may_replace_our_files_is_used(path: Path, mode: int) -> None:
    path.parent.chmod(mode)
    assert holds_the_answer(path)
    with locked(path.parent / "lock"):
        pass


def test_a_misspelt_folder_is_an_error_and_is_not_made(tmp_path: Path) -> None:
    folder = tmp_path / "cahce" / "buildhub"
    for use in (lambda: opened(folder / "cache"), lambda: locked(folder / "lock").__enter__()):
        with pytest.raises(Fatal, match=rf"{folder.parent} does not exist"):
            use()
    assert not folder.parent.exists()


def test_the_second_holder_is_refused_and_told_the_process_of_the_first(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from buildhub.storage import locked\n"
        "with locked(Path(sys.argv[1])): print(flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, tmp_path / "lock"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout
        holder.stdout.readline()
        with pytest.raises(LockHeld) as caught, locked(tmp_path / "lock"):
            pass
        assert caught.value.pid == str(holder.pid)
        holder.kill()
    with locked(tmp_path / "lock"):
        assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"


def test_a_lock_is_free_again_after_its_block(tmp_path: Path) -> None:
    for _ in range(2):
        with locked(tmp_path / "folder" / "lock"):
            pass


def a_link(lock: Path) -> None:
    (lock.parent / "precious").write_text("precious")
    lock.symlink_to(lock.parent / "precious")


@pytest.mark.parametrize("occupy", [a_link, os.mkfifo, os.mkdir], ids=["link", "FIFO", "folder"])
def test_what_is_not_a_lock_file_is_refused_and_left_alone(
    tmp_path: Path, occupy: Callable[[Path], None]
) -> None:
    occupy(tmp_path / "lock")
    with pytest.raises(Fatal, match=r"Cannot write .*lock \(.*\): set CACHE_FOLDER"):
        with locked(tmp_path / "lock"):
            pass
    precious = tmp_path / "precious"
    assert not precious.exists() or precious.read_text() == "precious"


def test_a_folder_that_can_not_be_made_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Fatal, match="set CACHE_FOLDER"), locked(tmp_path / "file" / "lock"):
        pass
