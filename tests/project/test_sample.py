"""The bundled sample is what its generator makes, and has some of everything."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import pytest

from tests.sample import generate, tree
from tests.sample.provenance import metadata_of
from tests.sample.selection import MORE, table

ROWS = list(tree.rows())
IDS = dict(table())
BUILDS = [row.key for row in ROWS if IDS.get(row.key, "-") != "-"]


def contents(folder: Path) -> dict[str, bytes]:
    files = [path for path in (folder / "archive").rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_the_generator_makes_the_same_bytes(tmp_path: Path) -> None:
    generate.main(tmp_path)
    assert contents(tmp_path) == contents(tree.HERE)
    made = (tmp_path / "inventory.csv.gz").read_bytes()
    # Compared unpacked: another zlib may pack the same rows in another way.
    assert gzip.decompress(made) == gzip.decompress(tree.INVENTORY.read_bytes())


def test_every_key_is_real_or_metadata() -> None:
    bodies = {row.key for row in ROWS if (tree.HERE / "archive" / row.key).exists()}
    assert {row.key for row in ROWS} - bodies - set(IDS) == set(MORE)


def test_each_file_is_in_one_row() -> None:
    assert 500 <= len(ROWS) == len({row.key for row in ROWS}) <= 2000
    files = tree.files()
    assert all(len(file.body) == file.size for file in files.values() if file.body)
    assert sum(file.body is not None for file in files.values()) == len(contents(tree.HERE))


@pytest.mark.parametrize(
    "kind",
    [
        "firefox_[0-9-]+_", "firefox_beta_", "firefox_esr_", "firefox_nightly_20[12]",
        r"firefox_\d+-0rc3_", r"firefox_[0-9-]+esrrc\d_", "devedition_aurora_", "thunderbird_[0-9]",
        "thunderbird_beta_56-0b4rc14_", "thunderbird_nightly_", "fennec_[0-9]", "fennec_beta_",
        "fennec_nightly_", "fennec_nightly-old-id_", ".*-eme-free_", ".*-sha1_", ".*funnelcake",
        ".*-real_", ".*plugin", ".*_win64-aarch64_", ".*_eabi-arm_", ".*_multi$",
        ".*_ja-jp-mac$", "firefox_1-0rc2_linux-i686_de-de",
    ],
)  # fmt: skip
def test_it_has_builds_of_each_kind(kind: str) -> None:
    assert any(re.match(kind, IDS[key]) for key in BUILDS)


def test_a_nightly_has_ten_locales_and_a_release_its_candidates() -> None:
    keys = {row.key for row in ROWS}
    folder = r"pub/firefox/nightly/2026/07/2026-07-19-09-17-21-mozilla-central(-l10n)?/"
    names = [re.match(rf"{folder}firefox-154.0a1\.([\w-]+)\.mac\.dmg", key) for key in keys]
    assert len({name[2] for name in names if name}) == 10
    release = {key for key in keys if key.startswith("pub/firefox/releases/54.0/")}
    candidates = "pub/firefox/candidates/54.0-candidates/build3/"
    assert len(release) == 13, "twelve builds and their sums"
    assert {
        f"{candidates}win64/{locale}/Firefox Setup 54.0.exe" for locale in ("en-US", "ko")
    } < keys


def test_a_build_has_one_build_id_and_one_revision() -> None:
    builds: dict[str, set[tuple[str, str]]] = {}
    for path in (tree.HERE / "archive").rglob("*.json"):
        build = re.search(r"pub/\w+/(candidates/[^/]+/build|nightly/\d+/\d+/)[^/]+/", str(path))
        facts = json.loads(path.read_text())
        if build and "moz_source_stamp" in facts:
            pair = (facts["buildid"], facts["moz_source_stamp"])
            builds.setdefault(build[0], set()).add(pair)
    assert len(builds) > 50
    assert {build: pairs for build, pairs in builds.items() if len(pairs) > 1} == {}


@pytest.mark.parametrize("ending", [".txt", ".buildhub.json", "/buildhub.json", ".mozinfo.json"])
def test_it_has_metadata_of_each_kind(ending: str) -> None:
    assert any(key.endswith(ending) for key in contents(tree.HERE))


def test_most_builds_have_metadata_and_some_lack_it() -> None:
    assert 0.75 < sum(bool(metadata_of(key)) for key in BUILDS) / len(BUILDS) < 0.95
    assert len(ROWS) - len(BUILDS) - len(contents(tree.HERE)) > 200
