"""Which queues are paused, as a process that executes knows it: the journal's rows, at most a second old.

A lease backend with a memory of its own is told of pauses, and may forget them. So nobody relies on its memory alone:
who claims asks the journal, now and then, and leaves the paused queues out (protocol 3.9).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta

from squidmesh.ports.journal_store import JournalStore

AGE = timedelta(seconds=1)
"""A pause holds in every process that long after its commit, whatever became of the lease backend."""


class Pauses:
    """Thread-safe: two threads may both read, and either answer is right."""

    def __init__(self, store: JournalStore, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._monotonic = monotonic
        self._known: tuple[float, frozenset[str]] | None = None
        """Asked at, and what was answered."""

    def queues(self) -> frozenset[str]:
        """The paused queues. Raises what the store raises, when it has to ask."""
        now, known = self._monotonic(), self._known
        if known is None or now - known[0] >= AGE.total_seconds():
            known = self._known = now, frozenset(row.queue for row in self._store.paused_queues())
        return known[1]

    def forget(self) -> None:
        """Something was said in this process: the next question goes to the journal."""
        self._known = None
