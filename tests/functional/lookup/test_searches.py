"""The page understands what people type, and shows the builds that are meant."""

from __future__ import annotations

from ...support.browser import MARKS, Lookup
from ...support.lookup_records import catalogue
from ...support.questions import questions

pytestmark = MARKS

UNDERSTAND = """
async (typed) => {
  const { understand, describe } = await import("./language.js");
  const found = understand(typed);
  return { ...found, again: understand(describe(found.criteria)).criteria };
}
"""


def test_everything_in_the_table_of_questions_is_understood_and_written_back(
    lookup: Lookup,
) -> None:
    lookup.open()
    for typed, conditions, unclear, _ in questions():
        found = lookup.tab.evaluate(UNDERSTAND, typed)
        assert (found["criteria"], found["unclear"]) == (conditions, unclear), typed
        assert found["again"] == conditions, f"{typed}: what the page writes means something else"


def test_a_word_that_can_mean_two_things_says_so(lookup: Lookup) -> None:
    lookup.open()
    for typed, note in (
        ("is 20170612224034 official", "the locale (Icelandic) is locale:is"),
        ("windows 64 nightly", "the version is version:64.*"),
        ("mac arm64", "there is one file for both"),
    ):
        lookup.search(typed)
        assert note in lookup.understood()


NIGHTLIES = ["Firefox 154.0a1", "Firefox 154.0a1"]
#: What is typed; what it is understood as; the address; the builds.
SEARCHES: list[tuple[str, str, str, list[str]]] = [
    (
        "20170612224034",
        "build id 20170612224034",
        "build.id=20170612224034",
        ["Developer Edition 55.0b1 candidates"],
    ),
    ("2010070504", "built 2010-07-05 04 (UTC)", "build.id=2010070504*", ["Firefox 4.0b2pre"]),
    (
        "2017-06",
        "built 2017-06 (UTC)",
        "build.id=201706*",
        ["Firefox 55.0b2", "Developer Edition 55.0b1 candidates"],
    ),
    ("53.0", "version 53.0", "target.version=53.0", ["Firefox 53.0"]),
    ("55.0b*", "version 55.0b*", "target.version=55.0b*",
     ["Firefox 55.0b2", "Developer Edition 55.0b1 candidates"]),
    ("5", "version 5.*", "target.version=5.*", []),  # neither 53.0 nor 55.0b2
    (
        "firefox 152.0.1",
        "product Firefox, version 152.0.1",
        "source.product=firefox&target.version=152.0.1",
        ["Firefox 152.0.1", "Firefox 152.0.1 candidates"],
    ),
    (
        "firefox 152.0.1 build 2 candidates",
        "product Firefox, version 152.0.1, build number 2, candidates and nothing else",
        "source.product=firefox&target.version=152.0.1&build.number=2&candidates=only",
        [],  # the test's records have no build number
    ),
    (
        "yesterday nightly linux",
        "channel nightly, system Linux, built 2026-07-19 (UTC)",
        "target.channel=nightly&target.os=linux&build.id=20260719*",
        ["Thunderbird 154.0a1", "Firefox 154.0a1"],
    ),
    (
        "firefox 55 beta win64 pt-BR",
        "product Firefox, version 55.*, channel beta, platform win64, locale pt-BR",
        "source.product=firefox&target.version=55.*&target.channel=beta"
        "&target.platform=win64&target.locale=pt-BR",
        ["Firefox 55.0b2"],
    ),
    (
        "newest Developer Edition for windows in JA",
        "product Developer Edition, system Windows, locale ja",
        "source.product=devedition&target.os=win&target.locale=ja",
        ["Developer Edition 153.0b9"],
    ),
    (
        "devedition_aurora_55-0b1rc5_win64_pt-br",
        "record devedition_aurora_55-0b1rc5_win64_pt-br",
        "id=devedition_aurora_55-0b1rc5_win64_pt-br",
        ["Developer Edition 55.0b1 candidates"],
    ),
    (
        "http://ftp.mozilla.org/pub/mozilla.org/firefox/releases/53.0/win64/fr/"
        "Firefox%20Setup%2053.0.exe",
        "file */pub/firefox/releases/53.0/win64/fr/Firefox Setup 53.0.exe",
        "download.url=*/pub/firefox/releases/53.0/win64/fr/Firefox+Setup+53.0.exe",
        ["Firefox 53.0"],
    ),
    (
        "Firefox Setup 53.0.exe",
        "file */Firefox Setup 53.0.exe",
        "download.url=*/Firefox+Setup+53.0.exe",
        ["Firefox 53.0"],
    ),
    (
        "pub/firefox/nightly/2026/07/2026-07-18-21-mozilla-central/",
        "file */pub/firefox/nightly/2026/07/2026-07-18-21-mozilla-central/*",
        "download.url=*/pub/firefox/nightly/2026/07/2026-07-18-21-mozilla-central/*",
        ["Firefox 154.0a1"],
    ),
]  # fmt: skip


