"""What came of a day, as values: for the command line, for the report, and for a file beside the evidence."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

from chaos.fleet.tallies import Second
from chaos.scenarios.injector import Injection
from chaos.verdict import Verdict


@dataclass(slots=True, kw_only=True)
class Outcome:
    """``problems``: what is wrong besides the judge's findings. ``rest``: seconds that the fleet needed to come to rest
    after the last fault. ``load``: seconds in which runs were started. ``robot``: what it has done.
    """

    scenario: str
    seed: int
    load: float
    command: str
    steps: int = 0
    runs: int = 0
    rest: float = 0.0
    totals: Counter[str] = field(default_factory=Counter)
    robot: Counter[str] = field(default_factory=Counter)
    injections: list[Injection] = field(default_factory=list)
    deaths: Counter[int] = field(default_factory=Counter)
    seconds: list[Second] = field(default_factory=list)
    verdict: Verdict | None = None
    problems: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return self.verdict is not None and self.verdict.ok and not self.problems

    @property
    def happened(self) -> list[Injection]:
        return [one for one in self.injections if one.evidence]

    def to_json(self) -> dict[str, Any]:
        return {
            "ok": self.ok,
            "scenario": self.scenario,
            "seed": self.seed,
            "command": self.command,
            "load": round(self.load, 1),
            "rest": round(self.rest, 1),
            "steps": self.steps,
            "runs": self.runs,
            "totals": dict(self.totals),
            "robot": dict(self.robot),
            "deaths": {str(code): count for code, count in self.deaths.items()},
            "faults": [
                {
                    **asdict(one.planned),
                    "state": one.state,
                    "target": one.target,
                    "applied": round(one.applied, 2),
                    "healed": round(one.healed, 2),
                    "evidence": one.evidence,
                    "why": one.why,
                }
                for one in self.injections
            ],
            "problems": self.problems,
            "verdict": None if self.verdict is None else self.verdict.to_json(),
        }
