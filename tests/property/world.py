"""The stores under test, with faults between them and whoever writes."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from squidmesh_sqlite.connect import SqliteBackend

from squidmesh.clock import Instant, duration
from squidmesh.errors import BackendUnavailable, CommitUnknown, RecordedClaim
from squidmesh.ids import ClaimHash
from squidmesh.journal.rows import AttemptRow
from squidmesh.memory import MemoryLeases
from squidmesh.memory import backend as memory_backend
from squidmesh.ports.backend import Finding, Migration, Reading
from squidmesh.ports.journal_store import Answer, Committed, Group
from squidmesh.ports.lease_backend import Item
from squidmesh.testing.clock import VirtualClock

Plane = Literal["memory", "sqlite", "sqlite, leases in memory"]
Fault = Literal["unavailable", "unknown, committed", "unknown, not committed", "dies before", "dies after"]


class WorkerDied(BaseException):
    """The writer is gone in the middle of its commit."""


class Call:
    """One call that may commit. ``fault`` befalls its first commit, ``overtaken`` happens just before that.
    ``written``: the thread of each entry that it added.
    """

    def __init__(self, fault: Fault | None, overtaken: Callable[[], None] | None) -> None:
        self.fault = fault
        self.overtaken = overtaken
        self.written: list[str] = []


class FaultyStore:
    """A journal store in which things go wrong."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self._call = Call(None, None)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    @contextmanager
    def call(self, fault: Fault | None = None, overtaken: Callable[[], None] | None = None) -> Iterator[Call]:
        """What is committed within the block belongs to this call, unless an inner one takes it."""
        outer, self._call = self._call, Call(fault, overtaken)
        try:
            yield self._call
        finally:
            self._call = outer

    def commit(self, groups: Sequence[Group]) -> list[Answer]:
        call = self._call
        overtaken, call.overtaken = call.overtaken, None
        if overtaken is not None:
            overtaken()
        fault, call.fault = call.fault, None
        if fault == "unavailable":
            raise BackendUnavailable("the store is busy")
        if fault == "unknown, not committed":
            raise CommitUnknown("the connection broke on the way there")
        if fault == "dies before":
            raise WorkerDied
        answers = self._inner.commit(groups)
        for group, answer in zip(groups, answers, strict=True):
            if isinstance(answer, Committed):
                call.written += [append.thread for append in group.appends]
        if fault == "unknown, committed":
            raise CommitUnknown("the connection broke on the way back")
        if fault == "dies after":
            raise WorkerDied
        return list(answers)


class FaultyLeases:
    """A lease backend. ``inner`` may be replaced by an empty one; ``lose_answer`` befalls the next claim, once."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.lose_answer = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def claim(self, *args: Any, **kwargs: Any) -> Any:
        grants = self.inner.claim(*args, **kwargs)
        lost, self.lose_answer = self.lose_answer, False
        if lost:
            raise BackendUnavailable("the connection broke on the way back")
        return grants


class Careless(sqlite3.Connection):
    """Does not wait for the disk: nobody cuts the power here."""

    def executescript(self, script: str) -> sqlite3.Cursor:
        cursor = super().executescript(script)
        self.execute("PRAGMA synchronous = OFF")
        return cursor


class World:
    """A journal and a lease backend on one clock, as a :class:`squidmesh.ports.backend.Backend` of both."""

    def __init__(self, plane: Plane) -> None:
        self.clock = VirtualClock()
        self._folder = TemporaryDirectory()
        self._file = Path(self._folder.name) / "journal.db"
        self._backend: Any
        if plane == "memory":
            self._backend = memory_backend("memory://", clock=self.clock)
        else:
            self._backend = SqliteBackend(f"sqlite:///{self._file}", clock=self.clock, factory=Careless)
        self.store = FaultyStore(self._backend.journal())
        self._in_journal = plane == "sqlite"
        self.lent = FaultyLeases(self._backend.leases() if self._in_journal else MemoryLeases(self.clock))

    def lose_leases(self) -> None:
        """Everything that the lease backend knew is gone."""
        if not self._in_journal:
            self.lent.inner = MemoryLeases(self.clock)
            return
        with sqlite3.connect(self._file) as connection:
            connection.execute("DELETE FROM leases")
        connection.close()

    def reconcile(self, run_ids: Sequence[str]) -> None:
        """Makes the lease backend hold what the agenda says (protocol 3.8); on journal leases it does already."""
        for run_id in run_ids:
            self.lent.offer([_item(row, self.store.now()) for row in self.store.open_attempts(run_id=run_id)])

    # ------------------------------------------------------------------------------------------ as a backend

    @property
    def url(self) -> str:
        return str(self._backend.url)

    def journal(self) -> FaultyStore:
        return self.store

    def leases(self) -> FaultyLeases:
        return self.lent

    def wakeup(self, queues: Sequence[str] = ()) -> Any:
        return self._backend.wakeup(queues)

    def starts_announced(self) -> Any:
        return self._backend.starts_announced()

    def migrations(self, *, every: bool = False) -> list[Migration]:
        return []

    def doctor(self, *, now: Instant | None = None) -> list[Finding]:
        return []

    @contextmanager
    def reading(self) -> Iterator[Reading]:
        yield Reading(journal=self.store, leases=self.lent)

    def migrate(self) -> list[str]:
        return []

    def close(self) -> None:
        self._backend.close()
        self._folder.cleanup()


def _item(row: AttemptRow, now: int) -> Item:
    recorded = None
    if row.owner is not None and row.claim_hash is not None and row.lease is not None:
        recorded = RecordedClaim(
            owner=row.owner,
            claim_hash=ClaimHash(row.claim_hash),
            generation=row.generation,
            fence=row.fence,
            lease=duration(row.lease),
        )
    return Item(
        key=row.item,
        queue=row.queue,
        priority=row.priority,
        generation=row.generation,
        floor=row.fence,
        delay=duration(max(0, row.visible_at - now)),
        recorded=recorded,
    )
