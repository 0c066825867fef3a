"""The settings: ONE table of click options, read from a command line or the environment.

A row of :data:`SETTINGS` says all about a setting: its options, type, default and help; its
variable is its name in capitals. Commands declare those that they use (:func:`options`), Lambda
handlers read all from the environment (:meth:`Settings.from_environment`), and the documentation
shows the table. An option takes precedence over the variable, and the variable over the default.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
from click.core import ParameterSource

from .builds.products import aliases, folder_named, product_folders
from .errors import Fatal

#: The archive's folders that are read by default.
PRODUCT_FOLDERS = product_folders(default=True)

_AGE_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class Parsed(click.ParamType[Any]):
    """A type of option; ``parse`` makes the value, or raises ValueError with a sentence's end."""

    def __init__(self, name: str, parse: Callable[[str], Any]) -> None:
        self.name = name
        self.parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Parses a text; it is a usage error if that is not valid."""
        if not isinstance(value, str):
            return value
        try:
            value.encode()
        except UnicodeEncodeError:  # os.environ and sys.argv: surrogates stand for such bytes
            self.fail("the value is not valid UTF-8.", param, ctx)
        try:
            return self.parse(value)
        except ValueError as error:
            self.fail(f"{error}.", param, ctx)


class _Boolean(click.types.BoolParamType):
    """A boolean, with a shorter message than click's."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Parses a text; it is a usage error if that is not valid."""
        with suppress(click.BadParameter):
            return super().convert(value, param, ctx)
        self.fail(f"{value!r} is neither true nor false.", param, ctx)


class Setting(click.Option):
    """An option whose value may come from the environment variable of its name.

    That of a ``secret`` may come from the file that ``<NAME>_FILE`` names.
    """

    envvar: str

    def __init__(self, *args: Any, secret: bool = False, **attributes: Any) -> None:
        super().__init__(*args, **{"show_default": True, "show_envvar": True} | attributes)
        self.envvar = self.name.upper()
        self.secret = secret
        if self.multiple:
            self.callback = _joined

    def value_from_envvar(self, ctx: click.Context) -> Any:
        """Returns the variable's text, of ``ctx.obj`` or this process; None if it is empty."""
        environ = os.environ if ctx.obj is None else ctx.obj
        value = environ.get(self.envvar, "")
        if not self.secret:
            value = value.strip()
        elif not value and (path := environ.get(f"{self.envvar}_FILE")):
            try:
                value = _read_secret(path)
            except ValueError as error:
                hint = f"{self.envvar}_FILE"
                raise click.BadParameter(f"{error}.", ctx, self, hint) from None
        return ([value] if self.multiple else value) if value else None

    def get_error_hint(self, ctx: click.Context | None) -> str:
        """Returns the name of the variable or option that the value came from, for messages."""
        if ctx and ctx.get_parameter_source(self.name) is ParameterSource.ENVIRONMENT:
            return self.envvar
        return click.Parameter.get_error_hint(self, ctx)


def _joined(_context: click.Context, _option: click.Parameter, values: Any) -> tuple[str, ...]:
    """Returns the items of a repeatable option, each value of which is a list."""
    return tuple(dict.fromkeys(chain.from_iterable(values)))


def _read_secret(path: str) -> str:
    try:
        value = Path(path).read_text("utf-8").strip()
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from None
    except ValueError:
        raise ValueError(f"{path} is not valid UTF-8") from None
    if not value:
        raise ValueError(f"{path} is empty: write the secret into it")
    return value


def credentials(value: str) -> str:
    """Returns ``user:password``, of any characters, or ``Bearer`` and an ASCII token."""
    if ":" not in value and not re.fullmatch(r"(?i:bearer|basic) [!-~]+", value):
        raise ValueError("it must be user:password, or Bearer and a token of ASCII characters")
    return value


def words(value: str) -> tuple[str, ...]:
    """Splits a list, which spaces or commas separate."""
    found = tuple(word for word in re.split(r"[\s,]+", value) if word)
    if not found:
        raise ValueError("the list is empty")
    return found


def products(value: str) -> tuple[str, ...]:
    """Returns the folders in the archive of a list of products or folders."""
    return tuple(map(_product_folder, words(value.lower())))


def _product_folder(word: str) -> str:
    folder = folder_named(word)
    if folder is None:
        choices = ", ".join(product_folders())
        raise ValueError(f"{word!r} is not a known product: choose from {choices}")
    return folder


def since(value: str) -> datetime:
    """Parses a date, a time or an age (2026-11-01, 2026-11-01T12:00+02:00, 36h, 7d): a time in UTC.

    A date or time without an offset is in UTC; ``today`` and ``yesterday`` begin at midnight.
    """
    value = value.strip()
    if (word := value.lower()) in ("today", "yesterday"):
        value = f"{datetime.now(UTC) - timedelta(days=word == 'yesterday'):%Y-%m-%d}"
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


