"""One chaotic run: a command is started, killed and started again until it exits with 0."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.support import gcs_server
from tests.support.pipeline_records import pipeline_records
from tests.support.s3_events import created, in_sqs

from . import account
from .servers import Hostile, Servers, hostile
from .trees import inventory, make_tree, split

BIN = Path(sys.executable).parent
SECRET = "chaos-secret"

#: The ways into Kinto, by the seed.
WAYS = ("pipe", "load", "events", "bucket")

#: The products whose every section has builds: an empty one would be an error of the bucket.
PRODUCTS = ("firefox", "thunderbird")

MAX_ATTEMPTS = 24
MAX_KILLS = 8

#: The limit of a request and of the pause after it, which is what a fault may cost.
TIMEOUT = 2
RETRIES = 3

#: Seconds within which a command ends on its own, and after SIGTERM.
ATTEMPT_SECONDS = 120
STOP_SECONDS = 12

#: Seconds of an attempt without faults, on a busy machine.
CALM_SECONDS = 20

#: The last undisturbed attempt may be followed by so many without faults.
CALM_ATTEMPTS = 2


@dataclass
class Attempt:
    """The ends of the processes of one attempt, by the command's name."""

    status: dict[str, int]
    stderr: dict[str, str]
    killed: bool = False
    seconds: float = 0
    faults: int = 0

    @property
    def ok(self) -> bool:
        return not any(self.status.values())

    @property
    def allowed(self) -> float:
        """Seconds that its retries allow: all its faults, as if one followed the other."""
        return CALM_SECONDS + 2 * TIMEOUT * self.faults


@dataclass
class Outcome:
    """The result of a run; it is right if ``problems`` is empty."""

    seed: int
    way: str
    attempts: list[Attempt] = field(default_factory=list)
    kills: Counter[str] = field(default_factory=Counter)
    injected: Counter[tuple[str, str]] = field(default_factory=Counter)
    exchanges: int = 0
    records: int = 0
    calm: bool = False  #: the last run without faults had to find what was missing
    seconds: float = 0
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        state = "; ".join(self.problems) or ("right after a calm run" if self.calm else "right")
        return (
            f"seed {self.seed:>4} {self.way:<6} {len(self.attempts):>2} attempts,"
            f" {self.kills.total()} kills, {self.injected.total():>3} faults in"
            f" {self.exchanges:>4} exchanges, {self.records:>3} records, {self.seconds:4.0f} s:"
            f" {state}"
        )


