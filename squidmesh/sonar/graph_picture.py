"""The graph of a run, or of a workflow, as SVG. The same workflow always gives the same picture: only its classes
change while a run goes on. Colours are the style sheet's; each state has an icon of its own as well.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup

from squidmesh import GraphEdge, GraphLink, GraphNode, Placement, RunGraph, place_graph
from squidmesh.sonar.words import length, shorten

_WIDTH, _HEIGHT = 204, 54
_LANE = 30
"""The width of a column that holds no box."""
_ACROSS = 34
_DOWN, _DOWN_A_LABEL = 40, 25
_MARGIN = 10
_PORT = 22
"""Between two edges that leave, or reach, one box."""
_LETTER = 7.4
_LONGEST_NAME, _LONGEST_NOTE, _LONGEST_LABEL = 20, 27, 30
_KIND_ICONS = {
    **{"function": "idle", "wait": "waiting", "log": "skipped", "approval": "paused", "pause": "paused"},
    **{"event": "waiting", "wait_for_children": "waiting", "complete": "completed"},
}
_DRAW_LAST = {"selected": 3, "pending": 2, "blocked": 1, "skipped": 0}


def draw(graph: RunGraph, *, name: str) -> Markup:
    """An ``svg`` element of its own size. ``name``: what a screen reader calls it."""
    if not graph.nodes:
        return Markup("")
    return _Picture(graph, place_graph(graph)).draw(name)


@dataclass(frozen=True, slots=True)
class _Column:
    x: float
    width: float

    @property
    def middle(self) -> float:
        return self.x + self.width / 2


class _Picture:
    def __init__(self, graph: RunGraph, placement: Placement) -> None:
        self._graph = graph
        self._placement = placement
        self._labels = {edge.id: _label(graph, edge) for edge in graph.edges}
        self._columns = self._measure_columns()
        self._tops = self._measure_rows()
        self._leaving = self._ports("source", "target")
        self._arriving = self._ports("target", "source")

    def draw(self, name: str) -> Markup:
        width = self._columns[-1].x + self._columns[-1].width + _MARGIN
        height = self._tops[-1] + _HEIGHT + _MARGIN
        pairs = sorted(
            zip(self._graph.edges, self._placement.links, strict=True), key=lambda pair: _DRAW_LAST[pair[0].status]
        )
        parts = [self._edge(edge, link) for edge, link in pairs]
        parts += [self._tag(edge, link) for edge, link in pairs if self._labels[edge.id]]
        parts += [self._node(node) for node in self._graph.nodes]
        columns = min(6, len(set(self._placement.columns.values())))
        return Markup(
            '<svg class="graph of-{columns}" role="img" aria-label="{name}" viewBox="0 0 {w} {h}" width="{w}">'
            "<title>{name}</title>{parts}</svg>"
        ).format(
            columns=columns,
            name=name,
            w=round(width),
            h=round(height),
            parts=Markup("").join(parts),
        )

    # ------------------------------------------------------------------------------------------------- measuring

    def _measure_columns(self) -> list[_Column]:
        boxes = set(self._placement.columns.values())
        columns: list[_Column] = []
        x = float(_MARGIN)
        for number in range(self._placement.width):
            width = _WIDTH if number in boxes else _LANE
            columns.append(_Column(x, width))
            x += width + _ACROSS
        return columns

    def _measure_rows(self) -> list[float]:
        """The top of each row. There is more room below one from which edges with words lead."""
        rows = self._placement.rows
        last = max(rows.values())
        by_node = Counter(edge.source for edge in self._graph.edges if self._labels[edge.id])
        most: dict[int, int] = {}
        for name, labels in by_node.items():
            most[rows[name]] = max(most.get(rows[name], 0), labels)
        tops = [float(_MARGIN)]
        for row in range(last):
            tops.append(tops[-1] + _HEIGHT + _DOWN + _DOWN_A_LABEL * most.get(row, 0))
        return tops

    def _ports(self, end: str, other: str) -> dict[str, float]:
        """By edge: how far from the middle of its box it leaves or arrives, those to the left first."""
        by_node: dict[str, list[tuple[int, int, str]]] = defaultdict(list)
        for order, (edge, link) in enumerate(zip(self._graph.edges, self._placement.links, strict=True)):
            towards = link.lane if link.lane is not None else self._placement.columns[getattr(edge, other)]
            by_node[getattr(edge, end)].append((towards, order, edge.id))
        found: dict[str, float] = {}
        for edges in by_node.values():
            gap = min(_PORT, (_WIDTH - 40) / max(1, len(edges) - 1))
            for place, (_, _, edge_id) in enumerate(sorted(edges)):
                found[edge_id] = (place - (len(edges) - 1) / 2) * gap
        return found

    def _column(self, name: str) -> _Column:
        return self._columns[self._placement.columns[name]]

    def _top(self, name: str) -> float:
        return self._tops[self._placement.rows[name]]

    # --------------------------------------------------------------------------------------------------- drawing

    def _points(self, edge: GraphEdge, link: GraphLink) -> list[tuple[float, float]]:
        """Where an edge goes: out of its box, down its lane, into the other box."""
        begin = (self._column(edge.source).middle + self._leaving[edge.id], self._top(edge.source) + _HEIGHT)
        end = (self._column(edge.target).middle + self._arriving[edge.id], self._top(edge.target) - 5)
        if link.lane is None:
            return [begin, end]
        x = self._columns[link.lane].middle
        if link.lane == self._placement.columns[edge.target]:
            x = end[0]
        elif link.lane == self._placement.columns[edge.source]:
            x = begin[0]
        first, last = self._placement.rows[edge.source] + 1, self._placement.rows[edge.target] - 1
        return [begin, (x, self._tops[first]), (x, self._tops[last] + _HEIGHT), end]

    def _edge(self, edge: GraphEdge, link: GraphLink) -> Markup:
        points = self._points(edge, link)
        path = f"M{_at(points[0])}"
        for (x1, y1), (x2, y2) in pairwise(points):
            if x1 == x2:
                path += f"L{_at((x2, y2))}"
            else:
                bend = (y2 - y1) / 2
                path += f"C{_at((x1, y1 + bend))} {_at((x2, y2 - bend))} {_at((x2, y2))}"
        x, y = points[-1]
        arrow = f"M{_at((x - 4.5, y - 4))}L{_at((x, y + 4))}L{_at((x + 4.5, y - 4))}Z"
        return Markup(
            '<g class="edge is-{status}"><path class="line" d="{path}"/><path class="head" d="{arrow}"/></g>'
        ).format(status=edge.status, path=path, arrow=arrow)

    def _tag(self, edge: GraphEdge, link: GraphLink) -> Markup:
        """The words of an edge, in the middle of its first leg, on a ground of their own."""
        text = shorten(self._labels[edge.id], _LONGEST_LABEL)
        (x1, y1), (x2, _) = self._points(edge, link)[:2]
        row = self._placement.rows[edge.source]
        gap = self._tops[row + 1] - self._tops[row] - _HEIGHT
        width = len(text) * 6.4 + 12
        edges = [one for one in self._graph.edges if one.source == edge.source and self._labels[one.id]]
        order = sorted(edges, key=lambda one: self._leaving[one.id])
        step = (gap - 40) / max(1, len(order) - 1)
        level = order.index(edge)
        middle = (x1 + x2) / 2
        y = y1 + (gap / 2 if len(order) == 1 else 16 + step * level)
        if len(order) > 1:
            along = (y - y1) / gap
            middle = x1 + (x2 - x1) * (3 * along**2 - 2 * along**3)
        left = max(2.0, middle - width / 2)
        return Markup(
            '<g class="tag is-{status}"><title>{whole}</title><rect x="{x}" y="{y}" width="{w}" height="18" rx="9"/>'
            '<text x="{tx}" y="{ty}">{text}</text></g>'
        ).format(
            status=edge.status,
            whole=self._labels[edge.id],
            x=_number(left),
            y=_number(y - 9),
            w=_number(width),
            tx=_number(left + width / 2),
            ty=_number(y + 4),
            text=text,
        )

    def _node(self, node: GraphNode) -> Markup:
        x, y = self._column(node.id).x, self._top(node.id)
        return Markup(
            '<g class="node is-{status}" transform="translate({x} {y})"><title>{title}</title>'
            '<rect class="box" width="{w}" height="{h}" rx="{r}"/>'
            '<use class="icon" href="#i-{icon}" x="13" y="17" width="20" height="20"/>'
            '<text class="name" x="44" y="23">{name}</text><text class="note" x="44" y="41">{note}</text></g>'
        ).format(
            status="plain" if self._graph.run_id is None else node.status,
            icon=_KIND_ICONS[node.kind] if self._graph.run_id is None else node.status,
            x=_number(x),
            y=_number(y),
            w=_WIDTH,
            h=_HEIGHT,
            r=27 if node.kind == "complete" else 9,
            title=f"{node.id}: {_note(node, self._graph)}. {node.description}",
            name=shorten(node.id, _LONGEST_NAME),
            note=shorten(_note(node, self._graph), _LONGEST_NOTE),
        )


def _note(node: GraphNode, graph: RunGraph) -> str:
    """The state in a word, and what matters most beside it; without a run, what kind of step it is."""
    words: list[str] = [node.status]
    if graph.run_id is None:
        words = [] if node.kind not in ("function", "complete") else ["step" if node.kind == "function" else "the end"]
    if node.kind not in ("function", "complete"):
        kind = "wait for children" if node.kind == "wait_for_children" else node.kind
        words.append(f"{kind} {length(node.duration)}" if node.duration is not None else kind)
    if node.event is not None:
        words[-1] = f"event {node.event}"
    if node.decision is not None:
        words[-1] = node.decision
    if node.error is not None and node.status in ("failed", "retrying"):
        words.append(node.error_type or node.error)
    elif node.attempt is not None and (node.attempt > 1 or node.status == "retrying"):
        words.append(f"try {node.attempt}" + (f" of {node.max_attempts}" if node.max_attempts else ""))
    if node.compensation is not None:
        words.append("undone" if node.compensation == "completed" else f"undo {node.compensation}")
    return " · ".join(words)


def _label(graph: RunGraph, edge: GraphEdge) -> str:
    """What stands at an edge: nothing at the only route of a step, if it is the plain one."""
    siblings = [other for other in graph.edges if other.source == edge.source]
    words: list[str] = [] if edge.on in ("ok", "dependency") else [edge.on]
    if edge.condition is not None:
        words.append(edge.condition)
    elif any(other.on == edge.on and other.condition is not None for other in siblings):
        words.append("otherwise")
    if edge.recovery is not None:
        words.append(edge.recovery)
    return " · ".join(words)


def _at(point: tuple[float, float]) -> str:
    return f"{_number(point[0])},{_number(point[1])}"


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
