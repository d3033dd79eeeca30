"""Cron triggers: fired by a loop of one's own, or by a scheduler that the host has already."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, overload

from msgspec import structs
from pydantic import BaseModel

from squidmesh.config import check_integer
from squidmesh.journal.triggers import TriggerState
from squidmesh.planning.activation import schedule_of
from squidmesh.planning.schedule import Windows
from squidmesh.reading.cron import CronStatus, cron_status
from squidmesh.reading.inspect import Run, inspect
from squidmesh.runtime import activating
from squidmesh.runtime.cron import LOOK_EVERY, CronLoop
from squidmesh.runtime.cron_matches import windows
from squidmesh.runtime.cron_threads import CronThreads, RegisteredCron, crons_of
from squidmesh.runtime.verbs.opening import Opening
from squidmesh.runtime.verbs.starting import P
from squidmesh.workflow.authoring import Cron, Workflow

_COUNT = range(1, 101)


class Crons(Opening):
    @overload
    def activate_cron(
        self,
        target: Cron[P],
        *,
        window: datetime | None = None,
        signal_id: str | None = None,
        payload: P | Mapping[str, Any] | None = None,
    ) -> Run | None: ...

    @overload
    def activate_cron(
        self,
        target: type[Workflow] | str,
        *,
        window: datetime | None = None,
        signal_id: str | None = None,
        payload: BaseModel | Mapping[str, Any] | None = None,
    ) -> Run | None: ...

    def activate_cron(
        self,
        target: activating.CronTarget,
        *,
        window: datetime | None = None,
        signal_id: str | None = None,
        payload: BaseModel | Mapping[str, Any] | None = None,
    ) -> Run | None:
        """Fires a cron trigger, for a host that has a scheduler of its own: the run of this window, or of this signal,
        started now or before. Call it as often as you like: one window, one run; one signal, one run.

        ``window``: the time that it stands for, with a timezone, which is what the steps see. ``signal_id``: the
        scheduler's own name for this firing; with it, the window (by default the minute that it is now) is only told.
        ``payload``: what is to differ from the defaults. A duplicate gives the run that is there, or None where the
        trigger is ``skip_duplicate``. Raises ``NotFound``, ``InvalidInput``, ``InvalidPayload``, ``KeyReused`` for a
        duplicate with another payload, or ``RunPruned`` for one whose run is not kept any more.
        """
        engine = self._engine()
        cron = activating.find_cron(engine, target)
        state = activating.activate(engine, cron, window=window, signal_id=signal_id, payload=payload)
        return None if state is None else inspect(state, now=engine.store.now())

    def cron(self, *, look_every: timedelta | float = LOOK_EVERY) -> CronLoop:
        """A loop that fires the cron triggers of this mesh's workflows, and of those that are active in its journal:
        ``with mesh.cron(): …``, or ``look()`` by hand. Any number of them, on any number of nodes, start one run a
        window. ``look_every`` (10 ms to 1 min): the longest that it sleeps.
        """
        return CronLoop(self._engine(), look_every=look_every)

    def list_cron(self, *, upcoming: int = 3) -> tuple[CronStatus, ...]:
        """The cron triggers that :meth:`cron` would fire, each with its next windows (1 to 100)."""
        count = check_integer(upcoming, field="upcoming", allowed=_COUNT)
        engine = self._engine()
        crons = crons_of(engine.registry, engine.catalogue)
        threads = CronThreads(engine.store, engine.caller_patience())
        now = engine.store.now()
        found = []
        for cron in crons:
            state, coming = _readable(cron, threads.load_one(cron))
            found.append(cron_status(cron.workflow.name, cron.trigger, state, coming, now=now, count=count))
        return tuple(found)


def _readable(cron: RegisteredCron, state: TriggerState) -> tuple[TriggerState, Windows]:
    """With the windows of the schedule in force. One that can not be read here is about to be replaced."""
    own = schedule_of(cron.trigger)
    schedule = state.schedule or own
    try:
        return state, windows(schedule.expression, schedule.timezone)
    except ValueError:
        return structs.replace(state, schedule=None), windows(own.expression, own.timezone)
