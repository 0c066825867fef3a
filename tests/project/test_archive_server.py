"""The stand-in archive answers as archive.mozilla.org does, and misbehaves when told to."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests
from requests.exceptions import ChunkedEncodingError, ConnectionError, ReadTimeout

from tests.support.archive_server import ArchiveServer, File

JSON = {"Accept": "application/json"}
FOLDER = "pub/firefox/releases/55.0/mac/ar/"
BUILD = FOLDER + "Firefox 55.0.dmg"
FILES = {
    BUILD: File(size=62 << 20, date="2017-08-02T10:11:12Z"),
    FOLDER + "notes.txt": File(body=b"small"),
    "pub/firefox/releases/55.0/odd+name (é).json": File(body=b"{}"),
}


@pytest.fixture
def archive() -> Iterator[ArchiveServer]:
    with ArchiveServer(FILES) as server:
        yield server


def listing(archive: ArchiveServer, folder: str) -> requests.Response:
    return requests.get(archive.url + folder, headers=JSON, timeout=5)


def get(archive: ArchiveServer, path: str, timeout: float = 5) -> requests.Response:
    return requests.get(archive.url + path, timeout=timeout)


def test_listing_of_today(archive: ArchiveServer) -> None:
    assert listing(archive, FOLDER).json() == {
        "prefixes": [],
        "files": [
            {"name": "Firefox 55.0.dmg", "size": "62M", "last_modified": "2017-08-02T10:11:12Z"},
            {"name": "notes.txt", "size": 5, "last_modified": "2017-03-07T12:07:51Z"},
        ],
    }
    assert listing(archive, "pub/firefox/releases/55.0/").json()["prefixes"] == ["mac/"]
    assert listing(archive, FOLDER[:-1]).status_code == 404
    assert listing(archive, "pub/firefox/releases/56.0/").status_code == 404


def test_listing_of_2018_has_exact_sizes() -> None:
    with ArchiveServer(FILES, style="2018") as archive:
        assert listing(archive, FOLDER).json()["files"][0]["size"] == 62 << 20
        assert listing(archive, FOLDER[:-1]).status_code == 200


def test_without_the_accept_header_a_listing_is_a_page(archive: ArchiveServer) -> None:
    assert get(archive, FOLDER).headers["Content-Type"].startswith("text/html")


def test_head_has_exact_size_and_date(archive: ArchiveServer) -> None:
    answer = requests.head(archive.url + BUILD, timeout=5)
    assert answer.headers["Content-Length"] == str(62 << 20)
    assert answer.headers["Last-Modified"] == "Wed, 02 Aug 2017 10:11:12 GMT"


def test_paths_are_percent_decoded(archive: ArchiveServer) -> None:
    assert get(archive, "pub/firefox/releases/55.0/odd%2Bname%20%28%C3%A9%29.json").json() == {}
    assert archive.requests["GET", "pub/firefox/releases/55.0/odd+name (é).json"] == 1


def test_a_file_without_body_is_zeros(archive: ArchiveServer) -> None:
    archive.files["pub/zeros"] = File(size=70_000)
    assert get(archive, "pub/zeros").content == bytes(70_000)


def test_files_come_and_go(archive: ArchiveServer) -> None:
    archive.files |= {"pub/new/file.json": File(body=b"1")}
    assert listing(archive, "pub/").json()["prefixes"] == ["firefox/", "new/"]
    del archive.files["pub/new/file.json"]
    assert listing(archive, "pub/").json()["prefixes"] == ["firefox/"]
    assert listing(archive, "pub/new/").status_code == 404


def test_failures_are_used_up(archive: ArchiveServer) -> None:
    path = FOLDER + "notes.txt"
    archive.fail(path, 503, "html", "reset", "cut", retry_after=7)
    assert get(archive, path).headers["Retry-After"] == "7"
    assert "<html>" in get(archive, path).text
    with pytest.raises(ConnectionError):
        get(archive, path)
    with pytest.raises((ChunkedEncodingError, ConnectionError)):
        get(archive, path)
    assert get(archive, path).text == "small"
    assert archive.total == 5


def test_no_answer_at_all(archive: ArchiveServer) -> None:
    archive.fail(BUILD, "hang")
    with pytest.raises(ReadTimeout):
        get(archive, BUILD, timeout=0.05)


def test_hidden_files_and_listings_that_lag(archive: ArchiveServer) -> None:
    path = FOLDER + "notes.txt"
    archive.hide(path)
    assert get(archive, path).status_code == 404
    archive.show(path)
    archive.lag(path, 1)
    assert [f["name"] for f in listing(archive, FOLDER).json()["files"]] == ["Firefox 55.0.dmg"]
    assert get(archive, path).status_code == 200
    assert len(listing(archive, FOLDER).json()["files"]) == 2


def test_a_port_that_is_taken_is_an_error(archive: ArchiveServer) -> None:
    port = int(archive.url.rsplit(":")[-1].strip("/"))
    with pytest.raises(OSError, match="in use"), ArchiveServer({}, port=port):
        pass