class ChaosRun:
    """A run by its seed: which way, which tree, which faults, which kills."""

    def __init__(self, seed: int, servers: Servers, folder: Path, rate: float) -> None:
        self.outcome = Outcome(seed, WAYS[seed % len(WAYS)])
        self.folder = folder
        self._random = random.Random(f"run {seed}")
        self._servers = servers
        self._rate = rate
        tree = make_tree(self._random)
        if self.outcome.way == "bucket":
            tree = {key: file for key, file in tree.items() if key.split("/")[1] in PRODUCTS}
        self._tree = tree
        self._kills = self._random.randint(1, MAX_KILLS)

    def run(self) -> Outcome:
        """Run to the end; nothing that goes wrong is raised."""
        began = time.monotonic()
        outcome = self.outcome
        self._servers.empty()
        with hostile(self._servers, self._tree, outcome.seed, self._rate) as servers:
            truth = expected(servers)
            self._prepare(servers)
            self._repeat(servers)
            outcome.injected = servers.injected()
            outcome.exchanges = servers.exchanges
            self._compare(servers, truth)
        outcome.records = len(self._servers.stored())
        self._check_leftovers()
        outcome.seconds = time.monotonic() - began
        return outcome

    def _prepare(self, servers: Hostile) -> None:
        """Returns the input of the command."""
        (self.folder / "inventory.csv.gz").write_bytes(inventory(self._tree))
        self._undelivered = self._random.sample(sorted(self._tree), len(self._tree))
        if self.outcome.way == "load":
            for name, part in zip(("firefox", "archive"), split(self._tree, 2), strict=True):
                old, *_ = files = [inventory(one) for one in split(part, 3)]
                self._servers.bucket.add_inventory(name, "2017-09-09T00-12Z", [old])
                self._servers.bucket.add_inventory(name, "2017-09-10T00-11Z", files)

    def _write_events(self) -> None:
        """The events that are left, forty in a message; their queue sends them until it is done."""
        keys = self._undelivered
        batches = [keys[start : start + 40] for start in range(0, len(keys), 40)]
        events = [json.dumps(in_sqs(*map(created, batch))) for batch in batches]
        (self.folder / "events.ndjson").write_text("".join(f"{event}\n" for event in events))

    def _repeat(self, servers: Hostile) -> None:
        """Attempt after attempt, with kills and faults, until one exits with 0."""
        for _ in range(MAX_ATTEMPTS):
            kill = self.outcome.kills.total() < self._kills
            attempt = self._attempt(servers, kill=kill)
            if attempt.ok:
                return
        self._problem(f"not done after {MAX_ATTEMPTS} attempts")

    def _compare(self, servers: Hostile, truth: Mapping[str, object]) -> None:
        """The records are the truth, at the latest after a run without faults."""
        if self._servers.stored() == truth:
            return
        credible = servers.credible
        servers.calm()
        difference = describe_difference(self._servers.stored(), truth)
        if not credible:
            self._problem(f"exit 0, though {difference}, and nothing could be mistaken for truth")
        for _ in range(CALM_ATTEMPTS):
            self.outcome.calm = True
            self._undelivered = sorted(self._tree)
            if not self._attempt(servers, kill=False).ok:
                self._problem("a run without faults fails")
            if self._servers.stored() == truth:
                return
        still = describe_difference(self._servers.stored(), truth)
        self._problem(f"{still}, after runs without faults")

    def _attempt(self, servers: Hostile, *, kill: bool) -> Attempt:
        if self.outcome.way not in ("load", "bucket"):
            self._servers.initialize()
        began, faults = time.monotonic(), servers.injected().total()
        folder = self.folder / f"attempt-{len(self.outcome.attempts):02}"
        folder.mkdir()
        self._write_events()
        attempt = self._supervise(_start(self.outcome.way, self.folder, folder, servers), kill)
        attempt.seconds = time.monotonic() - began
        attempt.faults = servers.injected().total() - faults
        self.outcome.attempts.append(attempt)
        attempt.stderr = {name: (folder / name).read_text() for name in attempt.status}
        self._check(attempt, servers)
        if self.outcome.way == "events":
            done = account.handled(attempt.stderr["s3-event-to-kinto"])
            self._undelivered = [key for key in self._undelivered if key not in done]
        (folder / "status").write_text(f"{attempt.status}\n")
        (self.folder / "faults.log").write_text("\n".join(servers.log()) + "\n")
        return attempt

    def _supervise(self, processes: Mapping[str, subprocess.Popen[bytes]], kill: bool) -> Attempt:
        """Wait for the processes, and kill some of them at a random moment."""
        attempt = Attempt({}, {})
        delay = self._random.uniform(0.2, 6)
        signum = self._random.choice((signal.SIGKILL, signal.SIGTERM))
        victims = self._random.sample(sorted(processes), self._random.randint(1, len(processes)))
        limit = float(ATTEMPT_SECONDS)
        if kill and not _ended(processes, delay):
            attempt.killed = True
            self.outcome.kills[signum.name] += 1
            for name in victims:
                processes[name].send_signal(signum)
            # The other command of a pipe goes on with what it has.
            limit = STOP_SECONDS if len(victims) == len(processes) else limit
        if not _ended(processes, limit):
            hanging = [name for name, process in processes.items() if process.poll() is None]
            self._problem(f"{', '.join(hanging)} did not end within {limit:.0f} s")
            for process in processes.values():
                process.kill()
        attempt.status = {name: process.wait() for name, process in processes.items()}
        return attempt

    def _check(self, attempt: Attempt, servers: Hostile) -> None:
        """Checks what each attempt promises, however it ended."""
        if attempt.seconds > attempt.allowed:
            self._problem(f"{attempt.seconds:.0f} s, though {attempt.allowed} s are allowed")
        for name, text in attempt.stderr.items():
            if "Traceback" in text:
                self._problem(f"{name} prints a traceback")
            if SECRET in text:
                self._problem(f"{name} prints the password")
            if attempt.status[name] not in (0, 1, -signal.SIGKILL, 128 + signal.SIGTERM,
                                            128 + signal.SIGPIPE, -signal.SIGTERM):  # fmt: skip
                self._problem(f"{name} exits with {attempt.status[name]}")
            if attempt.status[name] == 1 and not text.strip():
                self._problem(f"{name} exits with 1 and says nothing")
        for problem in account.problems(attempt.stderr):
            self._problem(problem)
        if attempt.ok:
            self._check_complete(attempt.stderr, servers)

    def _check_complete(self, stderr: Mapping[str, str], servers: Hostile) -> None:
        """The account of an attempt that exits with 0: everything is in it."""
        if self.outcome.way == "pipe":
            made = account.of_records(stderr["inventory-to-records"])
            sent = account.of_publishing(stderr["to-kinto"])
            if made is None or sent is None:
                self._problem("no account of a run that exits with 0")
            elif made["rows"] != len(self._tree) or made["records"] != sum(sent.values()):
                self._problem(f"the account is wrong: {made}, {sent}, {len(self._tree)} rows")
        elif self.outcome.way == "events":
            done = account.of_events(stderr["s3-event-to-kinto"])
            if done is None or done["events"] != len(self._undelivered):
                self._problem(f"the account is wrong: {done}, {len(self._undelivered)} events")
        else:
            accounts = account.of_load(stderr["latest-inventory-to-kinto"])
            if self.outcome.way == "load":
                self._check_complete_load(accounts)
            else:
                self._check_complete_bucket(accounts, servers)

    def _check_complete_load(self, accounts: Mapping[str, account.Figures]) -> None:
        for name, part in zip(("firefox", "archive"), split(self._tree, 2), strict=True):
            # A listing that is cut may have hidden the newest inventory.
            rows = (len(part), len(split(part, 3)[0]))
            if name not in accounts or accounts[name]["rows"] not in rows:
                self._problem(f"the account is wrong: {accounts}, {rows[0]} rows in {name}")

    def _check_complete_bucket(
        self, accounts: Mapping[str, account.Figures], servers: Hostile
    ) -> None:
        rows = sum(figures["rows"] for figures in accounts.values())
        # A page may have lost entries.
        halved = servers.proxies["bucket"].credible
        if rows > len(self._tree) or (rows < len(self._tree) and not halved):
            self._problem(f"the account is wrong: {accounts}, {len(self._tree)} objects")

    def _check_leftovers(self) -> None:
        if parts := list((self.folder / "csv").rglob("*.part")):
            self._problem(f"{len(parts)} part files are left")
        if self._servers.elsewhere.requests:
            requests = self._servers.elsewhere.requests
            self._problem(f"{len(requests)} redirects were followed elsewhere: {requests[0]}")

    def _problem(self, sentence: str) -> None:
        if sentence not in self.outcome.problems:
            self.outcome.problems.append(sentence)


