"""The sum of a build is found in the right file, and in the right line of it."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from buildhub.archive.checksums import is_sums_file, sum_of, sums_file, sums_in
from buildhub.builds.recognise import Build, recognise
from tests.support.sums import sums_file_of

TABLE = Path(__file__).parents[1] / "data/archive-keys.tsv.gz"

RELEASE = "pub/firefox/releases/55.0/"
SUMS = f"{RELEASE}SHA256SUMS"
CANDIDATE = "pub/devedition/candidates/59.0b1-candidates/build11/"
NIGHTLY = "pub/firefox/nightly/2026/07/2026-07-01-09-27-14-mozilla-central/"
STEM = "firefox-154.0a1.en-US.win64"
CHECKSUMS = f"{NIGHTLY}{STEM}.checksums"

DIGEST = "6e1aec5ff1ddcd26ad2a1da0bd7b4a9a9d1d2e5c9b7c3b1fb59a54ac1bb5d2b0"
OTHER = DIGEST[::-1]
SHA512 = DIGEST + OTHER


def build_of(key: str) -> Build:
    build = recognise(key)
    assert build, key
    return build


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (f"{RELEASE}win64/de/Firefox Setup 55.0.exe", SUMS),
        (f"{RELEASE}mac-EME-free/de/Firefox 55.0.dmg", SUMS),
        (
            "pub/firefox/releases/56.0.1-funnelcake131/v1/win64/en-US/Firefox Setup 56.0.1.exe",
            "pub/firefox/releases/56.0.1-funnelcake131/SHA256SUMS",
        ),
        (
            "pub/firefox/releases/1.0rc1/firefox-1.0rc1.ca-AD.linux-i686.installer.tar.gz",
            "pub/firefox/releases/1.0rc1/SHA256SUMS",
        ),
        (f"{CANDIDATE}win64/fr/Firefox Setup 59.0b1.exe", f"{CANDIDATE}SHA256SUMS"),
        (
            "pub/firefox/candidates/49.0.1-candidates/build3/funnelcake90/win32/en-US/"
            "Firefox Setup 49.0.1.exe",
            "pub/firefox/candidates/49.0.1-candidates/build3/SHA256SUMS",
        ),
        (f"{NIGHTLY}{STEM}.installer.exe", CHECKSUMS),
        (
            f"{NIGHTLY[:-1]}-l10n/firefox-154.0a1.fr.linux-x86_64.tar.xz",
            f"{NIGHTLY[:-1]}-l10n/firefox-154.0a1.fr.linux-x86_64.checksums",
        ),
        (
            "pub/fenix/releases/144.0b3/android/fenix-144.0b3-android-x86/"
            "fenix-144.0b3.multi.android-x86.apk",
            "pub/fenix/releases/144.0b3/SHA256SUMS",
        ),
    ],
)
def test_where_the_sum_of_a_build_is(key: str, expected: str) -> None:
    assert sums_file(build_of(key)) == expected


def test_each_real_build_has_a_file_for_its_sum_and_no_build_is_one() -> None:
    """30,755 builds; the 1,500 ``.checksums`` of the table are none, and are recognised."""
    with gzip.open(TABLE, "rt") as table:
        for line in table:
            key = line.split("\t")[0]
            if build := recognise(key):
                file = sums_file(build)
                assert file == sums_file_of(key)
                assert is_sums_file(file)
                assert not is_sums_file(key)


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (SUMS, True),
        (f"{CANDIDATE}SHA256SUMS", True),
        (CHECKSUMS, True),
        (f"{SUMS}.asc", False),
        (f"{RELEASE}SHA512SUMS", False),
        (f"{RELEASE}win64/SHA256SUMS", False),
        ("pub/firefox/candidates/59.0b1-candidates/SHA256SUMS", False),
        (f"{RELEASE}firefox-55.0.checksums", False),
        ("SHA256SUMS", False),
    ],
)
def test_which_files_have_sums(key: str, expected: bool) -> None:
    assert is_sums_file(key) is expected


WIN = "win64/de/Firefox Setup 55.0.exe"
LINUX = "linux-x86_64/de/firefox-55.0.tar.bz2"


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([f"{DIGEST}  {WIN}", f"{OTHER}  {LINUX}"], {WIN: DIGEST, LINUX: OTHER}),
        ([f"{DIGEST} *{WIN}"], {WIN: DIGEST}),
        ([f"{DIGEST}  ./{WIN}"], {WIN: DIGEST}),
        ([f"{DIGEST.upper()}  {WIN}"], {WIN: DIGEST}),
        ([f"{DIGEST}  {WIN}\r"], {WIN: DIGEST}),
        ([f"{DIGEST}  {WIN}", f"{DIGEST}  {WIN}"], {WIN: DIGEST}),
        # Nobody knows which one is right.
        ([f"{DIGEST}  {WIN}", f"{OTHER}  {WIN}", f"{OTHER}  {LINUX}"], {LINUX: OTHER}),
        # What is no build needs no sum.
        ([f"{DIGEST}  update/win64/de/firefox-55.0.complete.mar"], {}),
        ([f"{DIGEST}  win64/xpi/de.xpi", f"{OTHER}  {LINUX}"], {LINUX: OTHER}),
        ([f"{DIGEST}  ../54.0/win64/de/Firefox Setup 54.0.exe"], {}),
        # Odd lines, beside one that is not.
        ([f"{DIGEST}  {LINUX}", f"{DIGEST[:-1]}  {WIN}"], {LINUX: DIGEST}),
        ([f"{DIGEST}  {LINUX}", f"{DIGEST}0  {WIN}"], {LINUX: DIGEST}),
        ([f"{DIGEST}  {LINUX}", f"{DIGEST[:-1]}g  {WIN}"], {LINUX: DIGEST}),
        ([f"{DIGEST}  {LINUX}", f"{SHA512}  {WIN}"], {LINUX: DIGEST}),
        ([f"{DIGEST}  {LINUX}", f"{DIGEST} {WIN}"], {LINUX: DIGEST}),
        ([f"{DIGEST}  {LINUX}", f" {DIGEST}  {WIN}"], {LINUX: DIGEST}),
        ([f"{DIGEST}  {LINUX}", f"{DIGEST}\t{WIN}", "", "# no sum", WIN], {LINUX: DIGEST}),
        ([f"{DIGEST}  {LINUX}", f"{DIGEST}  {WIN[:-1]}"], {LINUX: DIGEST}),  # cut
        ([f"{DIGEST}  {LINUX}", f"{OTHER}  /{WIN}"], {LINUX: DIGEST}),
        # No list of sums at all.
        ([], None),
        (["<!DOCTYPE html><html><body><h1>Service Unavailable</h1></body></html>"], None),
        ([f"{SHA512}  {WIN}"], None),
        ([f"{DIGEST} sha256 100 {WIN}"], None),
    ],
)
def test_the_lines_of_sha256sums(lines: list[str], expected: dict[str, str] | None) -> None:
    assert sums_in("".join(f"{line}\n" for line in lines).encode(), SUMS) == expected


EXE = f"{STEM}.installer.exe"


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (
            [
                f"{SHA512} sha512 71203 {EXE}",
                f"{DIGEST} sha256 71203 {EXE}",
                f"{OTHER} sha256 51 {STEM}.complete.mar",
            ],
            {EXE: f"{DIGEST} 71203"},
        ),
        ([f"{DIGEST} sha256 5 install/sea/{EXE}"], {EXE: f"{DIGEST} 5"}),
        ([f"{DIGEST.upper()} sha256 5 {EXE}"], {EXE: f"{DIGEST} 5"}),
        # No sum of this algorithm.
        ([f"{SHA512} sha512 5 {EXE}", f"{DIGEST[:32]} md5 5 {EXE}"], {}),
        ([f"{DIGEST[:40]} sha1 5 {EXE}"], {}),
        # Contradictions, and odd lines.
        ([f"{DIGEST} sha256 5 {EXE}", f"{OTHER} sha256 5 {EXE}"], {}),
        ([f"{DIGEST} sha256 5 a/{EXE}", f"{DIGEST} sha256 6 b/{EXE}"], {}),
        ([f"{SHA512} sha512 5 {EXE}", f"{DIGEST[1:]} sha256 5 {EXE}"], {}),
        ([f"{SHA512} sha512 5 {EXE}", f"{SHA512} sha256 5 {EXE}"], {}),
        ([f"{SHA512} sha512 5 {EXE}", f"{DIGEST} sha512 5 {EXE}"], {}),
        ([f"{SHA512} sha512 5 {EXE}", f"{DIGEST} SHA256 5 {EXE}"], {}),
        ([f"{SHA512} sha512 5 {EXE}", f"{DIGEST} sha256 -5 {EXE}"], {}),
        ([f"{SHA512} sha512 5 {EXE}", f"{DIGEST} sha256 {EXE}"], {}),
        ([f"{SHA512} sha512 5 {EXE}", f"{DIGEST}  {EXE}"], {}),
        ([f"{SHA512} sha512 5 {EXE}", f"{DIGEST} sha256 5 {EXE}/"], {}),
        # No list of sums at all.
        ([f"{DIGEST}  {EXE}"], None),
        (["{}"], None),
        ([], None),
    ],
)
def test_the_lines_of_checksums(lines: list[str], expected: dict[str, str] | None) -> None:
    assert sums_in("".join(f"{line}\n" for line in lines).encode(), CHECKSUMS) == expected


@pytest.mark.parametrize(
    ("key", "size", "sums", "expected"),
    [
        (f"{RELEASE}{WIN}", 5, {WIN: DIGEST}, DIGEST),
        (f"{RELEASE}{WIN}", 5, {LINUX: DIGEST}, ""),
        (f"{RELEASE}{WIN}", 5, {}, ""),
        (f"{NIGHTLY}{EXE}", 5, {EXE: f"{DIGEST} 5"}, DIGEST),
        (f"{NIGHTLY}{EXE}", 6, {EXE: f"{DIGEST} 5"}, ""),
        (f"{CANDIDATE}win64/fr/Firefox Setup 59.0b1.exe", 5, {WIN: DIGEST}, ""),
    ],
)
def test_a_sum_is_that_of_a_file_of_this_name_and_size(
    key: str, size: int, sums: dict[str, str], expected: str
) -> None:
    assert sum_of(build_of(key), size, sums) == expected


def test_bytes_that_are_no_text_are_no_sum() -> None:
    content = b"\xff\xfe\x00" * 50 + f"\n{DIGEST}  {WIN}\n".encode() + b"\x00\xff"
    assert sums_in(content, SUMS) == {WIN: DIGEST}
    assert sums_in(content[:150], SUMS) is None
