"""Lines and texts on a grid of character cells. Where lines meet, the right box-drawing character stands."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from itertools import groupby

from rich.text import Text

# One character for each way in which lines leave a cell: 27·up + 9·right + 3·down + left; 0 none, 1 light, 2 heavy.
_JUNCTIONS = " ╴╸╷┐┑╻┒┓╶─╾┌┬┭┎┰┱╺╼━┍┮┯┏┲┳╵┘┙│┤┥╽┧┪└┴┵├┼┽┟╁╅┕┶┷┝┾┿┢╆╈╹┚┛╿┦┩┃┨┫┖┸┹┞╀╃┠╂╉┗┺┻┡╄╇┣╊╋"
_ROUNDED = {"┌": "╭", "┐": "╮", "┘": "╯", "└": "╰"}
_DASHED = {"─": "╌", "│": "╎"}
_UP, _RIGHT, _DOWN, _LEFT = range(4)


class Pen(IntEnum):
    """How a line looks. Where two share a cell, the stronger one gives its style."""

    DASHED = 0
    LIGHT = 1
    HEAVY = 2

    @property
    def weight(self) -> int:
        return 2 if self is Pen.HEAVY else 1


@dataclass(slots=True)
class _Cell:
    arms: list[int] = field(default_factory=lambda: [0, 0, 0, 0])
    pen: Pen = Pen.DASHED
    style: str = ""

    def character(self) -> str:
        up, right, down, left = self.arms
        found = _JUNCTIONS[27 * up + 9 * right + 3 * down + left]
        if self.pen is Pen.DASHED:
            found = _DASHED.get(found, found)
        return _ROUNDED.get(found, found)


class Canvas:
    """Grows as it is drawn on. ``x`` counts from the left, ``y`` from the top."""

    def __init__(self) -> None:
        self._cells: dict[tuple[int, int], _Cell] = {}
        self._texts: dict[tuple[int, int], tuple[str, str]] = {}

    def vertical(self, x: int, top: int, bottom: int, pen: Pen, style: str) -> None:
        for y in range(top, bottom + 1):
            self._arms(x, y, pen, style, *[_UP] * (y > top), *[_DOWN] * (y < bottom))

    def horizontal(self, y: int, left: int, right: int, pen: Pen, style: str) -> None:
        for x in range(left, right + 1):
            self._arms(x, y, pen, style, *[_LEFT] * (x > left), *[_RIGHT] * (x < right))

    def box(self, x: int, y: int, width: int, height: int, pen: Pen, style: str) -> None:
        right, bottom = x + width - 1, y + height - 1
        for line in (y, bottom):
            self.horizontal(line, x, right, pen, style)
        for line in (x, right):
            self.vertical(line, y, bottom, pen, style)

    def text(self, x: int, y: int, text: str, style: str = "") -> None:
        """Covers the lines under it."""
        for offset, character in enumerate(text):
            self._texts[x + offset, y] = (character, style)

    def lines(self) -> list[Text]:
        places = self._cells.keys() | self._texts.keys()
        rows: list[Text] = []
        for y in range(1 + max((y for _, y in places), default=-1)):
            width = 1 + max((x for x, at in places if at == y), default=-1)
            drawn = [self._at(x, y) for x in range(width)]
            row = Text(no_wrap=True, overflow="crop")
            for style, pieces in groupby(drawn, key=lambda piece: piece[1]):
                row.append("".join(character for character, _ in pieces), style)
            row.rstrip()
            rows.append(row)
        return rows

    def _at(self, x: int, y: int) -> tuple[str, str]:
        """The character and its style."""
        if (x, y) in self._texts:
            return self._texts[x, y]
        cell = self._cells.get((x, y))
        return (cell.character(), cell.style) if cell else (" ", "")

    def _arms(self, x: int, y: int, pen: Pen, style: str, *arms: int) -> None:
        cell = self._cells.setdefault((x, y), _Cell(style=style))
        for arm in arms:
            cell.arms[arm] = max(cell.arms[arm], pen.weight)
        if pen >= cell.pen:
            cell.pen, cell.style = pen, style
