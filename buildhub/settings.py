"""The settings: name, environment variable, option, type, default and help of each, in one table.

The table :data:`VARIABLES` is the only place where a setting is described. The options of the
commands (``commands/options.py``), the settings of the Lambda handlers
(:meth:`Settings.from_environment`) and the configuration page are generated from it.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .builds.products import aliases, folder_named, product_folders
from .errors import Fatal

#: The archive's folders that are read by default.
PRODUCT_FOLDERS = product_folders(default=True)

#: What the whole run can read.
SOURCES = ("inventory", "bucket")

_AGE_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

_BOOLEANS = {
    **dict.fromkeys(("true", "yes", "1", "on"), True),
    **dict.fromkeys(("false", "no", "0", "off"), False),
}


def text(value: str) -> str:
    """The text itself. Raises ValueError if its bytes in the environment are not UTF-8."""
    try:
        value.encode()
    except UnicodeEncodeError:  # os.environ and sys.argv: surrogates stand for such bytes
        raise ValueError("the value is not valid UTF-8") from None
    return value


def words(value: str) -> tuple[str, ...]:
    """A list of words, separated by spaces or commas."""
    return tuple(word for word in re.split(r"[\s,]+", text(value)) if word)


def products(value: str) -> tuple[str, ...]:
    """Names of products or folders → their folders in the archive."""
    folders = [_product_folder(word) for word in words(value.lower())]
    return tuple(dict.fromkeys(folders)) or PRODUCT_FOLDERS


def _product_folder(word: str) -> str:
    folder = folder_named(word)
    if folder is None:
        choices = ", ".join(product_folders())
        raise ValueError(f"{word!r} is not a known product: choose from {choices}")
    return folder


def since(value: str) -> datetime:
    """A date, a time or an age (2026-11-01, 2026-11-01T12:00+02:00, 36h, 7d), as a time in UTC.

    A date or time without an offset is in UTC.
    """
    value = value.strip()
    try:
        if age := re.fullmatch(r"(\d+)\s*([mhdw])", value):
            return datetime.now(UTC) - timedelta(**{_AGE_UNITS[age[2]]: int(age[1])})
        moment = datetime.fromisoformat(value)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except OverflowError:
        raise ValueError(f"{value!r} is before the year 1 or after the year 9999") from None
    except ValueError:
        raise ValueError(
            f"{value!r} is not a valid date (2026-11-01), time (2026-11-01T12:00Z) or age (36h, 7d)"
        ) from None


def source(value: str) -> str:
    """``inventory`` or ``bucket``, in any case."""
    word = value.strip().lower()
    if word not in SOURCES:
        raise ValueError(f"{value!r} is not a known source: use {' or '.join(SOURCES)}")
    return word


def boolean(value: str) -> bool:
    """``true``, ``yes``, ``1`` or ``on``, and their opposites, in any case."""
    try:
        return _BOOLEANS[value.strip().lower()]
    except KeyError:
        raise ValueError(f"{value!r} is not a valid boolean: use true or false") from None


def at_least(minimum: int) -> Callable[[str], int]:
    """A parser of integers that rejects those below ``minimum`` and above a billion."""

    def number(value: str) -> int:
        if not re.fullmatch(r"\s*[-+]?[0-9]{1,10}\s*", value):
            raise ValueError(f"{value[:40]!r} is not a valid integer")
        if not minimum <= int(value) <= 1_000_000_000:
            limit = f"less than {minimum}" if int(value) < minimum else "too large"
            raise ValueError(f"{int(value)} is {limit}")
        return int(value)

    return number


def hours(value: str) -> float:
    """A number of hours, 0 or more, fractions allowed."""
    try:
        number = float(value)
    except ValueError:
        raise ValueError(f"{value!r} is not a valid number of hours") from None
    if not 0 <= number < 1e7:  # the limit must be a date after the year 1
        raise ValueError(f"{value!r} is not a valid number of hours: use 0 to 9999999")
    return number


def url(value: str) -> str:
    """An http(s) URL, without surrounding whitespace. The message never shows a password."""
    value = text(value).strip()
    shown = re.sub(r"//[^/]*@", "//***@", value)
    try:
        parts = urlsplit(value)
        valid = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # such as http://[::1 and http://localhost:99999
        valid = False
    if not valid or re.search(r"\s", value):
        raise ValueError(
            f"{shown!r} is not a valid URL: it must look like http://host or https://host:port"
        )
    return value


def archive_url(value: str) -> str:
    """The URL of the archive. It ends with a slash: keys are appended to it."""
    address = url(value)
    if "@" in urlsplit(address).netloc:
        raise ValueError(
            "a user or password in the URL is not allowed: it would be published in the"
            " download.url of every record"
        )
    return address.rstrip("/") + "/"


def storage_host(value: str) -> str:
    """The URL of the storage service; Google's tools accept it without ``http://`` too."""
    address = value.strip().rstrip("/")
    return url(address if "://" in address else f"http://{address}")


def server_url(value: str) -> str:
    """The URL of Kinto with its version: ``http://localhost:8888/v1``.

    A URL without a version, such as the ``https://kinto/`` of jobs.rst, gets ``/v1``.
    """
    address = url(value).rstrip("/")
    return address if re.search(r"/v\d+$", address) else address + "/v1"


