"""The products that are catalogued: the one table of what distinguishes them.

No other module names a product. To add one, add an entry here, its keys to the tests' tables and
a line to the documentation; :ref:`add-product` in the documentation has the steps.

Tables that are derived from this one are built when the modules that use it are imported.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from .patterns import APP_SHAPES, DESKTOP_FILE, DEVICE_NIGHTLY, FULL_NAME_FILE, SHAPES, TREES, Shape

_MOZILLA_CENTRAL = "https://hg.mozilla.org/mozilla-central"
_DESKTOP_EXAMPLES = "{0}-55.0.tar.bz2 (.xz, .gz), {1} 55.0.dmg or {1} Setup 55.0.exe".format


class Product(NamedTuple):
    """A product: where it is in the archive, and how its files are named."""

    name: str  #: ``source.product`` of its records
    folder: str  #: of the archive: ``pub/<folder>/``
    app: str  #: how the names of its files begin
    examples: str  #: names of a release's files, for ``--explain``
    file: str = DESKTOP_FILE  #: the pattern of a release's or a candidate's file
    shapes: tuple[Shape, ...] = SHAPES  #: how its keys are laid out
    trees: tuple[str, ...] = TREES  #: whose nightlies are catalogued
    beta: str = "beta"  #: the channel of a version with a ``b``
    #: The name of the metadata file in the en-US folder of a candidate.
    metadata_name: str = "{app}-{version}.json"
    #: The locale of those nightlies that have metadata beside them.
    nightly_locale: str = "en-US"
    #: The repository of a nightly before 2011 whose metadata contains a revision alone.
    old_repository: str | None = None
    #: The product whose nightlies are made from the same pushes, at the same second. This product
    #: has no metadata of its own then: its nightlies take that of the other one, all else is
    #: published without a build id.
    same_push: str | None = None
    default: bool = True  #: whether it is catalogued unless ``PRODUCTS`` says otherwise
    #: The parts of its folder that have builds: without any there, the source has dried up.
    sections: tuple[str, ...] = ("candidates", "nightly", "releases")

    def metadata_file(self, version: str, platform: str) -> str:
        """Returns the name of a candidate's metadata file; ``platform`` is as in file names."""
        return self.metadata_name.format(
            app=self.app, version=version, locale="en-US", platform=platform
        )

    def metadata_pattern(
        self, version: str, platform: str, locale: str = "en-US"
    ) -> re.Pattern[str]:
        """Returns a pattern of metadata files; the arguments are regular expressions."""
        pattern = re.escape(self.metadata_name)
        parts = {"app": self.app, "version": version, "locale": locale, "platform": platform}
        for part, wanted in parts.items():
            pattern = pattern.replace(re.escape(f"{{{part}}}"), wanted)
        return re.compile(pattern, re.IGNORECASE)


def _app(name: str, folder: str) -> Product:
    """Returns an app for Android, off unless ``PRODUCTS`` names it."""
    return Product(
        name, folder, name, f"{name}-144.0.multi.android-arm64-v8a.apk",
        shapes=APP_SHAPES, same_push="firefox", default=False, sections=("nightly", "releases"),
    )  # fmt: skip


# fmt: off
_TABLE = (
    Product(
        "firefox", "firefox", "firefox", _DESKTOP_EXAMPLES("firefox", "Firefox"),
        old_repository=_MOZILLA_CENTRAL,
    ),
    Product(
        "thunderbird", "thunderbird", "thunderbird", _DESKTOP_EXAMPLES("thunderbird", "Thunderbird")
    ),
    Product(
        "fennec", "mobile", "fennec", "fennec-55.0.multi.android-arm.apk",
        file=FULL_NAME_FILE,
        shapes=(*SHAPES, DEVICE_NIGHTLY),
        trees=(*TREES, "mozilla-esr68"),  # from June 2019 on
        metadata_name="{app}-{version}.{locale}.{platform}.json",
        nightly_locale="multi",
        old_repository=_MOZILLA_CENTRAL,
    ),
    Product(
        "devedition", "devedition", "firefox",  # its files are called Firefox
        _DESKTOP_EXAMPLES("firefox", "Firefox"),
        beta="aurora",
        sections=("candidates", "releases"),
    ),
    _app("fenix", "fenix"),
    _app("focus", "focus"),
    _app("klar", "focus"),
)
# fmt: on

#: By name.
PRODUCTS: dict[str, Product] = {product.name: product for product in _TABLE}


def product_folders(*, default: bool = False) -> tuple[str, ...]:
    """Returns the archive's folders of all products, or of those that are catalogued by default."""
    products = (p for p in PRODUCTS.values() if p.default or not default)
    return tuple(dict.fromkeys(product.folder for product in products))


def products_in(folder: str) -> list[Product]:
    """Returns the products whose builds are in ``pub/<folder>/``."""
    return [product for product in PRODUCTS.values() if product.folder == folder]


def folder_named(word: str) -> str | None:
    """Returns the archive's folder that is meant by its own name or by a product's, or None."""
    if word in PRODUCTS:
        return PRODUCTS[word].folder
    return word if products_in(word) else None


def aliases() -> dict[str, str]:
    """Maps products to their folders, where these have another name."""
    return {p.name: p.folder for p in PRODUCTS.values() if p.name not in product_folders()}
