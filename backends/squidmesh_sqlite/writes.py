"""What a commit writes: the rows of a whole batch, sorted by table, each table by a statement or two (protocol 3.3).

What steps mostly do has statements of its own, which write no more than changes: a run stands at another step, an
attempt is claimed, or one attempt takes the place of another. Each of them says in its WHERE what it takes for
granted; where that was another for one row of the batch, they all are written in full, so the rows are the same.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from operator import attrgetter
from typing import NamedTuple

import msgspec

from squidmesh.clock import Clock
from squidmesh.journal.rows import AttemptRow, DeadLetterRow, PausedQueueRow, RowChanges, RunRow, TimerRow
from squidmesh.ports.journal_store import Append, Group
from squidmesh.ports.lease_backend import LeaseChange
from squidmesh_sqlite import agenda, leases, timers
from squidmesh_sqlite.statements import load

_SQL = load("journal")
_where_it_stands = attrgetter("step", "run_id", "status", "version", "trigger", "active_at")
"""What ``move_run`` asks for."""
_where_and_when = attrgetter("step", "active_at", "run_id", "status", "version", "trigger", "active_at")
"""What ``move_run_on`` asks for."""


class Stand(NamedTuple):
    """The journal as a commit finds it. ``epoch``: None where there is no plane; ``position``: None where changes are
    not tracked.
    """

    revisions: dict[str, int]
    epoch: int | None
    last_entry: int
    position: int | None


class Writes:
    """What the groups of one batch write, sorted by table."""

    def __init__(self, groups: Iterable[Group]) -> None:
        self._entries: list[tuple[str, int, str, bytes]] = []
        self._checkpoints: list[tuple[str, int, bytes]] = []
        self._definitions: list[tuple[str, bytes]] = []
        self._runs: list[RunRow] = []
        self._moved: list[RunRow] = []
        """Of runs that go on: those whose row changes by no more, most likely, than the step that they stand at."""
        self._ended: list[tuple[str]] = []
        """All attempts that leave the agenda: those of ``_removed``, and those that are followed."""
        self._removed: list[tuple[str]] = []
        self._put: list[_Put] = []
        self._claimed: list[_Put] = []
        """Those whose row changes by no more, most likely, than a claim."""
        self._followed: list[tuple[str, _Put]] = []
        """What stands in the place of an attempt that has ended, claimed already, most likely on the same queue."""
        self._bury: list[DeadLetterRow] = []
        self._unbury: list[tuple[str]] = []
        self._set_timers: list[TimerRow] = []
        self._drop_timers: list[str] = []
        self._pause: list[PausedQueueRow] = []
        self._resume: list[tuple[str]] = []
        self._leases: list[LeaseChange] = []
        for group in groups:
            for append in group.appends:
                self._add(append)
            self._definitions += [(record.fingerprint, record.body) for record in group.definitions]
            self._leases += group.leases

    def _add(self, append: Append) -> None:
        revision = append.expected_revision + 1
        self._entries.append((append.thread, revision, append.entry_id, append.body))
        if append.checkpoint is not None:
            self._checkpoints.append((append.thread, revision, append.checkpoint))
        run = append.rows.run
        if run is not None:
            moved = append.expected_revision and run.status == "running" and run.parent is None and run.error is None
            (self._moved if moved else self._runs).append(run)
        rows = append.rows
        if rows.remove or rows.put:
            self._add_attempts(rows)
        self._bury += rows.bury
        self._set_timers += rows.set_timers
        self._drop_timers += rows.drop_timers
        self._pause += rows.pause
        for item in rows.unbury:
            self._unbury.append((item,))
        for queue in rows.resume:
            self._resume.append((queue,))

    def _add_attempts(self, rows: RowChanges) -> None:
        entry = len(self._entries) - 1
        removed = [(item,) for item in rows.remove]
        self._ended += removed
        if len(rows.put) == 1 and len(removed) <= 1:
            (row,) = rows.put
            if row.owner is not None and row.concurrency_key is None:
                put = _Put(entry, 0, row)
                if removed:
                    self._followed.append((removed[0][0], put))
                else:
                    self._claimed.append(put)
                return
        self._removed += removed
        self._put += [_Put(entry, place, row) for place, row in enumerate(rows.put)]

    def apply(self, connection: sqlite3.Connection, clock: Clock, stand: Stand) -> None:
        many = connection.executemany
        many(_SQL["append"], self._entries)
        if self._ended or self._put or self._claimed:
            self._write_attempts(connection, stand)
        if self._unbury:
            many(_SQL["unbury"], self._unbury)
        if self._bury:
            many(_SQL["bury"], [msgspec.structs.astuple(row) for row in self._bury])
        if self._set_timers or self._drop_timers:
            timers.write(connection, self._set_timers, self._drop_timers)
        if self._resume:
            many(_SQL["resume_queue"], self._resume)
        if self._pause:
            many(_SQL["pause_queue"], [msgspec.structs.astuple(row) for row in self._pause])
        if self._checkpoints:
            many(_SQL["save_checkpoint"], self._checkpoints)
        if self._definitions:
            many(_SQL["save_definition"], self._definitions)
        if self._runs or self._moved:
            self._put_runs(connection)
        if self._leases or self._ended:
            leases.apply(connection, self._leases, clock.now(), ended=self._ended)

    def _put_runs(self, connection: sqlite3.Connection) -> None:
        """Of those that move, some may also be active in another ten seconds than before. Where one was another in any
        other way, all of them are written in full.
        """
        whole = self._runs
        if self._moved:
            left = len(self._moved)
            left -= connection.executemany(_SQL["move_run"], [_where_it_stands(row) for row in self._moved]).rowcount
            if left:
                active = [_where_and_when(row) for row in self._moved]
                left -= connection.executemany(_SQL["move_run_on"], active).rowcount
            if left:
                whole = [*whole, *self._moved]
        if whole:
            connection.executemany(_SQL["put_run"], [msgspec.structs.astuple(row) for row in whole])

    def _write_attempts(self, connection: sqlite3.Connection, stand: Stand) -> None:
        """A new row's arrival number is that of its entry, and its place in it; a row that is there keeps its own.

        Where somebody asks for what has changed, each row that is put says so, and is written in full.
        """
        many = connection.executemany
        removed, put = self._removed, self._put
        tracked = stand.position is not None
        if tracked or not self._follow(connection, stand):
            removed = [*removed, *((item,) for item, _ in self._followed)]
            put = [*put, *(following for _, following in self._followed)]
        if tracked or not self._claim(connection):
            put = [*put, *self._claimed]
        if removed:
            many(_SQL["remove_attempt"], removed)
        if put and tracked:
            connection.execute(_SQL["next_position"]).fetchone()
        if put:
            rows = [(*msgspec.structs.astuple(one.row), _arrival(one, stand), stand.position) for one in put]
            many(_SQL["put_attempt"], rows)

    def _follow(self, connection: sqlite3.Connection, stand: Stand) -> bool:
        """Whether all of them were as expected. Those that were not are left as they were."""
        if not self._followed:
            return True
        rows = [
            (*_following(put.row), _arrival(put, stand), ended, put.row.run_id, put.row.queue)
            for ended, put in self._followed
        ]
        return connection.executemany(_SQL["follow_attempt"], rows).rowcount == len(rows)

    def _claim(self, connection: sqlite3.Connection) -> bool:
        """As :meth:`_follow`."""
        rows = [_claimed(put.row) for put in self._claimed]
        return not rows or connection.executemany(_SQL["claim_attempt"], rows).rowcount == len(rows)


class _Put(NamedTuple):
    """``entry``: the number of its entry in this batch; ``place``: in that entry."""

    entry: int
    place: int
    row: AttemptRow


def _arrival(put: _Put, stand: Stand) -> int:
    return (stand.last_entry + 1 + put.entry) * agenda.ROWS_OF_AN_ENTRY + put.place


_following = attrgetter(
    "item", "step", "attempt", "priority", "visible_at", "generation", "fence", "owner", "claim_hash", "lease"
)
"""What ``follow_attempt`` sets, but for the arrival."""
_claimed = attrgetter("generation", "fence", "owner", "claim_hash", "lease", "item", "queue", "priority", "visible_at")
"""What ``claim_attempt`` asks for."""
