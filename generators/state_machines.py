"""``docs/state-machines.md``: drawn from the tables that the code itself looks facts up in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from squidmesh.journal.transitions import ATTEMPT, GATE, RUN

_HEAD = """\
# State machines

A run, an attempt and a gate are state machines. What is not in these tables can not happen: `journal/fold.py` looks
every fact up in them, so a history which breaks a rule is found when it is read, and the core can not write one. This
page is written from the tables by a program (`./dev generate`).

Status words which people see are derived from these (protocol 3.2): a run that is *open* is shown as running, retrying,
paused or waiting.
"""
_Table = Mapping[tuple[Any, type], Any]
_ABOUT: dict[str, tuple[str, str, _Table]] = {
    "run": ("The run", "Nothing leads out of *completed*, *failed* or *cancelled* (I9).", RUN),
    "attempt": (
        "The attempt",
        "One accepted result an attempt (I5). A retry is a new attempt, and begins at the top again.",
        ATTEMPT,
    ),
    "gate": (
        "The gate",
        "An approval, a pause, an event or a wait for child runs. It is left once, by a fact (I17). One that is "
        "rejected is left as *rejected*.",
        GATE,
    ),
}


def write() -> str:
    parts = [_HEAD]
    for title, about, table in _ABOUT.values():
        parts += [f"## {title}\n", f"{about}\n", _diagram(table), _rows(table)]
    return "\n".join(parts)


def _diagram(table: _Table) -> str:
    """The moves from one status to another; the facts that stay where they are stand in the table only."""
    moves: dict[tuple[str, str], list[str]] = {}
    for (before, fact), after in table.items():
        if before != after:
            moves.setdefault((before or "[*]", after), []).append(fact.__name__)
    lines = [f"    {before} --> {after}: {', '.join(facts)}" for (before, after), facts in moves.items()]
    return "\n".join(["```mermaid", "stateDiagram-v2", *lines, "```\n"])


def _rows(table: _Table) -> str:
    befores = list(dict.fromkeys(before for before, _ in table))
    lines = ["| from | fact | to |", "| --- | --- | --- |"]
    for before in befores:
        for (status, fact), after in table.items():
            if status == before:
                lines.append(f"| {before or '(not there yet)'} | `{fact.__name__}` | {after} |")
    return "\n".join([*lines, ""])
