"""Where user code runs: slots take an assignment from an inbox and put its outcome into an outbox, nothing else."""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from squidmesh.runtime.invoke import Assignment, Outcome, failed

MOMENT = 0.005
"""Seconds that what has ended waits for what has not begun, at most; then the pump waits for the interpreter's lock."""


class Carrier(Protocol):
    """Brings an assignment to its outcome."""

    def __call__(self, assignment: Assignment) -> Outcome:
        """Blocks until it is there."""
        ...

    def begin(self, assignment: Assignment, ended: Callable[[Outcome], None]) -> bool:
        """Whether no thread need wait for it: then ``ended`` is called with the outcome, from a thread of its own."""
        ...


class Slots(Protocol):
    capacity: int

    def submit(self, assignment: Assignment) -> None:
        """Called by the pump only, never beyond the capacity."""
        ...

    def drain(self) -> list[Outcome]:
        """What has ended since the last call."""
        ...

    def close(self) -> None:
        """Takes nothing more. Does not wait for user code."""
        ...


class InlineSlots:
    """One slot in the caller's own thread: ``submit`` returns when the step has ended."""

    capacity = 1

    def __init__(self, carry: Callable[[Assignment], Outcome]) -> None:
        self._carry = carry
        self._outbox: list[Outcome] = []

    def submit(self, assignment: Assignment) -> None:
        self._outbox.append(self._carry(assignment))

    def drain(self) -> list[Outcome]:
        ended, self._outbox = self._outbox, []
        return ended

    def close(self) -> None:
        pass


class WorkerSlots:
    """``capacity`` steps at a time: async ones on the event loop, the others in threads, which are made when there is
    something to run in them and none is free. ``wake`` is called when something has ended, once until the next drain.
    The threads are daemons: a step that never returns does not keep a process alive that was told to leave.

    One thread at a time is called to work, and calls the next one before it begins a step: where steps are short, the
    first thread carries all of them, and the others sleep on instead of fighting with it, and with the pump, for the
    interpreter's lock; a step that blocks holds up no other. The pump itself stands back for :data:`MOMENT` at most.
    """

    def __init__(
        self,
        capacity: int,
        *,
        carry: Carrier,
        wake: Callable[[], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._monotonic = monotonic
        self.capacity = capacity
        self._carry = carry
        self._wake = wake
        self._inbox: deque[Assignment] = deque()
        self._outbox: deque[tuple[Outcome, bool]] = deque()
        self._woken = False
        """Somebody has called ``wake`` since the last drain began."""
        self._in_threads = 0
        """Assignments given to threads whose outcomes were not drained yet: at least as many as there are in truth."""
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._calls: queue.SimpleQueue[bool] = queue.SimpleQueue()
        """To threads that sleep: True to look into the inbox, False to end."""
        self._asleep = 0
        self._called = False
        """A thread is on its way to the inbox."""
        self._ran_dry = threading.Event()
        """A thread has found nothing more in the inbox."""

    def submit(self, assignment: Assignment) -> None:
        if self._carry.begin(assignment, self._ended_elsewhere):
            return
        self._in_threads += 1
        if self._in_threads > len(self._threads):
            self._add_thread()
        self._inbox.append(assignment)
        self._call_one()

    def drain(self) -> list[Outcome]:
        self._let_begin()
        self._woken = False  # before anything is taken: what comes later wakes again
        ended = [self._outbox.popleft() for _ in range(len(self._outbox))]
        self._in_threads -= sum(in_thread for _, in_thread in ended)
        return [outcome for outcome, _ in ended]

    def _let_begin(self) -> None:
        """Waits a moment for several that were submitted and have not begun. Where steps are short, they end in it, all
        of them, and are recorded in one commit; else the pump would go on with the first few, and commit twice.
        """
        if len(self._inbox) < 2:
            return
        self._woken = True  # whoever ends a step need not wake who looks at once
        self._ran_dry.clear()
        ends_at = self._monotonic() + MOMENT
        while not self._ran_dry.wait(MOMENT / 10) and self._inbox and self._monotonic() < ends_at:
            pass

    def close(self) -> None:
        for _ in self._threads:
            self._calls.put(False)

    def _add_thread(self) -> None:
        name = f"squidmesh-slot-{len(self._threads)}"
        thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self._threads.append(thread)
        with self._lock:
            self._asleep += 1
        thread.start()

    def _call_one(self) -> None:
        """To what lies in the inbox, unless somebody is on his way. Where nobody sleeps, whoever ends a step looks."""
        with self._lock:
            if self._asleep and not self._called and self._inbox:
                self._called = True
                self._asleep -= 1
                self._calls.put(True)

    def _serve(self) -> None:
        while self._calls.get():
            with self._lock:
                self._called = False
            while (assignment := self._next()) is not None:
                self._call_one()
                try:
                    outcome = self._carry(assignment)
                except BaseException as error:  # nobody waits for this thread: it is the step's failure
                    outcome = failed(assignment, error)
                self._ended(outcome, in_thread=True)

    def _next(self) -> Assignment | None:
        """None where the thread is to sleep."""
        with self._lock:
            if self._inbox:
                return self._inbox.popleft()
            self._asleep += 1
            self._ran_dry.set()
            return None

    def _ended_elsewhere(self, outcome: Outcome) -> None:
        self._ended(outcome, in_thread=False)

    def _ended(self, outcome: Outcome, *, in_thread: bool) -> None:
        self._outbox.append((outcome, in_thread))
        if not self._woken:  # else the drain that takes this one has not begun
            self._woken = True
            self._wake()
