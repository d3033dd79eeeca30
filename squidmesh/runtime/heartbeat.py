"""Heartbeats: one thread extends the leases of everything that this process holds (protocol 3.5.4).

A lease is measured on the monotonic clock from before its claim (or its last heartbeat) was sent: for its holder it is
over before it is over for the backend, never after. Two kinds of claim are let go on purpose, because their worker is
not well: one whose outcome has waited longer than a lease, and all claims of a pump that has not turned for one.

A backend that lost its memory does not know the lease any more. It is adopted again, but only after the journal was
read and still calls the claim the current one (3.5.6): meanwhile another may have been granted the same attempt.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import assert_never

from squidmesh.errors import BackendError
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


@dataclass(slots=True, kw_only=True)
class _Held:
    claim: Claim
    lost: LeaseFlag
    pulse: Pulse | None
    ends_at: float
    waiting_since: float | None = None
    closed: bool = False


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
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def hold(self, claim: Claim, *, asked_at: float, lost: LeaseFlag, pulse: Pulse | None) -> None:
        """``asked_at``: the monotonic time from before the claim was sent. ``pulse``: None for a claim whose caller
        runs the step in its own thread, and so cannot turn meanwhile.
        """
        ends_at = asked_at + claim.lease.total_seconds()
        with self._lock:
            self._held[claim.claim_id] = _Held(claim=claim, lost=lost, pulse=pulse, ends_at=ends_at)

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
        if recorded and held is not None:
            self._instruments.lease_left(held.ends_at - self._monotonic(), at="outcome")

    @property
    def holds(self) -> int:
        """How many leases this process holds."""
        return len(self._held)

    def beat(self) -> None:
        """Extends what should be extended; tells the steps whose lease is lost."""
        asked_at = self._monotonic()
        with self._lock:
            well = [held for held in self._held.values() if self._is_well(held, asked_at)]
        try:
            forgotten = self._ask(self._leases.heartbeat, well)
            if forgotten:
                self._adopt(forgotten)
            self._instruments.answered("heartbeat_failed")
        except Exception as error:  # no answer: each lease ends when it would have ended. And this thread goes on
            told = error.code if isinstance(error, BackendError) else f"{type(error).__name__}: {error}"
            self._observer.notice("heartbeat_failed", error=told)
        self._tell_lost()

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

    def _run(self) -> None:
        while not self._stopped.wait(self._every):
            self.beat()

    def _is_well(self, held: _Held, now: float) -> bool:
        lease = held.claim.lease.total_seconds()
        waits = held.waiting_since is not None and now - held.waiting_since > lease
        stuck = held.pulse is not None and now - held.pulse.turned_at > lease
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
