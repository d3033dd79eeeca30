"""One look at a whole mesh: what ``squidmesh top`` reads, as values, and as one JSON document."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from squidmesh import Mesh, Vitals, WorkerList
from squidmesh.cli.workers import most_urgent_first

OPEN = ("running", "retrying", "waiting", "paused", "failing", "compensating")
ENDED = ("completed", "failed", "cancelled")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """A second. ``ended`` by status. None before there was a look to compare with, and where runs were pruned
    meanwhile.
    """

    started: float
    ended: dict[str, float]

    @property
    def all_ended(self) -> float:
        return sum(self.ended.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetView:
    """``workers``: the most urgent first."""

    vitals: Vitals
    workers: WorkerList
    rates: Rates | None

    @property
    def as_of(self) -> datetime:
        return self.workers.as_of

    @property
    def slots(self) -> tuple[int, int]:
        """Busy ones, and all, of those who are not lost."""
        here = [one for one in self.workers.workers if one.state != "lost"]
        return sum(one.busy for one in here), sum(one.slots for one in here)

    def to_json(self) -> dict[str, Any]:
        busy, slots = self.slots
        rates = self.rates
        return {
            "as_of": self.as_of.isoformat(),
            "runs": self.vitals.runs,
            "rates": None if rates is None else {"started": rates.started, "ended": rates.ended},
            "dead_letters": self.vitals.dead_letters,
            "slots": {"busy": busy, "all": slots},
            "workers": [one.to_json() for one in self.workers.workers],
            "queues": [
                {
                    "name": one.queue,
                    "ready": one.ready,
                    "delayed": one.delayed,
                    "leased": one.leased,
                    "oldest_ready": None if one.oldest_ready is None else one.oldest_ready.total_seconds(),
                    "paused": one.queue in self.vitals.paused,
                }
                for one in self.vitals.queues
            ],
            "trouble": self.vitals.trouble,
        }


def look(mesh: Mesh, before: FleetView | None = None) -> FleetView:
    """Raises what the stores raise."""
    vitals, workers = mesh.vitals(), mesh.workers()
    ordered = WorkerList(workers=tuple(most_urgent_first(workers.workers)), as_of=workers.as_of)
    rates = None if before is None else _rates(before.vitals.runs, vitals.runs, workers.as_of - before.as_of)
    return FleetView(vitals=vitals, workers=ordered, rates=rates)


def _rates(before: dict[str, int], now: dict[str, int], passed: timedelta) -> Rates | None:
    seconds = passed.total_seconds()
    ended = {status: now.get(status, 0) - before.get(status, 0) for status in ENDED}
    started = sum(now.values()) - sum(before.values())
    if seconds <= 0 or min(started, *ended.values()) < 0:
        return None
    return Rates(started=started / seconds, ended={status: count / seconds for status, count in ended.items()})
