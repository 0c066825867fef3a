"""The page as a whole: addresses and Back, failures, whose data it is, accessibility, pictures."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ...support import browser
from ...support.browser import MARKS, PAGE, PICTURES, SIZES, Lookup
from ...support.kinto_server import Kinto, running_kinto
from ...support.lookup_records import catalogue
from ...support.ports import free_port
from .conftest import Opener, Record, make_collection

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Route

pytestmark = MARKS
slow = pytest.mark.slow

CATALOGUE = catalogue()


def test_a_build_id_has_an_address_and_back_and_forward_work(lookup: Lookup) -> None:
    lookup.open("build.id=20170413192749")
    assert (lookup.heading(), lookup.rows()) == ("1 build", ["Firefox 53.0"])
    lookup.search("nightly")
    lookup.tab.get_by_label("Platform", exact=True).select_option(label="macOS, any")
    lookup.settle()
    assert lookup.query() == "target.channel=nightly&target.os=mac"
    lookup.tab.go_back()
    lookup.settle()
    assert lookup.query() == "target.channel=nightly"
    lookup.tab.go_back()
    lookup.settle()
    assert lookup.rows() == ["Firefox 53.0"]
    lookup.tab.go_forward()
    lookup.settle()
    assert lookup.tab.get_by_role("searchbox").input_value() == "nightly"
    assert "Thunderbird 154.0a1" in lookup.rows()


@pytest.mark.parametrize("leave", ["within", pytest.param("outside", marks=slow)])
def test_back_returns_to_where_one_was(lookup: Lookup, leave: str) -> None:
    lookup.open("target.version=15*")
    lookup.open_row("Firefox 152.0.1")
    lookup.tab.evaluate("scrollTo(0, 400)")
    lookup.wait_until("history.state?.scroll === 400")
    if leave == "within":
        lookup.row("Firefox 152.0.1").locator(".id a").first.click()
        lookup.settle()
        assert lookup.tab.evaluate("scrollY") == 0
    else:
        lookup.tab.goto("about:blank")
    lookup.tab.go_back()
    lookup.settle()
    assert lookup.query() == "target.version=15*"
    assert lookup.row("Firefox 152.0.1").locator(".platforms").is_visible()
    lookup.wait_until("scrollY === 400")


def test_back_from_a_record_changes_nothing_on_the_page(lookup: Lookup) -> None:
    lookup.open("target.version=53.0")
    details = lookup.open_row("Firefox 53.0")
    details.get_by_role("link", name="JSON of firefox_release_53-0_win64_en-us").click()
    dialog = lookup.tab.get_by_role("dialog")
    lookup.settle()
    assert '"locale": "en-US"' in dialog.inner_text()
    assert lookup.query().endswith("record=firefox_release_53-0_win64_en-us")
    asked = len(lookup.requests)
    lookup.tab.go_back()
    assert dialog.is_hidden()
    assert details.is_visible()
    assert len(lookup.requests) == asked


def test_a_record_has_an_address(lookup: Lookup) -> None:
    lookup.open("record=devedition_aurora_55-0b1rc5_win64_pt-br")
    dialog = lookup.tab.get_by_role("dialog")
    assert '"version": "55.0b1rc5"' in dialog.inner_text()
    lookup.tab.get_by_role("button", name="Close").click()
    assert (dialog.is_hidden(), lookup.query()) == (True, "")


def test_a_record_that_does_not_exist_says_so(opener: Opener, full_kinto: Kinto) -> None:
    lookup = opener(full_kinto.url)
    lookup.open("record=firefox_1_win64_xx&target.version=53.0")
    sentence = lookup.tab.get_by_role("dialog").inner_text()
    assert "There is no record firefox_1_win64_xx in the catalogue." in sentence
    assert "collection" not in sentence


@pytest.mark.slow
def test_all_can_be_done_with_the_keyboard(lookup: Lookup) -> None:
    lookup.open()
    lookup.tab.keyboard.press("/")
    lookup.tab.keyboard.type("53.0 win64 fr")
    lookup.tab.keyboard.press("Enter")
    lookup.settle()
    assert lookup.rows() == ["Firefox 53.0"]
    lookup.row("Firefox 53.0").locator(".expander").focus()
    lookup.tab.keyboard.press("Enter")
    lookup.settle()
    lookup.tab.get_by_role("link", name="JSON of firefox_release_53-0_win64_fr").focus()
    lookup.tab.keyboard.press("Enter")
    assert lookup.tab.get_by_role("dialog").is_visible()
    lookup.tab.keyboard.press("Escape")
    assert lookup.tab.get_by_role("dialog").is_hidden()
    assert lookup.query() == "target.version=53.0&target.platform=win64&target.locale=fr"
    lookup.row("Firefox 53.0").locator(".expander").focus()
    lookup.tab.keyboard.press("Space")
    assert lookup.row("Firefox 53.0").locator(".details").count() == 0


def test_a_newcomer_finds_the_newest_nightly_for_linux_in_two_actions(lookup: Lookup) -> None:
    lookup.open()
    lookup.search("the newest firefox nightly for Linux")
    first = lookup.tab.locator("#rows > li").first
    assert "20260719091721" in first.inner_text()
    href = first.get_by_role("link", name="Linux 64-bit").get_attribute("href") or ""
    assert href.startswith("https://archive.mozilla.org/pub/firefox/nightly/2026/07/")


EVIL = '<img src=x onerror="window.hacked = true">'


def evil_record() -> Record:
    return {
        "id": "evil",
        "build": {"id": EVIL, "date": "2026-07-19T00:00:00Z"},
        "source": {"product": EVIL, "revision": EVIL, "repository": "javascript:hacked=1//"},
        "target": {"platform": EVIL, "os": EVIL, "locale": EVIL, "version": EVIL, "channel": EVIL},
        "download": {"url": "javascript:hacked=1//x", "mimetype": EVIL, "size": 1, "date": EVIL},
    }


def test_what_a_record_contains_stays_text_and_is_no_link(opener: Opener, kinto: Kinto) -> None:
    make_collection(kinto, [evil_record()])
    lookup = opener(kinto.url)
    for query in ("target.channel=*&target.locale=*", "record=evil", "q=%3Cimg+src%3Dx%3E", ""):
        lookup.open(query)
        if query.startswith("target"):
            lookup.tab.locator("#rows .expander").click()
            lookup.settle()
        assert (
            EVIL in lookup.tab.locator("body").inner_text()
            or "img src=x" in query + lookup.understood()
        )
        assert lookup.tab.locator("img, body script").count() == 0
        assert lookup.tab.locator("a[href^='javascript']").count() == 0
        assert lookup.tab.evaluate("window.hacked") is None
        assert lookup.errors == []


def test_records_with_fields_missing_or_of_other_types_are_shown(
    opener: Opener, kinto: Kinto
) -> None:
    make_collection(kinto, [{"id": "empty"}, {"id": "odd", "build": 1, "target": [], "source": {}}])
    lookup = opener(kinto.url)
    lookup.open()
    assert (set(lookup.rows()), lookup.errors) == ({"empty", "odd"}, [])
    lookup.open_row("odd")
    lookup.search("6872377277a6 linux*")
    assert (lookup.heading(), lookup.errors) == ("0 builds", [])


HALF = "half \ud800 pair"


@pytest.mark.parametrize("query", ["target.version=1.0", pytest.param("", marks=slow)])
def test_half_a_surrogate_pair_in_a_record_hides_no_other(
    opener: Opener, kinto: Kinto, query: str
) -> None:
    """PostgreSQL refuses it, other storages do not."""
    make_collection(kinto, [evil_record() | {"id": "evil"}])
    lookup = opener(kinto.url)
    bad = evil_record() | {
        "id": HALF,
        "target": {"version": "1.0", "locale": HALF, "channel": HALF},
    }
    bad |= {"download": {"url": f"https://archive.mozilla.org/{HALF}"}, "source": {"product": HALF}}
    answer = json.dumps({"data": [bad, CATALOGUE[0] | {"id": "good"}]})
    lookup.tab.route(
        lambda url: "/records?" in url and "lt_build.date" in url,
        lambda route: route.fulfill(body=answer, content_type="application/json"),
    )

    def answer_batch(route: Route) -> None:
        asked = json.loads(route.request.post_data or "{}")["requests"]
        one = {"status": 200, "headers": {}, "body": json.loads(answer)}
        body = json.dumps({"responses": [one] * len(asked)})
        route.fulfill(body=body, content_type="application/json")

    lookup.tab.route(lambda url: url.endswith("/batch"), answer_batch)
    lookup.open(query)
    assert "Firefox" in lookup.tab.locator("#main").inner_text()
    assert lookup.tab.locator(".notice.failure").count() == 0
    assert lookup.errors == []


def test_a_server_that_is_not_the_pages_own_is_named_above_the_results(
    opener: Opener, full_kinto: Kinto, own_address: str
) -> None:
    lookup = opener(full_kinto.url)
    for query in ("", "target.version=53.0"):
        lookup.open(query)
        notice = lookup.tab.locator("#foreign").inner_text()
        assert full_kinto.url in notice
        assert "link to this page named that server" in notice
    lookup = opener(full_kinto.url, address=own_address)
    lookup.open("target.version=53.0", server="")
    assert lookup.tab.locator("#foreign").inner_text() == ""
    assert lookup.rows() == ["Firefox 53.0"]
    lookup.open("target.version=53.0")
    assert lookup.tab.locator("#foreign").inner_text() == "", "its own, and named"


def test_a_server_that_does_not_answer_is_reported(opener: Opener) -> None:
    port = free_port()
    lookup = opener(f"http://127.0.0.1:{port}/v1")
    lookup.open("build.id=20170612224034")
    alert = lookup.tab.get_by_role("alert")
    assert f"The server at http://127.0.0.1:{port}/v1 did not answer." in alert.inner_text()
    assert "Check the address" in alert.inner_text()


@pytest.mark.slow
def test_a_server_that_did_not_answer_can_be_asked_again(opener: Opener, tmp_path: Path) -> None:
    port = free_port()
    lookup = opener(f"http://127.0.0.1:{port}/v1")
    lookup.open("build.id=20170413192749")
    assert "did not answer" in lookup.tab.get_by_role("alert").inner_text()
    with running_kinto(tmp_path, port=port) as kinto:
        make_collection(kinto, CATALOGUE)
        lookup.tab.get_by_role("button", name="Try again").click()
        lookup.settle()
        assert lookup.rows() == ["Firefox 53.0"]
    lookup.search("55.0b2")
    assert lookup.tab.locator("#results").is_hidden(), "results of another search stay"


def test_another_server_can_be_given_on_the_page(opener: Opener, full_kinto: Kinto) -> None:
    lookup = opener(full_kinto.url)
    lookup.open("target.version=53.0", server=f"{full_kinto.url}/nothing")
    assert "(HTTP 404)" in lookup.tab.get_by_role("alert").inner_text()
    lookup.tab.get_by_label("Kinto server").fill(full_kinto.url)
    lookup.tab.get_by_role("button", name="Use this server").click()
    lookup.settle()
    assert lookup.heading() == "1 build"


def test_what_is_not_the_address_of_a_server_is_never_asked(
    opener: Opener, full_kinto: Kinto
) -> None:
    lookup = opener(full_kinto.url)
    for server, shown in {
        "javascript:alert(1)": "“javascript:alert(1)”",
        "https://user:pass@kinto/v1": "",
        "file:///etc/passwd": "“file:///etc/passwd”",
        "kinto": "“kinto”",
    }.items():
        lookup.open("target.version=53.0", server=server)
        sentence = f"{shown} is not the address of a Kinto server."
        assert sentence in lookup.tab.get_by_role("alert").inner_text()
        assert [url for url in lookup.requests if "/buckets/" in url] == []


def test_a_server_without_the_collection_says_what_to_do(opener: Opener, kinto: Kinto) -> None:
    lookup = opener(kinto.url)
    lookup.open()
    sentence = lookup.tab.get_by_role("alert").inner_text()
    assert "has no collection build-hub/releases that everybody may read" in sentence
    assert "jobs/initialization.yml" in sentence


@pytest.mark.slow
def test_a_server_that_is_not_kinto_is_reported(opener: Opener, address: str) -> None:
    lookup = opener(address)
    lookup.open("target.version=53.0", server=f"{address}index.html?")
    assert "(HTTP 404)" in lookup.tab.get_by_role("alert").inner_text()


def test_an_empty_catalogue_is_reported(opener: Opener, kinto: Kinto) -> None:
    make_collection(kinto, [])
    lookup = opener(kinto.url)
    lookup.open()
    assert "The catalogue is empty." in lookup.tab.locator("#notice").inner_text()
    assert lookup.errors == []


def test_opened_as_a_file_it_says_that_it_has_to_be_served(chromium: Browser) -> None:
    tab = chromium.new_page()
    tab.goto(PAGE.as_uri())
    tab.locator("#unserved").wait_for(state="visible")
    assert "Open it from a server" in tab.locator("#unserved").inner_text()
    tab.close()


QUERIES = (
    "", "q=firefox+frobnicate", "q=frobnicate", "target.version=1", "q=is+mac+arm64",
    "record=" + CATALOGUE[0]["id"],
)  # fmt: skip


@pytest.mark.parametrize("size", ["narrow", pytest.param("wide", marks=slow)])
def test_nothing_is_wider_than_the_screen(opener: Opener, full_kinto: Kinto, size: str) -> None:
    lookup = opener(full_kinto.url, size)
    for query in (*QUERIES, "target.version=152.0.1&source.product=firefox"):
        lookup.open(query)
        fits = "document.documentElement.scrollWidth <= innerWidth"
        assert lookup.tab.evaluate(fits), query
    lookup.open_row("Firefox 152.0.1")
    lookup.open_row("Firefox 152.0.1 candidates")
    lookup.tab.get_by_text("Take along").click()
    assert lookup.tab.evaluate(fits), "with opened rows"


@pytest.fixture(scope="session")
def axe(request: pytest.FixtureRequest) -> str:
    source = browser.install_axe(request.config.cache.mkdir("axe-core"))
    if not source:
        pytest.skip(f"needs npm and its registry, for {browser.AXE}")
    return source


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_axe_finds_no_violation(
    opener: Opener, full_kinto: Kinto, axe: str, size: str, scheme: str
) -> None:
    lookup = opener(full_kinto.url, size, scheme)
    for query in (*QUERIES, "target.version=152.0.1&source.product=firefox"):
        lookup.open(query)
        assert lookup.violations(axe) == [], query
    lookup.open_row("Firefox 152.0.1 candidates")
    lookup.tab.get_by_text("Take along").click()
    assert lookup.violations(axe) == [], "with an opened row"
    lookup.open("target.version=1", server="http://127.0.0.1:9/v1")
    assert lookup.violations(axe) == [], "no answer"


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_pictures_of_the_documentation(
    opener: Opener, full_kinto: Kinto, own_address: str, tmp_path: Path, size: str, scheme: str
) -> None:
    """Made anew with PICTURES=1, that is by ``make pictures``; else only that they are there."""
    picture = PICTURES / f"{size}-{scheme}.png"
    lookup = opener(full_kinto.url, size, scheme, own_address)
    lookup.open("" if (size == "wide") == (scheme == "light") else "q=firefox+152.0.1", server="")
    if lookup.query():
        lookup.open_row("Firefox 152.0.1")
    lookup.tab.mouse.move(1, 1)
    target = picture if os.environ.get("PICTURES") else tmp_path / picture.name
    lookup.tab.screenshot(path=target)
    header = picture.read_bytes()[:24]
    assert header.startswith(b"\x89PNG")
    assert (int.from_bytes(header[16:20]), int.from_bytes(header[20:24])) == SIZES[size]
