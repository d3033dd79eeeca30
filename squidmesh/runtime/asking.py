"""Which queues one claim asks: all of them where they are few, and else those that are due."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import timedelta

from squidmesh.ports.lease_backend import LeaseBackend

FEW = 16
"""Queues that a claim asks one by one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """``rest``: how long until another queue than these may be due: zero where some may be now, None where that is not
    known, or where these are all.
    """

    queues: tuple[str, ...]
    rest: timedelta | None = None


class Asking:
    """For one pump. What it asks is the same as long as a request id is the same (3.5.7). ``every``: asks all its
    queues, for it wants a certain item.
    """

    def __init__(self, leases: LeaseBackend, queues: Sequence[str], *, every: bool = False) -> None:
        self._leases = leases
        self._queues = tuple(queues)
        self.names = frozenset(queues)
        self._every = every
        self._asked: tuple[str, Asked] | None = None

    def asked(self, request_id: str, paused: Collection[str], limit: int) -> Asked:
        """Raises what the backend raises."""
        if self._every or len(self._queues) <= FEW:
            return Asked(queues=tuple(queue for queue in self._queues if queue not in paused))
        if self._asked is None or self._asked[0] != request_id:
            self._asked = request_id, self._due(min(limit, FEW))
        asked = self._asked[1]
        return Asked(queues=tuple(queue for queue in asked.queues if queue not in paused), rest=asked.rest)

    def _due(self, limit: int) -> Asked:
        due = self._leases.due_queues(self.names, (), limit=limit)
        return Asked(queues=due.queues, rest=timedelta(0) if len(due.queues) >= limit else due.next_due)
