"""The files in deploy/ as they are: systemd reads the units, nginx and Kinto their settings."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import requests

from buildhub.kinto.client import Client
from buildhub.kinto.initialization import initialize
from tests.support import postgres
from tests.support.ports import free_port
from tests.support.records import make_record

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").iterdir())
BIN = Path(sys.executable).parent

# ---- systemd ----


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
def test_systemd_finds_no_fault_with_the_units(tmp_path: Path) -> None:
    for unit in UNITS:
        text = re.sub(r"/opt/(?:buildhub|kinto)/bin/[\w-]+", "/bin/true", unit.read_text())
        (tmp_path / unit.name).write_text(text)
    verify = ["systemd-analyze", "verify", "--man=no", *tmp_path.iterdir()]
    done = subprocess.run(verify, capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@pytest.mark.parametrize("unit", [u for u in UNITS if u.suffix == ".timer"], ids=lambda u: u.name)
def test_every_timer_has_its_service_and_every_job_a_timer(unit: Path) -> None:
    service = unit.with_suffix(".service").read_text()
    assert "Type=oneshot" in service
    assert "OnFailure=buildhub-alarm@%n.service" in service
    assert "TimeoutStartSec=" in service


@pytest.mark.parametrize("unit", UNITS, ids=lambda u: u.name)
def test_what_a_job_reports_is_kept_where_its_output_is_not(unit: Path) -> None:
    """systemd's errors go where the output goes, unless it is told otherwise."""
    text = unit.read_text()
    assert "StandardOutput=null" not in text or "StandardError=journal" in text


@pytest.mark.parametrize("unit", UNITS, ids=lambda u: u.name)
def test_a_stop_is_no_alarm(unit: Path) -> None:
    """The commands exit with 143 after SIGTERM, which systemd takes for a failure by itself."""
    text = unit.read_text()
    assert "/opt/buildhub/bin/" not in text or "SuccessExitStatus=143\n" in text


def test_an_alarm_is_delivered_after_its_command_has_ended() -> None:
    """Otherwise systemd kills the mailer in the background, and the mail waits for half an hour."""
    assert "KillMode=process\n" in (DEPLOY / "systemd" / "buildhub-alarm@.service").read_text()


