"""The cron loop: looks at the clock of the journal, and sees that each window gets its run (protocol 3.7).

Safe on every node at once: the run of a window has an id that is derived from it, and the trigger's thread a revision
that only one of them can append to. Who comes second reads what the first one did, and has nothing left to do.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import TracebackType

from squidmesh.clock import Instant, check_duration, to_datetime
from squidmesh.errors import BackendUnavailable, CommitUnknown, CorruptHistory, SquidMeshError, UsageError
from squidmesh.ids import window_run_id
from squidmesh.journal.facts import Activation
from squidmesh.journal.triggers import AnyTriggerFact, TriggerSchedule, TriggerState, WindowActivated
from squidmesh.planning import activation
from squidmesh.planning.activation import Due
from squidmesh.planning.schedule import Windows
from squidmesh.ports.vitals import WorkerSigns
from squidmesh.runtime import chance
from squidmesh.runtime.activating import append_run, make_start
from squidmesh.runtime.background import Background
from squidmesh.runtime.births import plan
from squidmesh.runtime.catalogue import Catalogue
from squidmesh.runtime.commit import Patience
from squidmesh.runtime.cron_matches import windows
from squidmesh.runtime.cron_threads import CronThreads, RegisteredCron, crons_of
from squidmesh.runtime.engine import Engine
from squidmesh.workflow.timezones import read_timezone

LOOK_EVERY = timedelta(minutes=1)
"""The longest that the loop sleeps: a clock may jump, and a store may come back."""
SHORTEST_LOOK = timedelta(milliseconds=10)
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0
"""Seconds between two tries where the journal is away."""
_LONGEST_JOIN = timedelta(days=366)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fired:
    """A run that was started for a window, in the trigger's timezone."""

    workflow: str
    trigger: str
    window: datetime
    run_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CronLook:
    """What one look did. ``held``: triggers that can not go on, by name, and why; their windows wait for them.
    ``next_at``: when the next window of all comes.
    """

    fired: tuple[Fired, ...]
    held: dict[str, str]
    next_at: datetime | None


