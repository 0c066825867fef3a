"""docs/lookup/index.html in a real Chromium, on a real Kinto."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, sync_playwright

from ..support import browser
from ..support.browser import PAGE, SIZES, Lookup
from ..support.kinto_server import Kinto, running_kinto
from ..support.lookup_records import catalogue
from ..support.ports import free_port

pytestmark = [
    pytest.mark.functional,
    pytest.mark.skipif(not browser.CHROMIUM, reason="needs chromium: apt-get install chromium"),
    pytest.mark.xdist_group("lookup page"),  # one Chromium and one catalogue for all
]
slow = pytest.mark.slow  # each takes a second or two: `make test` has one of each kind

CATALOGUE = catalogue()
Record = dict[str, Any]


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


@pytest.fixture(scope="module")
def full_kinto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kinto]:
    """A Kinto with the catalogue, that no test changes."""
    with running_kinto(tmp_path_factory.mktemp("kinto")) as kinto:
        yield make_collection(kinto, CATALOGUE)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = browser.launch(playwright)
        yield started
        started.close()


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with browser.page_server() as address:
        yield address


Opener = Callable[..., Lookup]


@pytest.fixture
def opener(chromium: Browser, address: str) -> Iterator[Opener]:
    """Opens the page on a Kinto; at the end, no page has asked anybody else."""
    opened: list[Lookup] = []
    contexts = []

    def open_page(server: str, size: str = "wide", scheme: str = "light") -> Lookup:
        width, height = SIZES[size]
        context = chromium.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme
        )
        contexts.append(context)
        opened.append(Lookup(context, address, server))
        return opened[-1]

    yield open_page
    for context in contexts:
        context.close()
    for lookup in opened:
        assert lookup.foreign_requests() == []


@pytest.fixture
def lookup(opener: Opener, full_kinto: Kinto) -> Iterator[Lookup]:
    """The page on the full catalogue; at the end, nothing was logged to the console."""
    lookup = opener(full_kinto.url)
    yield lookup
    assert lookup.errors == []


def ids(condition: Callable[[Record], bool], records: list[Record] = CATALOGUE) -> set[str]:
    return {record["id"] for record in records if condition(record)}


REVISION = next(
    one["source"]["revision"] for one in CATALOGUE if one["build"]["id"] == "20170612224034"
)

#: What is typed; what it is understood as; the address; the records that match.
SEARCHES: list[tuple[str, str, str, Callable[[Record], bool]]] = [
    (
        "20170612224034",
        "build id 20170612224034",
        "build.id=20170612224034",
        lambda one: one["build"]["id"] == "20170612224034",
    ),
    (
        "2010070504",
        "build id 2010070504*",
        "build.id=2010070504*",
        lambda one: one["build"]["id"] == "2010070504",
    ),
    (
        "2017-06",
        "build id 201706*",
        "build.id=201706*",
        lambda one: one["build"]["id"].startswith("201706"),
    ),
    (
        "53.0",
        "version 53.0",
        "target.version=53.0",
        lambda one: one["target"]["version"] == "53.0",
    ),
    (
        "55.0b*",
        "version 55.0b*",
        "target.version=55.0b*",
        lambda one: one["target"]["version"].startswith("55.0b"),
    ),
    (
        "5",  # neither 53.0 nor 55.0b2
        "version 5.*",
        "target.version=5.*",
        lambda one: False,
    ),
    (
        REVISION[:12],
        f"revision {REVISION[:12]}*",
        f"source.revision={REVISION[:12]}*",
        lambda one: one["source"]["revision"] == REVISION,
    ),
    (
        f"https://hg.mozilla.org/releases/mozilla-beta/rev/{REVISION}",
        f"revision {REVISION}",
        f"source.revision={REVISION}",
        lambda one: one["source"]["revision"] == REVISION,
    ),
    (
        "firefox 55 beta win64 pt-BR",
        "product Firefox, version 55.*, channel beta, platform win64, locale pt-BR",
        "source.product=firefox&target.version=55.*&target.channel=beta"
        "&target.platform=win64&target.locale=pt-BR",
        lambda one: one["id"] == "firefox_beta_55-0b2_win64_pt-br",
    ),
    (
        "newest Developer Edition for windows in JA",
        "product Developer Edition, system Windows, locale ja",
        "source.product=devedition&target.os=win&target.locale=ja",
        lambda one: (
            one["source"]["product"] == "devedition"
            and one["target"]["os"] == "win"
            and one["target"]["locale"] == "ja"
        ),
    ),
    (
        "devedition_aurora_55-0b1rc5_win64_pt-br",
        "record devedition_aurora_55-0b1rc5_win64_pt-br",
        "id=devedition_aurora_55-0b1rc5_win64_pt-br",
        lambda one: one["id"] == "devedition_aurora_55-0b1rc5_win64_pt-br",
    ),
    (
        "https://archive.mozilla.org/pub/firefox/releases/53.0/win64/fr/Firefox%20Setup%2053.0.exe",
        "file https://archive.mozilla.org/pub/firefox/releases/53.0/win64/fr/"
        "Firefox Setup 53.0.exe",
        "download.url=https://archive.mozilla.org/pub/firefox/releases/53.0/win64/fr/"
        "Firefox+Setup+53.0.exe",
        lambda one: one["id"] == "firefox_release_53-0_win64_fr",
    ),
]


#: Of a build id, a version, a revision, several words, and a URL.
IN_MAKE_TEST = ("20170612224034", "55.0b", REVISION[:12], "newest", "https://archive")


@pytest.mark.parametrize(
    ("typed", "understood", "query", "matches"),
    [
        pytest.param(*one, id=one[0][:40], marks=() if one[0].startswith(IN_MAKE_TEST) else slow)
        for one in SEARCHES
    ],
)
def test_a_search_says_what_it_understood_and_finds_just_that(
    lookup: Lookup, typed: str, understood: str, query: str, matches: Callable[[Record], bool]
) -> None:
    lookup.open()
    lookup.search(typed)
    assert lookup.understood() == f"Understood as {understood}, Clear all"
    assert lookup.query() == query
    assert set(lookup.ids()) == ids(matches)
    lookup.tab.reload()
    lookup.settle()
    assert set(lookup.ids()) == ids(matches), "the address does not show the same"
    assert lookup.understood() == f"Understood as {understood}, Clear all"


WORDS = [
    ("128", {"target.version": "128.*"}),
    ("v55.0", {"target.version": "55.0"}),
    ("55b3", {"target.version": "55.0b3"}),
    ("52esr", {"target.version": "52.*esr*"}),
    ("56.0.1-funnelcake131", {"target.version": "56.0.1-funnelcake131"}),
    ("20170509", {"build.id": "20170509*"}),
    ("2017-05-09", {"build.id": "20170509*"}),
    ("6872377277A6", {"source.revision": "6872377277a6*"}),
    ("linux64", {"target.platform": "linux-x86_64"}),
    ("Linux", {"target.os": "linux"}),
    ("macOS", {"target.os": "mac"}),
    ("android-api-16", {"target.platform": "android-api-16"}),
    ("win32-eme-free", {"target.platform": "win32-eme-free"}),
    ("ja-jp-MAC", {"target.locale": "ja-JP-mac"}),
    ("CA-valencia", {"target.locale": "ca-valencia"}),
    ("xx-yy", {"target.locale": "xx-YY"}),
    ("locale:xx", {"target.locale": "xx"}),
    ("channel:canary", {"target.channel": "canary"}),
    ("build:2017*", {"build.id": "2017*"}),
    ("tree:mozilla-central", {"source.tree": "mozilla-central"}),
    ("Firefox for Android", {"source.product": "fennec"}),
    ("nightly-old-id", {"target.channel": "nightly-old-id"}),
]


def test_words_are_understood_and_written_back_so_that_they_mean_the_same(lookup: Lookup) -> None:
    lookup.open()
    for typed, criteria in WORDS:
        understood = lookup.tab.evaluate("(text) => understand(text)", typed)
        assert understood == {"criteria": criteria, "ignored": []}, typed
        again = lookup.tab.evaluate("(found) => understand(describe(found))", criteria)
        assert again == {"criteria": criteria, "ignored": []}, typed


@pytest.mark.parametrize(
    "word",
    [
        "<b>",
        *(
            pytest.param(word, marks=slow)
            for word in ("constructor", "frobnicate", "1.2.3.4.5:x", "abc")
        ),
    ],
)
def test_a_word_that_is_not_understood_is_shown_as_ignored(lookup: Lookup, word: str) -> None:
    lookup.open()
    lookup.search(f"nightly {word}")
    assert lookup.understood() == f"Understood as channel nightly, ignored {word}, Clear all"
    assert set(lookup.ids()) == ids(lambda one: one["target"]["channel"] == "nightly")


def test_typing_shows_what_would_be_searched_without_asking_kinto(lookup: Lookup) -> None:
    lookup.open()
    before = len(lookup.requests)
    lookup.tab.get_by_role("searchbox").press_sequentially("esr linux")
    assert lookup.understood() == "channel esr system Linux"
    assert len(lookup.requests) == before


def test_a_build_id_has_an_address_and_back_and_forward_work(lookup: Lookup) -> None:
    lookup.open("build.id=20170413192749")
    expected = ids(lambda one: one["build"]["id"] == "20170413192749")
    assert (lookup.heading(), set(lookup.ids())) == ("8 builds", expected)
    lookup.search("nightly")
    lookup.tab.get_by_label("Platform").select_option(label="macOS, any")
    lookup.settle()
    assert lookup.query() == "target.channel=nightly&target.os=mac"
    lookup.tab.go_back()
    lookup.settle()
    assert lookup.query() == "target.channel=nightly"
    lookup.tab.go_back()
    lookup.settle()
    assert set(lookup.ids()) == expected
    lookup.tab.go_forward()
    lookup.settle()
    assert lookup.tab.get_by_role("searchbox").input_value() == "nightly"
    assert set(lookup.ids()) == ids(lambda one: one["target"]["channel"] == "nightly")


def test_the_filters_narrow_a_search_and_a_chip_widens_it(lookup: Lookup) -> None:
    lookup.open()
    lookup.tab.get_by_label("Product").select_option("firefox")
    lookup.settle()
    lookup.tab.get_by_label("Channel").select_option("beta")
    lookup.settle()
    lookup.tab.get_by_label("Platform").select_option("win64")
    lookup.settle()
    lookup.tab.get_by_label("Locale").fill("PT-br")
    lookup.tab.keyboard.press("Tab")
    lookup.settle()
    assert lookup.ids() == [
        "firefox_beta_153-0b9_win64_pt-br",
        "firefox_beta_55-0b2_win64_pt-br",
    ]
    assert lookup.tab.get_by_role("searchbox").input_value() == "firefox beta win64 pt-BR"
    lookup.tab.get_by_role("link", name="Remove platform win64").click()
    lookup.settle()
    assert lookup.query() == "source.product=firefox&target.channel=beta&target.locale=pt-BR"
    lookup.tab.get_by_role("link", name="Clear all").click()
    lookup.settle()
    assert (lookup.query(), lookup.heading()) == ("", f"{len(CATALOGUE)} builds")


@pytest.mark.slow
def test_more_results_come_on_demand_each_once_and_the_newest_first(lookup: Lookup) -> None:
    lookup.open()
    assert (lookup.heading(), len(lookup.ids())) == (f"{len(CATALOGUE)} builds", 50)
    more = lookup.tab.get_by_role("button", name="Show more")
    while more.is_visible():
        more.click()
        lookup.settle()
    dates = {one["id"]: one["build"]["date"] for one in CATALOGUE}
    assert sorted(lookup.ids()) == sorted(dates)
    assert [dates[one] for one in lookup.ids()] == sorted(dates.values(), reverse=True)
    lookup.tab.reload()
    lookup.settle()
    assert len(lookup.ids()) == len(CATALOGUE), "the address does not show as many"


def test_no_result_is_a_sentence_and_the_ways_out_are_links(lookup: Lookup) -> None:
    lookup.open("target.version=55.0b1&target.locale=pt-BR")
    assert lookup.heading() == "0 builds"
    assert "No build matches." in lookup.tab.locator("#notice").inner_text()
    lookup.tab.get_by_role("link", name="Version 55.0b1*").click()
    lookup.settle()
    assert set(lookup.ids()) == ids(
        lambda one: one["target"]["version"] == "55.0b1rc5" and one["target"]["locale"] == "pt-BR"
    )


def test_a_row_has_all_fields(lookup: Lookup) -> None:
    lookup.open("id=firefox_release_53-0_win64_fr")
    cells = [" ".join(text.split()) for text in lookup.tab.locator("#rows td").all_inner_texts()]
    record = next(one for one in CATALOGUE if one["id"] == "firefox_release_53-0_win64_fr")
    revision = record["source"]["revision"]
    assert lookup.tab.locator("#rows th").inner_text() == "Firefox 53.0"
    assert cells[:8] == [
        "release", "win64", "fr", "20170413192749", "2017-04-13 19:27", revision[:12],
        "Firefox Setup 53.0.exe", f"{record['download']['size'] / 1024**2:.1f} MB",
    ]  # fmt: skip
    links = lookup.tab.locator("#rows a")
    assert links.nth(2).get_attribute("href") == (
        f"https://hg.mozilla.org/releases/mozilla-release/rev/{revision}"
    )
    assert links.nth(3).get_attribute("href") == record["download"]["url"].replace(" ", "%20")


def test_a_record_is_shown_as_json_and_has_an_address(lookup: Lookup) -> None:
    lookup.open("build.id=20170612224034")
    lookup.tab.get_by_role("link", name="JSON of devedition_aurora_55-0b1rc5_win64_pt-br").click()
    dialog = lookup.tab.get_by_role("dialog")
    lookup.settle()
    assert '"locale": "pt-BR"' in dialog.inner_text()
    assert lookup.query().endswith("record=devedition_aurora_55-0b1rc5_win64_pt-br")
    lookup.tab.go_back()
    assert dialog.is_hidden()
    lookup.open("record=devedition_aurora_55-0b1rc5_win64_pt-br")
    assert '"version": "55.0b1rc5"' in dialog.inner_text(), "it is not among the first 50"
    lookup.tab.get_by_role("button", name="Close").click()
    assert (dialog.is_hidden(), lookup.query()) == (True, "")


@pytest.mark.slow
def test_all_can_be_done_with_the_keyboard(lookup: Lookup) -> None:
    lookup.open()
    lookup.tab.keyboard.press("/")
    lookup.tab.keyboard.type("53.0 win64 fr")
    lookup.tab.keyboard.press("Enter")
    lookup.settle()
    assert lookup.ids() == ["firefox_release_53-0_win64_fr"]
    lookup.tab.get_by_role("link", name="JSON of").focus()
    lookup.tab.keyboard.press("Enter")
    assert lookup.tab.get_by_role("dialog").is_visible()
    lookup.tab.keyboard.press("Escape")
    assert lookup.tab.get_by_role("dialog").is_hidden()
    assert lookup.query() == "target.version=53.0&target.platform=win64&target.locale=fr"


def test_a_newcomer_finds_the_newest_nightly_for_linux_in_two_actions(lookup: Lookup) -> None:
    lookup.open()
    lookup.search("the newest nightly for Linux")
    newest = max(
        (one for one in CATALOGUE if one["target"]["os"] == "linux"),
        key=lambda one: (one["target"]["channel"] == "nightly", one["build"]["date"]),
    )
    first = lookup.tab.locator("#rows tr").first
    assert newest["build"]["id"] in first.inner_text()


def newest_of_each(records: list[Record]) -> set[tuple[str, ...]]:
    newest: dict[tuple[str, str], Record] = {}
    for one in sorted(records, key=lambda one: one["build"]["date"]):
        newest[one["source"]["product"], one["target"]["channel"]] = one
    return {(*pair, one["target"]["version"], one["build"]["id"]) for pair, one in newest.items()}


NAMES = {
    "Fenix": "fenix",
    "Firefox": "firefox",
    "Developer Edition": "devedition",
    "Thunderbird": "thunderbird",
    "Fennec": "fennec",
}


def newest_shown(lookup: Lookup) -> dict[tuple[str, ...], str]:
    """Product, channel, version and build id of each line, and its age."""
    lines = {}
    for table in lookup.tab.locator("#products table").all():
        product = table.locator("caption").inner_text()
        for row in table.locator("tbody tr").all():
            *facts, age = row.locator("th, td").all_inner_texts()
            lines[NAMES.get(product, product), *facts] = age
    return lines


def test_the_newest_build_of_each_product_and_channel_in_few_requests(lookup: Lookup) -> None:
    lookup.open()
    lines = newest_shown(lookup)
    assert set(lines) == newest_of_each(CATALOGUE)
    assert lines["firefox", "nightly", "154.0a1", "20260719091721"] == "23 hr. ago"
    assert lines["firefox", "release", "152.0.1", "20260714184012"] == "5 days ago"
    assert lines["fennec", "release", "68.11.0", "20200720193547"] == "5 yr. ago"
    requests = [url for url in lookup.requests if url.endswith("/batch")]
    assert len(requests) == 5, "one for each product, and one for what the page does not know"
    lookup.tab.get_by_role("link", name="154.0a1, all of Thunderbird nightly").click()
    lookup.settle()
    assert lookup.query() == "source.product=thunderbird&target.channel=nightly"


@pytest.mark.slow
def test_products_and_channels_that_the_page_does_not_know_are_found(
    opener: Opener, kinto: Kinto
) -> None:
    names = ("fenix", "lockwise", "firefox")
    new = [
        {**one, "id": f"new_{number}", "source": {**one["source"], "product": product}}
        for number, (one, product) in enumerate(zip(CATALOGUE, names, strict=False))
    ]
    new[2]["target"] = {**new[2]["target"], "channel": "canary"}
    make_collection(kinto, new)
    lookup = opener(kinto.url)
    lookup.open()
    assert set(newest_shown(lookup)) == newest_of_each(new)
    lookup.tab.get_by_label("Channel").select_option("canary")
    lookup.settle()
    assert (lookup.ids(), lookup.errors) == (["new_2"], [])


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
    for query in ("", "record=evil", "q=" + "%3Cimg+src%3Dx%3E"):
        lookup.open(query)
        assert EVIL in lookup.tab.locator("body").inner_text()
        assert lookup.tab.locator("img, body script ~ script").count() == 0
        assert lookup.tab.locator("a[href^='javascript']").count() == 0
    assert lookup.tab.evaluate("window.hacked") is None
    assert lookup.errors == []


def test_records_with_fields_missing_or_of_other_types_are_shown(
    opener: Opener, kinto: Kinto
) -> None:
    make_collection(kinto, [{"id": "empty"}, {"id": "odd", "build": 1, "target": [], "source": {}}])
    lookup = opener(kinto.url)
    lookup.open()
    assert (set(lookup.ids()), lookup.errors) == ({"empty", "odd"}, [])
    lookup.search("6872377277a6 linux*")
    assert (lookup.heading(), lookup.errors) == ("0 builds", [])


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
    lookup.open("build.id=20170612224034")
    assert "did not answer" in lookup.tab.get_by_role("alert").inner_text()
    with running_kinto(tmp_path, port=port) as kinto:
        make_collection(kinto, CATALOGUE[:1])
        lookup.open()
        store(kinto, [one for one in CATALOGUE if one["build"]["id"] == "20170612224034"])
        lookup.open("build.id=20170612224034")
        assert lookup.heading() == "8 builds"
    lookup.search("53.0")
    assert lookup.ids() == [], "results of another search stay"
    with running_kinto(tmp_path, port=port) as kinto:
        make_collection(kinto, CATALOGUE)
        lookup.tab.get_by_role("button", name="Try again").click()
        lookup.settle()
    assert lookup.heading() == "8 builds"


def test_another_server_can_be_given_on_the_page(opener: Opener, full_kinto: Kinto) -> None:
    lookup = opener(full_kinto.url)
    lookup.open("target.version=53.0", server=f"{full_kinto.url}/nothing")
    assert "(HTTP 404)" in lookup.tab.get_by_role("alert").inner_text()
    lookup.tab.get_by_label("Kinto server").fill(full_kinto.url)
    lookup.tab.get_by_role("button", name="Use this server").click()
    lookup.settle()
    assert lookup.heading() == "8 builds"


@pytest.mark.parametrize(
    ("server", "sentence"),
    [
        ("javascript:alert(1)", "“javascript:alert(1)” is not the address of a Kinto server."),
        ("https://user:pass@kinto/v1", "is not the address of a Kinto server."),
        pytest.param(
            "file:///etc/passwd",
            "“file:///etc/passwd” is not the address of a Kinto server.",
            marks=slow,
        ),
        pytest.param("kinto", "“kinto” is not the address of a Kinto server.", marks=slow),
    ],
)
def test_what_is_not_the_address_of_a_server_is_never_asked(
    opener: Opener, full_kinto: Kinto, server: str, sentence: str
) -> None:
    lookup = opener(full_kinto.url)
    lookup.open("target.version=53.0", server=server)
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


@pytest.mark.parametrize("size", ["narrow", pytest.param("wide", marks=slow)])
def test_nothing_is_wider_than_the_screen(opener: Opener, full_kinto: Kinto, size: str) -> None:
    lookup = opener(full_kinto.url, size)
    for query in ("", "q=firefox+frobnicate", "target.version=1", "record=" + CATALOGUE[0]["id"]):
        lookup.open(query)
        assert lookup.tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), query


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
    queries = ["", "q=firefox+beta+frobnicate", "target.version=1", "record=" + CATALOGUE[0]["id"]]
    for query in queries:
        lookup.open(query)
        assert lookup.violations(axe) == [], query
    lookup.open("target.version=1", server="http://127.0.0.1:9/v1")
    assert lookup.violations(axe) == [], "no answer"


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_pictures_of_the_documentation(
    opener: Opener, full_kinto: Kinto, tmp_path: Path, size: str, scheme: str
) -> None:
    """Made anew with PICTURES=1, that is by ``make pictures``; else only that they are there."""
    picture = PAGE.with_name(f"{size}-{scheme}.png")
    lookup = opener(full_kinto.url, size, scheme)
    lookup.open("" if size == "wide" else "q=firefox+beta+linux")
    target = picture if os.environ.get("PICTURES") else tmp_path / picture.name
    lookup.tab.screenshot(path=target)
    header = picture.read_bytes()[:24]
    assert header.startswith(b"\x89PNG")
    assert (int.from_bytes(header[16:20]), int.from_bytes(header[20:24])) == SIZES[size]
