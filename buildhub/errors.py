"""The families of errors: what is retried, what is skipped and counted, what ends the run.

Every message is one sentence for the operator: what went wrong, where (file, line, key or
URL) and what to do about it. None ever contains a secret.
"""

from __future__ import annotations


class BuildhubError(Exception):
    """Base of every error that buildhub raises on purpose."""


class BadInput(BuildhubError):
    """A row, line or record that is wrong: it is reported and counted, the others go on."""


class Unreachable(BuildhubError):
    """A server did not answer properly, although it was asked again as often as allowed."""


class Fatal(BuildhubError):
    """Nothing useful can be done: wrong credentials, no such collection, a wrong setting."""


class Interrupted(BuildhubError):
    """A signal asked the program to stop.

    ``signum`` is that signal; the exit status of a stopped command is 128 + ``signum``.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(f"stopped by signal {signum}")
        self.signum = signum
