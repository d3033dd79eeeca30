"""The journal store: threads, and the rows derived from them, in one schema (protocol 3.1, 3.3)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import timedelta
from itertools import count
from operator import attrgetter
from typing import Any

import msgspec
import psycopg
from psycopg import Connection, Cursor, errors

from squidmesh.clock import Instant
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
from squidmesh_postgres import agenda, lists, reindex, retention, timers, workers
from squidmesh_postgres.faults import translate_commit, translated
from squidmesh_postgres.joined import JoinedJournal
from squidmesh_postgres.locks import Locks
from squidmesh_postgres.pool import Pool
from squidmesh_postgres.raw import Raw
from squidmesh_postgres.statements import load
from squidmesh_postgres.times import ServerTime
from squidmesh_postgres.transaction import require_outside, step_transaction
from squidmesh_postgres.writes import Batch, one_by_one

_FOLD_EVERY = 500
"""Commits of this process between two times that it folds the tallies."""


class PostgresJournal:
    """``steps``: the pool of which transactional steps get their connection. ``tell`` hears the words of a commit in
    this process, and which session says them.
    """

    def __init__(
        self,
        pool: Pool,
        steps: Pool,
        times: ServerTime,
        schema: str,
        incarnation: str,
        tell: Callable[[Iterable[str], int], None] | None = None,
    ) -> None:
        self._tell = tell
        self.name = pool.name
        self._pool = pool
        self._incarnation = incarnation
        self._steps = steps
        self._times = times
        self._schema = schema
        self._sql = load("journal", schema)
        self._found = Raw(load("commit", schema)["found"])
        self._announce = Raw(load("commit", schema)["announce"])
        self._announce_behind = Raw(load("commit", schema)["announce_behind"])
        self._read_raw = Raw(self._sql["read"])
        self._locks = Locks(pool.name, self._sql["locked_threads"])
        self._commits = count(1)
        self._is_heard = True

    def nobody_listens(self) -> None:
        """From now on its own commits say nothing."""
        self._is_heard = False

    @property
    def tells_at_home(self) -> bool:
        """Whether its own commits wake who sleeps in this process."""
        return self._tell is not None and self._is_heard

    def now(self) -> Instant:
        return self._times.now()

    # ------------------------------------------------------------------------------------------------- threads

    def commit(self, groups: Sequence[Group]) -> list[Answer]:
        """One round trip, and one statement, whatever the size of the batch; two statements where threads begin beside
        others that go on, and another round trip where somebody is to be woken.
        """
        if not groups:
            return []
        require_outside()
        with translated(self._pool.name):
            batch = Batch(groups)  # before anything is locked
        with self._pool.use() as connection:
            try:
                self._locks.avoid(connection, groups)
                answers = self._write_tangled(connection, groups) if batch.is_tangled else self._send(connection, batch)
            except errors.LockNotAvailable as error:
                self._locks.blame(connection, groups)
                raise translate_commit(error, connection, self._pool.name) from error
            except (psycopg.Error, UnicodeError) as error:
                raise translate_commit(error, connection, self._pool.name) from error
            if next(self._commits) % _FOLD_EVERY == 0:
                self._fold_tallies(connection)
        return answers

    def _send(self, connection: Connection[Any], batch: Batch) -> list[Answer]:
        """What stands between two synchronisations of a pipeline is one transaction. The words go behind it in one of
        their own: PostgreSQL lets only one transaction at a time commit with words.
        """
        if begun := batch.to_begin():
            with connection.pipeline():
                self._found.execute(connection, {"new": msgspec.json.encode(begun).decode()})
                written = self._write(connection, batch)
        else:
            written = self._write(connection, batch)
        answers = self._answers(batch, written)
        self._say_behind(connection, batch.words)
        return answers

    def _say_behind(self, connection: Connection[Any], words: set[str]) -> None:
        """Behind the commit that they speak of."""
        if not words or not self._is_heard:
            return
        if self._tell is not None:  # who sleeps in this process is up while the server is told
            self._tell(words, connection.info.backend_pid)
        with suppress(psycopg.Error):  # it is committed; a word is only a hint
            self._say(connection, words, self._announce_behind)

    def _write(self, connection: Connection[Any], batch: Batch, mark: str | None = None) -> Cursor[Any]:
        statement = batch.statement(self._schema, marked=mark is not None)
        return statement.execute(connection, batch.parameters(mark=mark), binary=True)

    def _say(self, connection: Connection[Any], words: set[str], announce: Raw) -> None:
        told = {"channel": self._schema, "queues": msgspec.json.encode(sorted(words)).decode()}
        announce.execute(connection, told)

    def _answers(self, batch: Batch, written: Cursor[Any]) -> list[Answer]:
        (now, *_), *refused = written.fetchall()
        self._times.hear(now)
        return batch.answers(refused)

    def _write_tangled(self, connection: Connection[Any], groups: Sequence[Group]) -> list[Answer]:
        """Groups that write the same row, one after the other. Nobody commits such a batch in the normal course."""
        with connection.transaction():
            answers = self.write_in(connection, groups)
        self._say_behind(connection, Batch(groups).words)
        return answers

    def write_in(
        self,
        connection: Connection[Any],
        groups: Sequence[Group],
        *,
        mark: str | None = None,
        aloud: bool = False,
        also: str | None = None,
    ) -> list[Answer]:
        """In a transaction that is open. ``aloud``: its commit itself says that there is something to claim, and
        ``also`` that word.
        """
        whole = Batch(groups, marked=mark is not None)
        answers: list[Answer] = []
        for batch in one_by_one(groups) if whole.is_tangled else [whole]:
            if begun := batch.to_begin(marked=mark is not None):
                self._found.execute(connection, {"new": msgspec.json.encode(begun).decode()})
            answers += self._answers(batch, self._write(connection, batch, mark))
            if aloud and batch.words:
                self._say(connection, batch.words if also is None else {*batch.words, also}, self._announce)
        return answers

    def _fold_tallies(self, connection: Connection[Any]) -> None:
        """Housekeeping: what fails here is done by the next one."""
        try:
            connection.execute(self._sql["fold_tallies"])
        except psycopg.Error:
            connection.close()

    def read(self, reads: Sequence[ThreadRead], *, whole: bool = False) -> list[History]:
        with self._reading() as connection:
            return self.read_in(connection, reads, whole=whole)

    def read_in(self, connection: Connection[Any], reads: Sequence[ThreadRead], *, whole: bool) -> list[History]:
        asked = {"reads": msgspec.json.encode(reads).decode(), "whole": whole}
        points: list[Checkpoint | None] = [None] * len(reads)
        tails: list[list[Entry]] = [[] for _ in reads]
        for n, revision, entry_id, body, now in self._read_raw.execute(connection, asked, binary=True):
            if n == 0:
                self._times.hear(now)
            elif entry_id is None:
                points[n - 1] = Checkpoint(revision=revision, body=body)
            else:
                thread = reads[n - 1].thread
                tails[n - 1].append(Entry(thread=thread, revision=revision, entry_id=EntryId(entry_id), body=body))
        for tail in tails:
            tail.sort(key=_revision)
        return [History(checkpoint=point, tail=tuple(tail)) for point, tail in zip(points, tails, strict=True)]

    def entry(self, thread: ThreadId, revision: int) -> Entry | None:
        with self._reading() as connection:
            return self.entry_in(connection, thread, revision)

    def entry_in(self, connection: Connection[Any], thread: ThreadId, revision: int) -> Entry | None:
        asked = {"thread": thread, "revision": revision}
        row = connection.execute(self._sql["read_entry"], asked, binary=True).fetchone()
        return None if row is None else Entry(thread=thread, revision=revision, entry_id=row[0], body=row[1])

    def definition(self, fingerprint: Fingerprint) -> bytes | None:
        with self._reading() as connection:
            return self.definition_in(connection, fingerprint)

    def definition_in(self, connection: Connection[Any], fingerprint: Fingerprint) -> bytes | None:
        asked = {"fingerprint": fingerprint}
        row = connection.execute(self._sql["read_definition"], asked, binary=True).fetchone()
        return None if row is None else bytes(row[0])

    # ---------------------------------------------------------------------------------------------------- rows

    def runs(self, query: RunQuery) -> RunPage:
        below = check_query(query)
        with self._reading() as connection:
            if query.by == "active":
                return lists.active_runs(connection, self._schema, query, below, self.now())
            return lists.runs(connection, self._schema, query, below)

    def run_row(self, run_id: str) -> RunRow | None:
        with self._reading() as connection:
            return lists.run_row(connection, self._schema, run_id)

    def count_runs(self, *, workflow: str | None = None) -> dict[str, int]:
        check_text(workflow, field="workflow")
        with self._reading() as connection:
            return lists.count_runs(connection, self._schema, workflow)

    def open_attempts(self, *, run_id: str | None = None, limit: int = 1000, after: str = "") -> list[AttemptRow]:
        with self._reading() as connection:
            return lists.open_attempts(connection, self._schema, run_id, limit, after)

    def dead_letters(self, query: DeadLetterQuery) -> DeadLetterPage:
        above = check_dead_letters(query)
        with self._reading() as connection:
            return lists.dead_letters(connection, self._schema, query, above)

    def dead_letter(self, item: AttemptKey) -> DeadLetterRow | None:
        with self._reading() as connection:
            return lists.dead_letter(connection, self._schema, item)

    def count_dead_letters(self) -> int:
        with self._reading() as connection:
            return lists.count_dead_letters(connection, self._schema)

    def attempts(self, items: Sequence[AttemptKey]) -> list[AttemptRow]:
        with self._reading() as connection:
            return agenda.of_items(connection, self._schema, items)

    def paused_queues(self) -> list[PausedQueueRow]:
        with self._reading() as connection:
            return lists.paused_queues(connection, self._schema)

    # --------------------------------------------------------------------------------------------------- timers

    def due_timers(self, until: Instant, *, after: TimerRow | None = None, limit: int = 100) -> list[TimerRow]:
        with self._reading() as connection:
            return timers.due(connection, self._schema, until, after, limit)

    def next_timer(self) -> Instant | None:
        with self._reading() as connection:
            return timers.next_due(connection, self._schema)

    def open_timers(self, *, limit: int = 1000, after: str = "") -> list[TimerRow]:
        with self._reading() as connection:
            return timers.open_(connection, self._schema, after, limit)

    def drop_signals(self, signals: Sequence[str]) -> None:
        with self._reading() as connection:
            timers.drop_signals(connection, self._schema, signals)

    # ------------------------------------------------------------------------------------------------ retention

    def prunable(self, until: Instant, *, after: RunRow | None = None, limit: int = 100) -> list[RunRow]:
        with self._reading() as connection:
            return retention.prunable(connection, self._schema, until, after, limit)

    def prune(self, runs: Sequence[Pruning]) -> Committed | Conflict:
        with self._pool.use() as connection:
            try:
                return retention.prune(connection, self._schema, runs)
            except (psycopg.Error, UnicodeError) as error:
                raise translate_commit(error, connection, self._pool.name) from error

    def tombstone(self, run_id: str) -> Tombstone | None:
        with self._reading() as connection:
            return retention.tombstone(connection, self._schema, run_id)

    # -------------------------------------------------------------------------------------------------- reindex

    def threads(self, *, after: str | None = None, limit: int = 1000) -> ThreadPage:
        with self._reading() as connection:
            return reindex.threads(connection, self._schema, after, limit)

    def rows_of(self, threads: Sequence[ThreadId]) -> list[ThreadRows]:
        with self._reading() as connection:
            return reindex.rows_of(connection, self._schema, threads)

    def replace_rows(self, replacements: Sequence[Replacement]) -> list[bool]:
        with self._reading() as connection, connection.transaction():
            return reindex.replace(connection, self._schema, replacements)

    def recount(self) -> None:
        with self._reading() as connection:
            reindex.recount(connection, self._schema)

    # --------------------------------------------------------------------------------------------- reconciling

    def agenda_queues(self) -> list[str]:
        with self._reading() as connection:
            return agenda.queues(connection, self._schema)

    def agenda(
        self,
        queue: str,
        *,
        since: Instant | None = None,
        until: Instant | None = None,
        after: str | None = None,
        limit: int = 1000,
    ) -> AgendaPage:
        with self._reading() as connection:
            return agenda.of_queue(connection, self._schema, queue, since, until, after, limit)

    def track_changes(self) -> None:
        with self._reading() as connection:
            agenda.track(connection, self._schema)

    def position(self) -> int:
        with self._reading() as connection:
            return agenda.position(connection, self._schema)

    def changed(self, queue: str, *, since: int, after: str | None = None, limit: int = 1000) -> AgendaPage:
        with self._reading() as connection:
            return agenda.changed(connection, self._schema, queue, since, after, limit)

    def put_token(self, token: str, queues: Sequence[str]) -> None:
        with self._reading() as connection:
            agenda.put_token(connection, self._schema, token, queues)

    def has_token(self, token: str, queue: str) -> bool:
        with self._reading() as connection:
            return agenda.has_token(connection, self._schema, token, queue)

    # --------------------------------------------------------------------------------------------------- plane

    def plane(self) -> Plane | None:
        with self._reading() as connection:
            return self._plane(connection)

    def set_plane(self, expected: Plane | None, new: Plane) -> bool:
        """What is uncertain of its commit is found by who looks again: it compares the whole row."""
        with self._reading() as connection, connection.transaction():
            connection.execute(self._sql["lock_plane"])
            if self._plane(connection) != expected:
                return False
            connection.execute(self._sql["put_plane"], msgspec.structs.asdict(new))
            connection.execute(self._sql["nothing_aside"])
        return True

    def _plane(self, connection: Connection[Any]) -> Plane | None:
        row = connection.execute(self._sql["read_plane"]).fetchone()
        if row is None:
            return None
        mesh, kind, name, epoch, incarnation, moving = row
        return Plane(mesh=mesh, kind=kind, name=name, epoch=epoch, incarnation=incarnation, moving=moving)

    # ------------------------------------------------------------------------------------------------- workers

    def put_workers(self, rows: Sequence[WorkerRow], *, stale: Instant) -> None:
        with self._reading() as connection, connection.transaction():
            workers.put(connection, self._schema, rows, stale)

    def workers(self, *, limit: int = 1000, after: str = "") -> list[WorkerRow]:
        with self._reading() as connection:
            return workers.all_(connection, self._schema, limit, after)

    def forget_workers(self, names: Sequence[str]) -> None:
        with self._reading() as connection:
            workers.forget(connection, self._schema, names)

    # ----------------------------------------------------------------------------------- transactional steps

    def transaction(self, limit: timedelta) -> AbstractContextManager[StepTransaction]:
        return step_transaction(self, self._steps, limit)

    def joined(self, connection: object) -> JoinedJournal:
        require_outside()
        return JoinedJournal(self, connection, schema=self._schema, incarnation=self._incarnation)

    def close(self) -> None:
        self._pool.close()
        self._steps.close()

    @contextmanager
    def _reading(self) -> Iterator[Connection[Any]]:
        """For all that may be asked again as it is: whatever goes wrong, the same call may work later."""
        with translated(self._pool.name), self._pool.use() as connection:
            yield connection


_revision = attrgetter("revision")