def test_a_search_says_what_it_understood_and_finds_just_that(lookup: Lookup) -> None:
    lookup.open()
    for typed, understood, query, builds in SEARCHES:
        lookup.search(typed)
        assert lookup.understood() == f"Understood as {understood}, Clear all"
        assert lookup.query() == query
        assert lookup.rows() == builds, typed


def test_the_address_of_a_search_shows_the_same(lookup: Lookup) -> None:
    for _, understood, query, builds in SEARCHES:
        lookup.open(query)
        assert lookup.rows() == builds
        assert lookup.understood() == f"Understood as {understood}, Clear all"


REVISION = next(
    one["source"]["revision"] for one in catalogue() if one["target"]["version"] == "55.0b1rc5"
)


def test_a_revision_is_found_by_its_first_digits(lookup: Lookup) -> None:
    lookup.open()
    for typed in (
        REVISION[:7],
        REVISION[:20].upper(),
        REVISION,
        f"https://hg.mozilla.org/releases/mozilla-beta/rev/{REVISION}",
    ):
        lookup.search(typed)
        assert lookup.rows() == ["Developer Edition 55.0b1 candidates"]
        lookup.search(f"{REVISION[:7]}0000")
        assert lookup.heading() == "0 builds"


def test_a_word_that_is_not_understood_is_shown_as_such(lookup: Lookup) -> None:
    lookup.open()
    lookup.search("fennec <b>")
    assert lookup.understood() == "Understood as product Fennec, not understood <b>, Clear all"
    assert lookup.rows() == ["Fennec 68.11.0"]


def test_where_nothing_is_understood_there_is_no_table_but_examples_that_work(
    lookup: Lookup,
) -> None:
    lookup.open()
    for typed in ("2017050909450", "the", "frobnicate"):
        lookup.search(typed)
        assert lookup.understood() == f"not understood {typed}, Clear all"
        assert "Nothing of this was understood." in lookup.tab.locator("#notice").inner_text()
        assert lookup.tab.locator("#results").is_hidden()
    examples = lookup.tab.locator("#notice .examples a")
    assert examples.count() == 5
    for number in range(5):
        examples.nth(number).click()
        lookup.settle()
        assert lookup.rows(), lookup.query()
        lookup.tab.go_back()
        lookup.settle()


def test_typing_shows_what_would_be_searched_without_asking_kinto(lookup: Lookup) -> None:
    lookup.open()
    before = len(lookup.requests)
    lookup.tab.get_by_role("searchbox").press_sequentially("esr linux frobnicate")
    assert lookup.understood() == "channel esr system Linux not understood frobnicate"
    assert len(lookup.requests) == before


def test_the_filters_narrow_a_search_and_a_chip_widens_it(lookup: Lookup) -> None:
    lookup.open()
    for label, value in (("Product", "firefox"), ("Channel", "beta"), ("Platform", "win64")):
        lookup.tab.get_by_label(label, exact=True).select_option(value)
        lookup.settle()
    lookup.tab.get_by_label("Locale", exact=True).fill("PT-br")
    lookup.tab.keyboard.press("Tab")
    lookup.settle()
    assert lookup.rows() == ["Firefox 153.0b9", "Firefox 55.0b2"]
    assert lookup.tab.get_by_role("searchbox").input_value() == "firefox beta win64 pt-BR"
    lookup.tab.get_by_role("link", name="Remove platform win64").click()
    lookup.settle()
    assert lookup.query() == "source.product=firefox&target.channel=beta&target.locale=pt-BR"
    lookup.tab.get_by_role("link", name="Clear all").click()
    lookup.settle()
    assert lookup.query() == ""
    assert lookup.tab.locator("#newest").is_visible()


def test_candidates_are_left_out_or_all_that_is_shown(lookup: Lookup) -> None:
    lookup.open("source.product=firefox&target.channel=release")
    for choice, builds in {
        "no": ["Firefox 152.0.1", "Firefox 53.0"],
        "only": ["Firefox 152.0.1 candidates"],
        "": ["Firefox 152.0.1", "Firefox 152.0.1 candidates", "Firefox 53.0"],
    }.items():
        lookup.tab.get_by_label("Release candidates").select_option(choice)
        lookup.settle()
        assert lookup.rows() == builds


def test_no_result_is_a_sentence_and_the_ways_out_are_links(lookup: Lookup) -> None:
    lookup.open("target.version=55.0b3&target.locale=pt-BR")
    assert lookup.heading() == "0 builds"
    assert "No build matches." in lookup.tab.locator("#notice").inner_text()
    lookup.tab.get_by_role("link", name="Any version").click()
    lookup.settle()
    assert "Firefox 55.0b2" in lookup.rows()
