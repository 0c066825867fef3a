"""Kinto's credentials from AWS Secrets Manager: the environment names the secret only."""

from __future__ import annotations

import functools
from collections.abc import Mapping

from .errors import Fatal


def with_auth(environ: Mapping[str, str]) -> Mapping[str, str]:
    """Returns the environment with the text of the secret ``AUTH_SECRET`` as ``AUTH``.

    The secret is read once in a process. Without ``AUTH_SECRET`` the environment stays as it is.
    Raises :class:`Fatal` if the secret cannot be read.
    """
    name = environ.get("AUTH_SECRET", "").strip()
    return {**environ, "AUTH": _secret(name)} if name else environ


@functools.cache
def _secret(name: str) -> str:
    import botocore.session
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        client = botocore.session.get_session().create_client("secretsmanager")
        found: str = client.get_secret_value(SecretId=name)["SecretString"]
    except (BotoCoreError, ClientError, KeyError) as error:
        raise Fatal(
            f"Cannot read the secret {name!r} (AUTH_SECRET): {error} It must exist and contain"
            " a text, and the function's role needs secretsmanager:GetSecretValue."
        ) from None
    return found
