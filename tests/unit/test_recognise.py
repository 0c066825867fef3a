"""Builds are recognised by their keys: a table of real keys, and cases that it does not have."""

from __future__ import annotations

import random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from buildhub.builds.explain import RULES, explain
from buildhub.builds.patterns import MIMETYPES
from buildhub.builds.products import product_folders
from buildhub.builds.recognise import Build, build_in, readers_of, recognise
from tests.support.archive_keys import BUILDS, NO_BUILDS, Expected, is_found_encoded


def expected(build: Build | None) -> Expected | None:
    """A build as the table writes it."""
    return build and Expected(*(getattr(build, field) for field in Expected._fields))


# ---- the table ----


def of_default_product(key: str) -> Build | None:
    """The build, if it is catalogued without further ado, as the table has it."""
    return recognise(key) if key.split("/")[1] in product_folders(default=True) else None


def test_every_key_of_the_table_comes_out_as_it_says(table):
    assert len(table) == 39_233
    wrong = [
        f"{key}\n    wanted {wanted}\n    got    {got}"
        for key, wanted in table.items()
        if (got := expected(of_default_product(key))) != wanted
    ]
    assert not wrong, f"{len(wrong)} keys are wrong, the first:\n" + "\n".join(wrong[:10])


def test_two_builds_of_the_table_never_share_an_id(builds):
    assert len({recognise(key).id for key in builds}) == len(builds)


def matched(key: str) -> Build | None:
    """Returns the build that the patterns alone find in a key."""
    start = key.find("/", key.find("/", 4) + 1) + 1
    mimetype = MIMETYPES.get(key.rpartition(".")[2].lower())
    for reader in readers_of(key[:start]) if mimetype else ():
        if match := reader.fullmatch(key, start):
            return build_in(key, reader.product, reader.shape.section, mimetype, match)
    return None


def test_what_is_remembered_of_a_platform_says_the_same_of_its_other_locales(table):
    keys = random.Random(1).sample([key for key in table if key.count("/") > 3], 2000)
    locales = ["ar", "ja-JP-mac", "en-US", "xpi", "a_b", "a.b", "", " ", "é", "ar\n", "android"]
    for key in keys:
        above, _, name = key.rsplit("/", 2)
        for locale in locales:
            neighbour = f"{above}/{locale}/{name}"
            assert recognise(neighbour) == matched(neighbour), neighbour


def test_explain_says_no_build_exactly_where_recognise_does(table):
    disagree = [
        key for key in table if explain(key).startswith("no build: ") != (recognise(key) is None)
    ]
    assert not disagree


# ---- keys of known shapes ----


@pytest.mark.parametrize(
    ("key", "id_", "version", "channel", "platform", "os", "locale"),
    [(f"pub/{key}", *rest) for key, *rest in BUILDS],
)
def test_a_key_of_a_known_shape_is_a_build_and_explain_names_the_shape_and_every_field(
    key, id_, version, channel, platform, os, locale
):
    build, explanation = recognise(key), explain(key)
    assert build is not None, explanation
    assert build.id == id_
    assert (build.version, build.channel, build.locale) == (version, channel, locale)
    assert (build.platform, build.os) == (platform, os)
    assert build.key == key
    assert build.section == key.split("/")[2]
    assert explanation.startswith("build: a ")
    assert "/".join(key.split("/")[:3]) + "/<" in explanation
    fields = expected(build)._asdict()
    assert all(f"{name} {value}" in explanation for name, value in fields.items())


# ---- keys that are nearly builds ----


@pytest.mark.parametrize(("key", "reason"), [(f"pub/{key}", reason) for key, reason in NO_BUILDS])
def test_a_key_that_is_nearly_a_build_is_none_and_explain_says_why(key, reason):
    assert recognise(key) is None
    assert explain(key).startswith("no build: ")
    assert reason in explain(key)


@pytest.mark.parametrize("key", ["", "/", "pub", "pub/", ".exe", "x.exe", "/pub/firefox/releases/"])
def test_what_is_hardly_a_key_is_no_build(key):
    assert recognise(key) is None
    assert explain(key).startswith("no build: ")


# ---- fields that need a word of their own ----


def test_file_names_are_matched_in_any_letter_case_and_folders_are_not():
    key = "pub/thunderbird/releases/6.0.2/mac/uk/{} 6.0.2.DMG"
    assert recognise(key.format("thunderbird")) is not None
    assert recognise(key.format("THUNDERBIRD")).mimetype == "application/x-apple-diskimage"
    assert recognise(key.format("Thunderbird").replace("releases", "RELEASES")) is None


