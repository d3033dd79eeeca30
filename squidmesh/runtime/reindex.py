"""Making all derived rows again from the threads, beside whoever works (protocol 3.3).

Thread by thread, what its facts imply is held against what stands under its name, and what differs is replaced in a
transaction that compares the revisions of the threads it follows from. A thread that has moved on meanwhile is looked
at again: its own commit wrote rows that were right. No lock is held from one page to the next.

Lease state is no derived row, and is left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from squidmesh.errors import CorruptHistory, JournalConflict
from squidmesh.ids import ThreadId
from squidmesh.journal.queues import QueueState
from squidmesh.journal.rows import ThreadRows
from squidmesh.journal.state import RunState
from squidmesh.planning.reindex import Difference, Parent, difference, rows_of_queue, rows_of_run
from squidmesh.ports.journal_store import JournalStore, Replacement, ThreadAt
from squidmesh.runtime.commit import Patience
from squidmesh.runtime.thread_states import ThreadState, ThreadStates

_PAGE = 200
_ENTRIES = 5000
"""What is read at once: so many threads, or as many as have about so many entries."""
_ROUNDS = 100
"""Times that a thread may move on between a look and a replacement, before this is a fault."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """A thread whose history nobody can vouch for: its rows were left as they stood."""

    thread: str
    why: str


@dataclass(slots=True, kw_only=True)
class Reindexed:
    """What was done, or would have been (``dry_run``). ``threads``: how many were looked at, of runs and of all else;
    ``put``, ``removed`` and ``changed``: rows that were missing, that stood for nothing, and that said something else.
    """

    threads: int = 0
    put: int = 0
    removed: int = 0
    changed: int = 0
    unreadable: list[Unreadable] = field(default_factory=list)
    dry_run: bool = False

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


class Reindexer:
    """For one walk over all threads. ``tell`` hears how far it has come."""

    def __init__(
        self, store: JournalStore, patience: Patience, *, dry_run: bool, tell: Callable[[str], None] = lambda said: None
    ) -> None:
        self._store = store
        self._patience = patience
        self._states = ThreadStates(store, patience)
        self._tell = tell
        self._done = Reindexed(dry_run=dry_run)

    def everything(self) -> Reindexed:
        """Raises what the store raises; what was done until then stays, and the next walk does the rest."""
        for page in self._pages():
            self._page(page)
            done = self._done
            self._tell(f"{done.threads} threads: {done.put} rows put, {done.removed} removed, {done.changed} changed")
        if not self._done.dry_run:
            self._patience.call(self._store.recount)
        return self._done

    def _pages(self) -> Iterator[list[ThreadId]]:
        after: str | None = None
        while True:
            cursor = after
            page = self._patience.call(lambda: self._store.threads(after=cursor, limit=_PAGE))  # noqa: B023 - called now
            self._done.threads += sum(thread.revision > 0 for thread in page.threads)
            yield from _portions(page.threads)
            after = page.next
            if after is None:
                return

    def _page(self, threads: list[ThreadId]) -> None:
        for _ in range(_ROUNDS):
            if not threads:
                return
            threads = self._replace(self._differences(threads))
        raise JournalConflict(f"thread {threads[0]} moved on {_ROUNDS} times in a row; the next reindex goes on")

    def _differences(self, threads: Sequence[ThreadId]) -> list[tuple[Replacement, Difference]]:
        """The histories first, then the rows: where the threads are the same when these are replaced, they were it in
        between, and nobody has changed their rows.
        """
        found = self._states.load(threads)
        readable = {name: state for name, state in found.items() if isinstance(state, ThreadState)}
        self._done.unreadable += [
            Unreadable(thread=name, why=str(error))
            for name, error in found.items()
            if isinstance(error, CorruptHistory)
        ]
        parents = self._states.parents(one.state for one in readable.values() if isinstance(one.state, RunState))
        standing = self._patience.call(lambda: self._store.rows_of(list(readable)))
        differences = []
        for rows in standing:
            one = readable[rows.thread]
            parent, at = _parent_of(one, parents)
            its = difference(rows, _wanted(one, parent, rows))
            if its:
                own = ThreadAt(thread=one.thread, revision=one.revision)
                compared = (own,) if at is None else (own, at)
                differences.append((Replacement(at=compared, rows=its.rows, drop_run=its.drop_run), its))
        return differences

    def _replace(self, differences: Sequence[tuple[Replacement, Difference]]) -> list[ThreadId]:
        """Those that have moved on meanwhile."""
        answers = [True] * len(differences)
        if differences and not self._done.dry_run:
            replacements = [replacement for replacement, _ in differences]
            answers = self._patience.call(lambda: self._store.replace_rows(replacements))
        moved = []
        for (replacement, its), written in zip(differences, answers, strict=True):
            if not written:
                moved.append(replacement.at[0].thread)
                continue
            self._done.put += its.put
            self._done.removed += its.removed
            self._done.changed += its.changed
        return moved


def _portions(threads: Sequence[ThreadAt]) -> Iterator[list[ThreadId]]:
    portion: list[ThreadId] = []
    entries = 0
    for one in threads:
        if portion and entries + one.revision > _ENTRIES:
            yield portion
            portion, entries = [], 0
        portion.append(one.thread)
        entries += one.revision
    if portion:
        yield portion


def _parent_of(one: ThreadState, parents: dict[str, tuple[Parent, ThreadAt]]) -> tuple[Parent | None, ThreadAt | None]:
    """With the revision to compare; None where the rows do not follow from it."""
    if not isinstance(one.state, RunState) or one.state.parent is None:
        return None, None
    parent, at = parents[one.state.parent.run_id]
    return parent, at if parent.readable else None


def _wanted(one: ThreadState, parent: Parent | None, standing: ThreadRows) -> ThreadRows:
    match one.state:
        case RunState():
            return rows_of_run(one.state, parent, standing)
        case QueueState():
            return rows_of_queue(one.state, one.thread)
        case None:
            return ThreadRows(thread=one.thread)
