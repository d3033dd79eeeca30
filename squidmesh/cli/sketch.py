"""A graph as boxes and lines: measures columns and rows, routes the edges between them, and draws."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

from rich.text import Text

from squidmesh import GraphEdge, GraphLink, Placement, RunGraph, place_graph
from squidmesh.cli.boxes import NARROWEST, Box, box_of, shorten
from squidmesh.cli.canvas import Canvas, Pen

_MARGIN = 2
_GAP = 3
_LANE = 3
"""The width of a column that holds no box."""
_WIDEST = 44
_LEFT_PORT, _MIDDLE_PORT, _RIGHT_PORT, _FOREIGN_PORT = 2, 5, 8, 11
"""Where lines meet a box: what comes from above in its own column, or leaves it, in the middle; what comes from the
left or the right, on that side. A lane that passes by on its way to another column keeps to the last one. So no two
lines ever share a vertical, unless they lead to the same box.
"""
_MOST_TRIED = 5

_PENS = {"selected": Pen.HEAVY, "pending": Pen.LIGHT, "skipped": Pen.DASHED, "blocked": Pen.DASHED}
EDGE_STYLES = {"selected": "bold", "pending": "", "skipped": "dim", "blocked": "dim"}


@dataclass(frozen=True, slots=True)
class Drawing:
    """``cut_short``: the edges whose label had no room, with the whole of it."""

    lines: list[Text]
    cut_short: list[tuple[GraphEdge, str]]


def sketch(graph: RunGraph, width: int) -> Drawing | None:
    """None where it does not fit."""
    boxes = {node.id: box_of(node, graph.as_of) for node in graph.nodes}
    placement = place_graph(graph)
    columns = _columns(graph, placement, boxes, width)
    return None if columns is None else _Sketch(graph, placement, boxes, columns).draw()


def edge_label(graph: RunGraph, edge: GraphEdge) -> str:
    """What stands at an edge: nothing at the only route of a step, if it is the plain one."""
    siblings = [other for other in graph.edges if other.source == edge.source]
    words: list[str] = [] if edge.on == "ok" else [edge.on]
    if edge.condition is not None:
        words.append(edge.condition)
    elif any(other.on == edge.on and other.condition is not None for other in siblings):
        words.append("otherwise")
    if edge.recovery is not None:
        words.append(edge.recovery)
    return " · ".join(words) or ("ok" if len(siblings) > 1 else "")


@dataclass(frozen=True, slots=True)
class _Column:
    x: int
    width: int


def _columns(graph: RunGraph, placement: Placement, boxes: dict[str, Box], width: int) -> list[_Column] | None:
    """As wide as boxes and labels want; the widest give way where that is too much."""
    widths = [_LANE] * placement.width
    for name, column in placement.columns.items():
        labels = [len(edge_label(graph, edge)) + 8 for edge in graph.edges if edge.source == name]
        widths[column] = min(_WIDEST, max(widths[column], boxes[name].natural_width, *labels, NARROWEST))
    excess = _MARGIN + sum(widths) + _GAP * (len(widths) - 1) - width
    while excess > 0:
        widest = max(range(len(widths)), key=lambda column: widths[column])
        if widths[widest] <= NARROWEST:
            return None
        widths[widest] -= 1
        excess -= 1
    columns, x = [], _MARGIN
    for each in widths:
        columns.append(_Column(x, each))
        x += each + _GAP
    return columns


@dataclass(slots=True)
class _Leg:
    """An edge's way through the gap below one row: from ``x`` at its top to ``to`` at its bottom."""

    edge: GraphEdge
    x: int
    to: int
    label: str = ""
    level: int = 0
    """On which line of the gap it goes sideways, or has its label."""

    @property
    def needs_level(self) -> bool:
        return self.x != self.to or bool(self.label)

    def span(self) -> tuple[int, int]:
        if self.x == self.to:
            return self.x, self.x + 2 + len(self.label)
        return min(self.x, self.to), max(self.x, self.to)


