"""The lookup page in a real Chromium, on a real Kinto."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from ...support import browser
from ...support.browser import PAGE, SIZES, Lookup
from ...support.kinto_server import Kinto, running_kinto
from ...support.lookup_records import catalogue

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

Record = dict[str, Any]
Opener = Callable[..., Lookup]


def store(kinto: Kinto, records: list[Record]) -> None:
    """Put the records into the collection."""
    for start in range(0, len(records), 25):
        path = "/buckets/build-hub/collections/releases/records"
        requests = [
            {"method": "PUT", "path": f"{path}/{one['id']}", "body": {"data": one}}
            for one in records[start : start + 25]
        ]
        kinto.call("POST", "/batch", json={"requests": requests})


def make_collection(kinto: Kinto, records: list[Record]) -> Kinto:
    """A collection that everybody may read, with ``records``."""
    kinto.make_collection()
    kinto.call("PATCH", "/buckets/build-hub", json={"permissions": {"read": ["system.Everyone"]}})
    store(kinto, records)
    return kinto


@pytest.fixture(scope="package")
def full_kinto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kinto]:
    """A Kinto with the catalogue, that no test changes."""
    with running_kinto(tmp_path_factory.mktemp("kinto")) as kinto:
        yield make_collection(kinto, catalogue())


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright  # slow to import

    with sync_playwright() as playwright:
        started = browser.launch(playwright)
        yield started
        started.close()


@pytest.fixture(scope="package")
def address() -> Iterator[str]:
    with browser.page_server() as address:
        yield address


@pytest.fixture(scope="package")
def tabs(chromium: Browser) -> Callable[[str, str], Page]:
    """The tab of a size and a scheme: the page keeps nothing, and a new tab takes a second."""

    @functools.cache
    def tab(size: str, scheme: str) -> Page:
        width, height = SIZES[size]
        return chromium.new_context(
            viewport={"width": width, "height": height},
            color_scheme=scheme,
            permissions=["clipboard-read", "clipboard-write"],
        ).new_page()

    return tab


@pytest.fixture
def opener(tabs: Callable[[str, str], Page], address: str) -> Iterator[Opener]:
    """Opens the page on a Kinto, one at a time; at the end, none has asked anybody else."""
    opened: list[Lookup] = []

    def open_page(
        server: str, size: str = "wide", scheme: str = "light", address: str = address
    ) -> Lookup:
        if opened:
            opened[-1].close()
        opened.append(Lookup(tabs(size, scheme), address, server))
        return opened[-1]

    yield open_page
    for lookup in opened:
        assert lookup.foreign_requests() == []
    if opened:
        opened[-1].close()


@pytest.fixture(scope="package")
def own_address(full_kinto: Kinto, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The page as it is published beside the full catalogue: it names that server itself."""
    folder = tmp_path_factory.mktemp("page") / "page"
    shutil.copytree(PAGE.parent, folder)
    text = PAGE.read_text().replace("http://localhost:8888/v1", full_kinto.url)
    (folder / "index.html").write_text(text)
    with browser.page_server(folder) as address:
        yield address


@pytest.fixture
def lookup(opener: Opener, full_kinto: Kinto) -> Iterator[Lookup]:
    """The page on the full catalogue; at the end, nothing was logged to the console."""
    lookup = opener(full_kinto.url)
    yield lookup
    assert lookup.errors == []
