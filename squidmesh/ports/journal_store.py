"""The journal store: ordered threads with compare-and-append, and the rows derived from them (protocol 3.1, 3.3).

A store moves bytes and rows; it decides nothing and derives nothing. What every store must do is told, and tried, by
:class:`squidmesh.testing.journal_suite.JournalStoreSuite`.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any, Literal, Protocol

import msgspec

from squidmesh.clock import Instant
from squidmesh.ids import AttemptKey, EntryId, Fingerprint, RunId, ThreadId
from squidmesh.journal.rows import (
    AttemptRow,
    DeadLetterRow,
    PausedQueueRow,
    RowChanges,
    RunRow,
    ThreadRows,
    TimerRow,
    Tombstone,
)
from squidmesh.journal.workers import WorkerRow
from squidmesh.ports.lease_backend import LeaseChange


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """The facts of one append. Revisions of a thread are 1, 2, 3 … (I1). ``body``: what the codec made of the facts."""

    thread: ThreadId
    revision: int
    entry_id: EntryId
    body: bytes


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A saved fold of entries 1 to ``revision``. Only an accelerator (I2)."""

    revision: int
    body: bytes


class Append(msgspec.Struct, frozen=True, kw_only=True):
    """One entry to come, at revision ``expected_revision + 1``, with what it changes in the rows.

    ``checkpoint``, if any, is the fold that includes this entry.
    """

    thread: ThreadId
    expected_revision: int
    entry_id: EntryId
    body: bytes
    rows: RowChanges
    checkpoint: bytes | None = None


class DefinitionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Put if absent."""

    fingerprint: Fingerprint
    body: bytes


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """All or nothing; without appends, the definitions alone. ``leases`` are applied in the same transaction by a store
    that also keeps the leases, when all appends succeeded; the caller gives them to no other store. ``epoch``: that of
    the plane on which the claims were granted that are recorded here; None where none is.
    """

    appends: tuple[Append, ...]
    definitions: tuple[DefinitionRecord, ...] = ()
    leases: tuple[LeaseChange, ...] = ()
    epoch: int | None = None


class Committed(msgspec.Struct, frozen=True, kw_only=True):
    """The group is durable."""


class Conflict(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing of the group was written: ``thread`` is at ``revision``, which is not what the append expected. For an
    append at revision 0 to a run that has left a tombstone, that is the revision at which it was pruned.
    """

    thread: ThreadId
    revision: int


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing of the group was written: its claims were granted under another epoch than the plane's (protocol 3.9).
    Told only where no append conflicts.
    """


Answer = Committed | Conflict | Moved
"""What became of a group."""


class Plane(msgspec.Struct, frozen=True, kw_only=True):
    """Which lease backend delivers this journal's work (protocol 3.9): one row. ``mesh``: the random name that this
    journal goes by in the markers of backends. ``kind`` and ``name``: the backend, as people know it. ``epoch``: raised
    by each move. ``incarnation``: that of the backend's marker; None on journal leases. ``moving``: nobody claims.
    """

    mesh: str
    kind: str
    name: str
    epoch: int
    incarnation: str | None = None
    moving: bool = False


class AgendaPage(msgspec.Struct, frozen=True, kw_only=True):
    """``next`` is the cursor of the next page, None on the last one; it means nothing to anybody but its store."""

    rows: tuple[AttemptRow, ...]
    next: str | None


class ThreadRead(msgspec.Struct, frozen=True, kw_only=True):
    """Asks for the entries above ``after``; with ``after=0``, for the newest checkpoint and the entries above that."""

    thread: ThreadId
    after: int = 0


class History(msgspec.Struct, frozen=True, kw_only=True):
    """``tail`` in order of revision, gapless, starting right after the checkpoint (or after what was asked for)."""

    checkpoint: Checkpoint | None
    tail: tuple[Entry, ...]


class RunQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Newest first, or the latest ``active`` first. ``after`` is the cursor of the previous page in the same order.
    ``text`` matches a run id or a key from its start. ``since`` and ``until``: started at or after the one, and before
    the other.

    By ``active`` a store looks at a bounded number of runs a page (:func:`squidmesh.ports.pages.looked_at`): a page of
    few rows, or of none, may have a next one. A run that is active meanwhile goes to the front.

    What a store refuses of it, with ``InvalidInput``, is told by :func:`squidmesh.ports.pages.check_query`.
    """

    workflow: str | None = None
    status: str | None = None
    queue: str | None = None
    text: str | None = None
    since: Instant | None = None
    until: Instant | None = None
    limit: int = 50
    after: str | None = None
    by: Literal["started", "active"] = "started"


