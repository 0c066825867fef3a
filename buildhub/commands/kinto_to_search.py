"""``kinto-to-search``: answers searches of a Kinto collection, from a copy that follows it."""

from __future__ import annotations

import click

from ..errors import Fatal
from ..settings import Settings, options
from ..signals import CancellationToken
from . import runner


@runner.command()
@options("server_url", "bucket", "collection", "cache_folder")
@options("auth", show_default="anonymous")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8881, show_default=True,
              help="Port to listen on.")  # fmt: skip
@click.option("--refresh", metavar="SECONDS", type=click.FloatRange(min=0.1), default=60,
              show_default=True, help="Seconds between two readings of what changed.")  # fmt: skip
@options("nb_retry_request", "timeout_seconds", "sentry_dsn")
@runner.common_options("--version")
def main(settings: Settings, host: str, port: int, refresh: float, verbosity: int) -> None:
    """Answer searches of a Kinto collection, in the language of Elasticsearch.

    \b
        kinto-to-search --port 8881 &
        curl 'http://localhost:8881/api/search?q=build.id:20170713130618'

    Keeps a copy of the collection in CACHE_FOLDER and follows it. Answers requests once the copy is
    complete, also while Kinto is away; the headers ETag and Age say how old the answer is.

    Exit status: 143 after SIGTERM, 1 if it cannot start.
    """

    def work(cancellation: CancellationToken) -> bool:
        import asyncio

        try:
            from ..search.server import serve
        except ModuleNotFoundError as error:
            raise Fatal(f"{error.name} is not installed: pip install duckdb.") from None
        from ..wiring import kinto_client

        runner.echo_summary(f"http://{host}:{port} answers once the copy is complete.")
        client = kinto_client(settings, cancellation, read_only=True)
        asyncio.run(serve(settings.cache_folder, client, cancellation, (host, port), refresh))
        return True

    runner.run(work, settings, verbosity)


if __name__ == "__main__":
    main()