def number(kind: type[int] | type[float], least: int, most: int) -> Callable[[str], float]:
    """Returns a parser of numbers of this kind within limits."""

    def parse(value: str) -> float:
        with suppress(ValueError):
            if least <= (found := kind(value)) <= most:
                return found
        name = "whole number" if kind is int else "number"
        raise ValueError(f"{value[:40]!r} is not a {name} from {least} to {most}")

    return parse


def url(value: str) -> str:
    """Returns an http(s) URL without surrounding whitespace. A message never shows a password."""
    value = value.strip()
    try:
        parts = urlsplit(value)
        valid = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # such as http://[::1 and http://localhost:99999
        valid = False
    if not valid or re.search(r"\s", value):
        shown = re.sub(r"^.*@", "***@", value, flags=re.DOTALL)
        raise ValueError(
            f"{shown!r} is not a valid URL: it must look like http://host or https://host:port"
        )
    return value


def archive_url(value: str) -> str:
    """Returns the URL of the archive. It ends with a slash: keys are appended to it."""
    address = url(value)
    if "@" in urlsplit(address).netloc:
        raise ValueError(
            "a user or password in the URL is not allowed: it would be published in the"
            " download.url of every record"
        )
    return address.rstrip("/") + "/"


def storage_host(value: str) -> str:
    """Returns the URL of the storage service; Google's tools accept it without ``http://`` too."""
    address = value.strip().rstrip("/")
    return url(address if "://" in address else f"http://{address}")


def server_url(value: str) -> str:
    """Returns the URL of Kinto with its version: ``https://kinto/`` gets ``/v1``."""
    address = url(value).rstrip("/")
    return address if re.search(r"/v\d+$", address) else address + "/v1"


def base_url(value: str) -> str:
    """Returns a URL with a slash at its end: names are appended to it."""
    return url(value).rstrip("/") + "/"


def folder(value: str) -> Path:
    """Returns the path of a folder; ``~`` is the home directory."""
    return Path(value).expanduser()


MOMENT = Parsed("date or age", since)
TEXT = Parsed("text", str)
LIST = Parsed("list", words)
FOLDER = Parsed("folder", folder)
COUNT = Parsed("number", number(int, 1, 10**9))

_Row = tuple[Sequence[str], dict[str, Any]]


def _row(
    name: str, kind: click.ParamType[Any], default: Any, text: str, *flags: str, **more: Any
) -> tuple[str, _Row]:
    """Returns a setting's name, and the flags (``--<name>`` by default) and more of its option."""
    attributes = {"type": kind, "default": default, "help": text} | more
    return name, (flags or (f"--{name.replace('_', '-')}",), attributes)


# fmt: off
_TABLE: dict[str, _Row] = dict((
    _row("server_url", Parsed("URL", server_url), "http://localhost:8888/v1",
         "The Kinto server.", "-s", "--server", "--server-url"),
    _row("bucket", TEXT, "build-hub", "The bucket on the Kinto server.", "-b", "--bucket"),
    _row("collection", TEXT, "releases", "The collection in the bucket.", "-c", "--collection"),
    _row("auth", Parsed("user:password", credentials), "user:pass",
         "Credentials for Kinto, as user:password. AUTH_FILE names a file that contains them.",
         "-a", "--auth", secret=True),
    _row("cache_folder", FOLDER, ".",
         "Folder for what is cached between runs: metadata of the archive, and which records the"
         " server has. In a Lambda the default is /tmp."),
    _row("nb_retry_request", Parsed("number", number(int, 0, 10**9)), "3",
         "How often a failed request is retried."),
    _row("batch_max_requests", COUNT, None,
         "Maximum number of records in a batch request to Kinto.",
         show_default="the server's limit"),
    _row("timeout_seconds", Parsed("seconds", number(int, 1, 10**9)), "300",
         "Time limit of a request, in seconds."),
    _row("initialize_server", _Boolean(), True,
         "Create or update the bucket, collection, schema and permissions first.",
         "--initialize-server/--no-initialize-server"),
    _row("sentry_dsn", Parsed("URL", str), None,
         "DSN of the Sentry project to which errors are reported, such as"
         " https://<key>:<secret>@sentry.io/buildhub. SENTRY_DSN_FILE names a file that contains"
         " it.", secret=True, show_default="disabled"),
    _row("min_age_last_modified_hours", Parsed("hours", number(float, 0, 9_999_999)), "0",
         "Skip files that were last modified more than this many hours ago; 0: no limit."),
    _row("since", MOMENT, None,
         "Skip files that were last modified before this date (2026-11-01), time"
         " (2026-11-01T12:00+02:00; UTC by default) or age (36h, 7d).", show_default="no limit"),
    _row("archive_url", Parsed("URL", archive_url), "https://archive.mozilla.org/",
         "The URL of the archive."),
    _row("archive_bucket", TEXT, "moz-fx-productdelivery-pr-38b5-productdelivery",
         "The archive's own bucket in Google Cloud Storage."),
    _row("storage_emulator_host", Parsed("URL", storage_host), "https://storage.googleapis.com",
         "Where Google Cloud Storage is, with or without http://."),
    _row("nb_parallel_requests", COUNT, "8",
         "Maximum number of simultaneous requests to the archive.", "-j", "--jobs"),
    _row("checksums", _Boolean(), False,
         "Get the SHA-256 of each build from the archive as well: a request for each version, and"
         " for each nightly's file.", "--checksums/--no-checksums"),
    _row("products", Parsed("list", products), [" ".join(PRODUCT_FOLDERS)],
         "The products to process, by their folder in the archive;"
         f" {', '.join(f'{name} means {folder}' for name, folder in aliases().items())}.",
         "--product", multiple=True),
    _row("source", click.Choice(("inventory", "bucket"), case_sensitive=False), "inventory",
         "Whether the newest S3 inventories are read or the archive's own bucket. S3 has listed no"
         " installers since 30 April 2024."),
    _row("inventories", LIST, ["firefox archive"], "The inventories to load, in this order.",
         "--inventory", multiple=True),
    _row("inventory_bucket", TEXT, "net-mozaws-prod-delivery-inventory-us-east-1",
         "The S3 bucket of the inventories, which anybody may read."),
    _row("inventory_prefix", TEXT,
         "public/inventories/net-mozaws-prod-delivery-{inventory}/delivery-{inventory}/",
         "Where the dated folders of an inventory are in that bucket; {inventory} stands for its"
         " name in INVENTORIES."),
    _row("csv_download_directory", FOLDER, None,
         "Inventory files are downloaded to the subfolder buildhub/ of this folder.",
         show_default="the system's temporary folder"),
    _row("product_details_url", Parsed("URL", base_url),
         "https://product-details.mozilla.org/1.0/", "Where the official lists of releases are."),
))
# fmt: on


