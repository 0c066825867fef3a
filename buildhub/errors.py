"""The families of errors: what is retried, what is skipped and counted, what ends the run.

Every message is one sentence for the operator: what went wrong, where (file, line, key or
URL) and what to do about it. No message ever contains a secret.
"""

from __future__ import annotations


class BuildhubError(Exception):
    """Base of every error that buildhub raises on purpose."""


class BadInput(BuildhubError):
    """A row, line or record that can't be used: it is reported and counted, the others go on."""


class Unreachable(BuildhubError):
    """A server gave no usable answer, after as many attempts as allowed."""


class Fatal(BuildhubError):
    """The run can't go on: wrong credentials, a server that does not answer, an invalid setting."""


class Interrupted(BuildhubError):
    """The program was asked to stop by ``signum``; its exit status is 128 + that."""

    def __init__(self, signum: int) -> None:
        super().__init__(f"stopped by signal {signum}")
        self.signum = signum
