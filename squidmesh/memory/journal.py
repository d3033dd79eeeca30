"""The journal store in memory: the meaning of :class:`squidmesh.ports.journal_store.JournalStore` in dictionaries."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence

from squidmesh.clock import Clock, Instant
from squidmesh.errors import DataRefused, InvalidInput
from squidmesh.ids import Fingerprint, ThreadId
from squidmesh.journal.rows import AttemptRow, RunRow
from squidmesh.ports.journal_store import (
    Append,
    Checkpoint,
    Committed,
    Conflict,
    Entry,
    Group,
    History,
    RunPage,
    RunQuery,
    ThreadRead,
)


class MemoryJournal:
    """One lock stands for the transaction. Leases in a group are not for this store and are passed over."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.RLock()
        self._threads: dict[str, list[Entry]] = {}
        self._checkpoints: dict[str, Checkpoint] = {}
        self._definitions: dict[str, bytes] = {}
        self._runs: dict[str, RunRow] = {}
        self._agenda: dict[str, AttemptRow] = {}

    def now(self) -> Instant:
        return self._clock.now()

    # ------------------------------------------------------------------------------------------------- threads

    def commit(self, groups: Sequence[Group]) -> list[Committed | Conflict]:
        threads = [append.thread for group in groups for append in group.appends]
        if len(threads) != len(set(threads)):
            raise DataRefused("a thread occurs twice in one commit; allowed is once")
        with self._lock:
            return [self._commit(group) for group in groups]

    def _commit(self, group: Group) -> Committed | Conflict:
        for append in group.appends:
            revision = len(self._threads.get(append.thread, ()))
            if revision != append.expected_revision:
                return Conflict(thread=append.thread, revision=revision)
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
        if append.rows.run is not None:
            self._runs[append.rows.run.run_id] = append.rows.run
        for item in append.rows.remove:
            self._agenda.pop(item, None)
        for row in append.rows.put:
            self._agenda[row.item] = row

    def read(self, reads: Sequence[ThreadRead], *, whole: bool = False) -> list[History]:
        with self._lock:
            return [self._read(read, whole) for read in reads]

    def _read(self, read: ThreadRead, whole: bool) -> History:
        checkpoint = None if whole or read.after else self._checkpoints.get(read.thread)
        after = checkpoint.revision if checkpoint else read.after
        return History(checkpoint=checkpoint, tail=tuple(self._threads.get(read.thread, ())[after:]))

    def entry(self, thread: ThreadId, revision: int) -> Entry | None:
        with self._lock:
            entries = self._threads.get(thread, ())
            return entries[revision - 1] if 1 <= revision <= len(entries) else None

    def definition(self, fingerprint: Fingerprint) -> bytes | None:
        return self._definitions.get(fingerprint)

    # ---------------------------------------------------------------------------------------------------- rows

    def runs(self, query: RunQuery) -> RunPage:
        now = self.now()
        below = None if query.after is None else _from_cursor(query.after)
        with self._lock:
            found = [row for row in self._runs.values() if _matches(row, query, now)]
        found = sorted((row for row in found if below is None or _age(row) < below), key=_age, reverse=True)
        rows = tuple(found[: query.limit])
        return RunPage(rows=rows, next=_to_cursor(rows[-1]) if rows and len(found) > len(rows) else None)

    def run_row(self, run_id: str) -> RunRow | None:
        return self._runs.get(run_id)

    def count_runs(self, *, workflow: str | None = None) -> dict[str, int]:
        now = self.now()
        with self._lock:
            rows = [row for row in self._runs.values() if workflow in (None, row.workflow)]
        return dict(Counter(_status(row, now) for row in rows))

    def open_attempts(self, *, run_id: str | None = None, limit: int = 1000, after: str = "") -> list[AttemptRow]:
        with self._lock:
            rows = [row for row in self._agenda.values() if row.item > after and run_id in (None, row.run_id)]
        return sorted(rows, key=lambda row: row.item)[:limit]

    def close(self) -> None:
        """Nothing to give back: the memory ends with its backend."""


def _status(row: RunRow, now: int) -> str:
    """What waits only for a time that has come is running."""
    due = row.status in ("waiting", "retrying") and row.due_at is not None and row.due_at <= now
    return "running" if due else row.status


def _matches(row: RunRow, query: RunQuery, now: int) -> bool:
    return (
        query.workflow in (None, row.workflow)
        and query.queue in (None, row.queue)
        and query.status in (None, _status(row, now))
        and (not query.text or row.run_id.startswith(query.text) or (row.key or "").startswith(query.text))
    )


def _age(row: RunRow) -> tuple[int, str]:
    return row.started_at, row.run_id


def _to_cursor(row: RunRow) -> str:
    return f"{row.started_at}:{row.run_id}"


def _from_cursor(cursor: str) -> tuple[int, str]:
    started_at, _, run_id = cursor.partition(":")
    if not (started_at.isdigit() and run_id):
        raise InvalidInput(f"{cursor!r} is no cursor; allowed is the next of a page", field="after")
    return int(started_at), run_id
