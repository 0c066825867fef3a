"""Why a key is not a build: the sentences that ``inventory-to-records --explain`` prints.

Nothing is decided here. :func:`buildhub.builds.recognise.recognise` decides which keys are
builds; these rules only classify the keys that it rejects. The first rule that matches applies.
"""

from __future__ import annotations

import re

from .patterns import PLATFORM, SECTIONS
from .products import PRODUCTS, product_folders, products_in
from .recognise import readers_of, recognise

_FOLDERS = "|".join(product_folders())
_SECTIONS = "|".join(SECTIONS)
_TREES = "|".join(
    rf"pub/{product.folder}/nightly/[\d/-]+-(?:{'|'.join(product.trees)})[/-]"
    for product in PRODUCTS.values()
)
_PLATFORM = "".join(PLATFORM.split())  # these rules contain spaces: they are not verbose

_RULES = (
    (r"\A[^/]*\Z|/\Z", "a folder, or not a key at all"),
    (
        rf"\A(?!pub/(?:{_FOLDERS})/)",
        f"only {', '.join(f'pub/{folder}/' for folder in product_folders())} are catalogued",
    ),
    (rf"\A(?P<place>pub/[\w-]+/(?!(?:{_SECTIONS})/)[\w.-]+/)", "{place} holds no published builds"),
    (
        rf"\A(?P<place>pub/[\w-]+/)(?!(?:{_SECTIONS})/)",
        f"of {{place}} only {', '.join(f'{section}/' for section in SECTIONS)} are catalogued",
    ),
    # Folders.
    (r"/(?P<folder>latest(?:-[\w.-]+)?)/", "files under {folder}/ are copies of builds"),
    (r"/nightly/(?P<folder>[\w.-]+-candidates)/", "nightly/{folder}/ is an alias of candidates/"),
    (
        r"/(?P<folder>experimental|contrib(?:-localized)?|namoroka|sha1-installers|archived"
        r"|stylo-bindings|dominspector|test|tinderbox-builds|try-builds)/",
        "files under {folder}/ were not published as builds",
    ),
    (r"/(?P<folder>partner-repacks|partners)/", "{folder}/ holds repacks for partners"),
    (r"/(?:releases|candidates)/(?P<old>0\.[\w.-]+)/", "{old} is older than 1.0"),
    (r"/releases/1\.0rc/", "releases/1.0rc/ holds the first candidate of 1.0"),
    (r"/releases/(?P<folder>win\w*)/", "releases/{folder}/ is not the folder of a version"),
    # Files, by their names.
    (
        r"(?i)\.(?P<kind>asc|sig|md5|sha1|sha256|sha512|checksums|beet)\Z",
        "a checksum or signature (.{kind})",
    ),
    (r"/(?P<name>MD5SUMS|SHA\d+SUMS|KEY)\Z", "a checksum or signature ({name})"),
    (r"(?i)\blangpack\b|/xpi/", "a language pack"),
    (
        r"(?i)installer-stub\.exe\Z|/[a-z]+ installer(?:\.[\w-]+)?\.exe\Z|/[a-z]+ setup stub ",
        "a stub installer, which downloads the build",
    ),
    (r"(?i)[.-]sdk\.", "an SDK"),
    (r"(?i)[./-]tests?[./]", "tests of a build"),
    (r"(?i)symbols", "debugging symbols of a build"),
    (r"(?i)[./-]source[./]|\.bundle\Z", "source code"),
    (r"(?i)[-/.]debug\b|-(?:asan|tsan|ccov)\b", "a debugging build"),
    (r"[()]", "names with parentheses are copies of a build"),
    (r"(?i)\.mar\Z", "an update (.mar)"),
    (r"(?i)\.xpi\Z", "an add-on (.xpi)"),
    (r"(?i)\.(?P<kind>json|txt|log|html)\Z", "a description of a build (.{kind})"),
    (r"(?i)\.zip\Z", "a .zip: the build is the .exe beside it, if there is one"),
    (
        r"(?i)\.(?P<kind>msi|msix|pkg|deb|rpm|aab|appx|snap|flatpak)\Z",
        "a package of another kind (.{kind}): the .exe, .dmg, .apk or .tar beside it is the build",
    ),
    (
        r"-l10n/[^/]+\.(?i:en-US)\.[^/]+\Z",
        "an en-US file in a -l10n folder is a copy: the build is in the folder without -l10n",
    ),
    # Folders that are not read.
    (
        rf"\A(?!{_TREES})pub/[\w-]+/nightly/\d{{4}}/\d\d/\d{{4}}(?:-\d\d)+-"
        r"(?P<tree>[a-z][\w.-]*?)(?:-l10n)?/",
        "tree {tree} is not catalogued",
    ),
    (
        r"/(?:releases/[^/]+|candidates/[^/]+/build\d+)"
        rf"/(?!(?i:{_PLATFORM})/)(?P<platform>[\w-]+)/[\w-]+/[^/]+\Z",
        "platform {platform} is not known",
    ),
)

# The folders of a release or candidate that is neither flat nor a funnelcake.
_IN_PLACE = re.compile(
    r"(?:releases/\d[\w.-]*|candidates/\d[\w.-]*-candidates/build[1-9]\d*)/[\w-]+/[\w-]+/[^/]+",
    re.ASCII,
)

RULES = tuple((re.compile(pattern, re.ASCII), reason) for pattern, reason in _RULES)


def reason_against(key: str) -> str:
    """Says why a key that was not recognised is not a build: a clause, without full stop."""
    for pattern, reason in RULES:
        if match := pattern.search(key):
            return reason.format_map(match.groupdict())
    _, folder, section, rest = key.split("/", 3)
    products = products_in(folder)
    if _IN_PLACE.fullmatch(f"{section}/{rest}"):
        examples = dict.fromkeys(product.examples for product in products)
        return f"a build there is called {' or '.join(examples)}, in any letter case"
    shapes = (shape for product in products for shape in product.shapes)
    forms = dict.fromkeys(shape.form for shape in shapes if shape.section == section)
    return f"builds below pub/{folder}/{section}/ are called {' or '.join(forms)}"


def explain(key: str) -> str:
    """Says what kind of build a raw key is, or by which rule it is none.

    Starts with ``build:`` or ``no build:``, and says ``no build`` exactly where
    :func:`recognise` returns None.
    """
    build = recognise(key)
    if build is None:
        return f"no build: {reason_against(key)}."
    start = key.index(build.section) + len(build.section) + 1
    shape = next(r.shape for r in readers_of(key[:start]) if r.fullmatch(key, start))
    return (
        f"build: a {shape.name}, as {key[:start]}{shape.form}: product {build.product},"
        f" version {build.version}, channel {build.channel} (guessed from the key),"
        f" platform {build.platform}, os {build.os}, locale {build.locale},"
        f" mimetype {build.mimetype}, id {build.id}."
    )
