"""The table of what people type, which the tests of the page and of ``kinto-to-records`` share."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

TABLE = Path(__file__).parents[1] / "data" / "questions.tsv"


class Question(NamedTuple):
    """A row; the columns are described at the head of the table."""

    typed: str
    conditions: dict[str, str]
    unclear: list[str]
    option: str


def questions() -> list[Question]:
    """All rows, in the table's order."""
    lines = TABLE.read_text(encoding="utf-8").splitlines()
    return [_question(line) for line in lines if line and not line.startswith("#")]


def _question(line: str) -> Question:
    typed, conditions, unclear, option = (line + "\t\t\t").split("\t")[:4]
    pairs = (one.partition("=") for one in conditions.split("; ") if one)
    return Question(typed, {name: value for name, _, value in pairs}, unclear.split(), option)
