"""Who stands in a process, from before it can begin: one that waits for its stores is asked how it is too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from squidmesh.ports.vitals import WorkerSigns

_NOBODY = WorkerSigns(quiet=None, patience=timedelta(0), running=False, draining=False, busy=0, capacity=0, held=0)


class Standing:
    """Thread-safe. The signs of whoever came first, with the roles of all."""

    def __init__(self) -> None:
        self._all: tuple[Callable[[], WorkerSigns], ...] = ()

    def take_place(self, signs: Callable[[], WorkerSigns]) -> None:
        self._all = (*self._all, signs)

    def signs(self) -> WorkerSigns:
        if not self._all:
            return _NOBODY
        first, *others = (signs() for signs in self._all)
        for other in others:
            first = replace(first, roles={**first.roles, **other.roles})
        return first
