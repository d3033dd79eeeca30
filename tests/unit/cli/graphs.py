"""Graphs by hand, for drawings."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from io import StringIO
from typing import Any

from rich.console import Console, RenderableType

from squidmesh import GraphEdge, GraphNode, RunGraph

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def graph(*edges: str, nodes: Mapping[str, Mapping[str, Any]] | None = None, entry: str = "", **run: Any) -> RunGraph:
    """``a:ok:b`` is a pending edge, ``a:ok:b:selected`` one with that status; more fields of nodes are in ``nodes``.
    Edges ``a:dependency:b`` make a graph, which begins wherever none of them leads.
    """
    drawn = [_edge(text) for text in edges]
    names = dict.fromkeys(name for edge in drawn for name in (edge.source, edge.target)) or {entry: None}
    names |= {"complete": names.pop("complete")} if "complete" in names else {}
    given = nodes or {}
    is_graph = any(edge.on == "dependency" for edge in drawn)
    roots = tuple(name for name in names if not any(edge.target == name for edge in drawn))
    return RunGraph(
        workflow="Errand",
        version="1",
        topology="graph" if is_graph else "path",
        roots=roots if is_graph else (entry or next(iter(names)),),
        nodes=tuple(_node(name, given.get(name, {})) for name in names),
        edges=tuple(drawn),
        as_of=NOW,
        **run,
    )


def _edge(text: str) -> GraphEdge:
    source, on, target, *more = text.split(":")
    status, condition, recovery = (*more, *("pending", "", "")[len(more) :])
    checked: Any = (on, status)
    return GraphEdge(
        id=f"{source}:{on}:{target}",
        source=source,
        target=target,
        on=checked[0],
        status=checked[1],
        condition=condition or None,
        recovery=recovery or None,
    )


def _node(name: str, more: Mapping[str, Any]) -> GraphNode:
    said: dict[str, Any] = {"kind": "complete" if name == "complete" else "function", "status": "pending", **more}
    return GraphNode(id=name, description="", **said)


def drawn(renderable: RenderableType, *, width: int = 80) -> str:
    """As a pipe would get it; without the blanks at the ends of lines."""
    out = StringIO()
    Console(file=out, width=width, markup=False, highlight=False, emoji=False).print(renderable)
    assert "\x1b" not in out.getvalue()
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())
