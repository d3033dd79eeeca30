"""A graph with everything that a run may wait for, and its child's path; and what both mean, as tables.

The tables are written by hand and not taken from the definitions, so that they say what the author of such a workflow
would expect of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import BaseModel

from squidmesh import RetryPolicy, Workflow, approval, event, fixed, manual, pause, step, wait, wait_for_children

SECOND = 1_000_000
TWICE = RetryPolicy(max_attempts=2, backoff=fixed(5))


class Summons(BaseModel):
    called: int = 1


class Call(BaseModel):
    name: str = "Éomer"


def walk() -> dict[str, str]:
    raise AssertionError("no step is ever run here: outcomes are drawn")


class Rider(Workflow):
    version = "1"
    call = manual(Call)
    saddle = step(walk, compensate=walk, compensate_retry=TWICE)
    rest = wait(10)
    ride = step(walk)
    flow = saddle >> rest >> ride


class Muster(Workflow):
    version = "1"
    timeout = 900
    summon = manual(Summons)
    ford = step(walk, retry=TWICE, compensate=walk, compensate_retry=TWICE)
    beacon = step(walk, timeout=20, retry=TWICE, compensate=walk, compensate_retry=TWICE)
    council = approval(timeout=90, after=[ford])
    horn = event("horn", 120, after=[beacon])
    gather = step(walk, after=[ford, beacon], compensate=walk, compensate_retry=TWICE)
    echo = event("horn", after=[gather])
    riders = wait_for_children(output="riders", after=[gather])
    vigil = pause(after=[council])
    march = step(walk, after=[council, horn, gather], compensate=walk)
    victory = step(walk, after=[march, riders, echo, vigil])


@dataclass(frozen=True)
class Plot:
    """``after``: every step, and what must have succeeded before it. ``gates``: those that wait without an attempt, and
    for what. ``undone``: steps with a compensation. ``attempts``: of those runnables that have more than one. Durations
    in microseconds: ``times`` of gates and steps, ``length`` of the whole run.
    """

    after: Mapping[str, tuple[str, ...]]
    gates: Mapping[str, str] = field(default_factory=dict)
    undone: frozenset[str] = frozenset()
    attempts: Mapping[str, int] = field(default_factory=dict)
    times: Mapping[str, int] = field(default_factory=dict)
    length: int | None = None


PLOTS = {
    "Rider": Plot(
        after={"saddle": (), "rest": ("saddle",), "ride": ("rest",)},
        undone=frozenset({"saddle"}),
        attempts={"saddle!undo": 2},
    ),
    "Muster": Plot(
        after={
            "ford": (),
            "beacon": (),
            "council": ("ford",),
            "horn": ("beacon",),
            "gather": ("ford", "beacon"),
            "echo": ("gather",),
            "riders": ("gather",),
            "vigil": ("council",),
            "march": ("council", "horn", "gather"),
            "victory": ("march", "riders", "echo", "vigil"),
        },
        gates={"council": "approval", "horn": "event", "echo": "event", "riders": "children", "vigil": "pause"},
        undone=frozenset({"ford", "beacon", "gather", "march"}),
        attempts={"ford": 2, "beacon": 2, "ford!undo": 2, "beacon!undo": 2, "gather!undo": 2},
        times={"beacon": 20 * SECOND, "council": 90 * SECOND, "horn": 120 * SECOND},
        length=900 * SECOND,
    ),
}
