"""Imports go one way, from what is started down to what knows nothing else; see architecture.rst.

``TYPE_CHECKING`` imports count: a module that names another's type can't be read without it.
"""

from __future__ import annotations

import ast
import functools
from graphlib import CycleError, TopologicalSorter
from importlib.util import resolve_name
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOP = "buildhub"

BASE = {"", "errors", "logs", "retries", "sentry", "signals", "storage", "streams"}
#: Each package and top-level module (``""`` is ``buildhub/__init__.py``), and which it may import.
#: A new one needs an entry. Nobody may import commands or the Lambda handlers.
MAY_IMPORT = {
    **dict.fromkeys(BASE, BASE),
    "builds": {"errors"},
    "settings": BASE | {"builds"},
    "http": BASE,
    "inventory": BASE | {"http"},
    "archive": BASE | {"http", "builds"},
    "records": {"errors", "builds", "archive"},
    "aws_secret": {"errors"},
    "product_details": BASE | {"builds", "http"},
    "pipeline": BASE | {"inventory", "builds", "archive", "records"},
    "kinto": BASE | {"records"},
    "wiring": BASE
    | {"http", "settings", "inventory", "builds", "archive", "records", "pipeline", "kinto"},
}
MAY_IMPORT["search"] = BASE | {"kinto"}
MAY_IMPORT["load"] = MAY_IMPORT["wiring"] | {"wiring"}
MAY_IMPORT["events"] = MAY_IMPORT["load"]
MAY_IMPORT["lambda_s3_event"] = BASE | {"aws_secret", "settings", "events"}
MAY_IMPORT["lambda_s3_inventory"] = BASE | {"aws_secret", "settings", "load"}
MAY_IMPORT["commands"] = set(MAY_IMPORT) - {"lambda_s3_event", "lambda_s3_inventory"}

#: Modules without input or output, and all that they may import beside each other.
PURE = ("buildhub.builds", "buildhub.records", "buildhub.archive.metadata_formats")
PURE += ("buildhub.archive.checksums", "buildhub.archive.locations", "buildhub.errors")
NO_IO = {
    *("__future__", "collections", "collections.abc", "dataclasses", "datetime", "difflib", "enum"),
    *("functools", "hashlib", "itertools", "json", "math", "operator", "orjson", "re", "string"),
    *("types", "typing", "urllib.parse", "zlib"),
}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


MODULES = {module_name(path): path for path in (ROOT / TOP).rglob("*.py")}


@functools.cache
def imports(module: str) -> set[str]:
    """Whatever a module imports anywhere in its code: our modules, and others by full name."""
    path = MODULES[module]
    package = module if path.stem == "__init__" else module.rpartition(".")[0]
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = resolve_name("." * node.level + (node.module or ""), package)
            names = {f"{base}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else base for name in names}
    return found


def part(module: str) -> str:
    """The package or top-level module below ``buildhub`` that a module of ours is in."""
    return module.removeprefix(TOP).lstrip(".").partition(".")[0]


def against_the_order(module: str, imported: str) -> bool:
    if imported == "click":
        return part(module) not in {"commands", "settings"}
    if imported not in MODULES or part(imported) == part(module):
        return False
    return part(imported) not in MAY_IMPORT[part(module)]


def test_imports_follow_the_order_of_the_packages() -> None:
    found = {(m, i) for m in MODULES for i in imports(m) if against_the_order(m, i)}
    assert found == set()


@pytest.mark.parametrize("module", [m for m in sorted(MODULES) if m.startswith(PURE)])
def test_a_pure_module_imports_nothing_with_input_or_output(module: str) -> None:
    others = {name for name in imports(module) if not name.startswith(PURE)}
    assert others - NO_IO == set()


def test_every_retry_is_made_by_one_module() -> None:
    assert {module for module in MODULES if "backoff" in imports(module)} == {"buildhub.retries"}


def test_no_import_cycle() -> None:
    ours = {module: imports(module) & MODULES.keys() - {module} for module in MODULES}
    try:
        TopologicalSorter(ours).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))
