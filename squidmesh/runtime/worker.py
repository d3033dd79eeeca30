"""A worker: a pump's thread and its slots, in this process."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from datetime import timedelta
from types import TracebackType

from squidmesh.clock import check_duration
from squidmesh.errors import UsageError, WrongPlane
from squidmesh.ports.journal_store import Wakeup
from squidmesh.ports.vitals import WorkerSigns
from squidmesh.runtime.engine import Engine
from squidmesh.runtime.heartbeat import Pulse
from squidmesh.runtime.pump import Pump, Turn
from squidmesh.runtime.shares import QueueShare
from squidmesh.runtime.slots import WorkerSlots

DEFAULT_GRACE = timedelta(seconds=20)
LONGEST_GRACE = timedelta(days=1)
_LONGEST_JOIN = timedelta(days=366)
_LOOK = 0.25
"""Seconds between two looks at whether a pump that has not turned yet still runs."""


def check_grace(value: object) -> timedelta:
    return check_duration(value, field="grace", least=timedelta(0), most=LONGEST_GRACE)


class Worker:
    """``concurrency`` steps at a time. Made by ``Mesh.worker``. A context manager: leaving it drains, and raises what
    ended the pump, if anything did.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        concurrency: int,
        queues: Sequence[QueueShare],
        owner_id: str,
        grace: timedelta,
        sidecar: bool,
        reconcile: bool = True,
    ) -> None:
        self._reconcile = reconcile
        self._engine = engine
        self._concurrency = concurrency
        self._queues = tuple(queues)
        self._owner_id = owner_id
        self._grace = grace
        self._sidecar = sidecar
        self._draining = threading.Event()
        self._release = threading.Event()
        self._aborted = threading.Event()
        self._turned = threading.Event()
        self._thread: threading.Thread | None = None
        self._wakeup: Wakeup | None = None
        self._pulse: Pulse | None = None
        self._turning: Pump | None = None
        self.failed: BaseException | None = None
        """What ended the pump, if it did not end as it should."""

    def look(self) -> None:
        """Asks both stores whether it may claim. Raises what they raise, and ``WrongPlane``."""
        self._engine.membership.join()

    def start(self) -> Worker:
        if self._thread is not None:
            raise UsageError("a worker is started once", code="already_started")
        self._engine.start_heartbeats(sidecar=self._sidecar)
        if self._reconcile:
            self._engine.start_reconciling(self._queues)
        self._wakeup = self._engine.wakeup_for(self._queues)
        self._engine.workers.add(self)
        self._pulse = Pulse()
        self._thread = threading.Thread(target=self._run, name="squidmesh-pump", daemon=True)
        self._thread.start()
        self._engine.register.enter(self, owner_id=self._owner_id, leases=self._leases)
        return self

    def drain(self, grace: timedelta | float | None = None) -> bool:
        """Stops claiming, lets running steps end for ``grace``, gives back the rest unspent, and ends the thread.
        True where that worked; False where the pump could not record it in time (its leases end by themselves).
        """
        allowed = self._grace if grace is None else check_grace(grace)
        self._draining.set()
        self._engine.register.tell()
        self._poke()
        self.join(allowed)
        self._release.set()
        self._poke()
        self.join(max(allowed, timedelta(seconds=5)))
        clean = not self.running
        self._aborted.set()
        return clean and self.failed is None

    def abort(self) -> None:
        """Stops at once: records nothing more, gives nothing back."""
        self._aborted.set()
        self._draining.set()
        self._poke()

    @property
    def running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    @property
    def queues(self) -> tuple[str, ...]:
        """Those that it claims from: names, and beginnings of names with ``*``."""
        return tuple(share.queue for share in self._queues)

    def signs(self) -> WorkerSigns:
        """How it is: for health checks and metrics. Asks no store."""
        quiet = None if self._pulse is None else timedelta(seconds=time.monotonic() - self._pulse.seen_at)
        return WorkerSigns(
            quiet=quiet,
            patience=self._engine.config.lease,
            running=self.running,
            draining=self._draining.is_set(),
            busy=0 if self._turning is None else self._turning.busy,
            capacity=self._concurrency,
            held=self._engine.heartbeats.holds,
            failed=None if self.failed is None else f"{type(self.failed).__name__}: {self.failed}",
            roles={"reconcile": self._engine.reconciler_trouble} if self._reconcile else {},
        )

    def join(self, timeout: timedelta | float | None = None) -> None:
        """Waits for the pump's end."""
        if timeout is not None:
            timeout = check_duration(timeout, field="timeout", least=timedelta(0), most=_LONGEST_JOIN).total_seconds()
        if self._thread is not None:
            self._thread.join(timeout)

    def wait_turned(self) -> bool:
        """Waits until the pump has turned once, and tells whether it did before it ended."""
        while not self._turned.wait(_LOOK):
            if not self.running:
                return self._turned.is_set()
        return True

    def __enter__(self) -> Worker:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.drain()
        if error is None and self.failed is not None:
            raise self.failed

    def _leases(self) -> int:
        """Claims of its own that have no recorded outcome yet."""
        return 0 if self._turning is None else self._turning.holds

    def _poke(self) -> None:
        if self._wakeup is not None:
            self._wakeup.poke()

    def _run(self) -> None:
        assert self._wakeup is not None
        ended = False
        try:
            self._pump(self._wakeup)
            ended = True
        except BaseException as error:
            if not self._aborted.is_set():  # an abort is no failure, whatever it interrupted
                self.failed = error
                self._engine.observer.notice("pump_failed", error=f"{type(error).__name__}: {error}")
        finally:
            self._engine.workers.discard(self)
            self._engine.register.leave(self, clean=ended and not self._aborted.is_set())
            self._engine.forget_wakeup(self._wakeup)

    def _pump(self, wakeup: Wakeup) -> None:
        slots = WorkerSlots(self._concurrency, carry=self._engine.carry, wake=wakeup.poke)
        pump = self._engine.pump(
            slots,
            owner_id=self._owner_id,
            queues=self._queues,
            pulse=self._pulse,
            patience=None,
            continues=True,
            give_up=self._aborted.is_set,
        )
        self._turning = pump
        try:
            self._claim_on(pump, wakeup)
            if not self._aborted.is_set():
                pump.release_waiting()
            while pump.holds and not self._release.is_set() and not self._aborted.is_set():
                self._rest(pump.turn(claim=False, start=False), wakeup)
            if not self._aborted.is_set():
                pump.release_held()
        finally:
            pump.abandon()  # what is left, after an abort or a failure; nothing, after a drain
            slots.close()

    def _claim_on(self, pump: Pump, wakeup: Wakeup) -> None:
        """Until the drain. A worker whose mesh was moved to another backend leaves: what it does is still recorded."""
        try:
            while not self._draining.is_set():
                turn = pump.turn()
                self._turned.set()
                self._rest(turn, wakeup)
        except WrongPlane as error:
            self.failed = error
            self._engine.observer.notice("wrong_plane", error=str(error))

    def _rest(self, turn: Turn, wakeup: Wakeup) -> None:
        if turn.idle_for > timedelta(0):
            wakeup.wait(turn.idle_for)
