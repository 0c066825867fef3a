"""``to-kinto`` where nothing can be stored: no server, no collection, credentials, the cache."""

from __future__ import annotations

import pytest

from tests.support.ports import free_port
from tests.support.records import make_record, ndjson
from tests.support.to_kinto_command import COLLECTION, Command, one_sentence, summary, wait_for

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
    named, how_to_continue, counts, problem = done.stderr.decode().splitlines()
    assert named.endswith(
        " ERROR standard input, line 1: this and the records up to standard input, line 75 may not"
        " have been stored: the run ended."
    )
    assert "the input was read up to standard input, line 75." in how_to_continue
    assert f"{counts}\n".encode() == summary(failed=75)
    assert "has no collection build-hub/release: run latest-inv" in problem


def test_a_run_that_gives_up_says_what_it_has_read_and_how_the_rest_is_stored(to_kinto):
    (to_kinto.folder / "one").write_bytes(ndjson(make_record(n) for n in range(30)))
    (to_kinto.folder / "two").write_bytes(ndjson(make_record(n) for n in range(30, 130)))
    to_kinto.kinto.call("DELETE", COLLECTION)
    done = to_kinto(b"", "one", "two", "--failed", "new")
    assert (
        b"Not complete. To continue, run the same command again with --skip, which does not send"
        b" again what is stored: the input was read up to two, line 45.\n"
    ) in done.stderr
    assert (to_kinto.folder / "new").read_bytes().count(b"\n") == 75
    to_kinto.kinto.make_collection()
    assert to_kinto(b"", "one", "two", "--skip").stderr == summary(created=130)


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


@pytest.mark.parametrize("options", [("--skip",), pytest.param((), marks=slow)])
def test_a_wrong_password_is_reported_before_anything_is_read(accounts_kinto, tmp_path, options):
    """Also where everybody may read what is on the server."""
    accounts_kinto.make_collection()
    everyone = {"permissions": {"read": ["system.Everyone"]}}
    accounts_kinto.call("PATCH", COLLECTION, json=everyone)
    with Command(accounts_kinto, tmp_path).start(*options) as process:
        assert process.wait(30) == 1  # its input is still open
        assert b"does not accept these credentials (401): give others" in process.stderr.read()


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


ELSEWHERE = "http://kinto.invalid/v1"


@pytest.mark.parametrize(
    ("server", "auth", "warned"),
    [
        (ELSEWHERE, "", True),
        pytest.param(ELSEWHERE, "user:pass", False, marks=slow),
        ("", "", False),
    ],
)
def test_the_default_password_is_reported_where_the_server_is_not_on_this_machine(
    to_kinto, server, auth, warned
):
    server = server or to_kinto.kinto.url
    done = to_kinto(ndjson([make_record(1)]), "-s", server, AUTH=auth, NB_RETRY_REQUEST="0")
    warning = b"WARNING AUTH is not set: kinto.invalid gets the default credentials. Set AUTH"
    assert done.stderr.count(warning) == warned


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
