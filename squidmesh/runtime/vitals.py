"""What the stores hold now, in numbers, for whoever watches."""

from __future__ import annotations

from collections.abc import Iterable

from squidmesh.ports.vitals import Vitals
from squidmesh.runtime.engine import Engine
from squidmesh.runtime.queues import known, stats_of

MOST_QUEUES = 1000
"""Queues that are asked for, first those that this process claims from: a look stays short, however many there are."""


def look_at_all(engine: Engine, claimed_from: Iterable[str]) -> Vitals:
    """Raises what the journal raises."""
    own = tuple(claimed_from)
    names = list(dict.fromkeys((*own, *known(engine, own))))[:MOST_QUEUES]
    runs = engine.store.count_runs()
    dead_letters = engine.store.count_dead_letters()
    paused = frozenset(row.queue for row in engine.store.paused_queues())
    queues, trouble = stats_of(engine, names, engine.store.plane())
    return Vitals(
        runs=runs,
        dead_letters=dead_letters,
        queues=queues,
        paused=paused,
        trouble=trouble,
    )
