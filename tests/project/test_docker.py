"""The image is right, as far as that can be checked without an engine."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
STAGES = dict(
    re.findall(r"^FROM \S+ AS (\w+)\n(.*?)(?=^FROM |\Z)", DOCKERFILE, re.MULTILINE | re.DOTALL)
)
ENTRYPOINT = "entrypoint.sh"
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())


def test_the_image_without_a_target_is_runtime():
    assert list(STAGES)[-1] == "runtime"


def test_the_base_is_pinned():
    assert re.search(r"^ARG BASE_IMAGE=python:\d+\.\d+\.\d+-slim-\w+$", DOCKERFILE, re.MULTILINE)


@pytest.mark.parametrize("stage", ["runtime", "dev", "kinto"])
def test_no_stage_that_runs_is_root(stage):
    users = re.findall(r"^USER (\S+)$", STAGES[stage], re.MULTILINE)
    assert users == ["10001"]


def test_runtime_installs_nothing_and_takes_only_what_the_builder_made():
    assert "apt-get" not in STAGES["runtime"]
    assert "pip" not in STAGES["runtime"]
    assert "HEALTHCHECK NONE" in STAGES["runtime"]


def engines(folder: Path, **status: int) -> dict[str, str]:
    """A PATH with stand-ins of engines: each shows its arguments; `info` ends as told."""
    for name, code in status.items():
        engine = folder / name
        engine.write_text(f'#!/bin/sh\n[ "$1" != info ] || exit {code}\necho {name} "$@"\n')
        engine.chmod(0o755)
    return {"PATH": f"{folder}:/usr/bin:/bin"}


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ({"docker": 0, "podman": 0}, "docker build --target dev --tag a:b --pull .\n"),
        ({"docker": 1, "podman": 0}, "podman build --target dev --tag a:b --pull .\n"),
        ({"docker": 1, "podman": 1, "buildah": 0}, "buildah bud --target dev --tag a:b --pull .\n"),
    ],
)
def test_the_engine_that_works_builds(tmp_path, status, said):
    """A docker client without its daemon is passed over."""
    result = subprocess.run(
        [ROOT / ".docker" / "build.sh", "dev", "a:b", "--pull"],
        env=engines(tmp_path, **status),
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout == said


def test_without_an_engine_the_supported_ones_are_listed(tmp_path):
    environment = engines(tmp_path, docker=1, podman=1, buildah=1)
    result = subprocess.run(
        [ROOT / ".docker" / "build.sh", "dev", "a:b"],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1
    assert "docker (running), podman or buildah" in result.stderr


def test_compose_builds_targets_that_exist_and_waits_for_services_that_exist():
    services = COMPOSE["services"]
    for service in services.values():
        if "build" in service:
            assert service["build"]["target"] in STAGES
        assert set(service.get("depends_on", {})) <= set(services)


def test_compose_has_every_job_and_starts_none_but_the_scheduler_s():
    """As entry points: what `docker compose run JOB …` gets behind the job are its options."""
    assert f"COPY .docker/{ENTRYPOINT} /usr/local/bin/{ENTRYPOINT}" in STAGES["runtime"]
    services = COMPOSE["services"]
    for job in ("inventory-to-records", "to-kinto", "latest-inventory-to-kinto"):
        assert services[job]["entrypoint"] == [ENTRYPOINT, job]
        assert services[job]["depends_on"]["kinto"]["condition"] == "service_healthy"
        assert services[job]["profiles"] == ["jobs"]
    every, _, job, *_ = services["scheduler"]["command"]
    assert (every, job) == ("every", "latest-inventory-to-kinto")
    assert "profiles" not in services["scheduler"]


def test_compose_reads_today_s_archive_and_initialises_once():
    """kinto-wizard would download all records of the server before each job."""
    jobs = [s for s in COMPOSE["services"].values() if s.get("image") == "buildhub:latest"]
    assert len(jobs) == 5
    assert {job["environment"]["SOURCE"] for job in jobs} == {"bucket"}
    assert "kinto-wizard" not in str(COMPOSE["services"])


def test_compose_makes_the_indexes_once_kinto_has_made_its_tables():
    indexes = COMPOSE["services"]["indexes"]
    assert "psql --no-psqlrc --file /indexes.sql" in indexes["command"][-1]
    assert indexes["volumes"] == ["./jobs/indexes.sql:/indexes.sql:ro"]
    assert (ROOT / "jobs" / "indexes.sql").is_file()
    assert indexes["depends_on"] == {"kinto": {"condition": "service_healthy"}}
    postgres = COMPOSE["services"]["postgres"]
    assert indexes["image"] == postgres["image"]
    for name in ("USER", "PASSWORD"):
        assert indexes["environment"][f"PG{name}"] == postgres["environment"][f"POSTGRES_{name}"]
    assert "profiles" not in indexes


def test_what_the_dockerfile_copies_is_in_the_context():
    """.dockerignore leaves out everything but what it names."""
    ignored = (ROOT / ".dockerignore").read_text().split("\n")
    kept = {line[1:] for line in ignored if line.startswith("!")}
    copied = re.findall(r"^COPY (?!--from)(?:--\S+ )?(.+) \S+$", DOCKERFILE, re.MULTILINE)
    for name in " ".join(copied).split():
        assert name == "." or name.split("/")[0] in kept
