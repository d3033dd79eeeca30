"""What every store answers alike that keeps the leases in the journal's own database (protocol 3.9)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from squidmesh.ids import AttemptKey
from squidmesh.ports.lease_backend import Cursor, Drop, Item, Marker


class JournalLeases:
    """Nothing is offered, so nothing can be missing, and there is neither cursor nor tombstone: what a reconciler would
    ask of another backend has its empty answer here.
    """

    in_journal = True
    kind = "journal"
    name = "the journal"

    def marker(self) -> Marker | None:
        """None: who has the journal has its leases."""
        return None

    def set_marker(self, expected: Marker | None, new: Marker) -> bool:
        """Kept by nobody."""
        return False

    def offer(self, items: Sequence[Item]) -> list[AttemptKey]:
        """Nothing to do: the agenda row is the offer."""
        return []

    def drop(self, drops: Sequence[Drop]) -> None:
        """Nothing to do: an attempt that is closed has no agenda row."""

    def missing(self, items: Sequence[Item]) -> list[AttemptKey]:
        """None: what is on the agenda is held."""
        return []

    def cursor(self, queue: str) -> Cursor | None:
        """None: there is nothing that a reconciler could have come far with."""
        return None

    def set_cursor(self, queue: str, *, expected: Cursor | None, new: Cursor) -> bool:
        """Kept by nobody."""
        return False

    def sweep_turn(self, queue: str, *, owner: str, period: timedelta) -> bool:
        """Nobody's turn: there is nothing to sweep."""
        return False

    def pause(self, queue: str) -> None:
        """Nothing to do: the journal's row is what a claim reads."""

    def resume(self, queue: str) -> None:
        """Nothing to do."""
