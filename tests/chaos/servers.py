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
from tests.support.hostile import elsewhere
from tests.support.hostile.elsewhere import Elsewhere
from tests.support.hostile.faults import archive_faults, s3_faults
from tests.support.hostile.kinto_faults import kinto_faults
from tests.support.hostile.proxy import HostileProxy
from tests.support.kinto_server import Kinto, running_kinto
from tests.support.pipeline_records import without_server_fields
from tests.support.s3_bucket import Bucket

from .trees import Tree


@dataclass
class Servers:
    """What lives for many runs: Kinto, S3, and a server that nobody may be sent to."""

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

    def __init__(
        self, archive: HostileProxy, kinto: HostileProxy, s3: HostileProxy, truth: ArchiveServer
    ) -> None:
        self.archive, self.kinto, self.s3 = archive, kinto, s3
        self.truth = truth  #: the archive itself

    @property
    def proxies(self) -> dict[str, HostileProxy]:
        return {"archive": self.archive, "Kinto": self.kinto, "S3": self.s3}

    def calm(self) -> None:
        """No more faults."""
        for proxy in self.proxies.values():
            proxy.calm()

    @property
    def credible(self) -> int:
        """Faults so far that clients can't tell from the truth."""
        return sum(proxy.credible for proxy in self.proxies.values())

    def injected(self) -> Counter[tuple[str, str]]:
        """How many faults there were, by server and name."""
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
    with (
        ArchiveServer(tree) as truth,
        HostileProxy(truth.url, archive_faults(away), seed=f"archive {seed}", rate=rate) as archive,
        HostileProxy(
            servers.kinto.url, kinto_faults(away), seed=f"kinto {seed}", rate=rate
        ) as kinto,
        HostileProxy(servers.bucket.url, s3_faults(away), seed=f"s3 {seed}", rate=rate) as s3,
    ):
        yield Hostile(archive, kinto, s3, truth)
