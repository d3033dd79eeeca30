"""Queues, as values for people: how much stands in each, and which are paused, by whom, and why."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from squidmesh.clock import to_datetime
from squidmesh.journal.rows import PausedQueueRow
from squidmesh.reading.plain import to_plain


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Who stopped the queue, why, and since when."""

    actor: str
    comment: str
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Depth:
    """What a queue holds, as its lease backend counts it. ``ready``: visible and not leased, whatever a pause or a
    concurrency limit holds back; ``oldest_ready``: how long the longest-waiting of them has been visible, as far as
    the backend can tell cheaply.
    """

    ready: int
    delayed: int
    leased: int
    oldest_ready: timedelta | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """``paused`` is None where the queue is handed out; ``depth`` where nobody could be asked for it."""

    name: str
    paused: Pause | None
    depth: Depth | None

    def to_json(self) -> dict[str, Any]:
        found: dict[str, Any] = to_plain(self)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueList:
    """Every queue that is known, in order of name: those with open attempts, those of the registered workflows, and
    those that are paused. ``leases``: the backend that delivers them; ``trouble``: why it could not be asked.
    """

    queues: tuple[Queue, ...]
    leases: str
    trouble: str | None
    as_of: datetime = field(compare=False)

    def to_json(self) -> dict[str, Any]:
        found: dict[str, Any] = to_plain(self)
        return found


def pause_of(row: PausedQueueRow | None) -> Pause | None:
    return None if row is None else Pause(actor=row.actor, comment=row.comment, since=to_datetime(row.paused_at))
