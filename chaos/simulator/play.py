"""Playing schedules: a stage that is set once, and one world after the other on it."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from unittest.mock import patch

from chaos.simulator.fate import Drawn, Fate, Told
from chaos.simulator.script import Script
from chaos.simulator.virtual import Stage, staged
from chaos.simulator.workflows import make_workflows
from chaos.simulator.world import Outcome, World
from squidmesh.workflow.definition import Definition
from squidmesh.workflow.registry import Registry

_UNSWEPT = 50
"""So many worlds between two collections of what they leave: each is one great circle."""


class Player:
    """Made by :func:`playing`."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._registry = Registry(make_workflows(stage))
        self._played = 0

    def seed(self, seed: int) -> Outcome:
        """One schedule, drawn from a seed."""
        return self._play(Drawn(seed))

    def script(self, script: Script) -> Outcome:
        """One schedule, as it is told."""
        return self._play(Told(script))

    def _play(self, fate: Fate) -> Outcome:
        self._played += 1
        if self._played % _UNSWEPT == 0:
            gc.collect()
        return World(self._stage, self._registry, fate).run()


@contextmanager
def playing() -> Iterator[Player]:
    """While in it, this process's runtime is on virtual time; nothing else of it may run meanwhile."""
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        with staged(Stage()) as stage, patch.object(Definition, "from_json", lru_cache(Definition.from_json)):
            player = Player(stage)
            gc.freeze()  # what is here to stay is not looked through again and again
            yield player
    finally:
        gc.unfreeze()
        if was_enabled:
            gc.enable()
