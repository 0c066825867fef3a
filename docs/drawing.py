"""Draws ``overview.txt`` and ``architecture.txt``: boxes in a grid and arrows between them, as SVG.

A line of the text is ``box NAME COLUMN ROW KIND | line | line``, ``arrow FROM TO | label``, or
``down FROM TO``, an arrow from the bottom of a box to the top of one below.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 190, 64  # of a box
GAP_X, GAP_Y = 76, 52  # between boxes
MARGIN = 12
LINE = 17  # of text

COLOURS = {"theirs": "#eceff4", "ours": "#cfe3ff", "store": "#d9f2d9"}

HEAD = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}"
     height="{height}" font-family="sans-serif" font-size="13" text-anchor="middle">
<defs>
  <marker id="head" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8"
          orient="auto"><path d="M0 0 L8 4 L0 8 z"/></marker>
</defs>
<rect width="100%" height="100%" fill="white"/>"""


@dataclass(frozen=True)
class Box:
    """A box of the grid; its first line is its title."""

    column: int
    row: int
    kind: str
    lines: tuple[str, ...]

    @property
    def left(self) -> int:
        return MARGIN + self.column * (WIDTH + GAP_X)

    @property
    def top(self) -> int:
        return MARGIN + self.row * (HEIGHT + GAP_Y)

    @property
    def middle(self) -> tuple[int, int]:
        return self.left + WIDTH // 2, self.top + HEIGHT // 2

    def svg(self) -> Iterator[str]:
        """The box and its text, centred."""
        yield (
            f'<rect x="{self.left}" y="{self.top}" width="{WIDTH}" height="{HEIGHT}" rx="6"'
            f' fill="{COLOURS[self.kind]}" stroke="#445"/>'
        )
        x, y = self.middle
        y += 5 - LINE * (len(self.lines) - 1) // 2
        for number, line in enumerate(self.lines):
            style = ' font-weight="bold"' if number == 0 else ' font-size="11"'
            yield f'<text x="{x}" y="{y + number * LINE}"{style}>{escape(line)}</text>'


def svg(text: str) -> str:
    """The drawing of ``text``; ValueError with the line that can't be understood."""
    boxes: dict[str, Box] = {}
    arrows: list[tuple[str, str, str]] = []
    downs: list[tuple[str, str]] = []
    for line in text.splitlines():
        words, *labels = (part.strip() for part in line.partition("#")[0].split("|"))
        match words.split():
            case ["box", name, column, row, kind]:
                boxes[name] = Box(int(column), int(row), kind, tuple(labels))
            case ["arrow", start, end]:
                arrows.append((start, end, "".join(labels)))
            case ["down", start, end]:
                downs.append((start, end))
            case []:
                pass
            case _:
                raise ValueError(f"neither a box nor an arrow: {line}")
    width = max(box.left for box in boxes.values()) + WIDTH + MARGIN
    height = max(box.top for box in boxes.values()) + HEIGHT + MARGIN
    parts = [HEAD.format(width=width, height=height)]
    parts += [part for box in boxes.values() for part in box.svg()]
    parts += [
        part for start, end, label in arrows for part in _arrow(boxes[start], boxes[end], label)
    ]
    parts += [_down(boxes[start], boxes[end]) for start, end in downs]
    return "\n".join([*parts, "</svg>", ""])


def _line(x1: int, y1: int, x2: int, y2: int) -> str:
    return f'<path d="M{x1} {y1} L{x2} {y2}" stroke="#445" marker-end="url(#head)"/>'


def _down(start: Box, end: Box) -> str:
    """From the bottom to the top of a box below; arrows to one box end apart from each other."""
    shift = WIDTH // 5 * (end.column - start.column)
    return _line(start.middle[0] + shift, start.top + HEIGHT, end.middle[0] - shift, end.top)


def _arrow(start: Box, end: Box, label: str) -> Iterator[str]:
    """A straight line between the sides that face each other, its label beside its middle."""
    (x1, y1), (x2, y2) = start.middle, end.middle
    if start.column != end.column:
        x1, x2 = start.left + WIDTH, end.left
        at, anchor = ((x1 + x2) // 2, (y1 + y2) // 2 - 6), "middle"
    else:
        down = end.row > start.row
        y1, y2 = (start.top + HEIGHT, end.top) if down else (start.top, end.top + HEIGHT)
        at, anchor = (x1 + 6, (y1 + y2) // 2 + 4), "start"
    yield _line(x1, y1, x2, y2)
    yield (
        f'<text x="{at[0]}" y="{at[1]}" font-size="11" text-anchor="{anchor}">'
        f"{escape(label)}</text>"
    )
