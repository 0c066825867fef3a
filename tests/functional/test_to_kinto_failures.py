"""``to-kinto`` where nothing can be stored: no server, no collection, credentials, the cache."""

from __future__ import annotations

import pytest

from tests.support.ports import free_port
from tests.support.records import make_record, ndjson
from tests.support.to_kinto_command import Command, one_sentence, summary, wait_for

pytestmark = pytest.mark.functional
slow = pytest.mark.slow  # the same promise, once more


def test_no_kinto_on_the_port(to_kinto):
    url = f"http://127.0.0.1:{free_port()}/v1"
    done = to_kinto(ndjson([make_record(1)]), "--server", url, NB_RETRY_REQUEST="1")
    assert done.returncode == 1
    assert one_sentence(done) == (
        f"Kinto at {url} gives no proper answer (Connection refused): check that it is running,"
        " and --server or SERVER_URL."
    )


def test_the_collection_does_not_exist(to_kinto):
    done = to_kinto(ndjson(make_record(n) for n in range(200)), "--collection", "release")
    assert done.returncode == 1
    assert "has no collection build-hub/release: run latest-inv" in one_sentence(done)
    assert b"to-kinto: 0 created, 0 updated, 0 unchanged, 0 refused, " in done.stderr


def test_the_collection_does_not_exist_with_skip(to_kinto):
    done = to_kinto(ndjson([make_record(1)]), "--collection", "release", "--skip")
    assert done.returncode == 1
    assert "has no collection build-hub/release: run " in one_sentence(done)


@pytest.mark.parametrize("options", [("--skip",), pytest.param((), marks=slow)])
def test_the_collection_belongs_to_another_user(strict_kinto, tmp_path, options):
    """basicauth takes any password, and makes another user of it."""
    strict_kinto.make_collection()
    done = Command(strict_kinto, tmp_path)(ndjson([make_record(1)]), *options)
    assert done.returncode == 1
    assert b"does not let these credentials" in done.stderr
    assert b"with --auth or AUTH.\n" in done.stderr
    assert b"pass-word" not in done.stderr


@pytest.mark.parametrize(
    "options", [("--debug",), pytest.param((), marks=slow), pytest.param(("--skip",), marks=slow)]
)
def test_the_password_is_wrong(accounts_kinto, tmp_path, options):
    accounts_kinto.make_collection()
    done = Command(accounts_kinto, tmp_path)(ndjson([make_record(1)]), *options)
    assert done.returncode == 1
    assert b"does not accept these credentials (401): give others with --auth or AUTH." in (
        done.stderr
    )
    assert b"pass-word" not in done.stderr


def test_the_right_password_is_right(accounts_kinto, tmp_path):
    accounts_kinto.make_collection()
    command = Command(accounts_kinto, tmp_path)
    assert command(ndjson([make_record(1)]), "--auth", "user:pass").stderr == summary(created=1)


@pytest.mark.parametrize(
    "auth",
    ["hunter2", pytest.param("hunter 2", marks=slow), pytest.param("Token hunter2", marks=slow)],
)
def test_credentials_in_an_unknown_form_are_usage_and_are_not_shown(to_kinto, auth):
    done = to_kinto(ndjson([make_record(1)]), "--auth", auth)
    assert done.returncode == 2
    assert b"'--auth': it must be user:password, or Bearer and a token" in done.stderr
    assert auth.encode() not in done.stderr


def test_the_cache_folder_can_not_be_made(to_kinto):
    (to_kinto.folder / "file").touch()
    done = to_kinto(ndjson([make_record(1)]), "--skip", "--cache-folder", "file/folder")
    assert done.returncode == 1
    assert "set CACHE_FOLDER to a folder" in one_sentence(done)


@pytest.mark.parametrize(
    "damage",
    [
        b"SQLite format 3\x00 but the rest is nonsense" * 100,
        pytest.param(b"no database at all", marks=slow),
        pytest.param(b"", marks=slow),
    ],
)
def test_a_damaged_store_is_set_aside_and_replaced(to_kinto, damage):
    records = ndjson([make_record(1)])
    to_kinto(records, "--skip")
    (store,) = to_kinto.folder.glob("*.sqlite3")
    store.write_bytes(damage)
    done = to_kinto(records, "--skip")
    assert done.returncode == 0
    assert done.stderr.endswith(summary(unchanged=1))
    assert (b"is set aside as" in done.stderr) == bool(damage)


def test_a_second_run_on_the_same_folder_is_reported_and_harmless(to_kinto):
    records = [make_record(n) for n in range(30)]
    with to_kinto.start("--skip") as first:
        first.stdin.write(ndjson(records[:10]))
        first.stdin.flush()
        wait_for(lambda: len(to_kinto.kinto.records()) == 10)
        second = to_kinto(ndjson(records[:20]), "--skip")
        first.stdin.write(ndjson(records[20:]))
        _, messages = first.communicate()
    assert b"Another run is using " in second.stderr
    assert second.stderr.endswith(summary(created=10, unchanged=10))
    assert messages == summary(created=20)
    assert to_kinto(ndjson(records), "--skip").stderr == summary(unchanged=30)
