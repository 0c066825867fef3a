"""``missing-builds`` on a real Kinto, with the official list from a file and from a server."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import commands
from tests.support.archive_files import File
from tests.support.archive_server import ArchiveServer
from tests.support.kinto_server import Kinto
from tests.support.records import make_record, ndjson

pytestmark = pytest.mark.functional

BIN = Path(sys.executable).parent
LIST = Path(__file__).parents[1] / "data" / "product-details-firefox.json"
RELEASES = [one["version"] for one in json.loads(LIST.read_text())["releases"].values()]
PLATFORMS = ("linux-x86_64", "macosx", "win64")


def records(*without: str) -> Iterator[dict[str, Any]]:
    """Releases of the list in en-US, and candidates and other locales, which do not count."""
    for version in RELEASES:
        for platform in PLATFORMS:
            if version in without or f"{version} {platform}" in without:
                yield _record(version, platform, "fr")
                yield _record(version, platform, "en-US", "candidates")
            else:
                yield _record(version, platform, "en-US")


def _record(version: str, platform: str, locale: str, section: str = "releases") -> dict[str, Any]:
    data = make_record(1)["data"]
    dashed = version.replace(".", "-")
    data["id"] = f"firefox_{section}_{dashed}_{platform}_{locale.lower()}"
    data["target"] |= {"version": version, "platform": platform, "locale": locale}
    data["download"]["url"] = f"https://archive.mozilla.org/pub/firefox/{section}/{version}/x"
    return {"data": data}


def store(kinto: Kinto, *without: str) -> None:
    kinto.make_collection()
    env = {"SERVER_URL": kinto.url}
    commands.run(["to-kinto"], input=ndjson(records(*without)), env=env).check_returncode()


def run(kinto: Kinto, *arguments: object, **environ: str) -> subprocess.CompletedProcess[str]:
    env = {"SERVER_URL": kinto.url, "AUTH": "user:pass", "NB_RETRY_REQUEST": "0"} | environ
    return commands.run(["missing-builds", *arguments], env=env, text=True)


def test_a_complete_catalogue_lacks_nothing(kinto: Kinto) -> None:
    store(kinto)
    done = run(kinto, LIST)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == (
        "missing-builds: 20 official versions, 0 missing, 0 platforms missing, 0 not expected.\n"
    )


def test_a_version_and_a_platform_that_were_removed_are_printed(kinto: Kinto) -> None:
    """Files in another locale, or of a candidate, are no release."""
    store(kinto, "55.0.2", "52.4.0esr macosx")
    done = run(kinto, LIST)
    assert done.returncode == 1
    platform, version = map(json.loads, done.stdout.splitlines())
    assert (platform["missing"], platform["version"]) == ("platform", "52.4.0esr")
    assert (platform["platform"], platform["previous"]) == ("macosx", "52.3.0esr")
    assert (version["missing"], version["version"]) == ("version", "55.0.2")


@pytest.mark.parametrize(
    ("since", "versions"),
    [
        ("55.0", ["55.0.2", "56.0.1"]),
        ("55.0.3", ["56.0.1"]),
        ("2017-10-09", ["56.0.1"]),
        ("2017-10-10", []),
    ],
)
def test_since_is_a_version_or_a_date(kinto: Kinto, since: str, versions: list[str]) -> None:
    store(kinto, "54.0", "55.0.2", "56.0.1")
    done = run(kinto, LIST, "--since", since)
    assert [json.loads(line)["version"] for line in done.stdout.splitlines()] == versions
    assert done.returncode == bool(versions)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--product", "thunderbird"],
        ["--since", "300"],  # a version; 300d is meant
        ["--since", "2099-01-01"],
        ["--product", "thunderbird", "--since", "55.0"],
    ],
    ids=" ".join,
)
def test_where_no_version_is_compared_nothing_is_known(kinto: Kinto, arguments: list[str]) -> None:
    store(kinto)
    done = run(kinto, LIST, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith(
        "ERROR No version was compared: none of the 20 in the lists is wanted by --product and"
        " --since (300d is an age, 300 a version).\n"
    )


def test_what_cannot_be_there_is_named_with_v_only(kinto: Kinto) -> None:
    store(kinto, "3.0")
    done = run(kinto, LIST, "-v")
    assert (done.returncode, done.stdout) == (0, "")
    assert "firefox 3.0: not expected, as the archive has no build id of versions" in done.stderr
    assert "1 not expected" in done.stderr
    assert "not expected, as" not in run(kinto, LIST).stderr


def test_the_lists_of_the_products_are_fetched(kinto: Kinto) -> None:
    store(kinto, "55.0.2")
    with ArchiveServer({"1.0/firefox.json": File(body=LIST.read_bytes())}) as server:
        url = f"{server.url}1.0"
        done = run(kinto, PRODUCT_DETAILS_URL=url, PRODUCTS="firefox")
        assert done.returncode == 1
        assert json.loads(done.stdout)["version"] == "55.0.2"
        done = run(kinto, PRODUCT_DETAILS_URL=url, PRODUCTS="firefox thunderbird")
    assert done.returncode == 2
    sentence = "1.0/thunderbird.json: HTTP 404, no list of releases; check PRODUCT_DETAILS_URL"
    assert sentence in done.stderr


def test_standard_input_is_a_list_too(kinto: Kinto) -> None:
    store(kinto)
    command = f"{BIN}/missing-builds - < {LIST}"
    done = subprocess.run(
        ["bash", "-c", command], env={"SERVER_URL": kinto.url, "AUTH": "user:pass"}
    )
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "environ", "sentence"),
    [
        ([LIST], {"SERVER_URL": "http://127.0.0.1:9/v1"}, "127.0.0.1:9"),
        ([], {"PRODUCT_DETAILS_URL": "http://127.0.0.1:9"}, "http://127.0.0.1:9/firefox.json"),
        (["/dev/null"], {}, "/dev/null is not a list of releases"),
        (["/no/such/file"], {}, "Cannot read /no/such/file"),
        ([LIST, "--since", "soon"], {}, "'soon' is not a valid date"),
        ([LIST, "--since", "soon"], {}, "or age (36h, 7d), nor a version (140.0)."),
    ],
)
def test_without_an_answer_the_status_is_2(
    kinto: Kinto, arguments: list[object], environ: dict[str, str], sentence: str
) -> None:
    done = run(kinto, *arguments, **environ)
    assert (done.returncode, done.stdout) == (2, "")
    assert sentence in done.stderr


def test_a_server_without_the_collection_is_no_answer(kinto: Kinto) -> None:
    assert run(kinto, LIST).returncode == 2
