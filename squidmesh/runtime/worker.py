"""A worker: a pump's thread and its slots, in this process."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import timedelta
from types import TracebackType

from squidmesh.clock import seconds
from squidmesh.errors import UsageError
from squidmesh.runtime.engine import Engine
from squidmesh.runtime.heartbeat import Pulse
from squidmesh.runtime.pump import Pump
from squidmesh.runtime.slots import ThreadSlots

DEFAULT_GRACE = timedelta(seconds=20)


class Worker:
    """``concurrency`` slots in threads. A context manager: leaving it drains. Made by ``Mesh.worker``."""

    def __init__(
        self, engine: Engine, *, concurrency: int, queues: Sequence[str], owner_id: str, grace: timedelta
    ) -> None:
        self._engine = engine
        self._concurrency = concurrency
        self._queues = tuple(queues)
        self._owner_id = owner_id
        self._grace = grace
        self._draining = threading.Event()
        self._release = threading.Event()
        self._aborted = threading.Event()
        self._thread: threading.Thread | None = None
        self._wakeup = engine.wakeup(self._queues)
        self.failed: BaseException | None = None
        """What ended the pump, if it did not end as it should."""

    def start(self) -> Worker:
        if self._thread is not None:
            raise UsageError("a worker is started once", code="already_started")
        self._engine.start_heartbeats()
        self._thread = threading.Thread(target=self._run, name="squidmesh-pump", daemon=True)
        self._thread.start()
        return self

    def drain(self, grace: timedelta | float | None = None) -> bool:
        """Stops claiming, lets running steps end for ``grace``, gives back the rest unspent, and ends the thread.
        True where that worked; False where the pump could not record it in time (its leases end by themselves).
        """
        allowed = self._grace if grace is None else seconds(grace)
        self._draining.set()
        self._wakeup.poke()
        self.join(allowed)
        self._release.set()
        self._wakeup.poke()
        self.join(max(allowed, timedelta(seconds=5)))
        clean = not self.running
        self._aborted.set()
        return clean and self.failed is None

    def abort(self) -> None:
        """Stops at once: records nothing more, gives nothing back."""
        self._aborted.set()
        self._draining.set()
        self._wakeup.poke()

    @property
    def running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def join(self, timeout: timedelta | float | None = None) -> None:
        """Waits for the pump's end."""
        if self._thread is not None:
            self._thread.join(None if timeout is None else seconds(timeout).total_seconds())

    def __enter__(self) -> Worker:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.drain()

    def _run(self) -> None:
        pulse = Pulse()
        slots = ThreadSlots(self._concurrency, loop=self._engine.loop, wake=self._wakeup.poke)
        pump = self._engine.pump(
            slots,
            owner_id=self._owner_id,
            queues=self._queues,
            pulse=pulse,
            patience=None,
            continues=True,
            give_up=self._aborted.is_set,
        )
        try:
            self._turn_until_drained(pump)
        except BaseException as error:
            self.failed = error
            pump.abandon()
            self._engine.observer.notice("pump_failed", error=f"{type(error).__name__}: {error}")
        finally:
            slots.close()
            self._engine.forget_wakeup(self._wakeup)

    def _turn_until_drained(self, pump: Pump) -> None:
        while not self._draining.is_set():
            turn = pump.turn()
            if turn.idle_for > timedelta(0):
                self._wakeup.wait(turn.idle_for)
        while pump.holds and not self._release.is_set() and not self._aborted.is_set():
            turn = pump.turn(claim=False, start=False)
            if turn.idle_for > timedelta(0):
                self._wakeup.wait(turn.idle_for)
        if not self._aborted.is_set():
            pump.release_held()
