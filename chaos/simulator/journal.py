"""The simulated journal: the memory store, with what a real server adds to it.

Writers have ids that are given when they begin, and commit in any order, as PostgreSQL's do: ``position`` is a mark
that no commit in flight lies before. A step's transaction has a ledger to write to. Every entry that becomes durable
goes before the watch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from chaos.simulator.loop import Loop, Process
from chaos.simulator.watch import Red, Watch
from squidmesh.clock import Instant
from squidmesh.errors import BackendUnavailable
from squidmesh.journal.codec import decode_facts
from squidmesh.memory.journal import MemoryJournal
from squidmesh.ports.journal_store import AgendaPage, Answer, Append, Committed, Conflict, Group


class LoopClock:
    """``ahead``: microseconds, as somebody has set it."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self.ahead = 0

    def now(self) -> Instant:
        return Instant(self._loop.now + self.ahead)


class Journal:
    """The server, one for all processes. ``ledger``: what steps wrote in their transactions, committed."""

    def __init__(self, loop: Loop, watch: Watch, red: Callable[[str], None]) -> None:
        self.inner = MemoryJournal(LoopClock(loop))
        self.ledger: list[str] = []
        self.bodies: list[bytes] = []
        self._loop = loop
        self._watch = watch
        self._red = red
        self._next = 1
        self._flying: set[int] = set()
        self._writer: dict[str, int] = {}
        self._tracks = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    # ------------------------------------------------------------------------------------------------- writing

    def begin(self) -> int:
        """A writer's id. It is in flight until it is committed."""
        writer, self._next = self._next, self._next + 1
        self._flying.add(writer)
        return writer

    def forget(self, writer: int) -> None:
        """It was rolled back."""
        self._flying.discard(writer)

    def commit_as(
        self, speaker: Process, writer: int, groups: Sequence[Group], rows: Sequence[str] = ()
    ) -> list[Answer]:
        """``speaker``: whose words they are; ``rows``: of the ledger, in the same transaction."""
        self._watch.speaker = f"{speaker.name} in life {speaker.life}"
        answers = self.inner.commit(groups)
        self._flying.discard(writer)
        for group, answer in zip(groups, answers, strict=True):
            if isinstance(answer, Committed):
                self.ledger += rows
                for append in group.appends:
                    self._written(writer, append)
        return answers

    def _written(self, writer: int, append: Append) -> None:
        for item in append.rows.remove:
            self._writer.pop(item, None)
        for row in append.rows.put:
            self._writer[row.item] = writer
        if append.rows.run is None and append.thread not in self._watch.runs:
            return  # no run's thread
        self.bodies.append(append.body)
        revision = append.expected_revision + 1
        try:
            told = decode_facts(append.body, thread=append.thread, revision=revision)
            self._watch.entry(append.thread, revision, append.entry_id, told, self._loop.now)
        except Red as red:
            self._red(f"{red} [{self.name_of(append.thread)}]")

    def name_of(self, run_id: str) -> str:
        run = self._watch.runs.get(run_id)
        return run_id if run is None else f"{run.started.workflow} {run.name}"

    # ------------------------------------------------------------------------------------------ what has changed

    def track_changes(self) -> None:
        self._tracks = True

    def position(self) -> int:
        """As ``pg_snapshot_xmin``: nothing below it is still to be committed."""
        return min(self._flying, default=self._next) if self._tracks else 0

    def changed(self, queue: str, *, since: int, after: str | None = None, limit: int = 1000) -> AgendaPage:
        items = [item for item, writer in self._writer.items() if writer >= since]
        rows = [row for row in self.inner.attempts(items) if row.queue == queue]  # type: ignore[arg-type]
        return AgendaPage(rows=tuple(rows), next=None)


class Connection:
    """What a transactional step gets."""

    def __init__(self) -> None:
        self.rows: list[str] = []

    def write(self, row: str) -> None:
        self.rows.append(row)


class Transaction:
    """One step's. ``wire``: how its process reaches the journal. Its first commit ends it."""

    def __init__(self, wire: Any) -> None:
        self.connection = Connection()
        self._wire = wire
        self._ended = False

    @property
    def store(self) -> Any:
        return self

    def require_whole(self) -> None:
        """Nobody ends it behind its back here."""

    def commit(self, groups: Sequence[Group]) -> list[Answer]:
        """A conflict leaves it open: it is decided again in it."""
        if self._ended:
            raise BackendUnavailable("journal: this transaction is over")
        answers: list[Answer] = self._wire.commit_in_transaction(groups, tuple(self.connection.rows))
        self._ended = not any(isinstance(answer, Conflict) for answer in answers)
        return answers

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wire, name)
