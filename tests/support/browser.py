"""The lookup page in a real, headless Chromium, and axe-core to check its accessibility."""

from __future__ import annotations

import contextlib
import functools
import json
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

if TYPE_CHECKING:  # slow to import
    from playwright.sync_api import Browser, Locator, Page, Playwright

PAGE = Path(__file__).parents[2] / "buildhub" / "page" / "index.html"
PICTURES = Path(__file__).parents[2] / "docs" / "lookup"
#: The one without a window needs a third of the time.
CHROMIUM = shutil.which("chromium-headless-shell") or shutil.which("chromium")

#: Of every test of the page: one Chromium and one catalogue for all.
MARKS = [
    pytest.mark.functional,
    pytest.mark.skipif(
        not CHROMIUM, reason="needs Chromium: apt-get install chromium-headless-shell"
    ),
    pytest.mark.xdist_group("lookup page"),
]

#: Without these, Chromium looks up hosts of Google when it starts.
QUIET = [
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
AXE = "axe-core@4.14.1"
SIZES = {"wide": (1280, 900), "narrow": (390, 844)}
#: The time in the browser: ages of builds stay what they are.
NOW = "2026-07-20T09:00:00Z"


class _Handler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Nothing: stderr is the test's."""


@contextlib.contextmanager
def page_server(folder: Path = PAGE.parent) -> Iterator[str]:
    """The address of the page, served on a free port of loopback."""
    handler = functools.partial(_Handler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


def launch(playwright: Playwright) -> Browser:
    """The system's Chromium."""
    return playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)


def install_axe(folder: Path) -> str | None:
    """The source of axe-core, installed from npm into ``folder``; None if that fails."""
    script = folder / "node_modules" / "axe-core" / "axe.min.js"
    if not script.exists() and shutil.which("npm"):
        options = ["--no-save", "--no-audit", "--no-fund", "--silent"]
        with contextlib.suppress(subprocess.SubprocessError):
            subprocess.run(["npm", "install", *options, AXE], cwd=folder, timeout=120, check=True)
    return script.read_text() if script.exists() else None


class Lookup:
    """The page in a tab, and what it asked and complained about."""

    def __init__(self, tab: Page, address: str, server: str) -> None:
        self._address = address
        self._server = server
        self._allowed = [address, "data:", "blob:", *([server] if server else [])]
        self.tab = tab
        self.tab.clock.set_fixed_time(NOW)
        self.requests: list[str] = []
        self.errors: list[str] = []
        self._listeners: dict[Any, Callable[[Any], None]] = {
            "request": lambda request: self.requests.append(request.url),
            "pageerror": lambda error: self.errors.append(str(error)),
            "console": lambda message: self.errors.append(message.text),
        }
        for event, listener in self._listeners.items():
            self.tab.on(event, listener)

    def close(self) -> None:
        """Leave the tab as it was."""
        for event, listener in self._listeners.items():
            self.tab.remove_listener(event, listener)
        self.tab.unroute_all()
        self.tab.goto("about:blank")

    def open(self, query: str = "", server: str | None = None) -> None:
        """Load the page with a query such as ``build.id=…``, and wait for what it shows."""
        server = self._server if server is None else server
        self._allowed += [server] if server else []
        parts = [query, f"server={quote(server, safe=':/')}" if server else ""]
        self.tab.goto(f"{self._address}?{'&'.join(filter(None, parts))}")
        self.settle()

    def settle(self) -> None:
        """Wait until the answers are on the page."""
        self.tab.wait_for_selector("body:not(:has([aria-busy]))")

    def wait_until(self, expression: str) -> None:
        """Wait for an expression to be true: wait_for_function() would need `unsafe-eval`."""
        for _ in range(200):
            if self.tab.evaluate(expression):
                return
            self.tab.wait_for_timeout(50)
        raise AssertionError(f"never true: {expression}")

    def search(self, text: str) -> None:
        """Type into the search field, and press Enter."""
        self.tab.get_by_role("searchbox").fill(text)
        self.tab.keyboard.press("Enter")
        self.settle()

    def query(self) -> str:
        """The page's query, without the server."""
        query = self.tab.evaluate("location.search").removeprefix("?")
        return "&".join(part for part in query.split("&") if not part.startswith("server="))

    def heading(self) -> str:
        """The heading of the results: `3 builds`."""
        return self.tab.locator("#results-heading").inner_text()

    def rows(self) -> list[str]:
        """The names of the builds that are shown, from top to bottom."""
        names: list[str] = self.tab.locator("#rows .expander").all_inner_texts()
        return names

    def row(self, name: str) -> Locator:
        """The row of the first build of this name."""
        return (
            self.tab.locator("#rows > li")
            .filter(has=self.tab.get_by_role("button", name=name, exact=True))
            .first
        )

    def open_row(self, name: str) -> Locator:
        """Show platforms and locales of a build; what is shown."""
        self.row(name).locator(".expander").click()
        self.settle()
        return self.row(name).locator(".details")

    def understood(self) -> str:
        """The line below the search field."""
        text = self.tab.locator("#understood").inner_text()
        return " ".join(text.split()).replace(" \u00d7", ",")  # the buttons that remove

    def violations(self, axe: str) -> list[str]:
        """Returns the findings of axe, one line for each."""
        self.tab.evaluate(axe)
        found: list[dict[str, Any]] = self.tab.evaluate("axe.run().then((done) => done.violations)")
        return [f"{one['id']}: {json.dumps(one['nodes'][0]['html'])}" for one in found]

    def foreign_requests(self) -> list[str]:
        """Requests to anything but the page itself and the Kinto that it was opened with."""
        return [url for url in self.requests if not url.startswith(tuple(self._allowed))]
