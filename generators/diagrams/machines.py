"""State machines. The moves are those of the tables; here is only where a status stands on the sheet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import hypot

from generators.diagrams.paper import arrow, box, label, sheet, words

_WIDTH, _HEIGHT = 116, 38
_MARGIN = 30
Moves = Mapping[tuple[str, str], list[str]]
"""By (from, to): what leads there, in words. ``""`` is "not there yet"."""


@dataclass(frozen=True, kw_only=True)
class Machine:
    """``places``: where the middle of each status is, in pixels. ``bows``: how far an arrow is bent to its left, and
    ``shifts``: how far along it its words stand (0 to 1; 0.5 unless told). ``below``: room for arrows under the lowest
    status.
    """

    title: str
    places: Mapping[str, tuple[int, int]]
    bows: Mapping[tuple[str, str], int] = field(default_factory=dict)
    shifts: Mapping[tuple[str, str], float] = field(default_factory=dict)
    below: int = 0
    good: frozenset[str] = frozenset()
    bad: frozenset[str] = frozenset()


def draw(machine: Machine, moves: Moves) -> str:
    """Refuses a status that has no place, and a place that no move leads to or from."""
    named = {status for pair in moves for status in pair}
    if named != set(machine.places):
        raise ValueError(f"{machine.title}: {sorted(named ^ set(machine.places))} is in the table or the places only")
    width = max(x for x, _ in machine.places.values()) + _WIDTH // 2 + _MARGIN
    height = max(y for _, y in machine.places.values()) + _HEIGHT // 2 + _MARGIN + machine.below
    arrows, labels = [], []
    for pair, causes in moves.items():
        path, (x, y) = _curve(machine, pair)
        arrows.append(arrow(path))
        lines = [line for cause in causes for line in cause.split("\n")]
        labels.append(label(lines, x, y))
    boxes = [_status(machine, status) for status in machine.places]
    about = "; ".join(
        f"{before or 'start'} to {after}: {', '.join(causes)}".replace("\n", " ")
        for (before, after), causes in moves.items()
    )
    return sheet(machine.title, about, width, height, [*arrows, *boxes, *labels])


def _status(machine: Machine, status: str) -> str:
    x, y = machine.places[status]
    if not status:
        return f'<circle class="start" cx="{x}" cy="{y}" r="8"/>'
    style = "end" if status in machine.good else "bad" if status in machine.bad else "box"
    return box(x, y, _WIDTH, _HEIGHT, style) + words([status], x, y, style="name")


def _curve(machine: Machine, pair: tuple[str, str]) -> tuple[str, tuple[float, float]]:
    """The path, from border to border, and where its words stand."""
    (x1, y1), (x2, y2) = (machine.places[status] for status in pair)
    if pair[0] == pair[1]:
        top = y1 - _HEIGHT / 2
        path = f"M{x1 - 22} {top} C{x1 - 44} {top - 44} {x1 + 44} {top - 44} {x1 + 22} {top - 2}"
        return path, (x1, top - 40)
    bow = machine.bows.get(pair, 0)
    length = hypot(x2 - x1, y2 - y1)
    cx, cy = (x1 + x2) / 2 + bow * (y2 - y1) / length, (y1 + y2) / 2 - bow * (x2 - x1) / length
    ax, ay = _border(x1, y1, cx, cy, round_one=not pair[0])
    bx, by = _border(x2, y2, cx, cy)
    t = machine.shifts.get(pair, 0.5)
    at_x = (1 - t) ** 2 * ax + 2 * t * (1 - t) * cx + t**2 * bx
    at_y = (1 - t) ** 2 * ay + 2 * t * (1 - t) * cy + t**2 * by
    return f"M{ax:.1f} {ay:.1f} Q{cx:.1f} {cy:.1f} {bx:.1f} {by:.1f}", (at_x, at_y)


def _border(x: float, y: float, towards_x: float, towards_y: float, *, round_one: bool = False) -> tuple[float, float]:
    """Where a line from the middle of a box leaves it."""
    dx, dy = towards_x - x, towards_y - y
    if round_one:
        return x + 8 * dx / hypot(dx, dy), y + 8 * dy / hypot(dx, dy)
    scale = min(
        (_WIDTH / 2 + 1) / abs(dx) if dx else float("inf"),
        (_HEIGHT / 2 + 1) / abs(dy) if dy else float("inf"),
    )
    return x + dx * scale, y + dy * scale


RUN = Machine(
    title="The states of a run",
    places={
        "": (50, 130),
        "open": (250, 130),
        "completed": (570, 50),
        "cancelled": (570, 130),
        "failed": (570, 210),
        "failing": (250, 310),
        "compensating": (570, 310),
    },
    good=frozenset({"completed"}),
    bad=frozenset({"failed", "cancelled"}),
)
ATTEMPT = Machine(
    title="The states of an attempt",
    places={
        "": (50, 100),
        "scheduled": (300, 100),
        "claimed": (600, 100),
        "completed": (910, 50),
        "failed": (910, 150),
        "dead": (450, 290),
        "cancelled": (450, 450),
    },
    bows={
        ("scheduled", "claimed"): 50,
        ("claimed", "scheduled"): 50,
        ("scheduled", "dead"): -50,
        ("dead", "scheduled"): -50,
        ("scheduled", "cancelled"): -150,
        ("claimed", "cancelled"): 150,
        ("dead", "failed"): -60,
    },
    shifts={("claimed", "dead"): 0.3, ("scheduled", "dead"): 0.75, ("dead", "scheduled"): 0.45},
    good=frozenset({"completed"}),
    bad=frozenset({"failed", "dead", "cancelled"}),
)
GATE = Machine(
    title="The states of a gate",
    places={
        "": (50, 190),
        "open": (300, 190),
        **{
            status: (620, 40 + 60 * row)
            for row, status in enumerate(("approved", "resumed", "taken", "ended", "timed_out", "closed"))
        },
    },
    good=frozenset({"approved", "resumed", "taken", "ended"}),
    bad=frozenset({"timed_out", "closed"}),
)
ITEM = Machine(
    title="The states of an item, and of the lease on it",
    places={"": (50, 180), "free": (220, 180), "leased": (530, 180), "lapsed": (530, 350), "gone": (850, 265)},
    bows={
        ("free", "leased"): 44,
        ("leased", "free"): 44,
        ("leased", "lapsed"): 120,
        ("lapsed", "leased"): 120,
        ("free", "gone"): -400,
        ("gone", "free"): -340,
    },
    below=60,
    good=frozenset({"gone"}),
    bad=frozenset({"lapsed"}),
)
