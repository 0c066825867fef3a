"""The real servers of chaotic runs, and the hostile ones in front of them."""

from __future__ import annotations

import contextlib
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import requests

from buildhub.kinto.client import Client
from buildhub.kinto.initialization import initialize
from tests.support import s3_bucket
from tests.support.archive_server import ArchiveServer
from tests.support.bucket_tree import made
from tests.support.gcs_server import GcsServer
from tests.support.hostile import elsewhere
from tests.support.hostile.elsewhere import Elsewhere
from tests.support.hostile.faults import archive_faults, gcs_faults, s3_faults
from tests.support.hostile.kinto_faults import kinto_faults
from tests.support.hostile.proxy import HostileProxy
from tests.support.kinto_server import Kinto, running_kinto
from tests.support.pipeline_records import without_server_fields
from tests.support.s3_bucket import Bucket

from .trees import Tree

#: Entries of a page of the bucket, so that there are some.
PAGE = 12


@dataclass
class Servers:
    """Servers for many runs: Kinto, S3, and one that nobody may be sent to."""

    kinto: Kinto
    bucket: Bucket
    elsewhere: Elsewhere

    def empty(self) -> None:
        """Nothing is stored anywhere."""
        self.kinto.flush()
        self.bucket.empty()
        self.elsewhere.requests.clear()

    def initialize(self) -> None:
        """Create the collection if it is not there, as an operator would."""
        initialize(Client(self.kinto.url, "user:pass", "build-hub", "releases"))

    def stored(self) -> dict[str, dict[str, object]]:
        """The records on the server, less what the server adds; none if it was flushed."""
        try:
            records = self.kinto.records()
        except requests.HTTPError:  # 404: the collection is gone
            return {}
        return without_server_fields(records)


@contextlib.contextmanager
def running_servers() -> Iterator[Servers]:
    """The servers of a process."""
    with (
        tempfile.TemporaryDirectory(prefix="buildhub-chaos-") as folder,
        running_kinto(Path(folder)) as kinto,
        s3_bucket.running() as bucket,
        elsewhere.running() as nowhere,
    ):
        yield Servers(kinto, bucket, nowhere)


class Hostile:
    """The hostile servers of one run."""

    def __init__(self, truth: ArchiveServer, proxies: dict[str, HostileProxy]) -> None:
        self.truth = truth  #: the archive itself
        self.proxies = proxies  #: by server: archive, bucket, Kinto, S3

    def url(self, server: str) -> str:
        """Where its proxy is."""
        return self.proxies[server].url

    def calm(self) -> None:
        """No more faults."""
        for proxy in self.proxies.values():
            proxy.calm()

    @property
    def credible(self) -> int:
        """Faults so far that clients can't tell from the truth."""
        return sum(proxy.credible for proxy in self.proxies.values())

    @property
    def exchanges(self) -> int:
        """Requests so far."""
        return sum(proxy.exchanges for proxy in self.proxies.values())

    def injected(self) -> Counter[tuple[str, str]]:
        """Returns the number of faults by server and name."""
        return Counter(
            {
                (server, name): number
                for server, proxy in self.proxies.items()
                for name, number in proxy.injected.items()
            }
        )

    def log(self) -> list[str]:
        """Every fault in the order of its server."""
        return [f"{name}: {line}" for name, proxy in self.proxies.items() for line in proxy.log]


@contextlib.contextmanager
def hostile(servers: Servers, tree: Tree, seed: int, rate: float) -> Iterator[Hostile]:
    """An archive that holds ``tree``, and proxies that break ``rate`` of all exchanges."""
    away = servers.elsewhere.url
    objects = [made(key, f"{file.date[:-1]}.000Z", file.size) for key, file in tree.items()]
    with contextlib.ExitStack() as stack:
        truth = stack.enter_context(ArchiveServer(tree))
        bucket = stack.enter_context(GcsServer(objects, page_size=PAGE))
        behind = {
            "archive": (truth.url, archive_faults(away)),
            "bucket": (bucket.url, gcs_faults(away)),
            "Kinto": (servers.kinto.url, kinto_faults(away)),
            "S3": (servers.bucket.url, s3_faults(away)),
        }
        yield Hostile(
            truth,
            {
                name: stack.enter_context(
                    HostileProxy(url, faults, seed=f"{name} {seed}", rate=rate)
                )
                for name, (url, faults) in behind.items()
            },
        )
