"""``execute_next``: one attempt at a time, run in the caller's own thread."""

from __future__ import annotations

import threading

from squidmesh.ids import AttemptKey
from squidmesh.runtime.commit import CALLER_PATIENCE
from squidmesh.runtime.engine import Engine
from squidmesh.runtime.held import HeldRun
from squidmesh.runtime.pump import Pump
from squidmesh.runtime.slots import InlineSlots

MOST_IDLE = 8
"""Idle pumps that are kept, of all owners together: each holds the folded states of its runs."""
_REFUSED_IN_A_ROW = 100


class Inline:
    """Keeps the pumps of calls that have ended, so that the next call folds only what is new. Thread-safe: a call in
    the meantime has a pump of its own.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._idle: list[tuple[str, tuple[str, ...], Pump]] = []
        """The most recently used last."""

    def execute_next(self, owner_id: str, queues: tuple[str, ...]) -> HeldRun | None:
        """The run of the one claim that was carried to its end, or None where there was none to have."""
        self._engine.start_heartbeats()
        self._engine.reconcile_now_and_then(queues)
        pump = self._take(owner_id, queues)
        try:
            touched = self._execute(pump)
        except BaseException:
            pump.abandon()
            raise
        self._put_back(owner_id, queues, pump)
        return touched

    def execute_item(self, owner_id: str, item: AttemptKey, queue: str) -> HeldRun | None:
        """The same for that one attempt: None where it can not be claimed now. Its queue's pause counts. Nothing is
        kept of the pump: the next call of this kind is about another attempt.
        """
        self._engine.start_heartbeats()
        pump = self._pump(owner_id, (queue,), item)
        try:
            return self._execute(pump)
        except BaseException:
            pump.abandon()
            raise

    def _execute(self, pump: Pump) -> HeldRun | None:
        """Turns the pump until one claim has come to its end; what is refused is given back, and the next one asked."""
        touched: list[HeldRun] = []
        turn = pump.turn()
        for _ in range(_REFUSED_IN_A_ROW):
            if turn.touched or pump.holds or not turn.granted:
                break
            turn = pump.turn()
        touched += turn.touched
        while pump.holds:  # the step has run, or it waits to be alone: record, or look again when others have ended
            turn = pump.turn(claim=False)
            touched += turn.touched
            if pump.holds and turn.idle_for:
                self._engine.solitude.wait(turn.idle_for)
        return touched[-1] if touched else None

    def _take(self, owner_id: str, queues: tuple[str, ...]) -> Pump:
        with self._lock:
            for place in reversed(range(len(self._idle))):
                if self._idle[place][:2] == (owner_id, queues):
                    return self._idle.pop(place)[2]
        return self._pump(owner_id, queues)

    def _pump(self, owner_id: str, queues: tuple[str, ...], item: AttemptKey | None = None) -> Pump:
        return self._engine.pump(
            InlineSlots(self._engine.carry),
            owner_id=owner_id,
            queues=queues,
            pulse=None,
            patience=CALLER_PATIENCE,
            continues=False,
            item=item,
        )

    def _put_back(self, owner_id: str, queues: tuple[str, ...], pump: Pump) -> None:
        with self._lock:
            self._idle.append((owner_id, queues, pump))
            del self._idle[:-MOST_IDLE]
