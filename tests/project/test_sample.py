"""The bundled sample is what its generator makes, and has some of everything."""

from __future__ import annotations

import gzip
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


@pytest.mark.parametrize("ending", [".txt", ".buildhub.json", "/buildhub.json", ".mozinfo.json"])
def test_it_has_metadata_of_each_kind(ending: str) -> None:
    assert any(key.endswith(ending) for key in contents(tree.HERE))


def test_most_builds_have_metadata_and_some_lack_it() -> None:
    assert 0.75 < sum(bool(metadata_of(key)) for key in BUILDS) / len(BUILDS) < 0.95
    assert len(ROWS) - len(BUILDS) - len(contents(tree.HERE)) > 200
