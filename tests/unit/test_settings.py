"""Values of settings, where they come from, and what is said of those that are not valid."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from buildhub.errors import Fatal
from buildhub.settings import SETTINGS, Settings, options, since

NOT_UTF8 = os.fsdecode(b"p\xe4ss")


def utc(*numbers: int) -> datetime:
    return datetime(*numbers, tzinfo=UTC)  # type: ignore[misc, arg-type]


VALID: list[tuple[str, str, Any]] = [
    ("server_url", "http://localhost:8888/v1", "http://localhost:8888/v1"),
    ("server_url", "https://kinto/", "https://kinto/v1"),
    ("server_url", " https://kinto/v2/ ", "https://kinto/v2"),
    ("server_url", "http://[::1]:8888", "http://[::1]:8888/v1"),
    ("server_url", "https://user:pass@kinto/v1", "https://user:pass@kinto/v1"),
    ("bucket", "build-hub", "build-hub"),
    ("collection", "releases", "releases"),
    ("auth", "user:pä€ss:word", "user:pä€ss:word"),
    ("auth", "Bearer a.b-c_d=", "Bearer a.b-c_d="),
    ("cache_folder", "/tmp/x", Path("/tmp/x")),
    ("cache_folder", "~/x", Path.home() / "x"),
    ("nb_retry_request", "0", 0),
    ("nb_retry_request", " 3 ", 3),
    ("batch_max_requests", "25", 25),
    ("timeout_seconds", "300", 300),
    ("initialize_server", "true", True),
    ("initialize_server", " YES", True),
    ("initialize_server", "1", True),
    ("initialize_server", "on", True),
    ("initialize_server", "False", False),
    ("initialize_server", "no", False),
    ("initialize_server", "0", False),
    ("initialize_server", "off", False),
    ("sentry_dsn", "https://k:s@sentry.io/1", "https://k:s@sentry.io/1"),
    ("min_age_last_modified_hours", "0", 0.0),
    ("min_age_last_modified_hours", "1.5", 1.5),
    ("min_age_last_modified_hours", "9999999", 9_999_999.0),
    ("since", "2026-11-01", utc(2026, 11, 1)),
    ("since", " 2026-11-01T12:00 ", utc(2026, 11, 1, 12)),
    ("since", "2026-11-01T12:00Z", utc(2026, 11, 1, 12)),
    ("since", "2026-11-01T12:00+02:00", utc(2026, 11, 1, 10)),
    ("since", "2026-11-01T23:30-01:00", utc(2026, 11, 2, 0, 30)),
    ("since", "0001-01-01", utc(1, 1, 1)),
    ("archive_bucket", "mirror", "mirror"),
    ("storage_emulator_host", "localhost:4443", "http://localhost:4443"),
    ("storage_emulator_host", "https://storage.example/", "https://storage.example"),
    ("archive_url", "https://archive.mozilla.org", "https://archive.mozilla.org/"),
    ("archive_url", "http://127.0.0.1:8000/mirror//", "http://127.0.0.1:8000/mirror/"),
    ("nb_parallel_requests", "8", 8),
    ("checksums", "true", True),
    ("checksums", "false", False),
    ("products", "Firefox, fennec thunderbird", ("firefox", "mobile", "thunderbird")),
    ("products", "mobile fennec", ("mobile",)),
    ("source", " Bucket", "bucket"),
    ("inventories", "firefox,archive", ("firefox", "archive")),
    ("inventory_bucket", "mine", "mine"),
    ("inventory_prefix", "reports/{inventory}", "reports/{inventory}"),
    ("csv_download_directory", "/var/tmp", Path("/var/tmp")),
    ("product_details_url", "http://mirror/1.0", "http://mirror/1.0/"),
]

INVALID: list[tuple[str, str, str]] = [
    ("server_url", "ftp://kinto/", "'ftp://kinto/' is not a valid URL"),
    ("product_details_url", "mirror/1.0", "'mirror/1.0' is not a valid URL"),
    ("server_url", "http://[::1", r"'http://\[::1' is not a valid URL"),
    ("server_url", "http://", "'http://' is not a valid URL"),
    ("server_url", "http://kinto:99999/", "is not a valid URL"),
    ("server_url", "http://kin to/", "is not a valid URL"),
    ("server_url", "ftp://user:secret@kinto/", r"'\*\*\*@kinto/' is not a valid URL"),
    ("server_url", "http:/user:secret@kinto", r"'\*\*\*@kinto' is not a valid URL"),
    ("server_url", NOT_UTF8, "the value is not valid UTF-8"),
    ("bucket", NOT_UTF8, "the value is not valid UTF-8"),
    ("collection", NOT_UTF8, "the value is not valid UTF-8"),
    ("auth", f"user:{NOT_UTF8}", ": the value is not valid UTF-8\\.$"),
    (
        "auth",
        "Bearer secret\n",
        "it must be user:password, or Bearer and a token of ASCII characters",
    ),
    (
        "auth",
        "Bearer secret\xe4",
        "it must be user:password, or Bearer and a token of ASCII characters",
    ),
    ("auth", "secret", "it must be user:password, or Bearer and a token of ASCII characters"),
    ("nb_retry_request", "-1", "'-1' is not a whole number from 0 to "),
    ("nb_retry_request", "many", "'many' is not a whole number"),
    ("nb_retry_request", "1.5", "'1.5' is not a whole number"),
    ("nb_retry_request", "9" * 5000, "is not a whole number"),
    ("batch_max_requests", "0", "'0' is not a whole number from 1 to "),
    ("timeout_seconds", "0", "'0' is not a whole number from 1 to "),
    ("timeout_seconds", "9999999999", "'9999999999' is not a whole number from 1 to 1000000000"),
    ("initialize_server", "maybe", "'maybe' is neither true nor false"),
    ("sentry_dsn", NOT_UTF8, "the value is not valid UTF-8"),
    ("min_age_last_modified_hours", "-1", "'-1' is not a number from 0 to 9999999"),
    ("min_age_last_modified_hours", "nan", "'nan' is not a number from 0 to 9999999"),
    ("min_age_last_modified_hours", "inf", "'inf' is not a number from 0 to 9999999"),
    ("min_age_last_modified_hours", "1e7", "'1e7' is not a number from 0 to 9999999"),
    ("min_age_last_modified_hours", "two", "'two' is not a number from 0 to 9999999"),
    ("since", "soon", "'soon' is not a valid date"),
    ("since", "2026-13-01", "is not a valid date"),
    ("since", "99999999999w", "'99999999999w' is before the year 1"),
    ("since", "0001-01-01T00:00+02:00", "is before the year 1"),
    ("archive_url", "archive.mozilla.org", "'archive.mozilla.org' is not a valid URL"),
    ("archive_url", "https://user:secret@archive/", "a user or password in the URL is not allowed"),
    ("archive_url", "https://token@archive/", "a user or password in the URL is not allowed"),
    ("archive_bucket", NOT_UTF8, "the value is not valid UTF-8"),
    ("storage_emulator_host", "http://[::1", "is not a valid URL"),
    ("checksums", "sha512", "'sha512' is neither true nor false"),
    ("nb_parallel_requests", "0", "'0' is not a whole number from 1 to "),
    ("products", "firefox netscape", "'netscape' is not a known product: choose from firefox, "),
    ("products", " , ", "the list is empty"),
    ("source", "s3", "'s3' is not one of 'inventory', 'bucket'"),
    ("inventory_bucket", NOT_UTF8, "the value is not valid UTF-8"),
    ("inventory_prefix", NOT_UTF8, "the value is not valid UTF-8"),
    ("inventories", NOT_UTF8, "the value is not valid UTF-8"),
]


@pytest.mark.parametrize(("name", "text", "value"), VALID)
def test_a_valid_value_is_parsed(name: str, text: str, value: Any) -> None:
    assert getattr(Settings.from_environment({name.upper(): text}), name) == value


@pytest.mark.parametrize(("name", "text", "sentence"), INVALID)
def test_an_invalid_value_is_a_sentence_that_names_its_variable_and_has_no_secret(
    name: str, text: str, sentence: str
) -> None:
    with pytest.raises(Fatal, match=sentence) as caught:
        Settings.from_environment({name.upper(): text})
    assert str(caught.value).startswith(f"Invalid value for {name.upper()}: ")
    assert "secret" not in str(caught.value)


def test_the_tables_have_each_setting() -> None:
    folders = {"cache_folder", "csv_download_directory"}  # any text is a path
    assert {name for name, _, _ in VALID} == set(SETTINGS)
    assert {name for name, _, _ in INVALID} == set(SETTINGS) - folders


@pytest.mark.parametrize(
    ("text", "age"),
    [
        ("90m", timedelta(minutes=90)),
        ("36h", timedelta(hours=36)),
        ("7 d", timedelta(days=7)),
        ("2w", timedelta(weeks=2)),
    ],
)
def test_an_age_is_counted_back_from_now(text: str, age: timedelta) -> None:
    before = datetime.now(UTC)
    moment = since(text)
    assert before <= moment + age <= datetime.now(UTC)


NOW = utc(2026, 11, 24)


@pytest.mark.parametrize(
    ("environ", "oldest"),
    [
        ({}, None),
        ({"SINCE": "2026-11-01"}, utc(2026, 11, 1)),
        ({"MIN_AGE_LAST_MODIFIED_HOURS": "24"}, utc(2026, 11, 23)),
        ({"SINCE": "2026-11-01", "MIN_AGE_LAST_MODIFIED_HOURS": "24"}, utc(2026, 11, 23)),
        ({"SINCE": "2026-11-24", "MIN_AGE_LAST_MODIFIED_HOURS": "24"}, utc(2026, 11, 24)),
    ],
)
def test_the_later_of_the_two_limits_applies(
    environ: dict[str, str], oldest: datetime | None
) -> None:
    assert Settings.from_environment(environ).oldest(NOW) == oldest


# Where values come from


@click.command(context_settings={"default_map": {"bucket": "default"}})
@options("bucket", "products", "auth")
@click.pass_context
def command(context: click.Context, /, **_: Any) -> None:
    settings = Settings.of(context)
    click.echo(f"{settings.bucket} {settings.products} {settings.source} {settings.explicit}")


def said(environ: dict[str, str], *arguments: str) -> str:
    return CliRunner().invoke(command, arguments, env=environ).output


def test_an_option_comes_before_the_variable_and_that_before_the_default() -> None:
    variable = {"BUCKET": "variable"}
    assert said(variable, "--bucket", "given").startswith("given ")
    assert said(variable).startswith("variable ")
    assert said({"BUCKET": ""}).startswith("default ")
    assert Settings.from_environment(variable, {"bucket": "default"}).bucket == "variable"
    assert Settings.from_environment({"BUCKET": " "}, {"bucket": "default"}).bucket == "default"
    assert Settings.from_environment({}).bucket == "build-hub"


def test_what_was_given_or_set_is_known_as_such() -> None:
    assert "frozenset()" in said({})
    assert "frozenset({'bucket'})" in said({"BUCKET": "x"})
    assert "frozenset({'bucket'})" in said({}, "-b", "build-hub")
    assert Settings.from_environment({"BUCKET": "x"}).explicit == {"bucket"}


def test_the_values_of_a_repeated_option_are_one_list() -> None:
    assert "('firefox', 'mobile')" in said({}, "--product", "firefox fennec", "--product=mobile")


def test_a_variable_that_a_command_has_no_option_for_is_not_read() -> None:
    assert " inventory " in said({"SOURCE": "nonsense"})


def test_an_error_names_the_option_or_else_the_variable() -> None:
    assert "Invalid value for '--product': 'x' is not a known" in said({}, "--product", "x")
    assert "Invalid value for PRODUCTS: 'x' is not a known" in said({"PRODUCTS": "x"})
    assert "Invalid value for '-a' / '--auth': it must be user:password" in said({}, "-a", "ops")


def test_a_secret_is_read_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "auth"
    file.write_text("user:from file\n")
    assert Settings.from_environment({"AUTH_FILE": str(file)}).auth == "user:from file"
    both = {"AUTH_FILE": str(file), "AUTH": "user:variable"}
    assert Settings.from_environment(both).auth == "user:variable"
    assert Settings.from_environment({"AUTH_FILE": ""}).auth == "user:pass"


def test_a_secret_is_not_shown() -> None:
    secrets = {"AUTH": "user:hunter2", "SENTRY_DSN": "https://k:hunter2@sentry.io/1"}
    assert "hunter2" not in repr(Settings.from_environment(secrets))


@pytest.mark.parametrize("name", ["AUTH_FILE", "SENTRY_DSN_FILE"])
@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda path: path.touch(), "is empty: write the "),
        (lambda path: path.write_text(" \n"), "is empty: write the "),
        (lambda path: path.write_bytes(b"user:p\xe4ss"), "is not valid UTF-8."),
        (lambda path: None, "No such file or directory."),
        (lambda path: path.mkdir(), "Is a directory."),
    ],
    ids=["empty", "blank", "not UTF-8", "missing", "folder"],
)
def test_a_file_without_a_secret_is_an_error_that_names_it(
    tmp_path: Path, name: str, make: Callable[[Path], object], sentence: str
) -> None:
    path = tmp_path / "secret"
    make(path)
    with pytest.raises(Fatal) as caught:
        Settings.from_environment({name: str(path)})
    assert str(caught.value).startswith(f"Invalid value for {name}: ")
    assert str(path) in str(caught.value)
    assert sentence in str(caught.value)
