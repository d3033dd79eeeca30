"""A node as a box: what is written in it, and how its frame looks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from squidmesh import GraphNode
from squidmesh.cli import looks, times
from squidmesh.cli.canvas import Canvas, Pen

_CURRENT = frozenset({"running", "retrying", "waiting", "paused"})
_NOT_ANY_MORE = frozenset({"blocked", "skipped"})
NARROWEST = 18
"""Less leaves no room for the lines that end and begin at a box."""


@dataclass(frozen=True, slots=True)
class Box:
    """``headline`` is the status; ``notes`` share as many lines below it as they need."""

    title: str
    headline: str
    notes: tuple[str, ...]
    pen: Pen
    style: str

    @property
    def natural_width(self) -> int:
        return max(len(self.title) + 6, *(len(text) + 4 for text in (self.headline, *self.notes)), NARROWEST)

    def lines(self, width: int) -> list[str]:
        """What stands between the borders of a frame that is ``width`` wide."""
        packed = [self.headline]
        for note in self.notes:
            if len(packed) > 1 and len(packed[-1]) + len(note) + 3 <= width - 4:
                packed[-1] += f" · {note}"
            else:
                packed.append(note)
        return [shorten(line, width - 4) for line in packed]

    def height(self, width: int) -> int:
        return len(self.lines(width)) + 2

    def draw(self, canvas: Canvas, x: int, y: int, width: int) -> None:
        canvas.box(x, y, width, self.height(width), self.pen, self.style)
        if self.title:
            name = "dim" if self.pen is Pen.DASHED else "bold"
            canvas.text(x + 2, y, f" {shorten(self.title, width - 6)} ", name)
        for number, line in enumerate(self.lines(width)):
            canvas.text(x + 2, y + 1 + number, line, self.style if number == 0 else "dim")


def box_of(node: GraphNode, as_of: datetime | None) -> Box:
    """``as_of`` is the time of the graph: how long a scheduled attempt still waits is told by it."""
    pen = Pen.HEAVY if node.status in _CURRENT else Pen.DASHED if node.status in _NOT_ANY_MORE else Pen.LIGHT
    return Box(
        title="" if node.kind == "complete" else title(node),
        headline=f"{looks.sign(node.status)} {'complete' if node.kind == 'complete' else headline(node, as_of)}",
        notes=notes(node),
        pen=pen,
        style=looks.style(node.status),
    )


def title(node: GraphNode) -> str:
    """The name, and what kind of step it is where that is not a function."""
    if node.kind == "wait" and node.duration is not None:
        return f"{node.id} · wait {times.length(node.duration)}"
    return f"{node.id} · approval" if node.kind == "approval" else node.id


def headline(node: GraphNode, as_of: datetime | None) -> str:
    """The status in words; for how long, and which decision, where there is one."""
    if node.decision is not None:
        return node.decision
    if node.status in ("waiting", "retrying") and node.due_at is not None and as_of is not None:
        if node.due_at <= as_of:
            return "waiting for a worker"
        left = times.length(node.due_at - as_of)
        return f"retrying in {left}" if node.status == "retrying" else f"waiting {left} more"
    return node.status


def notes(node: GraphNode) -> tuple[str, ...]:
    """Attempts, lost deliveries, and the code of the error that matters now."""
    found = []
    most = node.max_attempts or 1
    if node.attempt is not None and (node.attempt > 1 or (most > 1 and node.status != "completed")):
        found.append(f"attempt {node.attempt} of {most}" if node.attempt <= most else f"attempt {node.attempt}")
    if node.lost:
        found.append("1 lost delivery" if node.lost == 1 else f"{node.lost} lost deliveries")
    if node.error is not None and (node.status != "completed" or node.error == "no_matching_transition"):
        found.append(error_name(node.error, node.error_type))
    return tuple(found)


def error_name(code: str, type_: str | None) -> str:
    """The code, or the exception's class where the code says only that something was raised."""
    return type_ if type_ and code == "step_raised" else code


def shorten(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: max(0, width - 1)]}…"
