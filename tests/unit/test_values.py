"""Values of fields as people type them: the table that the lookup page is tested with, too."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from buildhub.builds import values

TABLE = Path(__file__).parents[1] / "data/questions.tsv"

#: What reads the values of an option of kinto-to-records.
READERS: dict[str, Callable[[str], values.Values]] = {
    "--id": values.record_id,
    "--build-id": values.build_id,
    "--revision": values.revision,
    "--product": values.product,
    "--version": values.version,
    "--channel": values.channel,
    "--platform": values.platform,
    "--os": values.system,
    "--locale": values.locale,
}


class Row(NamedTuple):
    typed: str
    conditions: str
    unclear: str
    option: str


ROWS = [
    Row(*line.split("\t"))
    for line in TABLE.read_text().splitlines()
    if line and not line.startswith("#")
]
OPTIONS = [row for row in ROWS if row.option]
URL = "https://archive.mozilla.org/pub/firefox/releases/55.0/win64/fr/Firefox%20Setup%2055.0.exe"
KEY = "pub/firefox/releases/55.0/win64/fr/Firefox Setup 55.0.exe"


@pytest.mark.parametrize("row", [row for row in OPTIONS if row.conditions], ids=str)
def test_what_people_type_is_understood(row: Row) -> None:
    expected = row.conditions.partition("=")[2].split("|")
    if row.option == "--revision":
        expected = [one.rstrip("*") for one in expected]
    found = READERS[row.option](row.typed)
    assert list(found[: len(expected)]) == expected
    assert set(found) <= {*expected, row.typed}


@pytest.mark.parametrize("row", [row for row in OPTIONS if row.unclear], ids=str)
def test_what_cannot_be_a_value_is_refused_with_a_suggestion(row: Row) -> None:
    with pytest.raises(ValueError, match=r" (use|did|such as|give) ") as failure:
        READERS[row.option](row.typed)
    assert repr(row.typed) in str(failure.value)


MORE = [
    ("--product", "Firefox Developer-Edition", ("devedition",)),
    ("--product", "Mobile", ("fennec",)),  # its folder, as of the loaders' option
    ("--platform", "x64 Linux", ("linux-x86_64",)),
    ("--platform", "mac64", ("macosx64",)),
    ("--platform", "maemo", ("maemo",)),
    ("--locale", "pt_BR", ("pt-BR",)),
    ("--build-id", "2010070504", ("2010070504",)),
    ("--version", "55.0b1 rc5", ("55.0b1rc5",)),
    ("--version", "[45]?.0", ("[45]?.0",)),
    ("--revision", "https://hg.mozilla.org/mozilla-central/rev/6872377277A6/", ("6872377277a6",)),
    ("--id", URL, ("firefox_55-0_win64_fr",)),
    ("--id", "Firefox_55-0_win64_FR", ("firefox_55-0_win64_fr",)),
]


@pytest.mark.parametrize(("option", "typed", "expected"), MORE)
def test_more_forms(option: str, typed: str, expected: tuple[str, ...]) -> None:
    assert READERS[option](typed) == expected


SUGGESTIONS = [
    ("--product", "Firefoxx", "perhaps firefox is meant"),
    ("--channel", "nigtly", "perhaps nightly is meant"),
    ("--platform", "windows", "use --os win"),
    ("--platform", "win46", "perhaps win64 is meant"),
    ("--build-id", "2017050909450", "13 digits, and a build id is the time of the build in 14"),
    ("--build-id", "2017-05-09", "use --built-since 2017-05-09 --built-until 2017-05-10"),
    ("--build-id", "20170230094500", "such as 20170509094500"),
    ("--build-id", "9999-12-31", "14 digits"),
    ("--locale", "French", "such as en-US"),
    ("--id", "https://archive.mozilla.org/pub/firefox/releases/55.0/SHA512SUMS", "checksum"),
]


@pytest.mark.parametrize(("option", "typed", "sentence"), SUGGESTIONS)
def test_a_suggestion_helps(option: str, typed: str, sentence: str) -> None:
    with pytest.raises(ValueError, match="is not") as failure:
        READERS[option](typed)
    assert sentence in str(failure.value)


@pytest.mark.parametrize(
    "text",
    [
        KEY,
        "/" + KEY,
        KEY.replace(" ", "+"),
        KEY.replace(" ", "%20"),
        KEY.removeprefix("pub/"),
        URL,
        URL + "?x#y",
        URL.replace("%20", "+"),
        "http://ftp.mozilla.org/pub/mozilla.org/" + KEY.removeprefix("pub/"),
        "https://download-installer.cdn.mozilla.net/" + KEY,
        "gs://some-bucket/" + KEY,
        "s3://net-mozaws-prod-delivery-firefox/" + KEY.replace(" ", "+"),
    ],
)
def test_a_key_in_any_spelling(text: str) -> None:
    assert values.key_of(text) == KEY