def commands() -> list[list[str]]:
    """The command lines of the units that start a command of ours."""
    texts = [unit.read_text().replace("\\\n", " ") for unit in UNITS if unit.suffix == ".service"]
    lines = [line for text in texts for line in re.findall(r"/opt/buildhub/bin/(.+)", text)]
    return [shlex.split(line) for line in lines]


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_every_command_line_is_understood(command: list[str]) -> None:
    if not (BIN / command[0]).exists():
        pytest.skip(f"{command[0]} is not installed")
    done = subprocess.run(
        [BIN / command[0], *command[1:], "--help"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


# ---- Kinto and nginx ----


class Site(NamedTuple):
    """nginx with all that is behind it."""

    url: str
    kinto: str


@pytest.fixture(scope="module")
def site(postgresql: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder, database = tmp_path_factory.mktemp("site"), postgres.new_database(postgresql, "site")
    kinto, nginx, search = free_port(), free_port(), free_port()
    with _kinto(database, kinto), _nginx(folder, nginx, kinto, search):
        site = Site(f"http://127.0.0.1:{nginx}", f"http://127.0.0.1:{kinto}/v1")
        initialize(Client(site.kinto, "buildhub:pass", "build-hub", "releases"))
        yield site


@contextlib.contextmanager
def _running(command: list[object], url: str, **environ: str) -> Iterator[None]:
    """A server that is ready when it answers."""
    with subprocess.Popen([*map(str, command)], env=os.environ | environ) as process:
        try:
            while True:
                with contextlib.suppress(requests.ConnectionError):
                    requests.get(url, timeout=10)
                    break
                assert process.poll() is None, "the server has ended"
                time.sleep(0.1)
            yield
        finally:
            process.terminate()


#: ``kinto migrate`` and two ``kinto create-user``, in one process.
PREPARE = """
import sys
from kinto.__main__ import main
main(["migrate", *sys.argv[1:]])
for name in ("buildhub", "other"):
    main(["create-user", *sys.argv[1:], "--username", name, "--password", "pass"])
"""


@contextlib.contextmanager
def _kinto(database: str, port: int) -> Iterator[None]:
    """Kinto with deploy/kinto.ini, another database apart."""
    ini = ["--ini", DEPLOY / "kinto.ini"]
    environ = {
        "KINTO_STORAGE_URL": database,
        "KINTO_PERMISSION_URL": database,
        "KINTO_USERID_HMAC_SECRET": "of no use outside this machine",
    }
    prepare = [sys.executable, "-W", "ignore", "-c", PREPARE, *ini]
    subprocess.run(prepare, env=os.environ | environ, check=True)
    command = [BIN / "kinto", "start", *ini, "--port", port]
    with _running(command, f"http://127.0.0.1:{port}/v1/", **environ):
        yield


@contextlib.contextmanager
def _nginx(folder: Path, port: int, kinto: int, search: int) -> Iterator[None]:
    site = (DEPLOY / "nginx.conf").read_text()
    for old, new in {
        "listen 80;": f"listen 127.0.0.1:{port};",
        "listen [::]:80;": "",
        "127.0.0.1:8888": f"127.0.0.1:{kinto}",
        "127.0.0.1:8881": f"127.0.0.1:{search}",
        "/srv/buildhub": f"{folder}/page",
    }.items():
        assert old in site, old
        site = site.replace(old, new)
    (folder / "site.conf").write_text(site)
    shutil.copytree(_page(), folder / "page")
    paths = " ".join(
        f"{kind}_temp_path {folder}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/pid; error_log stderr; user root;\n"
        "events {}\n"
        f"http {{ include /etc/nginx/mime.types; access_log off; {paths}\n"
        f"include {folder}/site.conf; }}\n"
    )
    nginx = shutil.which("nginx") or "/usr/sbin/nginx"
    with _running([nginx, "-c", folder / "nginx.conf"], f"http://127.0.0.1:{port}/"):
        yield


def _page() -> Path:
    return ROOT / "buildhub" / "page"


needs_servers = pytest.mark.skipif(
    not (postgres.programs() and (shutil.which("nginx") or Path("/usr/sbin/nginx").exists())),
    reason="PostgreSQL or nginx is not installed",
)


@needs_servers
@pytest.mark.functional
class TestSite:
    @pytest.mark.parametrize("auth", ["other:pass", "buildhub:wrong"])
    def test_nobody_but_buildhub_may_change_the_catalogue_or_make_another(
        self, site: Site, auth: str
    ) -> None:
        name, password = auth.split(":")
        change: dict[str, object] = {"json": {"data": {}}, "auth": (name, password), "timeout": 10}
        for path in ("build-hub", "build-hub/collections/releases", "mine"):
            answer = requests.put(f"{site.url}/v1/buckets/{path}", **change)
            assert answer.status_code in (401, 403)

    def test_nobody_makes_an_account_from_outside(self, site: Site) -> None:
        body = {"data": {"password": "pass"}}
        response = requests.put(f"{site.url}/v1/accounts/third", json=body, timeout=10)
        assert response.status_code in (401, 403)

    def test_everyone_reads_and_further_pages_are_at_the_address_that_was_asked(
        self, site: Site
    ) -> None:
        records = f"{site.url}/v1/buckets/build-hub/collections/releases/records"
        auth = ("buildhub", "pass")
        body = {"data": {"source": {"product": "x"}}}
        answer = requests.post(records, json=body, auth=auth, timeout=10)
        assert answer.status_code == 400  # the schema is checked
        for number in range(2):
            requests.put(
                f"{records}/{number}", json=_record(), auth=auth, timeout=10
            ).raise_for_status()
        answer = requests.get(f"{records}?_limit=1", timeout=10)
        assert answer.headers["Next-Page"].startswith(records)

    def test_the_page_asks_the_kinto_that_it_came_with(self, site: Site) -> None:
        page = requests.get(f"{site.url}/", timeout=10).text
        assert '<meta name="kinto-server" content="/v1">' in page

    @pytest.mark.parametrize(
        "path", ["/api/search", "/v1/buckets/build-hub/collections/releases/search"]
    )
    def test_a_search_goes_to_the_search_server(self, site: Site, path: str) -> None:
        """Kinto is not running here: nginx says so."""
        assert requests.post(site.url + path, json={}, timeout=10).status_code == 502


def _record() -> dict[str, object]:
    record = make_record(1)
    del record["data"]["id"]
    return record
