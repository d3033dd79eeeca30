"""Heartbeats: one thread extends the leases of everything that this process holds (protocol 3.5.4).

A lease is measured on the monotonic clock from before its claim (or its last heartbeat) was sent: for its holder it is
over before it is over for the backend, never after. Two kinds of claim are let go on purpose, because their worker is
not well: one whose outcome has waited longer than a lease, and all claims of a pump that has not turned for one.

Where a process stands beside this one (:class:`Relief`), it extends what is held here whenever this thread is silent:
a step that holds the interpreter's lock stops every thread. What was extended meanwhile is learnt when this one is
back, and nobody is called unwell for a time in which nobody could move.

A backend that lost its memory does not know the lease any more. It is adopted again, but only after the journal was
read and still calls the claim the current one (3.5.6): meanwhile another may have been granted the same attempt.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol, assert_never

from squidmesh.errors import BackendError, BackendUnavailable
from squidmesh.ports.instrument import Instrument
from squidmesh.ports.lease_backend import Beat, Claim, LeaseBackend
from squidmesh.ports.observer import Observer
from squidmesh.runtime.context import LeaseFlag
from squidmesh.runtime.instruments import NOBODY


class Pulse:
    """A pump's sign of life: when it turned last, on the monotonic clock. ``seen_at``: when it turned, or found that it
    has to wait for a store.
    """

    __slots__ = ("seen_at", "turned_at")

    def __init__(self) -> None:
        self.seen_at = self.turned_at = time.monotonic()

    def turn(self) -> None:
        self.seen_at = self.turned_at = time.monotonic()

    def wait(self) -> None:
        self.seen_at = time.monotonic()


class Relief(Protocol):
    """A process that extends leases in place of this one: see :class:`squidmesh.runtime.sidecar.Sidecar`."""

    def post(self, claim: Claim) -> int | None: ...

    def take_down(self, place: int) -> None: ...

    def extended_at(self, place: int) -> float | None: ...

    def sign(self, now: float) -> None: ...

    def close(self) -> None: ...


_STARVED_BEATS = 1.5
"""A thread that comes to its next beat so late was kept from it, and so was everyone else in this process."""


@dataclass(slots=True, kw_only=True)
class _Held:
    claim: Claim
    lost: LeaseFlag
    pulse: Pulse | None
    ends_at: float
    waiting_since: float | None = None
    closed: bool = False
    place: int | None = None


class Heartbeats:
    """The leases held by this process. Thread-safe. :meth:`start` begins the thread; without it, :meth:`beat` is the
    caller's to call. ``still_current`` reads in the journal, for each claim, whether it is the recorded one;
    without it nothing is adopted.
    """

    def __init__(
        self,
        leases: LeaseBackend,
        *,
        every: timedelta,
        observer: Observer,
        still_current: Callable[[Sequence[Claim]], list[bool]] = lambda claims: [False] * len(claims),
        monotonic: Callable[[], float] = time.monotonic,
        instruments: Instrument = NOBODY,
    ) -> None:
        self._instruments = instruments
        self._leases = leases
        self._still_current = still_current
        self._every = every.total_seconds()
        self._observer = observer
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._held: dict[str, _Held] = {}
        self._relief: Relief | None = None
        self._rested_at = monotonic()
        self._woke_at = 0.0
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def hold(self, claim: Claim, *, asked_at: float, lost: LeaseFlag, pulse: Pulse | None) -> None:
        """``asked_at``: the monotonic time from before the claim was sent. ``pulse``: None for a claim whose caller
        runs the step in its own thread, and so cannot turn meanwhile.
        """
        held = _Held(claim=claim, lost=lost, pulse=pulse, ends_at=asked_at + claim.lease.total_seconds())
        with self._lock:
            if self._relief is not None:
                self._forget(self._held.get(claim.claim_id))
                self._post(held)
            self._held[claim.claim_id] = held

    def outcome_waits(self, claim: Claim) -> None:
        """The step has ended; its outcome waits to be recorded from now on."""
        with self._lock:
            held = self._held.get(claim.claim_id)
            if held is not None:
                held.waiting_since = self._monotonic()

    def let_go(self, claim: Claim, *, recorded: bool = False) -> None:
        """``recorded``: its outcome stands in the journal."""
        with self._lock:
            held = self._held.pop(claim.claim_id, None)
            if self._relief is not None:
                self._forget(held)
        if recorded and held is not None:
            self._instruments.lease_left(held.ends_at - self._monotonic(), at="outcome")

    @property
    def holds(self) -> int:
        """How many leases this process holds."""
        return len(self._held)

    def relieve(self, relief: Relief) -> None:
        """From now on ``relief`` stands beside this; it is closed with it."""
        with self._lock:
            self._relief = relief
            for held in self._held.values():
                self._post(held)
        relief.sign(self._monotonic())

    @property
    def is_relieved(self) -> bool:
        """Whether somebody stands beside this."""
        return self._relief is not None

    def beat(self) -> None:
        """Extends what should be extended; tells the steps whose lease is lost."""
        asked_at = self._monotonic()
        self._come_back(asked_at)
        with self._lock:
            well = []
            for held in self._held.values():
                if self._is_well(held, asked_at):
                    well.append(held)
                    if held.place is None:
                        self._post(held)  # it was not well before
                else:
                    self._forget(held)  # nobody is to hold what this thread does not hold
        try:
            forgotten = self._ask_all(well)
            if forgotten:
                self._adopt(forgotten)
            self._instruments.answered("heartbeat_failed")
        except Exception as error:  # no answer: each lease ends when it would have ended. And this thread goes on
            told = error.code if isinstance(error, BackendError) else f"{type(error).__name__}: {error}"
            self._observer.notice("heartbeat_failed", error=told)
        self._tell_lost()
        self._rested_at = self._monotonic()
        self._sign(self._rested_at)

    def _sign(self, now: float) -> None:
        if self._relief is not None:
            self._relief.sign(now)

    def _come_back(self, now: float) -> None:
        """Learns what has happened since the last beat."""
        self._sign(now)
        late = now - self._rested_at
        if late <= _STARVED_BEATS * self._every:
            return
        self._woke_at = now
        relieved = 0
        with self._lock:
            for held in self._held.values():
                at = self._relief.extended_at(held.place) if self._relief and held.place is not None else None
                if at is not None:
                    held.ends_at = max(held.ends_at, at + held.claim.lease.total_seconds())
                    relieved += at >= self._rested_at
        if relieved:
            self._observer.notice("heartbeats_starved", seconds=round(late, 3), extended_meanwhile=relieved)

    def _post(self, held: _Held) -> None:
        """Under the lock, as the next."""
        if self._relief is not None:
            held.place = self._relief.post(held.claim)

    def _forget(self, held: _Held | None) -> None:
        if held is not None and held.place is not None and self._relief is not None:
            self._relief.take_down(held.place)
            held.place = None

    def _ask_all(self, asked: Sequence[_Held]) -> list[_Held]:
        """Where a part of the backend is away, each queue is asked by itself, as far as there is time until the next
        beat: the leases of the others go on.
        """
        ends_at = self._monotonic() + self._every
        try:
            return self._ask(self._leases.heartbeat, asked)
        except BackendUnavailable as error:
            by_queue: dict[str, list[_Held]] = {}
            for held in asked:
                by_queue.setdefault(held.claim.queue, []).append(held)
            if len(by_queue) == 1:
                raise
            self._observer.notice("heartbeat_failed", error=error.code)
        forgotten = []
        for own in by_queue.values():
            if self._monotonic() >= ends_at:
                break
            with suppress(BackendUnavailable):  # which has been said
                forgotten += self._ask(self._leases.heartbeat, own)
        return forgotten

    def _ask(self, ask: Callable[[Sequence[Claim]], list[Beat]], asked: Sequence[_Held]) -> list[_Held]:
        """Asks for all at once and notes until when each lease lasts now; returns those that were forgotten."""
        asked_at = self._monotonic()
        answers = ask([held.claim for held in asked]) if asked else []
        forgotten = []
        for held, answer in zip(asked, answers, strict=True):
            match answer:
                case Beat.EXTENDED:
                    self._instruments.lease_left(held.ends_at - self._monotonic(), at="heartbeat")
                    held.ends_at = asked_at + held.claim.lease.total_seconds()
                case Beat.LOST | Beat.GONE:
                    held.ends_at = asked_at
                    held.closed = answer is Beat.GONE
                case Beat.FORGOTTEN:
                    forgotten.append(held)
                case _:
                    assert_never(answer)
        return forgotten

    def _adopt(self, forgotten: Sequence[_Held]) -> None:
        current = self._still_current([held.claim for held in forgotten])
        kept = [held for held, still in zip(forgotten, current, strict=True) if still]
        passed_on = [held for held, still in zip(forgotten, current, strict=True) if not still]
        passed_on += self._ask(self._leases.adopt, kept)
        for held in passed_on:
            held.ends_at = self._monotonic()
        self._observer.notice("leases_forgotten", forgotten=len(forgotten), lost=len(passed_on))

    def start(self) -> None:
        """Begins the thread, once."""
        with self._lock:
            if self._thread is None and not self._stopped.is_set():
                self._thread = threading.Thread(target=self._run, name="squidmesh-heartbeat", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()
        with self._lock:
            relief, self._relief = self._relief, None
        if relief is not None:
            relief.close()

    def _run(self) -> None:
        while not self._stopped.wait(self._every):
            self.beat()

    def _is_well(self, held: _Held, now: float) -> bool:
        lease = held.claim.lease.total_seconds()
        waits = held.waiting_since is not None and now - max(held.waiting_since, self._woke_at) > lease
        stuck = held.pulse is not None and now - max(held.pulse.turned_at, self._woke_at) > lease
        return not (held.lost or waits or stuck)

    def _tell_lost(self) -> None:
        now = self._monotonic()
        with self._lock:
            lost = [held for held in self._held.values() if held.ends_at <= now and not held.lost]
        for held in lost:
            held.lost.set(closed=held.closed)
            if held.closed and held.waiting_since is not None:
                continue  # closed by its own outcome, most likely: that is settled before it is let go
            event = "attempt_closed" if held.closed else "lease_lost"
            self._observer.notice(event, item=held.claim.item, fence=held.claim.fence)