class CronLoop:
    """Fires the cron triggers of all registered workflows. Made by ``Mesh.cron``. A context manager: a thread of its
    own looks until the block is left. Or call :meth:`look` yourself, as often as you like.
    """

    def __init__(self, engine: Engine, *, look_every: timedelta | float = LOOK_EVERY) -> None:
        every = check_duration(look_every, field="look_every", least=SHORTEST_LOOK, most=LOOK_EVERY)
        self._engine = engine
        self._every = every.total_seconds()
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._thread: Background | None = None
        patience = Patience(timedelta(0), give_up=self._stopped.is_set)
        self._threads = CronThreads(engine.store, patience)
        self._catalogue = Catalogue(engine.store, engine.definitions, lambda: patience)
        self._known: dict[TriggerSchedule, Windows | None] = {}
        self._held: dict[str, str] = {}
        self._trouble: str | None = None
        self._looked_at: float | None = None

    @property
    def triggers(self) -> tuple[str, ...]:
        """Those that it fires, by name."""
        return tuple(cron.name for cron in self._crons())

    # ------------------------------------------------------------------------------------------------- one look

    def look(self) -> CronLook:
        """Deals with every window that has come, by the journal's clock. Raises what the store raises; what holds one
        trigger is in the answer, and keeps no other one from its windows.
        """
        with self._lock:
            fired: list[Fired] = []
            held: dict[str, str] = {}
            upcoming: list[Instant] = []
            crons = self._crons()
            for cron, state in zip(crons, self._threads.load(crons), strict=True):
                try:
                    coming = self._attend(cron, state, fired)
                except (BackendUnavailable, CommitUnknown):
                    raise
                except Exception as error:  # a payload that is refused, a history that is damaged: this trigger's own
                    if self._stopped.is_set():
                        raise
                    held[cron.name] = _why(error)
                else:
                    upcoming += [coming] if coming is not None else []
            self._tell(held)
            return CronLook(fired=tuple(fired), held=held, next_at=to_datetime(min(upcoming)) if upcoming else None)

    def _crons(self) -> list[RegisteredCron]:
        """As of now: workflows made at run time come and go."""
        return crons_of(self._engine.registry, self._catalogue)

    def _attend(
        self, cron: RegisteredCron, loaded: TriggerState | CorruptHistory, fired: list[Fired]
    ) -> Instant | None:
        """One trigger, until nothing of it is due. When its next window comes."""
        if isinstance(loaded, CorruptHistory):
            raise loaded
        state = loaded
        while not self._stopped.is_set():
            found = activation.due(cron.workflow.name, cron.trigger, state, self._engine.store.now(), self._read)
            if found.facts:
                state = self._append(cron, state, found.facts)
            elif found.fire:
                state = self._fire_all(cron, state, found, fired)
            else:
                return found.next
        return None

    def _append(self, cron: RegisteredCron, state: TriggerState, facts: Sequence[AnyTriggerFact]) -> TriggerState:
        after, moved = self._threads.append(cron, state, facts)
        for fact in facts if moved is None else ():
            self._engine.observer.notice(_EVENTS[type(fact).__name__], trigger=cron.name)
        return after if moved is None else self._threads.load_one(cron)

    def _fire_all(self, cron: RegisteredCron, state: TriggerState, due: Due, fired: list[Fired]) -> TriggerState:
        """One window after the other; ends early where another schedule came into force meanwhile."""
        schedule = state.schedule
        for window in due.fire:
            while state.since is not None and state.since < window:  # else somebody else has dealt with it
                if state.schedule != schedule or self._stopped.is_set():
                    return state
                state = self._fire(cron, state, due, window, fired)
        return state

    def _fire(
        self, cron: RegisteredCron, state: TriggerState, due: Due, window: Instant, fired: list[Fired]
    ) -> TriggerState:
        """One try: the group, or where the run is there already, the trigger's own entry. The state as it is then."""
        now = self._engine.store.now()
        run_id = window_run_id(cron.workflow.name, cron.trigger.name, window)
        asked = make_start(self._engine, cron, run_id, Activation(window=window, timezone=due.timezone))
        before: tuple[AnyTriggerFact, ...] = ()
        if due.skipped is not None and state.since is not None and state.since < due.skipped.first:
            before = (due.skipped,)
        fact = WindowActivated(at=now, window=window, run_id=run_id)
        born = plan(asked, now)
        after, done = append_run(self._engine, self._threads, cron, state, (*before, fact), born)
        if done is False:  # a host has asked for this very window before
            found = WindowActivated(at=now, window=window, run_id=run_id, found=True)
            after, moved = self._threads.append(cron, state, (*before, found))
            done = None if moved is not None else False
        if done is None:
            return self._threads.load_one(cron)
        if before:
            self._engine.observer.notice("cron_windows_skipped", trigger=cron.name)
        if done:
            local = to_datetime(window).astimezone(read_timezone(due.timezone))
            fired.append(Fired(workflow=cron.workflow.name, trigger=cron.trigger.name, window=local, run_id=run_id))
            self._engine.observer.notice("cron_fired", trigger=cron.name, window=local.isoformat(), run_id=run_id)
        return after

    def _read(self, schedule: TriggerSchedule) -> Windows | None:
        if schedule not in self._known:
            try:
                self._known[schedule] = windows(schedule.expression, schedule.timezone)
            except ValueError:
                self._known[schedule] = None
        return self._known[schedule]

    def _tell(self, held: dict[str, str]) -> None:
        """One notice a change."""
        for name, why in held.items():
            if self._held.get(name) != why:
                self._engine.observer.notice("cron_trigger_held", trigger=name, error=why)
        for name in self._held.keys() - held.keys():
            self._engine.observer.notice("cron_trigger_goes_on", trigger=name)
        self._held = held

    # ------------------------------------------------------------------------------------------------- the loop

    def start(self) -> CronLoop:
        if self._thread is not None:
            raise UsageError("a cron loop is started once", code="already_started")
        self._engine.workers.add(self)
        self._looked_at = time.monotonic()
        self._thread = Background(self._run, name="squidmesh-cron")
        return self

    def stop(self, timeout: timedelta | float | None = None) -> None:
        """Ends the loop, after the window that it is at."""
        self.abort()
        self.join(timeout)

    def abort(self) -> None:
        self._stopped.set()

    @property
    def running(self) -> bool:
        return self._thread is not None and self._thread.alive

    def signs(self) -> WorkerSigns:
        """How it is, as of a worker without slots: for health checks. Asks no store."""
        looked = self._looked_at
        return WorkerSigns(
            quiet=None if looked is None else timedelta(seconds=time.monotonic() - looked),
            patience=2 * LOOK_EVERY,
            running=self.running,
            draining=self._stopped.is_set(),
            busy=0,
            capacity=0,
            held=self._engine.heartbeats.holds,
            roles={"cron": self._trouble if self.running or self._stopped.is_set() else "its loop has ended"},
        )

    def join(self, timeout: timedelta | float | None = None) -> None:
        """Waits for the loop's end."""
        if timeout is not None:
            timeout = check_duration(timeout, field="timeout", least=timedelta(0), most=_LONGEST_JOIN).total_seconds()
        if self._thread is not None:
            self._thread.join(timeout)

    def __enter__(self) -> CronLoop:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self) -> None:
        pause = _FIRST_PAUSE
        try:
            while not self._stopped.is_set():
                found = self._try_to_look()
                self._looked_at = time.monotonic()
                if found is not None:
                    pause = _FIRST_PAUSE
                    self._stopped.wait(self._until(found))
                else:
                    self._stopped.wait(pause * (0.75 + chance.jitter() / 2))
                    pause = min(2 * pause, _LONGEST_PAUSE)
        finally:
            self._engine.workers.discard(self)

    def _until(self, found: CronLook) -> float:
        """Seconds until the next window, or the next look."""
        if found.next_at is None:
            return self._every
        left = found.next_at - to_datetime(self._engine.store.now())
        return min(max(left.total_seconds(), 0.0), self._every)

    def _try_to_look(self) -> CronLook | None:
        """None where it could not. One notice a change of state, whatever is away."""
        try:
            found = self.look()
        except Exception as error:
            if not self._stopped.is_set() and self._trouble is None:
                away = isinstance(error, BackendUnavailable | CommitUnknown)
                said = str(error) if away else f"{type(error).__name__}: {error}"
                self._engine.observer.notice("cron_waits" if away else "cron_failed", error=said)
            self._trouble = str(error)
            return None
        if self._trouble is not None:
            self._engine.observer.notice("cron_goes_on")
        self._trouble = None
        return found


def _why(error: Exception) -> str:
    """Our own texts hold no value; those of a payload's default factories may (I19), so these tell type and place."""
    kind = type(error).__name__
    if isinstance(error, SquidMeshError):
        return f"{kind}: {error}"
    frames = traceback.extract_tb(error.__traceback__)
    return f"{kind} at {frames[-1].filename}, line {frames[-1].lineno}" if frames else kind


_EVENTS = {
    "TriggerRegistered": "cron_trigger_registered",
    "ScheduleChanged": "cron_schedule_changed",
    "WindowsSkipped": "cron_windows_skipped",
}
