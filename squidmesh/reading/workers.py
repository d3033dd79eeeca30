"""Workers, as values for people: who works, on what, and who has not been heard of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from squidmesh.clock import duration, to_datetime
from squidmesh.journal.workers import WorkerRow
from squidmesh.reading.plain import to_plain

LOST_AFTER = timedelta(minutes=2)
"""A worker that was not seen for so long is lost. It writes every ten seconds."""

WorkerState = Literal["working", "idle", "draining", "lost"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSeen:
    """One worker, as it was seen last. ``name``: the owner of its claims, as runs and leases name it. ``state``:
    working (it holds something), idle, draining (it takes nothing more), or lost: not seen for two minutes, so its
    process died, is stuck, or can not reach the store. ``queues``: those that it claims from, or with ``*`` the
    beginning of their names. ``busy`` of its ``slots`` run a step; ``leases``: claims without a recorded outcome, those
    in slots included. Moments are by the store's clock.
    """

    name: str
    state: WorkerState
    host: str
    pid: int
    version: str
    queues: tuple[str, ...]
    slots: int
    busy: int
    leases: int
    started_at: datetime
    seen_at: datetime

    def claims_from(self, queue: str) -> bool:
        """Whether it would, of a queue of that name."""
        return any(queue.startswith(own[:-1]) if own.endswith("*") else own == queue for own in self.queues)

    def to_json(self) -> dict[str, Any]:
        found: dict[str, Any] = to_plain(self)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerList:
    """Every worker that is registered, in order of name. One that ends as it should is taken off; a lost one stays for
    an hour.
    """

    workers: tuple[WorkerSeen, ...]
    as_of: datetime = field(compare=False)

    def to_json(self) -> dict[str, Any]:
        found: dict[str, Any] = to_plain(self)
        return found


def workers_seen(rows: Iterable[WorkerRow], now: int) -> WorkerList:
    return WorkerList(workers=tuple(_seen(row, now) for row in rows), as_of=to_datetime(now))


def _seen(row: WorkerRow, now: int) -> WorkerSeen:
    return WorkerSeen(
        name=row.name,
        state=_state(row, now),
        host=row.host,
        pid=row.pid,
        version=row.version,
        queues=row.queues,
        slots=row.slots,
        busy=row.busy,
        leases=row.leases,
        started_at=to_datetime(row.started_at),
        seen_at=to_datetime(row.seen_at),
    )


def _state(row: WorkerRow, now: int) -> WorkerState:
    if duration(now - row.seen_at) >= LOST_AFTER:
        return "lost"
    if row.draining:
        return "draining"
    return "working" if row.busy or row.leases else "idle"
