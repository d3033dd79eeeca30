"""Carries a plan out: applies what is due, looks whether it has really happened, and heals it in time."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import psycopg
from redis.exceptions import RedisError

from chaos.faults.fault import Fault, NoTarget, World
from chaos.faults.register import FAULTS
from chaos.fleet.waiting import NeverSo
from chaos.recorder import Recorder
from chaos.scenarios.plan import Planned
from squidmesh import BackendError
from squidmesh.testing.processes import NoServer

State = Literal["waiting", "active", "over", "unseen", "dropped"]
NOT_NOW = (NoTarget, BackendError, psycopg.Error, RedisError, OSError)
"""What a look at a system on a bad day may end with; then it is looked at again."""
_LATE = 20.0
"""Seconds after its time when a fault that finds no target is dropped."""


@dataclass(slots=True)
class Injection:
    """One planned fault and what came of it. Times in seconds since the beginning. ``unseen``: it was applied, and
    nothing showed that it had happened; ``dropped``: it found no target in time.
    """

    planned: Planned
    state: State = "waiting"
    fault: Fault | None = None
    target: str = ""
    evidence: str = ""
    why: str = ""
    applied: float = 0.0
    healed: float = 0.0
    mark: int = 0
    taken_away: bool = False

    @property
    def name(self) -> str:
        return self.planned.fault


class Injector:
    """To be driven by one thread: :meth:`turn` again and again, :meth:`heal_all` at the end."""

    def __init__(self, world: World, plan: Sequence[Planned], recorder: Recorder) -> None:
        self._world = world
        self._recorder = recorder
        self.injections = [Injection(planned) for planned in plan]

    def active(self) -> list[Injection]:
        return [one for one in self.injections if one.state == "active"]

    def happened(self) -> list[Injection]:
        """Those that were seen to."""
        return [one for one in self.injections if one.evidence]

    def turn(self, now: float) -> None:
        """``now``: seconds since the beginning."""
        for one in self.active():
            self._look(one)
            overdue = now - one.applied - one.planned.lasts
            if one.taken_away or (overdue >= 0 and (one.evidence or overdue >= FAULTS[one.name].patience)):
                self._heal(one, now)
        for one in self.injections:
            if one.state == "waiting" and one.planned.at <= now and not self._is_touched(one):
                self._apply(one, now)

    def heal_all(self, now: float) -> None:
        """What is not healed yet is; what is not begun yet never will be."""
        for one in self.injections:
            if one.state == "waiting":
                one.state, one.why = "dropped", "the day was over"
        for one in self.active():
            self._look(one)
            if one.evidence:
                self._heal(one, now)

    def _is_touched(self, one: Injection) -> bool:
        touches = FAULTS[one.name].touches
        return any(touches & FAULTS[other.name].touches for other in self.active())

    def _apply(self, one: Injection, now: float) -> None:
        kind = FAULTS[one.name]
        fault = kind(self._world, random.Random(one.planned.seed))
        mark = self._recorder.fault_applied(one.name, harm=kind.harm)
        try:
            one.target = fault.apply()
        except NOT_NOW as error:
            self._recorder.fault_healed(mark, one.name, harm=kind.harm, detail="it was not done")
            if now - one.planned.at > _LATE:
                one.state, one.why = "dropped", f"{type(error).__name__}: {error}"
            return
        one.fault, one.state, one.applied, one.mark = fault, "active", now, mark
        self._look(one)

    def _look(self, one: Injection) -> None:
        if one.evidence:
            return
        assert one.fault is not None
        try:
            one.evidence = one.fault.seen() or ""
        except NOT_NOW as error:
            one.why = f"{type(error).__name__}: {error}"

    def _heal(self, one: Injection, now: float) -> None:
        assert one.fault is not None
        if not one.taken_away:
            try:
                one.fault.heal()
            except NoServer as error:
                raise NeverSo(f"{one.name} can not be healed: {error}") from error
            one.taken_away, one.healed = True, now
        if not _is_over(one.fault) and now - one.healed < FAULTS[one.name].patience:
            return
        one.healed = now
        one.state = "over" if one.evidence else "unseen"
        detail = one.evidence or "not seen to have happened"
        self._recorder.fault_healed(one.mark, one.name, harm=FAULTS[one.name].harm, target=one.target, detail=detail)


def _is_over(fault: Fault) -> bool:
    try:
        return fault.over()
    except NOT_NOW:
        return False
