"""Kinto's credentials from a Secrets Manager (moto's), as the Lambdas read them."""

from __future__ import annotations

import itertools

import botocore.session
import pytest

from buildhub.aws_secret import with_auth
from buildhub.errors import Fatal
from tests.support.s3_bucket import Bucket

pytestmark = pytest.mark.functional

_numbers = itertools.count()


@pytest.fixture
def name(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> str:
    """A secret of its own, and the environment of a Lambda."""
    for variable, value in {
        "AWS_ENDPOINT_URL": bucket.url,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }.items():
        monkeypatch.setenv(variable, value)
    name = f"buildhub/auth-{next(_numbers)}"
    client = botocore.session.get_session().create_client("secretsmanager")
    client.create_secret(Name=name, SecretString="ops:correct-horse")
    return name


def test_the_secret_is_the_credentials_and_all_else_stays(name: str) -> None:
    environ = {"AUTH_SECRET": name, "AUTH": "user:pass", "BUCKET": "b"}
    assert with_auth(environ) == environ | {"AUTH": "ops:correct-horse"}


def test_it_is_read_once_in_a_process(name: str, bucket: Bucket) -> None:
    with_auth({"AUTH_SECRET": name})
    bucket.empty()  # the secrets too
    assert with_auth({"AUTH_SECRET": name})["AUTH"] == "ops:correct-horse"


@pytest.mark.parametrize("environ", [{}, {"AUTH_SECRET": ""}, {"AUTH": "a:b"}])
def test_without_it_the_environment_stays_as_it_is(environ: dict[str, str]) -> None:
    assert with_auth(environ) == environ


def test_a_secret_that_cannot_be_read_is_named(name: str) -> None:
    with pytest.raises(Fatal, match=r"Cannot read the secret 'buildhub/none' \(AUTH_SECRET\): .*"):
        with_auth({"AUTH_SECRET": "buildhub/none"})
