"""Every setting once: its variable, its option, its type, its default and what it is for.

The table ``VARIABLES`` is the only place where a setting is described. The commands' options
(:func:`option`), the Lambda handlers (:meth:`Settings.from_environment`) and the
configuration page of the documentation are all made from it.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from .builds.products import aliases, folder_named, product_folders
from .errors import Fatal

#: The archive's folders that are read by default.
PRODUCT_FOLDERS = product_folders(default=True)

_AGE_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def words(text: str) -> tuple[str, ...]:
    """A list in a variable: its words, separated by spaces or commas."""
    return tuple(word for word in re.split(r"[\s,]+", text) if word)


def products(text: str) -> tuple[str, ...]:
    """The archive's folders of the products named; a product's name means its folder."""
    folders = [_product_folder(word) for word in words(text.lower())]
    return tuple(dict.fromkeys(folders)) or PRODUCT_FOLDERS


def _product_folder(word: str) -> str:
    folder = folder_named(word)
    if folder is None:
        choices = " ".join(product_folders())
        raise ValueError(f"{word!r} is not a known product: choose from {choices}")
    return folder


def since(text: str) -> datetime:
    """A date, a time (UTC unless it says otherwise) or an age: 2026-11-01, 36h, 7d."""
    if age := re.fullmatch(r"(\d+)\s*([mhdw])", text.strip()):
        try:
            return datetime.now(UTC) - timedelta(**{_AGE_UNITS[age[2]]: int(age[1])})
        except OverflowError:
            raise ValueError(f"{text!r} is longer ago than there are dates") from None
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(
            f"{text!r} is neither a date (2026-11-01), a time (2026-11-01T12:00Z)"
            " nor an age (36h, 7d)"
        ) from None
    return moment.replace(tzinfo=moment.tzinfo or UTC)


def boolean(text: str) -> bool:
    """``true``, ``yes``, ``1`` or ``on``, and their opposites, in any case."""
    value = {"true": 1, "yes": 1, "1": 1, "on": 1, "false": 0, "no": 0, "0": 0, "off": 0}.get(
        text.strip().lower()
    )
    if value is None:
        raise ValueError(f"{text!r} is neither true nor false")
    return bool(value)


def at_least(minimum: int) -> Callable[[str], int]:
    """A parser of whole numbers that refuses those below ``minimum``."""

    def number(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise ValueError(f"{text!r} is no whole number") from None
        if value < minimum:
            raise ValueError(f"{value} is less than {minimum}")
        return value

    return number


def hours(text: str) -> float:
    """A number of hours, 0 or more, fractions allowed."""
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"{text!r} is no number of hours") from None
    if not 0 <= value < 1e7:
        raise ValueError(f"{text!r} hours are not possible: give 0 or more")
    return value


def url(text: str) -> str:
    """An http(s) address, without blanks around it."""
    text = text.strip()
    if not re.match(r"https?://[^/\s]", text):
        raise ValueError(f"{text!r} is no URL: it must start with http:// or https://")
    return text


def archive_url(text: str) -> str:
    """Where the archive is; ends with a slash, as keys are appended to it."""
    return url(text).rstrip("/") + "/"


def server_url(text: str) -> str:
    """Where Kinto is, with its version: ``http://localhost:8888/v1``.

    jobs.rst writes ``https://kinto/``: a URL without a version gets ``/v1``.
    """
    address = url(text).rstrip("/")
    return address if re.search(r"/v\d+$", address) else address + "/v1"


def folder(text: str) -> Path:
    """A folder's path; ``~`` is the home folder."""
    return Path(text).expanduser()


@dataclass(frozen=True)
class Variable:
    """One setting, as the operator sees it."""

    name: str  #: field of :class:`Settings`
    parse: Callable[[str], Any]  #: text → value; raises ValueError with a sentence
    kind: str  #: the type as the documentation names it
    default: str | None  #: as it would be written in the environment; None: no value
    help: str
    default_text: str | None = None  #: how the default is shown, where it isn't a plain value
    flags: tuple[str, ...] = ()  #: more names of the option, such as ``-s``
    secret: bool = False
    repeatable: bool = False

    @property
    def env(self) -> str:
        """The environment variable."""
        return self.name.upper()

    @property
    def option(self) -> str:
        """The long option of the commands."""
        singular = {"products": "product", "inventories": "inventory", "nb_parallel_requests": ""}
        return "--" + singular.get(self.name, self.name).replace("_", "-")


