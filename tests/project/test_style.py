"""Rules of the source's text that ruff does not know."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted((ROOT / "buildhub").rglob("*.py"))

TESTS = sorted(
    path for name in ("tests", "benchmarks", "docs") for path in (ROOT / name).rglob("*.py")
)

#: A docstring begins with a verb, or, of a value or a class, with what it is.
QUESTION = re.compile(r"(What|Whether|Which|How)\b")


def docstrings(path: Path) -> Iterator[str]:
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield ast.get_docstring(node) or ""


@pytest.mark.parametrize("path", MODULES + TESTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_docstring_begins_with_a_question_word(path: Path) -> None:
    assert [text for text in docstrings(path) if QUESTION.match(text)] == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_regular_expression_has_a_possessive_or_atomic_group(path: Path) -> None:
    """Before Python 3.11.5 (Debian 12 has 3.11.2) such groups fail where they should match.

    No release and no candidate was a build there, without any message.
    """
    assert not re.search(r"\)(?:[*+?]|\{[\d,]+\})\+|\(\?>", path.read_text())
