"""Which picture is written where."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from generators.diagrams import items, machines, sequences
from squidmesh.journal import transitions

FOLDER = "docs/pictures/protocol"
_Table = Mapping[tuple[Any, type], Any]
TABLES: Mapping[str, tuple[machines.Machine, _Table]] = {
    "run": (machines.RUN, transitions.RUN),
    "attempt": (machines.ATTEMPT, transitions.ATTEMPT),
    "gate": (machines.GATE, transitions.GATE),
}


def writers() -> dict[str, Callable[[], str]]:
    found: dict[str, Callable[[], str]] = {f"{FOLDER}/item.svg": draw_item}
    for name in TABLES:
        found[f"{FOLDER}/{name}.svg"] = partial(draw_table, name)
    for name, course in sequences.SEQUENCES.items():
        found[f"{FOLDER}/{name}.svg"] = partial(sequences.draw, course)
    return found


def draw_table(name: str) -> str:
    """The moves from one status to another; the facts that stay where they are stand in the page's table only."""
    machine, table = TABLES[name]
    moves: dict[tuple[str, str], list[str]] = {}
    for (before, fact), after in table.items():
        if before != after:
            moves.setdefault((before or "", after), []).append(fact.__name__)
    return machines.draw(machine, moves)


def draw_item() -> str:
    moves: dict[tuple[str, str], list[str]] = {}
    for (before, verb), after in items.MOVES.items():
        moves.setdefault((before, after), []).append(items.WORDS.get((before, verb), verb))
    return machines.draw(machines.ITEM, moves)
