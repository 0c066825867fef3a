"""Notifications of Google's bucket: the same records in the end, acknowledged only after that."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from buildhub.builds.recognise import recognise
from tests.support import google_events
from tests.support.archive_tree import candidate_tree, release_tree
from tests.support.event_system import EventSystem
from tests.support.pipeline_records import pipeline_records

pytestmark = pytest.mark.functional

DEPLOYMENT = Path(__file__).parents[2] / "docs" / "deployment.rst"

FORMS: list[Callable[[str], Any]] = [
    google_events.pushed,
    google_events.pulled,
    google_events.cloud_event,
    google_events.cloud_event_of_message,
    lambda key: google_events.pushed(key, payload=False),
    lambda key: google_events.printed(google_events.pulled(key)),
]


@pytest.mark.parametrize("metadata_first", [False, True], ids=["archives first", "metadata first"])
def test_200_shuffled_messages_some_twice_end_in_what_the_pipe_makes(
    system: EventSystem, metadata_first: bool
) -> None:
    luck = random.Random(metadata_first)
    locales = ("en-US", "ach", "de", "fr", "ja", "pt-BR", "ru", "uk", "zh-CN")
    files = release_tree(locales=locales, builds=(1, 2))
    archives = {key: file for key, file in files.items() if recognise(key)}
    metadata = {key: file for key, file in files.items() if key not in archives}
    messages = 0
    for part in (metadata, archives) if metadata_first else (archives, metadata):
        system.archive.files.update(part)
        keys = [*part, *luck.sample(sorted(part), len(part) // 3)]
        luck.shuffle(keys)
        for key in keys:
            assert not system.service.handle(luck.choice(FORMS)(key)).failures
        messages += len(keys)
    assert messages >= 200
    expected = pipeline_records(system.archive)
    assert len(expected) == len(archives)
    assert system.records() == expected


# The subscriber of one line in the documentation


def subscriber() -> str:
    (line,) = re.findall(r"^ +(gcloud pubsub subscriptions pull .*)$", DEPLOYMENT.read_text(), re.M)
    return line


GCLOUD = """#!/bin/sh
case "$3" in
pull) cat pulled.json ;;
ack) printf "%s\\n" "$@" >> acknowledged ;;
esac
"""


@pytest.fixture
def subscribe(system: EventSystem, tmp_path: Path) -> Callable[[Any], list[str]]:
    """Runs the line with a stand-in for gcloud; returns what was acknowledged."""
    gcloud = tmp_path / "gcloud"
    gcloud.write_text(GCLOUD)
    gcloud.chmod(0o755)
    environ = {
        "PATH": f"{tmp_path}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "SERVER_URL": system.kinto.url,
        "ARCHIVE_URL": system.archive.url,
    }

    def run(messages: Any) -> list[str]:
        (tmp_path / "pulled.json").write_text(json.dumps(messages, indent=2))
        subprocess.run(["bash", "-c", subscriber()], cwd=tmp_path, env=environ, timeout=60)
        acknowledged = tmp_path / "acknowledged"
        return acknowledged.read_text().splitlines() if acknowledged.exists() else []

    return run


def test_the_subscriber_acknowledges_what_is_stored(
    system: EventSystem, subscribe: Callable[[Any], list[str]]
) -> None:
    system.archive.files.update(candidate_tree(platforms=("win64",)))
    messages = google_events.printed(*map(google_events.pulled, system.archive.files))
    *_, ids = subscribe(messages)
    assert ids.split(",") == [message["ackId"] for message in messages]
    assert system.records() == pipeline_records(system.archive)


def test_the_subscriber_acknowledges_nothing_that_failed(
    system: EventSystem, subscribe: Callable[[Any], list[str]]
) -> None:
    system.archive.files.update(candidate_tree(platforms=("win64",)))
    key = next(key for key in system.archive.files if recognise(key))
    wrong = {"attributes": {"eventType": "OBJECT_FINALIZE"}, "messageId": "1"}
    assert subscribe(google_events.printed(google_events.pulled(key), wrong)) == []


def test_the_subscriber_acknowledges_nothing_where_there_is_no_message(
    system: EventSystem, subscribe: Callable[[Any], list[str]]
) -> None:
    assert subscribe([]) == []
