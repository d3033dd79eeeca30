"""Whether the stores are there, as a process finds out: one word when one goes away, and one when it is back.

Each call that fails is a notice of its own, for whoever counts. People want to know when it began, and when it ended.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from squidmesh.ports.lease_backend import LeaseBackend

Store = Literal["journal", "leases"]
FAILURES = frozenset({"journal_unavailable", "lease_backend_unavailable", "heartbeat_failed", "reconciler_waits"})
"""The notices of calls that failed."""
QUIET = 2.0
"""Seconds without a failure, before an answer means that a store is back: where some calls work and others do not, it
is not."""


@dataclass(slots=True)
class _Absence:
    since: float
    last: float
    failing: set[str] = field(default_factory=set)


class Away:
    """Thread-safe. ``tell``: the observer's ``notice``. ``leases``: how errors name a lease backend beside the journal;
    None where the leases are in the journal, so that there is one store.
    """

    def __init__(
        self, tell: Callable[..., None], *, leases: str | None, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._tell = tell
        self._leases = leases
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._absences: dict[Store, _Absence] = {}

    @property
    def stores(self) -> tuple[Store, ...]:
        """Those that are away."""
        return tuple(self._absences)

    def heard(self, event: str, error: object) -> None:
        """A notice, of whatever kind: it counts where it is about a call that failed."""
        if event not in FAILURES:
            return
        store = self._store(event, str(error))
        now = self._monotonic()
        with self._lock:
            absence = self._absences.get(store)
            if first := absence is None:
                absence = self._absences[store] = _Absence(since=now, last=now)
            absence.last = now
            absence.failing.add(event)
        if first:
            self._tell("store_away", store=store, error=str(error))

    def answered(self, event: str) -> None:
        """A call succeeded whose failure would have been this notice."""
        if not self._absences:
            return  # the common case costs nothing
        now = self._monotonic()
        over: list[tuple[Store, float]] = []
        with self._lock:
            for store, absence in list(self._absences.items()):
                if event not in absence.failing or now - absence.last < QUIET:
                    continue
                absence.failing.remove(event)
                if not absence.failing:  # else something that failed was not tried again yet
                    del self._absences[store]
                    over.append((store, now - absence.since))
        for store, seconds in over:
            self._tell("store_back", store=store, seconds=round(seconds, 1))

    def _store(self, event: str, error: str) -> Store:
        if self._leases is None:
            return "journal"
        if self._leases in error:
            return "leases"
        return "leases" if event in ("lease_backend_unavailable", "heartbeat_failed") else "journal"


def event_of(error: BaseException, leases: LeaseBackend) -> str:
    """The notice of a call that speaks to both."""
    of_leases = not leases.in_journal and leases.name.partition("?")[0] in str(error)
    return "lease_backend_unavailable" if of_leases else "journal_unavailable"