class RunPage(msgspec.Struct, frozen=True, kw_only=True):
    """``next`` is the cursor of the next page, None on the last one. Stable while runs are added."""

    rows: tuple[RunRow, ...]
    next: str | None


class DeadLetterQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Oldest first. ``after`` is the cursor of the previous page; ``until``: those that died then or before."""

    run_id: str | None = None
    workflow: str | None = None
    step: str | None = None
    queue: str | None = None
    cause: str | None = None
    until: Instant | None = None
    limit: int = 50
    after: str | None = None


class DeadLetterPage(msgspec.Struct, frozen=True, kw_only=True):
    """``next`` is the cursor of the next page, None on the last one. Stable while letters come and go."""

    rows: tuple[DeadLetterRow, ...]
    next: str | None


class Pruning(msgspec.Struct, frozen=True, kw_only=True):
    """One run that is to go, whole, as it stands at ``revision``. ``timers``: the names of all timers and signals that
    there may be for it. ``tombstone`` stays in its place.
    """

    thread: ThreadId
    revision: int
    timers: tuple[str, ...] = ()
    tombstone: Tombstone | None = None


class ThreadAt(msgspec.Struct, frozen=True, kw_only=True):
    """A thread and its last revision; 0 where it has no entry."""

    thread: ThreadId
    revision: int


class ThreadPage(msgspec.Struct, frozen=True, kw_only=True):
    """``next`` is the cursor of the next page, None on the last one; a page before it may be empty."""

    threads: tuple[ThreadAt, ...]
    next: str | None


class Replacement(msgspec.Struct, frozen=True, kw_only=True):
    """Changes to the rows of one thread that are good as long as each thread of ``at`` is at that revision.
    ``drop_run``: a run row that stands for nothing.
    """

    at: tuple[ThreadAt, ...]
    rows: RowChanges
    drop_run: RunId | None = None


class JournalStore(Protocol):
    """Thread-safe. Raises ``BackendUnavailable`` where the same call may work later, ``CommitUnknown`` where a commit
    may or may not have happened, ``DataRefused`` where it can not hold the data. What no repetition helps against is
    ``StoreDamaged``, or a ``UsageError``: ``store_closed`` after :meth:`close`, and ``forked`` in a child process that
    can not share what its parent had open.
    """

    def now(self) -> Instant:
        """The plane's clock (protocol 3.6), as of the last reply and the time since: asks nobody, and never raises."""
        ...

    def commit(self, groups: Sequence[Group]) -> list[Answer]:
        """Appends each group on its own: one answer a group, in order. A thread occurs once in a call.

        One transaction. An error raises with nothing written, except ``CommitUnknown``. Where somebody holds some of
        the threads locked for long, ``ThreadsLocked`` names them: the groups of the others can be committed without.
        """
        ...

    def read(self, reads: Sequence[ThreadRead], *, whole: bool = False) -> list[History]:
        """One history a request, in order; an unknown thread has an empty one. ``whole`` passes over checkpoints."""
        ...

    def entry(self, thread: ThreadId, revision: int) -> Entry | None:
        """One entry. An append whose outcome is unknown can only stand at its expected revision + 1 (3.5.7)."""
        ...

    def definition(self, fingerprint: Fingerprint) -> bytes | None: ...

    def runs(self, query: RunQuery) -> RunPage: ...

    def run_row(self, run_id: str) -> RunRow | None: ...

    def count_runs(self, *, workflow: str | None = None) -> dict[str, int]:
        """How many runs there are, by status (as of now: see :class:`RunRow`); statuses without a run are left out."""
        ...

    def open_attempts(self, *, run_id: str | None = None, limit: int = 1000, after: str = "") -> list[AttemptRow]:
        """The agenda's attempts in order of item, above ``after``."""
        ...

    def dead_letters(self, query: DeadLetterQuery) -> DeadLetterPage:
        """What is refused of the query, with ``InvalidInput``, is told by
        :func:`squidmesh.ports.pages.check_dead_letters`. Costs as many rows as there are dead letters, at most.
        """
        ...

    def dead_letter(self, item: AttemptKey) -> DeadLetterRow | None: ...

    def count_dead_letters(self) -> int: ...

    def attempts(self, items: Sequence[AttemptKey]) -> list[AttemptRow]:
        """Those of them that are open, in no order."""
        ...

    def paused_queues(self) -> list[PausedQueueRow]:
        """In order of name. Costs as many rows as there are paused queues."""
        ...

    # -- timers and signals (protocol 3.3) -------------------------------------------------------------------------

    def due_timers(self, until: Instant, *, after: TimerRow | None = None, limit: int = 100) -> list[TimerRow]:
        """Those that are due at ``until``, the earliest first; ``after`` is the last row of the page before. Read
        without a lock: others read the same.
        """
        ...

    def next_timer(self) -> Instant | None:
        """When the earliest one is, or was, due; None where there is none."""
        ...

    def open_timers(self, *, limit: int = 1000, after: str = "") -> list[TimerRow]:
        """All of them, in order of name."""
        ...

    def drop_signals(self, signals: Sequence[str]) -> None:
        """Of those whom nobody hears any more: the run that they are for has ended, so no entry of it can close them.
        Timers of a run's own are left alone.
        """
        ...

    # -- retention (protocol 3.7) ----------------------------------------------------------------------------------

    def prunable(self, until: Instant, *, after: RunRow | None = None, limit: int = 100) -> list[RunRow]:
        """Runs without a parent that ended at ``until`` or before, the earliest end first, then by id; ``after`` is the
        last row of the page before. Costs as many rows as it gives, however many runs are open or ended later.
        """
        ...

    def prune(self, runs: Sequence[Pruning]) -> Committed | Conflict:
        """All of them go, or none: in one transaction their entries, checkpoints, run rows, agenda rows, dead letters,
        and of the timers and signals that are named those which are for them. Tombstones are written. Signals that a
        run has sent to others stay, as do definitions. A thread occurs once in a call.

        ``Conflict`` names the first thread that is at another revision, or is not there (revision 0).
        """
        ...

    def tombstone(self, run_id: str) -> Tombstone | None:
        """Of a run that was pruned. An append at revision 0 to its thread conflicts for ever (I12)."""
        ...

    def recount(self) -> None:
        """Makes again what a store counts beside its rows, if it does: :meth:`count_runs` agrees with the rows then."""
        ...

    # -- what a reconciler asks (protocol 3.8) ---------------------------------------------------------------------

    def agenda_queues(self) -> list[str]:
        """The queues with open attempts, in order of name. Costs their number, not that of the attempts."""
        ...

    def agenda(
        self,
        queue: str,
        *,
        since: Instant | None = None,
        until: Instant | None = None,
        after: str | None = None,
        limit: int = 1000,
    ) -> AgendaPage:
        """The queue's attempts that are visible at or after ``since`` and before or at ``until``. What is there from
        the first page to the last, and is not written meanwhile, is on one of them.
        """
        ...

    def track_changes(self) -> None:
        """From now on, durably, every row that is written is found by :meth:`changed`. Called again, does nothing."""
        ...

    def position(self) -> int:
        """A mark that no change has reached which is not committed yet; 0 where changes are not tracked. It never goes
        back, except with the journal itself.
        """
        ...

    def changed(self, queue: str, *, since: int, after: str | None = None, limit: int = 1000) -> AgendaPage:
        """The queue's attempts that were written at or after the position ``since`` and are still open, in order of
        writing. Whoever reads all pages, after :meth:`position` said ``mark``, may begin with ``mark`` the next time.
        """
        ...

    def put_token(self, token: str, queues: Sequence[str]) -> None:
        """Durable. ``TOKENS_KEPT`` of each queue are kept, the newest."""
        ...

    def has_token(self, token: str, queue: str) -> bool: ...

    # -- what reindex asks (protocol 3.3) --------------------------------------------------------------------------

    def threads(self, *, after: str | None = None, limit: int = 1000) -> ThreadPage:
        """Every thread that has entries, once, in order; then those that have none, but under whose names rows stand
        (at least once each, in no order). About ``limit`` of them; ``after`` is the ``next`` of the page before. What
        begins meanwhile may be left out. A page costs what its limit is, however long the threads are.
        """
        ...

    def rows_of(self, threads: Sequence[ThreadId]) -> list[ThreadRows]:
        """All rows under these names, in order of the request."""
        ...

    def replace_rows(self, replacements: Sequence[Replacement]) -> list[bool]:
        """One transaction; each replacement on its own: False, and nothing of it is written, where one of its threads
        is at another revision. No two are for the rows of one thread. An attempt that stands keeps its place among
        those of its priority, and its lease; one that was missing has about the place that its thread's last entry
        gives; one that is removed takes its lease along. Attempts that are put count as changes (:meth:`changed`).
        """
        ...

    # -- the plane (protocol 3.9) ----------------------------------------------------------------------------------

    def plane(self) -> Plane | None:
        """None until somebody claims or reconciles for the first time."""
        ...

    def set_plane(self, expected: Plane | None, new: Plane) -> bool:
        """Compare-and-set, durable: False, and nothing is changed, where the row is not the expected one."""
        ...

    # -- who works (no facts, and no thread's) ---------------------------------------------------------------------

    def put_workers(self, rows: Sequence[WorkerRow], *, stale: Instant) -> None:
        """Each takes the place of the row of its name, with the store's now as its ``seen_at``. Of those that were seen
        last before ``stale``, at most ``MOST_FORGOTTEN`` go, the oldest first.
        """
        ...

    def workers(self, *, limit: int = 1000, after: str = "") -> list[WorkerRow]:
        """In order of name, above ``after``."""
        ...

    def forget_workers(self, names: Sequence[str]) -> None:
        """Those of them that are there go."""
        ...

    # -- transactional steps (protocol 5) ----------------------------------------------------------------------------

    def transaction(self, limit: timedelta) -> AbstractContextManager[StepTransaction]:
        """One transaction of the store's own database for one step, in the caller's thread. Left without a commit, or
        by an exception, it is rolled back. After ``limit`` a statement of the step is interrupted. ``TransactionLost``,
        at the latest when it is left, where the store itself has ended it meanwhile, as a server does that crashes.
        ``UsageError`` (``transactions_unsupported``) where the store has no database that a step could write to.
        """
        ...

    # -- the host's own transaction (protocol 3.4) ---------------------------------------------------------------------

    def joined(self, connection: object) -> JournalStore:
        """The journal as the host's open transaction sees it: ``commit``, ``read``, ``entry``, ``definition``,
        ``run_row`` and ``open_attempts`` go through the host's connection, and ``now`` is the journal's. It is good
        until that transaction ends, and is not closed.

        Its ``commit`` appends in the transaction and commits nothing. An error of it leaves the transaction as it was
        before the call, and usable: nothing of ours is written. So ``CommitUnknown`` is not raised here. Another open
        transaction that appends to the same thread is waited for, not for ever: ``BackendUnavailable`` then. Where the
        transaction of the host goes on with the picture that it took at its beginning, what was committed since is
        a ``Conflict`` or a ``JournalConflict``. When the host has committed, whoever waits for work is woken.

        Raises ``UsageError``: ``connection_unsupported`` where the store has no such thing, ``inside_transaction`` in
        the thread of a step's :meth:`transaction`. ``InvalidInput`` (``connection``) where the object is no connection
        that the store knows, is closed, is an async one, leads to another database, or has no transaction that the host
        could end (autocommit).
        """
        ...

    def close(self) -> None: ...


