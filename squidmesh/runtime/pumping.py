"""One pump of a worker with its slots: from its first turn to the end of its drain."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from squidmesh.errors import WrongPlane
from squidmesh.ports.bell import Bell
from squidmesh.ports.journal_store import Wakeup
from squidmesh.runtime.engine import Engine
from squidmesh.runtime.heartbeat import Pulse
from squidmesh.runtime.pump import Pump, Turn
from squidmesh.runtime.shares import QueueShare
from squidmesh.runtime.slots import WorkerSlots

MANY_SLOTS = 32
"""From so many on, a worker has two pumps where a server does the journal's work: one decides while the other one's
commit is on its way. Each has half of the slots."""


@dataclass(frozen=True, slots=True)
class Orders:
    """What a worker tells its pumps: to claim nothing more, to give back what has not ended, to stop at once."""

    draining: threading.Event = field(default_factory=threading.Event)
    release: threading.Event = field(default_factory=threading.Event)
    aborted: threading.Event = field(default_factory=threading.Event)


class Pumping:
    """``when_full`` is called after each turn that leaves no slot free: there may be more than this pump can take.
    ``misplaced`` hears that the mesh is another backend's now: then the pump claims no more, and records what it does.
    """

    def __init__(
        self,
        engine: Engine,
        orders: Orders,
        *,
        owner_id: str,
        queues: Sequence[QueueShare],
        slots: int,
        wakeup: Wakeup,
        misplaced: Callable[[WrongPlane], None],
        when_full: Callable[[], None] | None = None,
    ) -> None:
        self._engine = engine
        self._orders = orders
        self._owner_id = owner_id
        self._queues = queues
        self._slots = slots
        self._misplaced = misplaced
        self._when_full = when_full
        self._pump: Pump | None = None
        self.wakeup = wakeup
        self.pulse = Pulse()
        self.turned = threading.Event()
        """It has turned once."""

    @property
    def busy(self) -> int:
        return 0 if self._pump is None else self._pump.busy

    @property
    def holds(self) -> int:
        """Claims of its own that have no recorded outcome yet."""
        return 0 if self._pump is None else self._pump.holds

    def run(self) -> None:
        """Until the drain has ended. Whatever ends it otherwise is raised, and its leases end by themselves."""
        slots = WorkerSlots(self._slots, carry=self._engine.carry, wake=self.wakeup.poke)
        orders = self._orders
        self._pump = pump = self._engine.pump(
            slots,
            owner_id=self._owner_id,
            queues=self._queues,
            pulse=self.pulse,
            patience=None,
            continues=True,
            give_up=orders.aborted.is_set,
        )
        try:
            self._claim_on(pump)
            if not orders.aborted.is_set():
                pump.release_waiting()
            while pump.holds and not orders.release.is_set() and not orders.aborted.is_set():
                self._rest(pump.turn(claim=False, start=False))
            if not orders.aborted.is_set():
                pump.release_held()
        finally:
            pump.abandon()  # what is left, after an abort or a failure; nothing, after a drain
            slots.close()

    def _claim_on(self, pump: Pump) -> None:
        """Until the drain. A worker whose mesh was moved to another backend leaves: what it does is still recorded."""
        try:
            while not self._orders.draining.is_set():
                turn = pump.turn()
                self.turned.set()
                if self._when_full is not None and not pump.has_room:
                    self._when_full()
                self._rest(turn)
        except WrongPlane as error:
            self._misplaced(error)

    def _rest(self, turn: Turn) -> None:
        if turn.idle_for > timedelta(0):
            self.wakeup.wait(turn.idle_for)


class Nudges:
    """The wake-up of a pump that hears of work from another one: no store wakes it."""

    def __init__(self) -> None:
        self._bell = Bell()
        self._heard = 0

    def poke(self) -> None:
        self._bell.ring()

    def wait(self, timeout: timedelta) -> None:
        self._bell.wait(self._heard, timeout.total_seconds())
        self._heard = self._bell.rings

    def close(self) -> None:
        self._bell.ring()
