"""A worker: one pump, or two, with their threads and slots, in this process."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from types import TracebackType

from squidmesh.clock import check_duration
from squidmesh.errors import UsageError, WrongPlane
from squidmesh.ports.vitals import WorkerSigns
from squidmesh.runtime.background import Background
from squidmesh.runtime.engine import Engine
from squidmesh.runtime.pumping import MANY_SLOTS, Nudges, Orders, Pumping
from squidmesh.runtime.shares import QueueShare

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
        self._orders = Orders()
        self._thread: Background | None = None
        self._pumps: tuple[Pumping, ...] = ()
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
        self._pumps = self._make_pumps()
        self._engine.workers.add(self)
        self._thread = Background(self._run, name="squidmesh-pump")
        self._engine.register.enter(self, owner_id=self._owner_id, leases=self._leases)
        return self

    def drain(self, grace: timedelta | float | None = None) -> bool:
        """Stops claiming, lets running steps end for ``grace``, gives back the rest unspent, and ends the thread.
        True where that worked; False where the pump could not record it in time (its leases end by themselves).
        """
        allowed = self._grace if grace is None else check_grace(grace)
        self._orders.draining.set()
        self._engine.register.tell()
        self._poke()
        self.join(allowed)
        self._orders.release.set()
        self._poke()
        self.join(max(allowed, timedelta(seconds=5)))
        clean = not self.running
        self._orders.aborted.set()
        return clean and self.failed is None

    def abort(self) -> None:
        """Stops at once: records nothing more, gives nothing back."""
        self._orders.aborted.set()
        self._orders.draining.set()
        self._poke()

    @property
    def running(self) -> bool:
        return self._thread is not None and self._thread.alive

    @property
    def queues(self) -> tuple[str, ...]:
        """Those that it claims from: names, and beginnings of names with ``*``."""
        return tuple(share.queue for share in self._queues)

    def signs(self) -> WorkerSigns:
        """How it is: for health checks and metrics. Asks no store."""
        seen_at = min((one.pulse.seen_at for one in self._pumps), default=None)
        quiet = None if seen_at is None else timedelta(seconds=time.monotonic() - seen_at)
        return WorkerSigns(
            quiet=quiet,
            patience=self._engine.config.lease,
            running=self.running,
            draining=self._orders.draining.is_set(),
            busy=sum(one.busy for one in self._pumps),
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
        """Waits until each pump has turned once, and tells whether they did before they ended."""
        return all(self._has_turned(one) for one in self._pumps)

    def _has_turned(self, pumping: Pumping) -> bool:
        while not pumping.turned.wait(_LOOK):
            if not self.running:
                return pumping.turned.is_set()
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
        return sum(one.holds for one in self._pumps)

    def _poke(self) -> None:
        for one in self._pumps:
            one.wakeup.poke()

    def _make_pumps(self) -> tuple[Pumping, ...]:
        """Two where that helps. The second one hears of work from the first, when that has its slots full: so a worker
        that has little to do claims with one of them.
        """
        first = partial(Pumping, self._engine, self._orders, owner_id=self._owner_id, queues=self._queues)
        wakeup = self._engine.wakeup_for(self._queues)
        is_plain = all(share.is_plain for share in self._queues)  # shares and limits are of a whole worker
        if self._concurrency < MANY_SLOTS or not is_plain or not self._engine.journal_is_served:
            return (first(slots=self._concurrency, wakeup=wakeup, misplaced=self._misplaced),)
        half, nudges = self._concurrency // 2, Nudges()
        return (
            first(slots=self._concurrency - half, wakeup=wakeup, misplaced=self._misplaced, when_full=nudges.poke),
            first(slots=half, wakeup=nudges, misplaced=self._misplaced),
        )

    def _run(self) -> None:
        first, *others = self._pumps
        threads = [
            threading.Thread(target=self._attempt, args=[one], name="squidmesh-pump-2", daemon=True) for one in others
        ]
        try:
            for thread in threads:
                thread.start()
            self._attempt(first)
        finally:
            for thread in threads:
                thread.join()
            self._engine.workers.discard(self)
            clean = self.failed is None or isinstance(self.failed, WrongPlane)
            self._engine.register.leave(self, clean=clean and not self._orders.aborted.is_set())
            self._engine.forget_wakeup(first.wakeup)

    def _attempt(self, pumping: Pumping) -> None:
        """What ends one pump ends the worker."""
        try:
            pumping.run()
        except BaseException as error:
            if not self._orders.aborted.is_set():  # an abort is no failure, whatever it interrupted
                self.failed = error
                self._engine.observer.notice("pump_failed", error=f"{type(error).__name__}: {error}")
                self.abort()

    def _misplaced(self, error: WrongPlane) -> None:
        if self.failed is None:
            self.failed = error
            self._engine.observer.notice("wrong_plane", error=str(error))
        self._orders.draining.set()
        self._poke()
