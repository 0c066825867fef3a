"""Records of files as builds: the newest, rows, what they contain, what can be taken along."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ...support.browser import MARKS, Lookup
from ...support.kinto_server import Kinto
from ...support.lookup_records import catalogue, make
from .conftest import Opener, make_collection, store

pytestmark = MARKS
slow = pytest.mark.slow

CATALOGUE = catalogue()
Record = dict[str, Any]


def newest_shown(lookup: Lookup) -> dict[tuple[str, str], list[str]]:
    """Product and channel of each line, and what else it says."""
    lines = {}
    for table in lookup.tab.locator("#products table").all():
        product = table.locator("caption").inner_text()
        for row in table.locator("tbody tr").all():
            channel, version, files, build_id, age = row.locator("th, td").all_inner_texts()
            lines[product, channel] = [version, " ".join(files.split()), build_id, age]
    return lines


DESKTOP = "Linux 64-bit arm64 Windows 64-bit arm64 32-bit macOS dmg"


def test_home_shows_the_newest_of_each_product_and_channel_in_few_requests(lookup: Lookup) -> None:
    lookup.open()
    lines = newest_shown(lookup)
    assert list(lines) == [
        ("Firefox", "nightly"),
        ("Firefox", "beta"),
        ("Firefox", "release"),
        ("Firefox", "esr"),
        ("Developer Edition", "aurora"),
        ("Thunderbird", "nightly"),
        ("Thunderbird", "beta"),
        ("Thunderbird", "esr"),
        ("Fennec", "release"),
        ("Fenix", "release"),
    ]
    assert lines["Firefox", "nightly"] == ["154.0a1", DESKTOP, "20260719091721", "23 hr. ago"]
    assert lines["Firefox", "release"] == ["152.0.1", DESKTOP, "20260714184012", "5 days ago"]
    assert lines["Fennec", "release"][3] == "5 yr. ago"
    assert lines["Fenix", "release"][2:] == ["", "no build date"]
    assert "catalogue last changed just now" in lookup.tab.locator("#newest-note").inner_text()
    asked = [url for url in lookup.requests if "/v1/" in url]
    assert len(asked) <= 8, "products, channels, the newest builds, and those without a date"
    assert lookup.tab.evaluate("document.documentElement.scrollHeight") <= 900 * 1.5


def test_what_is_old_looks_old(lookup: Lookup) -> None:
    lookup.open()
    old = lookup.tab.locator("#products .age.old").all_inner_texts()
    assert old == ["5 yr. ago"]
    lookup.tab.clock.set_fixed_time("2026-09-30T09:00:00Z")
    lookup.tab.reload()
    lookup.settle()
    assert lookup.tab.locator("#products .age.old").count() == 9


@pytest.mark.slow
def test_a_candidate_that_is_newer_than_the_release_is_named_beside_it(
    opener: Opener, kinto: Kinto
) -> None:
    later = ("firefox", "release", "153.0rc1", "20260719180000", "releases/mozilla-release")
    make_collection(kinto, [*CATALOGUE, make(*later, "win64", "en-US")])
    lookup = opener(kinto.url)
    lookup.open()
    assert newest_shown(lookup)["Firefox", "release"][0].split() == ["152.0.1", "153.0rc1"]


@pytest.mark.slow
def test_products_and_channels_that_the_page_does_not_know_are_found(
    opener: Opener, kinto: Kinto
) -> None:
    names = ("fenix", "lockwise", "firefox", "aaa", "zulu")
    new = [
        {**one, "id": f"new_{number}", "source": {**one["source"], "product": product}}
        for number, (one, product) in enumerate(zip(CATALOGUE, names, strict=False))
    ]
    new[2]["target"] = {**new[2]["target"], "channel": "canary"}
    make_collection(kinto, new)
    lookup = opener(kinto.url)
    lookup.open()
    assert [product for product, _ in newest_shown(lookup)] == [
        "Firefox", "Fenix", "aaa", "lockwise", "zulu",
    ]  # fmt: skip
    lookup.tab.get_by_role("link", name="all of Firefox canary").click()
    lookup.settle()
    assert (lookup.rows(), lookup.errors) == (["Firefox 154.0a1"], [])


def text(lookup: Lookup, name: str, part: str) -> str:
    return " ".join(lookup.row(name).locator(part).inner_text().split())


def test_a_build_is_one_row_with_all_that_is_asked_for_most(lookup: Lookup) -> None:
    lookup.open("source.product=firefox&target.version=152.0.1")
    assert lookup.rows() == ["Firefox 152.0.1", "Firefox 152.0.1 candidates"]
    release = lookup.row("Firefox 152.0.1")
    record = next(one for one in CATALOGUE if one["id"] == "firefox_release_152-0-1_win64_en-us")
    revision = record["source"]["revision"]
    assert text(lookup, "Firefox 152.0.1", ".downloads") == DESKTOP
    assert text(lookup, "Firefox 152.0.1", ".locales") == "3 locales"
    assert text(lookup, "Firefox 152.0.1", ".built") == "2026-07-14 18:40"
    assert text(lookup, "Firefox 152.0.1", ".id") == "20260714184012"
    assert text(lookup, "Firefox 152.0.1", ".revision") == revision[:12]
    installer = release.get_by_role("link", name="Windows 64-bit: Firefox Setup 152.0.1.exe")
    assert installer.get_attribute("href") == record["download"]["url"].replace(" ", "%20")
    assert release.locator(".revision a").get_attribute("href") == (
        f"https://hg.mozilla.org/releases/mozilla-release/rev/{revision}"
    )
    candidates = "Firefox 152.0.1 candidates"
    assert text(lookup, candidates, ".id") == "rc2 of 2 20260714184012"


def test_a_locale_that_was_asked_for_takes_the_place_of_english(lookup: Lookup) -> None:
    lookup.open("source.product=firefox&target.version=152.0.1&target.locale=fr")
    assert text(lookup, "Firefox 152.0.1", ".downloads") == f"fr {DESKTOP}"
    links = lookup.row("Firefox 152.0.1").locator(".downloads a")
    addresses = [link.get_attribute("href") or "" for link in links.all()]
    assert len(addresses) == 6
    assert all("/fr/" in address for address in addresses)


def test_builds_without_a_date_are_the_last(lookup: Lookup) -> None:
    lookup.open("target.version=152.*")
    assert lookup.rows()[0] == "Firefox 152.0.1"
    assert lookup.rows()[-1] == "Fenix 152.0.1"


@pytest.mark.slow
def test_a_build_that_has_neither_english_nor_multi_is_found(opener: Opener, kinto: Kinto) -> None:
    old = ("firefox", "release", "53.0.1", "20170414192749", "releases/mozilla-release")
    french = [one for one in CATALOGUE if one["id"].endswith("_53-0_win64_fr")]
    make_collection(kinto, [*french, make(*old, "win64", "en-US")])
    lookup = opener(kinto.url)
    lookup.open("target.version=53.0")
    assert lookup.rows() == ["Firefox 53.0"]
    assert text(lookup, "Firefox 53.0", ".downloads") == "fr Windows 64-bit"
    lookup.open("target.version=53.*")
    assert lookup.rows() == ["Firefox 53.0.1"]
    lookup.tab.get_by_role("link", name="In any locale").click()
    lookup.settle()
    assert lookup.rows() == ["Firefox 53.0.1", "Firefox 53.0"]


@pytest.mark.slow
def test_more_builds_come_on_demand_each_once_and_the_newest_first(
    opener: Opener, kinto: Kinto
) -> None:
    tree = "mozilla-central"
    days = [f"202605{day:02}091500" for day in range(1, 31)]
    platforms = ("linux-x86_64", "win32", "win64", "macosx", "linux-i686", "win64-aarch64")
    records = [
        make("firefox", "nightly", "153.0a1", day, tree, platform, locale)
        for day in days
        for platform in platforms
        for locale in ("en-US", "de")
    ]
    make_collection(kinto, records)
    lookup = opener(kinto.url)
    lookup.open("target.channel=nightly")
    assert (lookup.heading(), len(lookup.rows())) == ("More than 15 builds", 15)
    lookup.tab.get_by_role("button", name="Show more").click()
    lookup.settle()
    assert lookup.heading() == "30 builds"
    ids = lookup.tab.locator("#rows > li .id a").all_inner_texts()
    assert ids == sorted(days, reverse=True)
    assert lookup.tab.locator("#rows > li").last.locator(".downloads a").count() == 6
    lookup.tab.reload()
    lookup.settle()
    assert len(lookup.rows()) == 30, "not as many after a reload"


def test_an_opened_row_shows_platforms_locales_and_facts(lookup: Lookup) -> None:
    lookup.open("source.product=firefox&target.version=152.0.1")
    details = lookup.open_row("Firefox 152.0.1")
    files = details.locator(".platforms tbody tr")
    assert files.count() == 6
    assert " ".join(files.nth(2).inner_text().split()).startswith(
        "Windows 64-bit Firefox Setup 152.0.1.exe"
    )
    details.get_by_label("Language of the files").select_option(label="fr, French")
    lookup.settle()
    href = details.locator(".platforms tbody a").first.get_attribute("href") or ""
    assert "/linux-x86_64/fr/" in href
    assert "3 locales on 6 platforms." in details.inner_text()
    revision = next(
        one["source"]["revision"] for one in CATALOGUE if one["target"]["version"] == "152.0.1"
    )
    assert revision in details.inner_text()
    details = lookup.open_row("Firefox 152.0.1 candidates")
    details.get_by_label("Candidate", exact=True).select_option("152.0.1rc1")
    lookup.settle()
    assert details.locator(".platforms tbody tr").count() == 4
    assert "20260712101500" in details.inner_text()


def test_the_locales_of_two_builds_are_compared(lookup: Lookup) -> None:
    lookup.open("source.product=firefox&target.channel=esr")
    details = lookup.open_row("Firefox 140.12.0esr")
    details.get_by_label("Compare locales with").select_option("140.11.0esr")
    compared = details.locator(".compared")
    compared.get_by_text("lacks").wait_for()
    assert compared.inner_text() == (
        "Locales that 140.12.0esr lacks, but 140.11.0esr has: szl. New: none."
    )


@pytest.mark.parametrize(
    ("name", "copied"),
    [
        ("Copy build id 20170413192749", "20170413192749"),
        pytest.param("Copy revision", "{revision}", marks=slow),
        pytest.param(
            "Copy the URL",
            "{root}/pub/firefox/releases/53.0/win64/en-US/Firefox Setup 53.0.exe",
            marks=slow,
        ),
    ],
)
def test_one_click_copies(lookup: Lookup, name: str, copied: str) -> None:
    lookup.open("target.version=53.0&target.platform=win64")
    details = lookup.open_row("Firefox 53.0")
    windows = details.locator("tr", has_text="Windows 64-bit")
    (windows if "URL" in name else details).get_by_role("button", name=name).click()
    lookup.tab.get_by_text("Copied.").wait_for()
    record = next(one for one in CATALOGUE if one["id"] == "firefox_release_53-0_win64_en-us")
    expected = copied.format(
        revision=record["source"]["revision"], root="https://archive.mozilla.org"
    )
    assert lookup.tab.evaluate("navigator.clipboard.readText()") == expected


def saved(lookup: Lookup, kind: str, folder: Path) -> str:
    """Click a button, and read what the browser saves."""
    with lookup.tab.expect_download() as download:
        lookup.tab.get_by_role("button", name=kind, exact=True).click()
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path.read_text()


def test_results_are_taken_along_as_json_csv_and_commands(lookup: Lookup, tmp_path: Path) -> None:
    lookup.open("source.product=firefox&target.version=152.0.1&target.locale=fr")
    expected = {
        one["id"]
        for one in CATALOGUE
        if one["target"]["version"].startswith("152.0.1")
        and one["target"]["locale"] == "fr"
        and one["source"]["product"] == "firefox"
    }
    lookup.tab.get_by_text("Take along").click()
    assert {one["id"] for one in json.loads(saved(lookup, "JSON", tmp_path))} == expected
    rows = list(csv.DictReader(saved(lookup, "CSV", tmp_path).splitlines()))
    assert {row["id"] for row in rows} == expected
    assert {row["target.locale"] for row in rows} == {"fr"}
    curl, command = lookup.tab.locator(".command code").all_inner_texts()
    printed = run_in_shell(curl)
    assert {one["id"] for one in json.loads(printed)["data"]} == expected
    printed = run_in_shell(command)
    assert {json.loads(line)["data"]["id"] for line in printed.splitlines()} == expected


def run_in_shell(line: str) -> bytes:
    """The output of what the page shows, with the commands of this environment."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.check_output(
        ["bash", "-c", line], stderr=subprocess.DEVNULL, env={**os.environ, "PATH": path}
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("query", "matches"),
    [
        ("build.id=20260718*", lambda one: one.get("build", {}).get("id", "")[:8] == "20260718"),
        ("candidates=only", lambda one: "rc" in one["target"]["version"]),
        (
            "download.url=*/Firefox+Setup+53.0.exe",
            lambda one: one["download"]["url"].endswith("/Firefox Setup 53.0.exe"),
        ),
        ("q=68+fennec+arm64", lambda one: "fennec_" in one["id"] and "aarch64" in one["id"]),
    ],
)  # fmt: skip
def test_the_commands_print_just_what_the_page_saves(
    lookup: Lookup, tmp_path: Path, query: str, matches: Any
) -> None:
    lookup.open(query)
    expected = {one["id"] for one in CATALOGUE if matches(one)}
    lookup.tab.get_by_text("Take along").click()
    assert {one["id"] for one in json.loads(saved(lookup, "JSON", tmp_path))} == expected
    curl, command = lookup.tab.locator(".command code").all_inner_texts()
    if "candidates" in query:
        lines = run_in_shell(curl).splitlines()
        assert {json.loads(line)["data"]["id"] for line in lines} == expected
    printed = run_in_shell(command)
    assert {json.loads(line)["data"]["id"] for line in printed.splitlines()} == expected


def test_a_file_that_is_not_on_the_archive_names_its_host(opener: Opener, kinto: Kinto) -> None:
    record = next(one for one in CATALOGUE if one["target"]["version"] == "53.0")
    url = record["download"]["url"].replace("archive.mozilla.org", "downloads.example.com:8080")
    make_collection(kinto, [{**record, "download": {**record["download"], "url": url}}])
    lookup = opener(kinto.url)
    lookup.open("target.version=53.0")
    assert "on downloads.example.com:8080" in text(lookup, "Firefox 53.0", ".downloads")
    details = lookup.open_row("Firefox 53.0")
    assert "on downloads.example.com:8080" in details.inner_text()


@pytest.mark.slow
def test_what_was_stored_since_is_shown_by_a_new_search(opener: Opener, kinto: Kinto) -> None:
    make_collection(kinto, CATALOGUE[:1])
    lookup = opener(kinto.url)
    lookup.open("target.version=53.0")
    assert lookup.rows() == []
    store(kinto, [one for one in CATALOGUE if one["target"]["version"] == "53.0"])
    lookup.search("version:53.0")
    assert lookup.rows() == ["Firefox 53.0"]
