"""The surroundings of the event Lambda: an archive that grows, a Kinto, Lambda containers."""

from __future__ import annotations

import contextlib

from buildhub.events.service import EventResult, EventService
from buildhub.kinto.client import Client
from buildhub.kinto.initialization import initialize
from buildhub.settings import Settings
from tests.support.archive_server import ArchiveServer
from tests.support.kinto_server import Kinto
from tests.support.pipeline_records import Records, without_server_fields
from tests.support.s3_events import created


class EventSystem:
    """An archive that grows, a Kinto, and a container that handles events."""

    def __init__(self, archive: ArchiveServer, kinto: Kinto) -> None:
        self.archive = archive
        self.kinto = kinto
        self._services = contextlib.ExitStack()
        self.service = self.container()

    def container(self, *, pause: float = 0.01, **variables: str) -> EventService:
        """Another process, as far as this can be told."""
        environ = {
            "SERVER_URL": self.kinto.url,
            "ARCHIVE_URL": self.archive.url,
            "NB_PARALLEL_REQUESTS": "32",
            **variables,
        }
        settings = Settings.from_environment(environ)
        return self._services.enter_context(EventService(settings, pause=pause))

    def deliver(self, *keys: str) -> EventResult:
        """One event that names all these."""
        return self.service.handle(created(*keys))

    def records(self) -> Records:
        return without_server_fields(self.kinto.records())

    def close(self) -> None:
        self._services.close()

    def reset(self) -> None:
        """Nothing is in the archive, nothing on the server but its real schema."""
        self.archive.files.clear()
        self.kinto.flush()
        initialize(Client(self.kinto.url, "user:pass", "build-hub", "releases"))