class _Sketch:
    def __init__(self, graph: RunGraph, placement: Placement, boxes: dict[str, Box], columns: list[_Column]) -> None:
        self._placement = placement
        self._boxes = boxes
        self._columns = columns
        self._canvas = Canvas()
        self._cut_short: list[tuple[GraphEdge, str]] = []
        self._gaps: list[list[_Leg]] = [[] for _ in range(1 + max(placement.rows.values()))]
        for edge, link in zip(graph.edges, placement.links, strict=True):
            self._route(edge, link, edge_label(graph, edge))
        for legs in self._gaps:
            _arrange(legs)
        self._tops = self._measure()

    def draw(self) -> Drawing:
        for name, box in self._boxes.items():
            column = self._column(name)
            box.draw(self._canvas, column.x, self._top(name), column.width)
        for row, legs in enumerate(self._gaps):
            for leg in sorted(legs, key=lambda leg: _PENS[leg.edge.status]):
                self._draw_leg(row, leg)
        return Drawing(self._canvas.lines(), self._cut_short)

    # ----------------------------------------------------------------------------------------------- measuring

    def _column(self, name: str) -> _Column:
        return self._columns[self._placement.columns[name]]

    def _top(self, name: str) -> int:
        return self._tops[self._placement.rows[name]]

    def _height(self, name: str) -> int:
        return self._boxes[name].height(self._column(name).width)

    def _measure(self) -> list[int]:
        """The first line of each row, and of the one that would follow the last."""
        tops = [0]
        for row, legs in enumerate(self._gaps):
            boxes = max(self._height(name) for name, at in self._placement.rows.items() if at == row)
            tops.append(tops[-1] + boxes + self._levels(legs) + 1)
        return tops

    @staticmethod
    def _levels(legs: list[_Leg]) -> int:
        return sum(leg.needs_level for leg in legs)

    # ------------------------------------------------------------------------------------------------- routing

    def _route(self, edge: GraphEdge, link: GraphLink, label: str) -> None:
        """Splits an edge into its legs: out of its box, down its lane, into the other box."""
        source, target = self._placement.columns[edge.source], self._placement.columns[edge.target]
        first, last = self._placement.rows[edge.source], self._placement.rows[edge.target] - 1
        begin = self._columns[source].x + _MIDDLE_PORT
        came_from = source if link.lane is None or link.lane == target else link.lane
        port = _MIDDLE_PORT if came_from == target else _LEFT_PORT if came_from < target else _RIGHT_PORT
        end = self._columns[target].x + port
        if link.lane is None:
            self._gaps[first].append(_Leg(edge, begin, end, label))
            return
        if link.lane == target:
            lane = end
        elif link.lane == source:
            lane = begin
        else:
            column = self._columns[link.lane]
            lane = column.x + min(_FOREIGN_PORT, column.width // 2)
        self._gaps[first].append(_Leg(edge, begin, lane, label))
        for row in range(first + 1, last):
            self._gaps[row].append(_Leg(edge, lane, lane))
        self._gaps[last].append(_Leg(edge, lane, end))

    # ------------------------------------------------------------------------------------------------- drawing

    def _draw_leg(self, row: int, leg: _Leg) -> None:
        pen, style = _PENS[leg.edge.status], EDGE_STYLES[leg.edge.status]
        begins = self._placement.rows[leg.edge.source] == row
        ends = self._placement.rows[leg.edge.target] == row + 1
        gap = self._tops[row + 1] - 1 - self._levels(self._gaps[row])
        top = self._tops[row] + self._height(leg.edge.source) - 1 if begins else self._tops[row] - 1
        bottom = self._tops[row + 1] - 1
        level = gap + leg.level
        if leg.x == leg.to:
            self._canvas.vertical(leg.x, top, bottom, pen, style)
        else:
            left, right = sorted((leg.x, leg.to))
            self._canvas.vertical(leg.x, top, level, pen, style)
            self._canvas.horizontal(level, left, right, pen, style)
            self._canvas.vertical(leg.to, level, bottom, pen, style)
        if leg.label:
            self._draw_label(leg, level, style)
        if ends:
            self._canvas.text(leg.to, bottom, "▼" if pen is Pen.HEAVY else "▽", style)

    def _draw_label(self, leg: _Leg, level: int, style: str) -> None:
        if leg.x == leg.to:
            column = self._column(leg.edge.source)
            room = max(6, column.x + column.width - leg.x - 2)
            text = shorten(leg.label, room)
            self._canvas.text(leg.x + 2, level, text, style)
        else:
            text = shorten(leg.label, abs(leg.to - leg.x) - 5)
            start = leg.x + 2 if leg.to > leg.x else leg.x - 3 - len(text)
            self._canvas.text(start, level, f" {text} ", style)
        if text != leg.label:
            self._cut_short.append((leg.edge, leg.label))


def _arrange(legs: list[_Leg]) -> None:
    """Gives each leg that needs one a line of its own in the gap, so that as few lines as possible cross."""
    moving = [leg for leg in legs if leg.needs_level]
    moving.sort(key=lambda leg: leg.x == leg.to)  # the label of what goes straight on stands lowest, if nothing crosses
    orders = permutations(moving) if len(moving) <= _MOST_TRIED else [tuple(moving)]
    for level, leg in enumerate(min(orders, key=lambda order: _crossings(order, legs))):
        leg.level = level


def _crossings(order: tuple[_Leg, ...], legs: list[_Leg]) -> int:
    """Crossed lines count once, labels with a line through them three times."""
    found = 0
    for level, leg in enumerate(order):
        left, right = leg.span()
        for other in legs:
            if other is leg:
                continue
            at = order.index(other) if other.needs_level else level
            hit = (left < other.x < right and level <= at) or (left < other.to < right and level >= at)
            found += hit * (3 if leg.x == leg.to else 1)
    return found