VARIABLES: dict[str, Variable] = {
    v.name: v
    for v in (
        Variable(
            "server_url", server_url, "URL", "http://localhost:8888/v1", "The Kinto server.",
            flags=("-s", "--server"),
        ),
        Variable(
            "bucket", str, "text", "build-hub", "The bucket on the Kinto server.", flags=("-b",)
        ),
        Variable(
            "collection", str, "text", "releases", "The collection in the bucket.", flags=("-c",)
        ),
        Variable(
            "auth", str, "user:password", "user:pass",
            "Credentials for Kinto, as user:password. AUTH_FILE names a file that holds them.",
            flags=("-a",), secret=True,
        ),
        Variable(
            "cache_folder", folder, "folder", ".",
            "Where what was learned of the archive and of the server is kept between runs."
            " In a Lambda the default is /tmp.",
        ),
        Variable(
            "nb_retry_request", at_least(0), "number", "3",
            "How often a request that failed is tried again.",
        ),
        Variable(
            "batch_max_requests", at_least(1), "number", None,
            "Records in one batch request to Kinto.", default_text="taken from the server",
        ),
        Variable(
            "timeout_seconds", at_least(1), "seconds", "300",
            "How long one request may take, in seconds.",
        ),
        Variable(
            "initialize_server", boolean, "true/false", "true",
            "Whether to create or update bucket, collection, schema and permissions first.",
        ),
        Variable(
            "sentry_dsn", str, "URL", None,
            "Where errors are reported, such as https://<key>:<secret>@sentry.io/buildhub."
            " SENTRY_DSN_FILE names a file that holds it.",
            default_text="disabled", secret=True,
        ),
        Variable(
            "min_age_last_modified_hours", hours, "hours", "0",
            "Skip files that were last modified longer ago than this many hours;"
            " 0 looks at all of them.",
        ),
        Variable(
            "since", since, "date or age", None,
            "Skip files that were last modified before this date (2026-11-01), time or age"
            " (36h, 7d).",
            default_text="no limit",
        ),
        Variable(
            "archive_url", archive_url, "URL", "https://archive.mozilla.org/",
            "Where the archive is.",
        ),
        Variable(
            "nb_parallel_requests", at_least(1), "number", "8",
            "Requests to the archive at the same time.", flags=("-j", "--jobs"),
        ),
        Variable(
            "products", products, "list", " ".join(PRODUCT_FOLDERS),
            "The archive's folders to read;"
            f" {', '.join(f'{name} means {folder}' for name, folder in aliases().items())}.",
            repeatable=True,
        ),
        Variable(
            "inventories", words, "list", "firefox archive",
            "The inventories to load, in this order.", repeatable=True,
        ),
        Variable(
            "csv_download_directory", folder, "folder", None,
            "Where the inventory's files are downloaded to, in a folder buildhub/ of its own.",
            default_text="the system's temporary folder",
        ),
    )
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of one run. A field is described in ``VARIABLES`` under its name."""

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
    nb_parallel_requests: int
    products: tuple[str, ...]
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
        """Settings from ``environ``, over ``defaults`` (texts, by field) and the table's own.

        ``given`` holds values that are parsed already (options of a command); those that are
        None count as not given. An empty variable counts as unset. Raises :class:`Fatal` that
        names the variable whose value can't be used.
        """
        values: dict[str, Any] = {}
        for name, variable in VARIABLES.items():
            value = (given or {}).get(name)
            if value is None:
                text = read_variable(variable, environ)
                if text is None:
                    text = (defaults or {}).get(name, variable.default)
                value = None if text is None else _parsed(variable, text)
            values[name] = value
        return cls(**values)

    def oldest(self, now: datetime) -> datetime | None:
        """Files last modified before this are skipped; None if no limit is set."""
        limits = [self.since] if self.since else []
        if self.min_age_last_modified_hours:
            limits.append(now - timedelta(hours=self.min_age_last_modified_hours))
        return max(limits, default=None)


def read_variable(variable: Variable, environ: Mapping[str, str]) -> str | None:
    """The variable's text, or a secret from the file that ``<NAME>_FILE`` names."""
    if text := environ.get(variable.env):
        return text
    path = environ.get(f"{variable.env}_FILE") if variable.secret else None
    if not path:
        return None
    try:
        return Path(path).read_text().strip() or None
    except OSError as error:
        raise Fatal(f"{variable.env}_FILE: cannot read {path}: {error.strerror}.") from None


def _parsed(variable: Variable, text: str) -> Any:
    try:
        return variable.parse(text)
    except ValueError as error:
        raise Fatal(f"{variable.env}: {error}.") from None


class _Text(click.ParamType[Any]):
    """click's view of a variable: the same parser, the same sentence."""

    def __init__(self, variable: Variable) -> None:
        self.name = variable.kind
        self.variable = variable

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return self.variable.parse(value) if isinstance(value, str) else value
        except ValueError as error:
            self.fail(str(error), param, ctx)


def option(name: str, **changes: Any) -> Callable[[Any], Any]:
    """The click option of the setting ``name``.

    Its value is None where the option is not given: :meth:`Settings.from_environment` then
    takes the variable or the default, so that flag > environment > default holds in one place.
    """
    variable = dataclasses.replace(VARIABLES[name], **changes)
    flags = variable.flags if variable.option == "--" else (*variable.flags, variable.option)
    default = variable.default_text or variable.default
    notes = f"{variable.env}; default: {default}"
    declaration: dict[str, Any] = {"metavar": variable.kind.upper()}
    if variable.parse is boolean:
        flags = (f"{variable.option}/--no-{variable.option[2:]}",)
        declaration = {"is_flag": True, "default": None}
    elif variable.repeatable:
        declaration |= {"multiple": True, "type": str, "callback": _joined(variable)}
    else:
        declaration |= {"type": _Text(variable)}
    return click.option(*flags, name, help=f"{variable.help}  [{notes}]", **declaration)


def _joined(variable: Variable) -> Callable[[click.Context, click.Parameter, Any], Any]:
    """A repeatable option: its values, each possibly a list, as one list; None if not given."""

    def callback(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> Any:
        return _Text(variable).convert(" ".join(values), param, ctx) if values else None

    return callback
