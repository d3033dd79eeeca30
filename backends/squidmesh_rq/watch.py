"""Claims that may have ended without a word: each is looked at after a lease, and again after every lease.

The journal does not say whether a lease lives; its claim does. So what is still claimed after a lease is delivered once
more. The job claims nothing where the holder is alive, and is the takeover where he is not.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from datetime import timedelta

from squidmesh.clock import duration
from squidmesh.ids import AttemptKey
from squidmesh.journal.rows import AttemptRow
from squidmesh.ports.journal_store import JournalStore


class Watch:
    """Over all claims that the bridge has heard of. Not thread-safe."""

    def __init__(self, store: JournalStore, monotonic: Callable[[], float]) -> None:
        self._store = store
        self._monotonic = monotonic
        self._known: dict[AttemptKey, tuple[int, int]] = {}
        self._next: list[tuple[float, AttemptKey, tuple[int, int]]] = []

    def add(self, row: AttemptRow) -> None:
        """A claim that is recorded. One that is known is left as it is."""
        seen = (row.generation, row.fence)
        if self._known.get(row.item) != seen:
            self._known[row.item] = seen
            self._later(row, seen)

    def overdue(self) -> list[AttemptRow]:
        """Claims that still stand a lease after they were looked at for the last time."""
        late: dict[AttemptKey, tuple[int, int]] = {}
        while self._next and self._next[0][0] <= self._monotonic():
            _, item, seen = heapq.heappop(self._next)
            if self._known.get(item) == seen:
                late[item] = seen
        rows = {row.item: row for row in self._store.attempts(list(late))} if late else {}
        found = []
        for item, seen in late.items():
            row = rows.get(item)
            if row is None or row.owner is None or (row.generation, row.fence) != seen:
                del self._known[item]  # it has ended, or is told anew
            else:
                self._later(row, seen)
                found.append(row)
        return found

    def rest(self, longest: timedelta) -> timedelta:
        """How long there is nothing to look at."""
        if not self._next:
            return longest
        return max(timedelta(0), min(longest, timedelta(seconds=self._next[0][0] - self._monotonic())))

    def _later(self, row: AttemptRow, seen: tuple[int, int]) -> None:
        lease = duration(row.lease or 0).total_seconds()
        heapq.heappush(self._next, (self._monotonic() + lease, row.item, seen))
