"""``docs/state-machines.md``: drawn from the tables that the code itself looks facts up in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from generators.diagrams import items, machines
from generators.diagrams.files import TABLES
from squidmesh.journal.transitions import ATTEMPT, GATE, RUN

_HEAD = """\
# State machines

A run, an attempt and a gate are state machines. What is not in these tables can not happen: `journal/fold.py` looks
every fact up in them, so a history which breaks a rule is found when it is read, and the core can not write one. This
page is written from the tables by a program (`./dev generate`).

Status words which people see are derived from these (protocol 3.2): a run that is *open* is shown as running, retrying,
paused or waiting.
"""
_ITEM = f"""\
## The item, and its lease

What a lease backend holds for an attempt ([protocol.md](protocol.md#35-claims-and-fences)). It may be lost at any
moment, and is offered again from the journal. *Free* is visible now, or after its delay; *lapsed*: the lease ended
without a word, and nobody has taken over yet; *gone*: a tombstone is left, for two of the longest leases.

Each backend keeps it in its own way, so no code looks this table up: a test leads the memory backend, which is the
specification that runs, through it (`tests/unit/generators/test_diagrams.py`).

![{machines.ITEM.title}](pictures/protocol/item.svg)
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
    for name, (title, about, table) in _ABOUT.items():
        parts += [
            f"## {title}\n",
            f"{about}\n",
            f"![{TABLES[name][0].title}](pictures/protocol/{name}.svg)\n",
            _rows(table),
        ]
    return "\n".join([*parts, _ITEM, _item_rows()])


def _item_rows() -> str:
    lines = ["| from | what happens | to |", "| --- | --- | --- |"]
    for (before, verb), after in items.MOVES.items():
        said = f"`{verb}`" if (before, verb) != ("leased", "time") else items.WORDS[before, verb]
        lines.append(f"| {before or '(not there yet)'} | {said} | {after} |")
    return "\n".join([*lines, ""])


def _rows(table: _Table) -> str:
    befores = list(dict.fromkeys(before for before, _ in table))
    lines = ["| from | fact | to |", "| --- | --- | --- |"]
    for before in befores:
        for (status, fact), after in table.items():
            if status == before:
                lines.append(f"| {before or '(not there yet)'} | `{fact.__name__}` | {after} |")
    return "\n".join([*lines, ""])
