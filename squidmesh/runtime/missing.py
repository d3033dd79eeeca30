"""A run that is not in the journal: it never was, or it has been pruned (protocol 3.7)."""

from __future__ import annotations

from squidmesh.clock import to_datetime
from squidmesh.errors import NotFound, RunPruned, UsageError
from squidmesh.journal.rows import Tombstone
from squidmesh.ports.journal_store import JournalStore


def missing_run(store: JournalStore, run_id: str, *, field: str = "run_id") -> UsageError:
    """``RunPruned`` where a tombstone tells of it, ``NotFound`` otherwise. Raises what the store raises."""
    stone = store.tombstone(run_id)
    if stone is None:
        return NotFound(f"there is no run {run_id!r}", field=field)
    return pruned(stone, field=field)


def pruned(stone: Tombstone, *, field: str, allowed: str = "") -> RunPruned:
    """``allowed``: what may be done instead."""
    ended_at = to_datetime(stone.ended_at)
    told = f"run {stone.run_id} was pruned; it was {stone.status} at {ended_at.isoformat(timespec='seconds')}"
    return RunPruned(
        f"{told}; {allowed}" if allowed else told,
        field=field,
        run_id=stone.run_id,
        workflow=stone.workflow,
        status=stone.status,
        ended_at=ended_at,
    )
