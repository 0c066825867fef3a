"""The table of the settings: name, variable, option, type, default and help of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..builds.products import aliases
from .parsers import (
    PRODUCT_FOLDERS,
    archive_url,
    at_least,
    boolean,
    credentials,
    folder,
    hours,
    products,
    server_url,
    since,
    source,
    storage_host,
    text,
    words,
)


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
            "auth", credentials, "user:password", "user:pass",
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
