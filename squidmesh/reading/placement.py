"""Where the nodes of a graph stand when it is drawn: rows from the top down, columns from the left.

The longest way on which all goes well is the spine: column 0, straight down. What leads away from it stands to the
right. The placement depends on the workflow alone, so the picture of a run does not jump while the run goes on.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count

from squidmesh.reading.graph import RunGraph


@dataclass(frozen=True, slots=True)
class GraphLink:
    """An edge as it is drawn. ``lane`` is the column in which it passes the rows between its ends; None where these
    stand in neighbouring rows.
    """

    id: str
    source: str
    target: str
    lane: int | None


@dataclass(frozen=True, slots=True)
class Placement:
    """``rows`` and ``columns`` tell the place of each node, by id."""

    rows: dict[str, int]
    columns: dict[str, int]
    links: tuple[GraphLink, ...]

    @property
    def width(self) -> int:
        lanes = [link.lane for link in self.links if link.lane is not None]
        return 1 + max([*self.columns.values(), *lanes], default=0)


def place_graph(graph: RunGraph) -> Placement:
    """Every node gets a cell of its own, and every edge leads at least one row down. The graph has no cycle."""
    rows = _rows(graph)
    grid = _Grid(rows)
    for name in _spine(graph, rows):
        grid.put(name, 0)
    rest = [node.id for node in graph.nodes if node.id not in grid.columns]
    for name in sorted(rest, key=lambda name: rows[name]):
        sources = [edge.source for edge in graph.edges if edge.target == name]
        grid.put(name, grid.column_for(name, sources))
    links = tuple(
        GraphLink(edge.id, edge.source, edge.target, grid.lane_for(edge.source, edge.target)) for edge in graph.edges
    )
    return Placement(rows, grid.columns, links)


_ONWARD = frozenset({"ok", "dependency"})


def _rows(graph: RunGraph) -> dict[str, int]:
    """The number of edges on the longest way to each node."""
    rows = {node.id: 0 for node in graph.nodes}
    for _ in graph.nodes:
        for edge in graph.edges:
            rows[edge.target] = max(rows[edge.target], rows[edge.source] + 1)
    return rows


def _spine(graph: RunGraph, rows: dict[str, int]) -> list[str]:
    """From a root along ok edges and dependencies, the way with the most nodes; of several, the one declared first."""
    best: dict[str, list[str]] = {}
    for name in sorted(rows, key=lambda name: -rows[name]):
        ways = [best[edge.target] for edge in graph.edges if edge.source == name and edge.on in _ONWARD]
        best[name] = [name, *max(ways, key=len, default=[])]
    return max((best[root] for root in graph.roots), key=len)


class _Grid:
    """Which cells are taken: by a node, or by the lane of edges to one target, which may share it."""

    def __init__(self, rows: dict[str, int]) -> None:
        self._rows = rows
        self._taken: dict[tuple[int, int], str] = {}
        self._passing: dict[tuple[int, int], str] = {}
        self.columns: dict[str, int] = {}

    def put(self, name: str, column: int) -> None:
        self.columns[name] = column
        self._taken[self._rows[name], column] = name

    def column_for(self, name: str, sources: Iterable[str]) -> int:
        """Below its only source, where that stands beside the spine; else the first column with room for the node, and
        for the lanes that lead straight down to it. Takes the room.
        """
        placed = [source for source in sources if source in self.columns]
        beside = self.columns[placed[0]] if len(placed) == 1 else 1
        top = min((self._rows[source] + 1 for source in placed), default=self._rows[name])
        column = max(1, beside)
        cells = range(top, self._rows[name] + 1)
        while not self._free(cells, column, name):
            column += 1
        for row in cells:
            self._taken[row, column] = name
        return column

    def lane_for(self, source: str, target: str) -> int | None:
        """Preferably above the target, or below the source."""
        between = range(self._rows[source] + 1, self._rows[target])
        if not between:
            return None
        preferred = [self.columns[target], self.columns[source]]
        lane = next((column for column in preferred if self._free(between, column, target)), None)
        if lane is None:
            lane = next(column for column in count(1) if self._passable(between, column, target))
            self._passing |= {(row, lane): target for row in between}
        self._taken |= {(row, lane): target for row in between}
        return lane

    def _free(self, rows: range, column: int, target: str) -> bool:
        return all(self._taken.get((row, column), target) == target for row in rows)

    def _passable(self, rows: range, column: int, target: str) -> bool:
        """Where one lane ends, no other may begin: in the gap between them, they would look like one."""
        around = range(rows.start - 1, rows.stop + 1)
        apart = all(self._passing.get((row, column), target) == target for row in around)
        return apart and self._free(rows, column, target)
