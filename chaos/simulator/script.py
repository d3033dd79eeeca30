"""What happens in one schedule, as a value: it is drawn from a seed, shrunk, kept in a file, and played again.

A *deed* happens at a moment: a client says something, a process is killed, the lease backend is wiped. A *mishap*
befalls one call: the n-th of that name by that process, or the n-th call of a step of a run. Everything else follows.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """``at``: seconds from the beginning. ``do``: see :mod:`chaos.simulator.deeds`. ``who``: a process, or the name of
    a run; ``what``: a workflow, a port, or how; ``seconds``: for how long.
    """

    at: float = 0.0
    do: str
    who: str = ""
    what: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Mishap:
    """``who``: a process, or the name of a run. ``call``: ``journal.commit``, ``leases.claim``, … or ``step.NAME``.
    ``nth``: counted from 1, over all lives of a process. ``what``: see :mod:`chaos.simulator.wires` and, of steps,
    :mod:`chaos.simulator.workflows`. ``seconds``: how slow, or how late.
    """

    who: str
    call: str
    nth: int
    what: str
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """``chance``: of ids, jitter and small latencies. ``sweep``: the reconcilers' period, in seconds. ``hints``:
    whether idle workers are told of offers. ``workers``: how many, with so many ``slots`` each.
    """

    chance: int = 0
    workers: int = 2
    slots: int = 2
    sweep: float = 12.0
    hints: bool = True
    deeds: tuple[Deed, ...] = ()
    mishaps: tuple[Mishap, ...] = ()
    note: str = ""

    def to_json(self) -> str:
        """One deed or mishap a line, so that a person can read it."""
        head = {name: value for name, value in asdict(self).items() if name not in ("deeds", "mishaps")}
        lines = [f"  {json.dumps(name)}: {json.dumps(value)}," for name, value in head.items()]
        for name, rows in (("deeds", self.deeds), ("mishaps", self.mishaps)):
            told = ",\n".join(f"    {json.dumps(_short(row))}" for row in rows)
            lines.append(f'  "{name}": [\n{told}\n  ]' + ("," if name == "deeds" else ""))
        return "{\n" + "\n".join(lines) + "\n}\n"

    def __len__(self) -> int:
        return len(self.deeds) + len(self.mishaps)


def from_json(text: str) -> Script:
    given: dict[str, Any] = json.loads(text)
    deeds = tuple(Deed(**row) for row in given.pop("deeds"))
    mishaps = tuple(Mishap(**row) for row in given.pop("mishaps"))
    return replace(Script(**given), deeds=deeds, mishaps=mishaps)


def load(path: Path) -> Script:
    return from_json(path.read_text())


def _short(row: Deed | Mishap) -> dict[str, Any]:
    return {name: value for name, value in asdict(row).items() if value not in ("", 0.0)}
