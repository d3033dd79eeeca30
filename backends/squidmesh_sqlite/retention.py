"""Runs that are pruned, and the tombstones that stay (protocol 3.7)."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import msgspec

from squidmesh.clock import Instant
from squidmesh.journal.rows import RunRow, Tombstone
from squidmesh.ports.journal_store import Conflict, Pruning
from squidmesh_sqlite.statements import load

_SQL = load("retention")
_RUN = RunRow.__struct_fields__
_TOMBSTONE = Tombstone.__struct_fields__
_FIRST = -(2**63)
_OF_A_RUN = (
    "forget_entries",
    "forget_checkpoint",
    "forget_run",
    "forget_leases",
    "forget_attempts",
    "forget_dead_letters",
)


def prunable(connection: sqlite3.Connection, until: Instant, after: RunRow | None, limit: int) -> list[RunRow]:
    ended_at, run_id = (_FIRST, "") if after is None else (after.ended_at, after.run_id)
    asked = {"until": until, "ended_at": ended_at, "run_id": run_id, "limit": limit}
    return [RunRow(**dict(zip(_RUN, row, strict=True))) for row in connection.execute(_SQL["ended"], asked)]


def prune(connection: sqlite3.Connection, runs: Sequence[Pruning], revisions: dict[str, int]) -> Conflict | None:
    """``revisions``: of these threads, as they are now."""
    for run in runs:
        if revisions[run.thread] != run.revision:
            return Conflict(thread=run.thread, revision=revisions[run.thread])
    threads = [(run.thread,) for run in runs]
    for statement in _OF_A_RUN:
        connection.executemany(_SQL[statement], threads)
    connection.executemany(_SQL["forget_timer"], [(timer, run.thread) for run in runs for timer in run.timers])
    tombstones = [msgspec.structs.astuple(run.tombstone) for run in runs if run.tombstone is not None]
    connection.executemany(_SQL["put_tombstone"], tombstones)
    return None


def tombstone(connection: sqlite3.Connection, run_id: str) -> Tombstone | None:
    row = connection.execute(_SQL["read_tombstone"], (run_id,)).fetchone()
    return None if row is None else Tombstone(**dict(zip(_TOMBSTONE, row, strict=True)))


def pruned_at(connection: sqlite3.Connection, threads: str) -> dict[str, int]:
    """Of these threads (a JSON array), those that have left a tombstone, each with its last revision."""
    return dict(connection.execute(_SQL["pruned_at"], (threads,)).fetchall())