def chaotic_run(
    seed: int, servers: Servers, folder: Path | None = None, rate: float = 0.2
) -> Outcome:
    """One run. With a ``folder``, what the commands printed and the faults are kept there."""
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        return ChaosRun(seed, servers, folder, rate).run()
    with tempfile.TemporaryDirectory(prefix="buildhub-chaos-") as temporary:
        return ChaosRun(seed, servers, Path(temporary), rate).run()


def expected(servers: Hostile) -> dict[str, dict[str, object]]:
    """The truth: the records that the tree makes where nothing goes wrong."""
    text = json.dumps(pipeline_records(servers.truth))
    records: dict[str, dict[str, object]] = json.loads(
        text.replace(servers.truth.url, servers.url("archive"))
    )
    return records


def describe_difference(stored: Mapping[str, object], truth: Mapping[str, object]) -> str:
    """Returns the differences of the stored records from the truth, in a few words."""
    missing = sorted(truth.keys() - stored.keys())
    additional = sorted(stored.keys() - truth.keys())
    wrong = sorted(one for one in truth.keys() & stored.keys() if truth[one] != stored[one])
    parts = {"missing": missing, "too many": additional, "wrong": wrong}
    return ", ".join(f"{len(ids)} {what} ({ids[0]})" for what, ids in parts.items() if ids)


def _start(
    way: str, folder: Path, output: Path, servers: Hostile
) -> dict[str, subprocess.Popen[bytes]]:
    environ = {
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "HOME": str(folder),
        "ARCHIVE_URL": servers.url("archive"),
        "ARCHIVE_BUCKET": gcs_server.BUCKET,
        "SERVER_URL": servers.url("Kinto"),
        "AWS_ENDPOINT_URL": servers.url("S3"),
        "STORAGE_EMULATOR_HOST": servers.url("bucket"),
        "AUTH": f"user:{SECRET}",
        "CACHE_FOLDER": str(folder / "cache"),
        "CSV_DOWNLOAD_DIRECTORY": str(folder / "csv"),
        "TIMEOUT_SECONDS": f"{TIMEOUT}",
        "NB_RETRY_REQUEST": f"{RETRIES}",
        "BATCH_MAX_REQUESTS": "6",
    }
    for name in ("cache", "csv"):
        (folder / name).mkdir(exist_ok=True)

    def start(command: Sequence[str], **pipes: object) -> subprocess.Popen[bytes]:
        with (output / command[0]).open("wb") as stderr:
            return subprocess.Popen(
                [BIN / command[0], *command[1:]],
                env=environ, cwd=folder, stderr=stderr, **pipes,
            )  # fmt: skip

    if "PYTHONPATH" in os.environ:
        environ["PYTHONPATH"] = os.environ["PYTHONPATH"]
    if way == "bucket":
        environ |= {"SOURCE": "bucket", "PRODUCTS": " ".join(PRODUCTS)}
    if way in ("load", "bucket"):
        return {"latest-inventory-to-kinto": start(["latest-inventory-to-kinto"])}
    if way == "events":
        return {"s3-event-to-kinto": start(["s3-event-to-kinto", "events.ndjson"])}
    first = start(["inventory-to-records", "inventory.csv.gz"], stdout=subprocess.PIPE)
    second = start(["to-kinto", "--skip"], stdin=first.stdout)
    assert first.stdout is not None
    first.stdout.close()
    return {"inventory-to-records": first, "to-kinto": second}


def _ended(processes: Mapping[str, subprocess.Popen[bytes]], seconds: float) -> bool:
    """Tells if all processes end within so many seconds."""
    end = time.monotonic() + seconds
    for process in processes.values():
        try:
            process.wait(max(0, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            return False
    return True
