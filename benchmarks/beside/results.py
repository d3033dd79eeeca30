"""What was measured: kept as JSON, and all that tables, targets, pages and pictures are made from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from benchmarks.report import Figure

Values = dict[str, dict[str, dict[str, list[float]]]]
"""By work, contestant and figure."""


@dataclass(slots=True)
class Results:
    """What was measured, as JSON keeps it; ``failed``: by work and contestant, why there is no figure."""

    values: Values = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    facts: dict[str, dict[str, str]] = field(default_factory=dict)

    def add(self, work: str, contestant: str, figures: dict[str, float]) -> None:
        kept = self.values.setdefault(work, {}).setdefault(contestant, {})
        for name, value in figures.items():
            kept.setdefault(name, []).append(value)

    def figure(self, work: str, contestant: str, name: str) -> Figure | None:
        """None where it was not measured."""
        values = self.values.get(work, {}).get(contestant, {}).get(name)
        return Figure(tuple(values)) if values else None

    def merge(self, other: Results) -> None:
        """What the other has measured, in place of what stands here."""
        self.values.update(other.values)
        self.failed.update(other.failed)
        for name, facts in other.facts.items():
            self.facts.setdefault(name, {}).update(facts)

    def to_json(self) -> dict[str, Any]:
        return {"values": self.values, "failed": self.failed, "facts": self.facts}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Results:
        return cls(values=document["values"], failed=document["failed"], facts=document["facts"])
