"""The journal store: threads, and the rows derived from them, in one file (protocol 3.1, 3.3)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from operator import attrgetter
from typing import NamedTuple

import msgspec

from squidmesh.clock import Clock, Instant
from squidmesh.errors import DataRefused, UsageError
from squidmesh.ids import AttemptKey, EntryId, Fingerprint, ThreadId
from squidmesh.journal.rows import AttemptRow, DeadLetterRow, PausedQueueRow, RunRow, ThreadRows, TimerRow, Tombstone
from squidmesh.journal.workers import WorkerRow
from squidmesh.ports.journal_store import (
    AgendaPage,
    Answer,
    Checkpoint,
    Committed,
    Conflict,
    DeadLetterPage,
    DeadLetterQuery,
    Entry,
    Group,
    History,
    JournalStore,
    Moved,
    Plane,
    Pruning,
    Replacement,
    RunPage,
    RunQuery,
    StepTransaction,
    ThreadPage,
    ThreadRead,
)
from squidmesh.ports.pages import check_dead_letters, check_query, check_text
from squidmesh.ports.pruning import check_pruned_once
from squidmesh_sqlite import agenda, lists, reindex, retention, timers, workers
from squidmesh_sqlite.faults import translate, translated
from squidmesh_sqlite.pool import Pool
from squidmesh_sqlite.statements import load
from squidmesh_sqlite.transaction import SqliteStepTransaction, StepsJournal, savepoint
from squidmesh_sqlite.writes import Stand, Writes

_SQL = load("journal")


class SqliteJournal:
    def __init__(self, pool: Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock

    def now(self) -> Instant:
        return self._clock.now()

    def commit(self, groups: Sequence[Group]) -> list[Answer]:
        """A constant number of statements, whatever the size of the batch."""
        if not groups:
            return []
        batch = self._batch(groups)  # before the lock is held
        with self._pool.write() as connection:
            return self._write(connection, batch)

    def _batch(self, groups: Sequence[Group]) -> _Batch:
        expected = _expected(groups)
        try:
            threads = msgspec.json.encode(list(expected)).decode()
            new = [thread for thread, revision in expected.items() if revision == 0]
            begun = msgspec.json.encode(new).decode() if new else None
        except UnicodeError as error:
            raise translate(error, self._pool.path) from error
        epochs = {group.epoch for group in groups if group.epoch is not None}
        return _Batch(groups, expected, threads, begun, epochs, Writes(groups))

    def _write(self, connection: sqlite3.Connection, batch: _Batch) -> list[Answer]:
        stand = _stand(connection, batch.threads)
        if batch.begun is not None:
            stand.revisions.update(retention.pruned_at(connection, batch.begun))
        if stand.revisions == batch.expected and batch.epochs <= {stand.epoch}:
            answers: list[Answer] = [Committed()] * len(batch.groups)
            batch.writes.apply(connection, self._clock, stand)
            return answers
        moved = batch.epochs - {stand.epoch}
        answers = [_judge(group, stand.revisions, moved) for group in batch.groups]  # rare
        accepted = [group for group, answer in zip(batch.groups, answers, strict=True) if answer == Committed()]
        Writes(accepted).apply(connection, self._clock, stand)
        return answers

    def read(self, reads: Sequence[ThreadRead], *, whole: bool = False) -> list[History]:
        with self._pool.read() as connection:
            return self._read(connection, reads, whole)

    def _read(self, connection: sqlite3.Connection, reads: Sequence[ThreadRead], whole: bool) -> list[History]:
        checkpoints = {} if whole else self._checkpoints(connection, [r.thread for r in reads if r.after == 0])
        points = [checkpoints.get(read.thread) if read.after == 0 else None for read in reads]
        # A checkpoint that is replaced between the two statements does no harm: the tail is above the one read.
        after = [(r.thread, point.revision if point else r.after) for r, point in zip(reads, points, strict=True)]
        tails: list[list[Entry]] = [[] for _ in reads]
        rows = connection.execute(_SQL["read_tails"], (msgspec.json.encode(after).decode(),))
        for index, revision, entry_id, body in rows:
            thread = reads[index].thread
            tails[index].append(Entry(thread=thread, revision=revision, entry_id=EntryId(entry_id), body=body))
        # Every plan that we know of gives them in order, and to sort what is sorted is one look at each. An ORDER BY
        # would have SQLite keep all bodies in a table of its own first.
        for tail in tails:
            tail.sort(key=_revision)
        return [History(checkpoint=point, tail=tuple(tail)) for point, tail in zip(points, tails, strict=True)]

    def _checkpoints(self, connection: sqlite3.Connection, threads: list[ThreadId]) -> dict[ThreadId, Checkpoint]:
        rows = connection.execute(_SQL["read_checkpoints"], (msgspec.json.encode(threads).decode(),))
        return {ThreadId(thread): Checkpoint(revision=revision, body=body) for thread, revision, body in rows}

    def entry(self, thread: ThreadId, revision: int) -> Entry | None:
        with self._pool.read() as connection:
            row = connection.execute(_SQL["read_entry"], (thread, revision)).fetchone()
        return None if row is None else Entry(thread=thread, revision=revision, entry_id=row[0], body=row[1])

    def definition(self, fingerprint: Fingerprint) -> bytes | None:
        with self._pool.read() as connection:
            row = connection.execute(_SQL["read_definition"], (fingerprint,)).fetchone()
        return None if row is None else row[0]

    def runs(self, query: RunQuery) -> RunPage:
        below = check_query(query)
        with self._pool.read() as connection:
            return lists.runs(connection, query, below, self.now())

    def run_row(self, run_id: str) -> RunRow | None:
        with self._pool.read() as connection:
            return lists.run_row(connection, run_id)

    def count_runs(self, *, workflow: str | None = None) -> dict[str, int]:
        check_text(workflow, field="workflow")
        with self._pool.read() as connection:
            return lists.count_runs(connection, workflow, self.now())

    def open_attempts(self, *, run_id: str | None = None, limit: int = 1000, after: str = "") -> list[AttemptRow]:
        with self._pool.read() as connection:
            return lists.open_attempts(connection, run_id, limit, after)

    def dead_letters(self, query: DeadLetterQuery) -> DeadLetterPage:
        above = check_dead_letters(query)
        with self._pool.read() as connection:
            return lists.dead_letters(connection, query, above)

    def dead_letter(self, item: AttemptKey) -> DeadLetterRow | None:
        with self._pool.read() as connection:
            return lists.dead_letter(connection, item)

    def count_dead_letters(self) -> int:
        with self._pool.read() as connection:
            return lists.count_dead_letters(connection)

    def attempts(self, items: Sequence[AttemptKey]) -> list[AttemptRow]:
        with self._pool.read() as connection:
            return agenda.of_items(connection, items)

    # --------------------------------------------------------------------------------------------------- timers

    def due_timers(self, until: Instant, *, after: TimerRow | None = None, limit: int = 100) -> list[TimerRow]:
        with self._pool.read() as connection:
            return timers.due(connection, until, after, limit)

    def next_timer(self) -> Instant | None:
        with self._pool.read() as connection:
            found = timers.next_due(connection)
        return None if found is None else Instant(found)

    def open_timers(self, *, limit: int = 1000, after: str = "") -> list[TimerRow]:
        with self._pool.read() as connection:
            return timers.open_(connection, after, limit)

    def drop_signals(self, signals: Sequence[str]) -> None:
        with self._pool.write() as connection:
            timers.drop_signals(connection, signals)

    def paused_queues(self) -> list[PausedQueueRow]:
        with self._pool.read() as connection:
            return lists.paused_queues(connection)

    # ----------------------------------------------------------------------------------------------- retention

    def prunable(self, until: Instant, *, after: RunRow | None = None, limit: int = 100) -> list[RunRow]:
        with self._pool.read() as connection:
            return retention.prunable(connection, until, after, limit)

    def prune(self, runs: Sequence[Pruning]) -> Committed | Conflict:
        check_pruned_once(runs)
        threads = msgspec.json.encode([run.thread for run in runs]).decode()
        with self._pool.write() as connection:
            return retention.prune(connection, runs, _revisions(connection, threads)) or Committed()

    def tombstone(self, run_id: str) -> Tombstone | None:
        with self._pool.read() as connection:
            return retention.tombstone(connection, run_id)

    def recount(self) -> None:
        with self._pool.write() as connection:
            reindex.recount(connection)

    # --------------------------------------------------------------------------------------------- reconciling

    def agenda_queues(self) -> list[str]:
        with self._pool.read() as connection:
            return agenda.queues(connection)

    def agenda(
        self,
        queue: str,
        *,
        since: Instant | None = None,
        until: Instant | None = None,
        after: str | None = None,
        limit: int = 1000,
    ) -> AgendaPage:
        with self._pool.read() as connection:
            return agenda.of_queue(connection, queue, since, until, after, limit)

    def track_changes(self) -> None:
        with self._pool.write() as connection:
            agenda.track(connection)

    def position(self) -> int:
        with self._pool.read() as connection:
            return agenda.position(connection)

    def changed(self, queue: str, *, since: int, after: str | None = None, limit: int = 1000) -> AgendaPage:
        with self._pool.read() as connection:
            return agenda.changed(connection, queue, since, after, limit)

    def put_token(self, token: str, queues: Sequence[str]) -> None:
        with self._pool.write() as connection:
            agenda.put_token(connection, token, queues)

    def has_token(self, token: str, queue: str) -> bool:
        with self._pool.read() as connection:
            return agenda.has_token(connection, token, queue)

    # ------------------------------------------------------------------------------------------------- reindex

    def threads(self, *, after: str | None = None, limit: int = 1000) -> ThreadPage:
        with self._pool.read() as connection:
            return reindex.threads(connection, after, limit)

    def rows_of(self, threads: Sequence[ThreadId]) -> list[ThreadRows]:
        with self._pool.read() as connection:
            return reindex.rows_of(connection, threads)

    def replace_rows(self, replacements: Sequence[Replacement]) -> list[bool]:
        with self._pool.write() as connection:
            return reindex.replace(connection, replacements, self._clock.now())

    # --------------------------------------------------------------------------------------------------- plane

    def plane(self) -> Plane | None:
        with self._pool.read() as connection:
            return _plane(connection)

    def set_plane(self, expected: Plane | None, new: Plane) -> bool:
        with self._pool.write() as connection:
            if _plane(connection) != expected:
                return False
            connection.execute(_SQL["put_plane"], msgspec.structs.astuple(new))
            connection.execute(_SQL["nothing_aside"])
        return True

    # ------------------------------------------------------------------------------------------------- workers

    def put_workers(self, rows: Sequence[WorkerRow], *, stale: Instant) -> None:
        with self._pool.write() as connection:
            workers.put(connection, rows, self._clock.now(), stale)

    def workers(self, *, limit: int = 1000, after: str = "") -> list[WorkerRow]:
        with self._pool.read() as connection:
            return workers.all_(connection, limit, after)

    def forget_workers(self, names: Sequence[str]) -> None:
        with self._pool.write() as connection:
            workers.forget(connection, names)

    # ----------------------------------------------------------------------------------- transactional steps

    @contextmanager
    def transaction(self, limit: timedelta) -> Iterator[StepTransaction]:
        with self._pool.lend() as lent:
            step = SqliteStepTransaction(lent.connection, limit)
            try:
                yield StepsJournal(self, step, lent)
            finally:
                step.end()

    def read_in(self, connection: sqlite3.Connection, reads: Sequence[ThreadRead], *, whole: bool) -> list[History]:
        with translated(self._pool.path):
            return self._read(connection, reads, whole)

    def commit_in(self, connection: sqlite3.Connection, groups: Sequence[Group]) -> list[Answer]:
        """Appends in a transaction that is open; what the store can not hold leaves that as it was before."""
        batch = self._batch(groups)
        with translated(self._pool.path), savepoint(connection):
            return self._write(connection, batch)

    def joined(self, connection: object) -> JournalStore:
        raise UsageError(
            "a journal in SQLite writes through its own connections only: the host's has settings of its own, which"
            " decide what is durable, and would keep every worker from writing until the host commits; allowed is a"
            " journal in PostgreSQL, a start without connection=, or a step with transaction=True",
            field="connection",
            code="connection_unsupported",
        )

    def close(self) -> None:
        self._pool.close()


class _Batch(NamedTuple):
    """``expected``: by thread its revision; ``threads``: their names, as JSON; ``begun``: those that begin, if any;
    ``epochs``: those that are named.
    """

    groups: Sequence[Group]
    expected: dict[str, int]
    threads: str
    begun: str | None
    epochs: set[int]
    writes: Writes


def _stand(connection: sqlite3.Connection, threads: str) -> Stand:
    rows = connection.execute(_SQL["stand"], (threads,)).fetchall()
    *_, epoch, last_entry, position = rows[0] if rows else (None, None, None)
    return Stand({row[0]: row[1] or 0 for row in rows}, epoch, last_entry or 0, position)


def _revisions(connection: sqlite3.Connection, threads: str) -> dict[str, int]:
    """0 where there is no such thread."""
    return {thread: revision or 0 for thread, revision in connection.execute(_SQL["revisions"], (threads,))}


def _plane(connection: sqlite3.Connection) -> Plane | None:
    row = connection.execute(_SQL["read_plane"]).fetchone()
    if row is None:
        return None
    mesh, kind, name, epoch, incarnation, moving = row
    return Plane(mesh=mesh, kind=kind, name=name, epoch=epoch, incarnation=incarnation, moving=bool(moving))


def _expected(groups: Sequence[Group]) -> dict[str, int]:
    appends = [append for group in groups for append in group.appends]
    expected: dict[str, int] = {append.thread: append.expected_revision for append in appends}
    if len(expected) != len(appends):
        raise DataRefused("a thread occurs twice in one commit; allowed is once")
    return expected


def _judge(group: Group, revisions: dict[str, int], moved: set[int]) -> Answer:
    for append in group.appends:
        revision = revisions[append.thread]
        if revision != append.expected_revision:
            return Conflict(thread=append.thread, revision=revision)
    return Moved() if group.epoch in moved else Committed()


_revision = attrgetter("revision")