def test_the_archive_s_own_spelling_of_the_platform_is_kept():
    release = recognise("pub/firefox/releases/52.0/mac-EME-free/fr/Firefox 52.0.dmg")
    assert release.archive_platform == "mac-EME-free"
    nightly = recognise(
        "pub/firefox/nightly/2017/08/2017-08-25-10-01-26-mozilla-central/"
        "firefox-57.0a1.en-US.mac.dmg"
    )
    assert nightly.archive_platform == "mac"


@pytest.mark.parametrize(
    ("key", "number"),
    [
        ("pub/firefox/candidates/55.0-candidates/build10/win32/de/Firefox Setup 55.0.exe", 10),
        ("pub/firefox/candidates/49.0-candidates/build3/funnelcake9/mac/de/Firefox 49.0.dmg", 3),
        ("pub/firefox/releases/55.0/win32/de/Firefox Setup 55.0.exe", None),
    ],
)
def test_the_number_is_a_candidate_s_build_folder(key, number):
    assert recognise(key).number == number


def test_a_strange_locale_or_version_is_recognised_so_that_it_can_be_counted_as_suspicious():
    build = recognise("pub/firefox/releases/3.6.4build7/win32/klingonese/Firefox Setup 3.6.4.exe")
    assert (build.version, build.locale) == ("3.6.4build7", "klingonese")


@pytest.mark.parametrize(
    ("key", "mimetype"),
    [
        ("firefox/releases/55.0/linux-i686/de/firefox-55.0.tar.bz2", "application/x-bzip2"),
        ("firefox/releases/1.0/linux-i686/de/firefox-1.0.tar.gz", "application/x-gzip"),
        ("firefox/releases/135.0/linux-i686/de/firefox-135.0.tar.xz", "application/x-xz"),
        ("firefox/releases/55.0/mac/de/Firefox 55.0.dmg", "application/x-apple-diskimage"),
        ("firefox/releases/55.0/win32/de/Firefox Setup 55.0.exe", "application/msdos-windows"),
        ("mobile/releases/55.0/android/de/fennec-55.0.de.android-arm.apk",
         "application/vnd.android.package-archive"),
    ],
)  # fmt: skip
def test_the_mimetype_is_the_extension_s(key, mimetype):
    assert recognise(f"pub/{key}").mimetype == mimetype


def test_a_build_is_hashable_and_equal_to_itself_made_again():
    key = "pub/firefox/releases/55.0/mac/de/Firefox 55.0.dmg"
    assert {recognise(key)} == {recognise(key)}


# ---- anything at all ----

ALPHABET = st.sampled_from("pub/firefox-releases.0123456789abrc EXetar.bz2%+()\n\"',é\u212a\0")


@settings(deadline=None)
@given(st.text() | st.text(ALPHABET).map("pub/firefox/releases/".__add__))
@example("pub/firefox/nightly/{tree}/x")
@example("pub/firefox/nightly/2017/08/2017-08-05-10-03-34-{0}/x.exe")
def test_no_text_makes_it_raise(key):
    assert (recognise(key) is None) == explain(key).startswith("no build: ")


@settings(max_examples=3 * settings.default.max_examples, deadline=None)
@given(data=st.data())
def test_a_damaged_key_yields_only_what_it_contains(builds, data):
    """A key that is still recognised after one change is described as it is now."""
    key = data.draw(st.sampled_from(builds))
    at = data.draw(st.integers(0, len(key)))
    cut = data.draw(st.integers(0, 3))
    changed = key[:at] + data.draw(st.text(max_size=2)) + key[at + cut :]
    build = recognise(changed)
    assert (build is None) == explain(changed).startswith("no build: ")
    if build:
        assert build.key == changed
        assert build.locale in changed
        assert build.archive_platform in changed
        assert is_found_encoded(changed)


@pytest.mark.parametrize("place", ["firefox/releases", "firefox/candidates", "mobile/nightly"])
@pytest.mark.parametrize("part", ["1", "1.", "a", "-candidates", "-funnelcake1", "/", "en-", ".a"])
def test_very_long_keys_are_answered(place, part):
    """A pattern that tried every way to split such a key would not end within the day."""
    for start in ("1.0", "2017/05/2017-05-15-10-02-38-mozilla-central", "firefox-1.0"):
        for ending in ("", "/build1", ".exe", "/win32/de/Firefox Setup 5.exe", ".tar.bz2\n"):
            key = f"pub/{place}/{start}{part * 5_000}{ending}"
            assert (recognise(key) is None) == explain(key).startswith("no build: ")


# ---- the tables ----


def test_every_rule_of_explain_compiles_to_a_reason_that_its_groups_can_fill():
    for pattern, reason in RULES:
        assert reason.format_map(dict.fromkeys(pattern.groupindex, "x"))


def test_every_extension_of_a_build_has_a_build_in_the_table(builds):
    assert {key.rpartition(".")[2] for key in builds} == set(MIMETYPES)
