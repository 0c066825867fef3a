"""Small archives by a seed, and their inventories."""

from __future__ import annotations

import random
from collections.abc import Collection

from tests.support import s3_bucket
from tests.support.archive_files import File
from tests.support.archive_tree import candidate_tree, nightly_tree, release_tree

Tree = dict[str, File]

#: What may lie beside a build; the last has nothing that tells its build id.
_METADATA: Collection[Collection[str]] = (
    ("json", "neighbours"),
    ("json",),
    ("buildhub", "json"),
    ("buildhub",),
    ("neighbours",),
    (),
)
_PLATFORMS = ("linux-i686", "linux-x86_64", "mac", "win32", "win64")
_LOCALES = ("en-US", "de", "fr", "ja", "zh-TW")


def make_tree(random: random.Random) -> Tree:
    """Some releases, candidates and nightlies of several products: about 60 to 150 builds."""

    def some() -> dict[str, Collection[str]]:
        return {
            "platforms": random.sample(_PLATFORMS, 3),
            "locales": ["en-US", *random.sample(_LOCALES[1:], 2)],
            "metadata": random.choice(list(_METADATA)),
        }

    tree = release_tree("firefox", "54.0", range(1, random.randint(2, 4)), **some())  # type: ignore[arg-type]
    tree |= candidate_tree("firefox", "55.0b3", 1, **some())  # type: ignore[arg-type]
    tree |= release_tree("thunderbird", "52.2.0", (1,), **some())  # type: ignore[arg-type]
    for day in random.sample(range(1, 28), 2):
        moment = f"2017-08-{day:02}-10-00-25"
        tree |= nightly_tree("firefox", "57.0a1", moment, **some())  # type: ignore[arg-type]
    tree |= nightly_tree("thunderbird", "57.0a1", **some())  # type: ignore[arg-type]
    tree |= nightly_tree(
        "mobile", platforms=("android-api-15",), locales=("multi", "en-US"), metadata=("json",)
    )
    return tree


def inventory(tree: Tree) -> bytes:
    """A gzipped CSV of an S3 inventory that lists ``tree``, in the order of the keys."""
    objects = [(key, file.size, f"{file.date[:-1]}.000Z") for key, file in sorted(tree.items())]
    return s3_bucket.packed(s3_bucket.rows(objects, "net-mozaws-prod-delivery-x"))


def split(tree: Tree, parts: int) -> list[Tree]:
    """``tree`` in several, by its keys' order."""
    items = sorted(tree.items())
    step = -(-len(items) // parts)
    return [dict(items[start : start + step]) for start in range(0, len(items), step)]
