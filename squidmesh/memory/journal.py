"""The journal store in memory: the meaning of :class:`squidmesh.ports.journal_store.JournalStore` in dictionaries."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import TypeVar

from msgspec import structs

from squidmesh.clock import Clock, Instant
from squidmesh.errors import DataRefused, InvalidInput, UsageError
from squidmesh.ids import AttemptKey, Fingerprint, RunId, ThreadId
from squidmesh.journal.queues import queue_thread
from squidmesh.journal.rows import (
    AttemptRow,
    DeadLetterRow,
    PausedQueueRow,
    RowChanges,
    RunRow,
    ThreadRows,
    TimerRow,
    Tombstone,
    thread_of,
)
from squidmesh.journal.workers import MOST_FORGOTTEN, WorkerRow
from squidmesh.memory.door import Door
from squidmesh.ports.journal_store import (
    TOKENS_KEPT,
    AgendaPage,
    Answer,
    Append,
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
    ThreadAt,
    ThreadPage,
    ThreadRead,
)
from squidmesh.ports.pages import (
    active_page,
    active_place,
    begins,
    check_dead_letters,
    check_query,
    check_text,
    dead_page,
    dead_place,
    looked_at,
    matches,
    page,
    place,
    status,
)
from squidmesh.ports.pruning import check_pruned_once

R = TypeVar("R")


class MemoryJournal:
    """Leases in a group are not for this store and are passed over."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._door = Door()
        self._threads: dict[str, list[Entry]] = {}
        self._checkpoints: dict[str, Checkpoint] = {}
        self._definitions: dict[str, bytes] = {}
        self._runs: dict[str, RunRow] = {}
        self._agenda: dict[str, AttemptRow] = {}
        self._dead_letters: dict[str, DeadLetterRow] = {}
        self._timers: dict[str, TimerRow] = {}
        self._paused: dict[str, PausedQueueRow] = {}
        self._tombstones: dict[str, Tombstone] = {}
        self._plane: Plane | None = None
        self._workers: dict[str, WorkerRow] = {}
        self._position = 0
        self._writer: dict[str, int] = {}
        """By item, the position of its last writer, for what was written since changes are tracked."""
        self._tokens: defaultdict[str, deque[str]] = defaultdict(lambda: deque(maxlen=TOKENS_KEPT))

    def now(self) -> Instant:
        return self._clock.now()

    # ------------------------------------------------------------------------------------------------- threads

    def commit(self, groups: Sequence[Group]) -> list[Answer]:
        threads = [append.thread for group in groups for append in group.appends]
        if len(threads) != len(set(threads)):
            raise DataRefused("a thread occurs twice in one commit; allowed is once")
        with self._door:
            return [self._commit(group) for group in groups]

    def _commit(self, group: Group) -> Answer:
        for append in group.appends:
            revision = len(self._threads.get(append.thread, ()))
            if append.expected_revision == 0 and append.thread in self._tombstones:
                revision = self._tombstones[append.thread].revision
            if revision != append.expected_revision:
                return Conflict(thread=append.thread, revision=revision)
        if group.epoch is not None and (self._plane is None or self._plane.epoch != group.epoch):
            return Moved()
        for append in group.appends:
            self._append(append)
        for record in group.definitions:
            self._definitions.setdefault(record.fingerprint, record.body)
        return Committed()

    def _append(self, append: Append) -> None:
        revision = append.expected_revision + 1
        entry = Entry(thread=append.thread, revision=revision, entry_id=append.entry_id, body=append.body)
        self._threads.setdefault(append.thread, []).append(entry)
        if append.checkpoint is not None:
            self._checkpoints[append.thread] = Checkpoint(revision=revision, body=append.checkpoint)
        self._change(append.rows)

    def _change(self, rows: RowChanges) -> None:
        if rows.run is not None:
            self._runs[rows.run.run_id] = rows.run
        for item in rows.remove:
            self._agenda.pop(item, None)
            self._writer.pop(item, None)
        for item in rows.unbury:
            self._dead_letters.pop(item, None)
        for letter in rows.bury:
            self._dead_letters[letter.item] = letter
        for timer in rows.drop_timers:
            self._timers.pop(timer, None)
        for set_ in rows.set_timers:
            self._timers[set_.timer] = set_
        for queue in rows.resume:
            self._paused.pop(queue, None)
        for paused in rows.pause:
            self._paused[paused.queue] = paused
        for row in rows.put:
            self._agenda[row.item] = row
            if self._position:
                self._writer[row.item] = self._position
                self._position += 1

    def read(self, reads: Sequence[ThreadRead], *, whole: bool = False) -> list[History]:
        with self._door:
            return [self._read(read, whole) for read in reads]

    def _read(self, read: ThreadRead, whole: bool) -> History:
        checkpoint = None if whole or read.after else self._checkpoints.get(read.thread)
        after = checkpoint.revision if checkpoint else read.after
        return History(checkpoint=checkpoint, tail=tuple(self._threads.get(read.thread, ())[after:]))

    def entry(self, thread: ThreadId, revision: int) -> Entry | None:
        with self._door:
            entries = self._threads.get(thread, ())
            return entries[revision - 1] if 1 <= revision <= len(entries) else None

    def definition(self, fingerprint: Fingerprint) -> bytes | None:
        with self._door:
            return self._definitions.get(fingerprint)

    # ---------------------------------------------------------------------------------------------------- rows

    def runs(self, query: RunQuery) -> RunPage:
        now, below = self.now(), check_query(query)
        with self._door:
            if query.by == "active":
                active = sorted(self._runs.values(), key=active_place, reverse=True)
                below_it = [row for row in active if active_place(row) < below and begins(row, query.text)]
                return active_page(query, below_it[: looked_at(query) + 1], now)
            found = [row for row in self._runs.values() if place(row) < below and matches(row, query, now)]
        return page(query, sorted(found, key=place, reverse=True))

    def run_row(self, run_id: str) -> RunRow | None:
        with self._door:
            return self._runs.get(run_id)

    def count_runs(self, *, workflow: str | None = None) -> dict[str, int]:
        check_text(workflow, field="workflow")
        now = self.now()
        with self._door:
            rows = [row for row in self._runs.values() if workflow in (None, row.workflow)]
        return dict(Counter(status(row, now) for row in rows))

    def open_attempts(self, *, run_id: str | None = None, limit: int = 1000, after: str = "") -> list[AttemptRow]:
        with self._door:
            rows = [row for row in self._agenda.values() if row.item > after and run_id in (None, row.run_id)]
        return sorted(rows, key=lambda row: row.item)[:limit]

    def dead_letters(self, query: DeadLetterQuery) -> DeadLetterPage:
        above = check_dead_letters(query)
        with self._door:
            found = [row for row in self._dead_letters.values() if dead_place(row) > above and _asked_for(row, query)]
        return dead_page(query, sorted(found, key=dead_place))

    def dead_letter(self, item: AttemptKey) -> DeadLetterRow | None:
        with self._door:
            return self._dead_letters.get(item)

    def count_dead_letters(self) -> int:
        with self._door:
            return len(self._dead_letters)

    def attempts(self, items: Sequence[AttemptKey]) -> list[AttemptRow]:
        with self._door:
            return [self._agenda[item] for item in items if item in self._agenda]

    # --------------------------------------------------------------------------------------------------- timers

    def due_timers(self, until: Instant, *, after: TimerRow | None = None, limit: int = 100) -> list[TimerRow]:
        begin = (after.due_at, after.timer) if after is not None else None
        with self._door:
            due = sorted((row.due_at, row.timer) for row in self._timers.values() if row.due_at <= until)
            return [self._timers[timer] for at, timer in due if begin is None or (at, timer) > begin][:limit]

    def next_timer(self) -> Instant | None:
        with self._door:
            return min((Instant(row.due_at) for row in self._timers.values()), default=None)

    def open_timers(self, *, limit: int = 1000, after: str = "") -> list[TimerRow]:
        with self._door:
            return [self._timers[timer] for timer in sorted(self._timers) if timer > after][:limit]

    def drop_signals(self, signals: Sequence[str]) -> None:
        with self._door:
            for timer in signals:
                if timer in self._timers and self._timers[timer].sender is not None:
                    del self._timers[timer]

    def paused_queues(self) -> list[PausedQueueRow]:
        with self._door:
            return [self._paused[queue] for queue in sorted(self._paused)]

    # ----------------------------------------------------------------------------------------------- retention

    def prunable(self, until: Instant, *, after: RunRow | None = None, limit: int = 100) -> list[RunRow]:
        begin = None if after is None else _ended_place(after)
        with self._door:
            ended = [r for r in self._runs.values() if r.parent is None and r.ended_at is not None]
        found = [row for row in ended if _ended_place(row)[0] <= until and (begin is None or _ended_place(row) > begin)]
        return sorted(found, key=_ended_place)[:limit]

    def prune(self, runs: Sequence[Pruning]) -> Committed | Conflict:
        check_pruned_once(runs)
        with self._door:
            for run in runs:
                revision = len(self._threads.get(run.thread, ()))
                if revision != run.revision:
                    return Conflict(thread=run.thread, revision=revision)
            for run in runs:
                self._prune(run)
        return Committed()

    def _prune(self, run: Pruning) -> None:
        run_id = RunId(run.thread)
        del self._threads[run.thread]
        self._checkpoints.pop(run.thread, None)
        self._runs.pop(run.thread, None)
        for item in [item for item, row in self._agenda.items() if row.run_id == run_id]:
            del self._agenda[item]
            self._writer.pop(item, None)
        for item in [item for item, letter in self._dead_letters.items() if letter.run_id == run_id]:
            del self._dead_letters[item]
        for timer in run.timers:
            if timer in self._timers and self._timers[timer].run_id == run_id:
                del self._timers[timer]
        if run.tombstone is not None:
            self._tombstones[run.thread] = run.tombstone

    def tombstone(self, run_id: str) -> Tombstone | None:
        with self._door:
            return self._tombstones.get(run_id)

    def recount(self) -> None:
        """Nothing is counted beside the rows."""

    # --------------------------------------------------------------------------------------------- reconciling

    def agenda_queues(self) -> list[str]:
        with self._door:
            return sorted({row.queue for row in self._agenda.values()})

    def agenda(
        self,
        queue: str,
        *,
        since: Instant | None = None,
        until: Instant | None = None,
        after: str | None = None,
        limit: int = 1000,
    ) -> AgendaPage:
        """In order of item."""
        with self._door:
            found = [
                row
                for row in self._agenda.values()
                if row.queue == queue
                and row.item > (after or "")
                and (since is None or row.visible_at >= since)
                and (until is None or row.visible_at <= until)
            ]
        found.sort(key=lambda row: row.item)
        return AgendaPage(rows=tuple(found[:limit]), next=found[limit - 1].item if len(found) > limit else None)

    def track_changes(self) -> None:
        with self._door:
            self._position = self._position or 1

    def position(self) -> int:
        with self._door:
            return self._position

    def changed(self, queue: str, *, since: int, after: str | None = None, limit: int = 1000) -> AgendaPage:
        begin = max(since, int(after or 0))
        with self._door:
            found = sorted(
                (writer, item)
                for item, writer in self._writer.items()
                if writer >= begin and self._agenda[item].queue == queue
            )
            rows = tuple(self._agenda[item] for _, item in found[:limit])
        return AgendaPage(rows=rows, next=str(found[limit][0]) if len(found) > limit else None)

    def put_token(self, token: str, queues: Sequence[str]) -> None:
        with self._door:
            for queue in queues:
                self._tokens[queue].append(token)

    def has_token(self, token: str, queue: str) -> bool:
        with self._door:
            return token in self._tokens.get(queue, ())

    # ------------------------------------------------------------------------------------------------- reindex

    def threads(self, *, after: str | None = None, limit: int = 1000) -> ThreadPage:
        """A cursor is the last name before it, with a mark that puts those without entries behind all others."""
        if after is not None and not after.startswith(("1:", "2:")):
            raise InvalidInput(f"{after[:80]!r} is no cursor; allowed is the next of a page", field="after")
        with self._door:
            rows = [*self._agenda, *self._dead_letters, *self._timers]
            under = {*map(ThreadId, self._runs), *map(thread_of, rows), *map(queue_thread, self._paused)}
            places = [f"1:{name}" for name in self._threads] + [f"2:{name}" for name in under - self._threads.keys()]
            found = sorted(place for place in places if place > (after or ""))
            names = [ThreadId(place[2:]) for place in found[:limit]]
            threads = tuple(ThreadAt(thread=name, revision=len(self._threads.get(name, ()))) for name in names)
        return ThreadPage(threads=threads, next=found[limit - 1] if len(found) > limit else None)

    def rows_of(self, threads: Sequence[ThreadId]) -> list[ThreadRows]:
        with self._door:
            paused = {queue_thread(queue): row for queue, row in self._paused.items()}
            attempts = _by_thread(self._agenda)
            letters = _by_thread(self._dead_letters)
            timers = _by_thread(self._timers)
            return [
                ThreadRows(
                    thread=thread,
                    run=self._runs.get(thread),
                    attempts=attempts.get(thread, ()),
                    dead_letters=letters.get(thread, ()),
                    timers=timers.get(thread, ()),
                    paused=paused.get(thread),
                )
                for thread in threads
            ]

    def replace_rows(self, replacements: Sequence[Replacement]) -> list[bool]:
        with self._door:
            return [self._replace(replacement) for replacement in replacements]

    def _replace(self, replacement: Replacement) -> bool:
        if any(len(self._threads.get(at.thread, ())) != at.revision for at in replacement.at):
            return False
        if replacement.drop_run is not None:
            self._runs.pop(replacement.drop_run, None)
        self._change(replacement.rows)
        return True

    # --------------------------------------------------------------------------------------------------- plane

    def plane(self) -> Plane | None:
        with self._door:
            return self._plane

    def set_plane(self, expected: Plane | None, new: Plane) -> bool:
        with self._door:
            if self._plane != expected:
                return False
            self._plane = new
            return True

    # ------------------------------------------------------------------------------------------------- workers

    def put_workers(self, rows: Sequence[WorkerRow], *, stale: Instant) -> None:
        with self._door:
            for row in rows:
                self._workers[row.name] = structs.replace(row, seen_at=self.now())
            old = sorted((row.seen_at, row.name) for row in self._workers.values() if row.seen_at < stale)
            for _, name in old[:MOST_FORGOTTEN]:
                del self._workers[name]

    def workers(self, *, limit: int = 1000, after: str = "") -> list[WorkerRow]:
        with self._door:
            return [self._workers[name] for name in sorted(self._workers) if name > after][:limit]

    def forget_workers(self, names: Sequence[str]) -> None:
        with self._door:
            for name in names:
                self._workers.pop(name, None)

    # --------------------------------------------------------------------------------------------------- hosts

    def transaction(self, limit: timedelta) -> AbstractContextManager[StepTransaction]:
        raise UsageError(
            "a memory has no database that a step could write to; allowed is a journal such as sqlite:///file.db",
            code="transactions_unsupported",
        )

    def joined(self, connection: object) -> JournalStore:
        raise UsageError(
            "a memory has no transaction that a host could have open; allowed is a journal in PostgreSQL, or a start"
            " without connection=",
            field="connection",
            code="connection_unsupported",
        )

    def close(self) -> None:
        self._door.close()


def _by_thread(rows: Mapping[str, R]) -> dict[str, tuple[R, ...]]:
    """Each thread's in order of name."""
    found: defaultdict[str, list[R]] = defaultdict(list)
    for name in sorted(rows):
        found[thread_of(name)].append(rows[name])
    return {thread: tuple(its) for thread, its in found.items()}


def _ended_place(row: RunRow) -> tuple[int, str]:
    """Where a run that has ended stands among those."""
    assert row.ended_at is not None
    return row.ended_at, row.run_id


def _asked_for(row: DeadLetterRow, query: DeadLetterQuery) -> bool:
    return (
        query.run_id in (None, row.run_id)
        and query.workflow in (None, row.workflow)
        and query.step in (None, row.step)
        and query.queue in (None, row.queue)
        and query.cause in (None, row.cause)
        and (query.until is None or row.died_at <= query.until)
    )