def options(*names: str, **changes: Any) -> Callable[[Any], Any]:
    """Adds the options of these settings to a command; ``changes`` replace attributes of theirs."""

    def decorate(command: Any) -> Any:
        for name in reversed(names):
            flags, attributes = _TABLE[name]
            command = click.option(name, *flags, cls=Setting, **attributes | changes)(command)
        return command

    return decorate


@click.command
@options(*_TABLE)
def _all(**values: Any) -> None:
    """Parses the environment; it is never invoked."""


#: The option of each setting, by its name.
SETTINGS = {option.name: option for option in _all.params if isinstance(option, Setting)}


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of one run: a field for each row of the table, under its name."""

    server_url: str
    bucket: str
    collection: str
    auth: str = field(repr=False)
    cache_folder: Path
    nb_retry_request: int
    batch_max_requests: int | None
    timeout_seconds: int
    initialize_server: bool
    sentry_dsn: str | None = field(repr=False)
    min_age_last_modified_hours: float
    since: datetime | None
    archive_url: str
    archive_bucket: str
    storage_emulator_host: str
    nb_parallel_requests: int
    checksums: bool
    products: tuple[str, ...]
    source: str
    inventories: tuple[str, ...]
    inventory_bucket: str
    inventory_prefix: str
    csv_download_directory: Path | None
    product_details_url: str
    explicit: frozenset[str]  #: names of those that were given or set, and are no defaults

    @classmethod
    def of(cls, context: click.Context) -> Settings:
        """Returns the settings that a command line has, and the defaults of all others."""
        given = {name: context.params[name] for name in SETTINGS if name in context.params}
        if len(given) < len(SETTINGS):
            given = _all.make_context("defaults", [], obj={}).params | given
        ours = (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT)
        explicit = {name for name in SETTINGS if context.get_parameter_source(name) in ours}
        return cls(**given, explicit=frozenset(explicit))

    @classmethod
    def from_environment(
        cls, environ: Mapping[str, str], defaults: Mapping[str, str] | None = None
    ) -> Settings:
        """Returns the settings in ``environ``, else ``defaults`` by name, else the table's.

        Raises :class:`Fatal` with the name of the variable whose value is not valid.
        """
        try:
            context = _all.make_context("environment", [], obj=environ, default_map=defaults)
        except click.UsageError as error:
            raise Fatal(error.format_message()) from None
        return cls.of(context)

    @property
    def secrets(self) -> list[str]:
        """Lists what must never be seen: credentials, and URLs with a password."""
        urls = (self.server_url, self.storage_emulator_host, os.environ.get("AWS_ENDPOINT_URL", ""))
        return [self.auth, self.sentry_dsn or "", *(one for one in urls if "@" in one)]

    def oldest(self, now: datetime) -> datetime | None:
        """Returns the time (UTC) before which files are too old; None: no limit."""
        limits = [self.since] if self.since else []
        if self.min_age_last_modified_hours:
            limits.append(now - timedelta(hours=self.min_age_last_modified_hours))
        return max(limits, default=None)
