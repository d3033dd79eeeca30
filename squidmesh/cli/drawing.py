"""Drawings for a terminal: the graph of a run, and its explanation.

The graph is drawn as boxes from the top down. Taken edges are heavy and end in ``▼``, those that may still be taken are
light, those that will not be are dashed; the current node has a heavy frame, one that is not reached any more a dashed
one. Where the terminal is too narrow for that, the graph is an outline: its nodes, and the routes of each.
"""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from squidmesh import Explanation, GraphEdge, RunGraph
from squidmesh.cli import looks
from squidmesh.cli.boxes import headline, notes, title
from squidmesh.cli.output import clean, shown
from squidmesh.cli.sketch import EDGE_STYLES, edge_label, sketch


def draw_graph(graph: RunGraph) -> RenderableType:
    """The graph under a line that names the run; as wide as it needs, within the console's width."""
    return Group(_heading(graph), Text(), _Drawing(graph))


def explanation_panel(explanation: Explanation) -> RenderableType:
    """The reason and its sentence, the evidence, and what may be done next."""
    evidence = Table.grid(padding=(0, 2))
    evidence.add_column(style="dim", no_wrap=True)
    evidence.add_column(overflow="fold")
    for name, value in explanation.evidence.items():
        evidence.add_row(name.replace("_", " "), clean(shown(value, explanation.as_of)))
    steps = [Text(f"  {action}", style="bold", overflow="fold") for action in explanation.next_actions]
    parts: list[RenderableType] = [
        clean(explanation.summary),
        Text(),
        evidence,
        Text(),
        Text("next", style="dim"),
        *steps,
    ]
    heading = Text.assemble("why: ", (explanation.reason, "bold"))
    return Panel(Group(*parts), title=heading, title_align="left", border_style="dim", padding=(1, 2), expand=False)


class _Drawing:
    def __init__(self, graph: RunGraph) -> None:
        self._graph = graph

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        drawing = sketch(self._graph, options.max_width)
        if drawing is None:
            yield from _outline(self._graph)
            return
        yield from drawing.lines
        for edge, label in drawing.cut_short:
            note = clean(f"{edge.source} → {edge.target}: {label}")
            yield Padding(note, (0, 0, 0, 2), style="dim", expand=False)


def _heading(graph: RunGraph) -> Text:
    heading = Text(overflow="fold")
    heading.append(clean(graph.workflow).plain, style="bold")
    heading.append(f" {clean(graph.version)}", style="dim")
    if graph.run_id is not None:
        heading.append(f"  run {graph.run_id}  ", style="dim")
    if graph.status is not None:
        heading.append_text(looks.status_text(graph.status))
    return heading


def _outline(graph: RunGraph) -> Iterator[RenderableType]:
    """One paragraph a node, with a line for each of its routes."""
    for node in graph.nodes:
        line = Text(f"{looks.sign(node.status)} {title(node)}", style=looks.style(node.status))
        said = ", ".join((headline(node, graph.as_of), *notes(node)))
        yield Padding(line.append(f"  {said}", style="dim"), (0, 0, 0, 2), expand=False)
        for edge in graph.edges:
            if edge.source == node.id:
                yield Padding(_route(graph, edge), (0, 0, 0, 6), expand=False)


_ARROWS = {"selected": "━▶", "pending": "─▷", "skipped": "╌▷", "blocked": "╌▷"}


def _route(graph: RunGraph, edge: GraphEdge) -> Text:
    label = edge_label(graph, edge) or edge.on
    line = Text(f"{label} {_ARROWS[edge.status]} {edge.target}", style=EDGE_STYLES[edge.status])
    return line if edge.status == "selected" else line.append(f"  ({edge.status})", style="dim")