def folder(value: str) -> Path:
    """The path of a folder; ``~`` is the home directory."""
    return Path(value).expanduser()


@dataclass(frozen=True)
class Variable:
    """The description of one setting."""

    name: str  #: field of :class:`Settings`
    parse: Callable[[str], Any]  #: text → value; raises ValueError with a sentence
    kind: str  #: the type as the documentation names it
    default: str | None  #: as it would be written in the environment; None: no value
    help: str
    default_text: str | None = None  #: how the default is shown, if not as a plain value
    flags: tuple[str, ...] = ()  #: the names of the option, if not just ``--<name>``
    secret: bool = False
    repeatable: bool = False

    @property
    def env(self) -> str:
        """The environment variable."""
        return self.name.upper()

    @property
    def options(self) -> tuple[str, ...]:
        """The names of the option: ``("-b", "--bucket")``."""
        return self.flags or ("--" + self.name.replace("_", "-"),)


VARIABLES: dict[str, Variable] = {
    v.name: v
    for v in (
        Variable(
            "server_url", server_url, "URL", "http://localhost:8888/v1", "The Kinto server.",
            flags=("-s", "--server", "--server-url"),
        ),
        Variable(
            "bucket", text, "text", "build-hub", "The bucket on the Kinto server.",
            flags=("-b", "--bucket"),
        ),
        Variable(
            "collection", text, "text", "releases", "The collection in the bucket.",
            flags=("-c", "--collection"),
        ),
        Variable(
            "auth", text, "user:password", "user:pass",
            "Credentials for Kinto, as user:password. AUTH_FILE names a file that contains them.",
            flags=("-a", "--auth"), secret=True,
        ),
        Variable(
            "cache_folder", folder, "folder", ".",
            "Folder for what is cached between runs: metadata of the archive, and which records"
            " the server has. In a Lambda the default is /tmp.",
        ),
        Variable(
            "nb_retry_request", at_least(0), "number", "3",
            "How often a failed request is retried.",
        ),
        Variable(
            "batch_max_requests", at_least(1), "number", None,
            "Maximum number of records in a batch request to Kinto.",
            default_text="the server's limit",
        ),
        Variable(
            "timeout_seconds", at_least(1), "seconds", "300",
            "Time limit of a request, in seconds.",
        ),
        Variable(
            "initialize_server", boolean, "true/false", "true",
            "Create or update the bucket, collection, schema and permissions first.",
        ),
        Variable(
            "sentry_dsn", text, "URL", None,
            "DSN of the Sentry project to which errors are reported, such as"
            " https://<key>:<secret>@sentry.io/buildhub. SENTRY_DSN_FILE names a file that"
            " contains it.",
            default_text="disabled", secret=True,
        ),
        Variable(
            "min_age_last_modified_hours", hours, "hours", "0",
            "Skip files that were last modified more than this many hours ago; 0: no limit.",
        ),
        Variable(
            "since", since, "date or age", None,
            "Skip files that were last modified before this date (2026-11-01), time"
            " (2026-11-01T12:00+02:00; UTC by default) or age (36h, 7d).",
            default_text="no limit",
        ),
        Variable(
            "archive_url", archive_url, "URL", "https://archive.mozilla.org/",
            "The URL of the archive.",
        ),
        Variable(
            "archive_bucket", text, "text", "moz-fx-productdelivery-pr-38b5-productdelivery",
            "The archive's own bucket in Google Cloud Storage.",
        ),
        Variable(
            "storage_emulator_host", storage_host, "URL", "https://storage.googleapis.com",
            "Where Google Cloud Storage is, with or without http://.",
        ),
        Variable(
            "nb_parallel_requests", at_least(1), "number", "8",
            "Maximum number of simultaneous requests to the archive.", flags=("-j", "--jobs"),
        ),
        Variable(
            "products", products, "list", " ".join(PRODUCT_FOLDERS),
            "The products to process, by their folder in the archive;"
            f" {', '.join(f'{name} means {folder}' for name, folder in aliases().items())}.",
            flags=("--product",), repeatable=True,
        ),
        Variable(
            "source", source, "inventory/bucket", "inventory",
            "Whether the newest S3 inventories are read or the archive's own bucket. S3 has listed"
            " no installers since 30 April 2024.",
        ),
        Variable(
            "inventories", words, "list", "firefox archive",
            "The inventories to load, in this order.",
            flags=("--inventory",), repeatable=True,
        ),
        Variable(
            "csv_download_directory", folder, "folder", None,
            "Inventory files are downloaded to the subfolder buildhub/ of this folder.",
            default_text="the system's temporary folder",
        ),
    )
}  # fmt: skip


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
        for name, variable in VARIABLES.items():
            value = (given or {}).get(name)
            if value is None:
                unparsed = read_variable(variable, environ)
                if unparsed is None:
                    unparsed = (defaults or {}).get(name, variable.default)
                value = None if unparsed is None else _parsed(variable, unparsed)
            values[name] = value
        return cls(**values)

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
