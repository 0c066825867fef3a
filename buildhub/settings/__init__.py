"""The settings: name, environment variable, option, type, default and help of each, in one table.

The table :data:`VARIABLES` is the only place where a setting is described. The options of the
commands (``commands/options.py``), the settings of the Lambda handlers
(:meth:`Settings.from_environment`) and the configuration page are generated from it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from ..errors import Fatal
from .parsers import PRODUCT_FOLDERS, SOURCES
from .variables import VARIABLES, Variable

__all__ = ["PRODUCT_FOLDERS", "SOURCES", "VARIABLES", "Settings", "Variable", "read_variable"]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of one run. Each field is described in ``VARIABLES`` under its name."""

    server_url: str
    bucket: str
    collection: str
    auth: str = dataclasses.field(repr=False)
    cache_folder: Path
    nb_retry_request: int
    batch_max_requests: int | None
    timeout_seconds: int
    initialize_server: bool
    sentry_dsn: str | None = dataclasses.field(repr=False)
    min_age_last_modified_hours: float
    since: datetime | None
    archive_url: str
    archive_bucket: str
    storage_emulator_host: str
    nb_parallel_requests: int
    products: tuple[str, ...]
    source: str
    inventories: tuple[str, ...]
    csv_download_directory: Path | None
    explicit: frozenset[str]  #: names of those that were given or set, and are no defaults

    @classmethod
    def from_environment(
        cls,
        environ: Mapping[str, str],
        *,
        defaults: Mapping[str, str] | None = None,
        given: Mapping[str, Any] | None = None,
    ) -> Settings:
        """Settings from ``given``, else ``environ``, else ``defaults``, else the table's default.

        ``given`` are parsed values (options of a command), where None means not given;
        ``defaults`` are texts by field. An empty variable counts as unset. Raises :class:`Fatal`
        with the name of the variable whose value is not valid.
        """
        values: dict[str, Any] = {}
        explicit = set()
        for name, variable in VARIABLES.items():
            value = (given or {}).get(name)
            unparsed = read_variable(variable, environ) if value is None else None
            if value is not None or unparsed is not None:
                explicit.add(name)
            else:
                unparsed = (defaults or {}).get(name, variable.default)
            values[name] = value if unparsed is None else _parsed(variable, unparsed)
        return cls(**values, explicit=frozenset(explicit))

    def oldest(self, now: datetime) -> datetime | None:
        """Files that were last modified before this time (UTC) are skipped; None: no limit."""
        limits = [self.since] if self.since else []
        if self.min_age_last_modified_hours:
            limits.append(now - timedelta(hours=self.min_age_last_modified_hours))
        return max(limits, default=None)


def read_variable(variable: Variable, environ: Mapping[str, str]) -> str | None:
    """The variable's text, or that of a secret from the file that ``<NAME>_FILE`` names.

    None if neither is set. Raises :class:`Fatal` if the file cannot be read or is empty.
    """
    if value := environ.get(variable.env):
        return value
    path = environ.get(f"{variable.env}_FILE") if variable.secret else None
    return _read_secret(variable, path) if path else None


def _read_secret(variable: Variable, path: str) -> str:
    name = f"{variable.env}_FILE"
    try:
        value = Path(path).read_text("utf-8").strip()
    except OSError as error:
        raise Fatal(f"{name}: cannot read {path}: {error.strerror}.") from None
    except ValueError:
        raise Fatal(f"{name}: {path} is not valid UTF-8.") from None
    if not value:
        raise Fatal(f"{name}: {path} is empty: write the {variable.kind} into it.")
    return value


def _parsed(variable: Variable, value: str) -> Any:
    try:
        return variable.parse(value)
    except ValueError as error:
        raise Fatal(f"{variable.env}: {error}.") from None