class StepTransaction(Protocol):
    """``connection``: what the step gets; it can not end the transaction with it. ``store``: the journal as this
    transaction sees it. Its first successful commit appends in the transaction, commits it, and ends it.
    """

    @property
    def connection(self) -> Any: ...

    @property
    def store(self) -> JournalStore: ...

    def require_whole(self) -> None:
        """``TransactionMisused`` where the transaction is not the one that was begun any more, or has done nothing for
        longer than its limit; ``TransactionLost`` where the store has ended it.
        """
        ...


TOKENS_KEPT = 64
"""So many reconcilers may pass over a queue at once before a cursor that one of them wrote is not known any more, which
costs a full pass.
"""


class Wakeup(Protocol):
    """Lets an idle pump sleep until there may be something to do. A hint only: nothing depends on it but speed.

    A closed one looks at the store no more. It can still be poked and waited for: who forgot that it is closed sleeps
    as long as it said, and does not spin.
    """

    def poke(self) -> None:
        """From any thread of this process: end the present (or the next) :meth:`wait`."""
        ...

    def wait(self, timeout: timedelta) -> None:
        """Returns when poked, when the store may have changed, or after ``timeout``."""
        ...

    def close(self) -> None:
        """Gives back what it holds. Ends the present (or the next) :meth:`wait`."""
        ...
