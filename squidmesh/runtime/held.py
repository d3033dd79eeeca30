"""Runs as a pump holds them: folded states, kept between turns and refreshed from the journal's tail."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType

from squidmesh.errors import BackendError, CorruptHistory
from squidmesh.ids import Fingerprint, ThreadId
from squidmesh.journal.codec import decode_facts, decode_state
from squidmesh.journal.fold import IllegalFact, fold
from squidmesh.journal.rows import RunRow
from squidmesh.journal.state import RunState
from squidmesh.planning.rows import run_row
from squidmesh.ports.journal_store import Entry, History, JournalStore, ThreadRead
from squidmesh.runtime.commit import Patience
from squidmesh.workflow.definition import Definition

CACHED_RUNS = 1024
CHECKPOINT_TAIL = 64


class HeldRun:
    """One run: its state, its pinned definition, its run row as committed, and where its last checkpoint stands.

    The one who holds it may evolve the state ahead of a commit; when that commit does not succeed, the run must be
    dropped from :class:`Runs` and loaded again.
    """

    __slots__ = ("checkpoint_at", "definition", "row", "state")

    def __init__(self, state: RunState, definition: Definition, *, checkpoint_at: int) -> None:
        self.state = state
        self.definition = definition
        self.row: RunRow | None = run_row(state) if state.revision else None
        self.checkpoint_at = checkpoint_at

    def checkpoint_due(self, revision: int) -> bool:
        return checkpoint_due(revision, self.checkpoint_at)


def checkpoint_due(revision: int, checkpoint_at: int) -> bool:
    """The tail exceeds the larger of 64 entries and half of what the last checkpoint covers: then folding costs at most
    half as much again as one checkpoint, and all checkpoints of a thread cost as much as its entries.
    """
    tail = revision - checkpoint_at
    return tail > CHECKPOINT_TAIL and tail > checkpoint_at // 2


class Definitions:
    """Pinned definitions by fingerprint, read from the journal once (protocol 3.10)."""

    def __init__(self, store: JournalStore) -> None:
        self._store = store
        self._known: dict[str, Definition] = {}

    def get(self, state: RunState, patience: Patience) -> Definition:
        """That of a run. ``CorruptHistory`` where it is not there, or is none that this version can read."""
        return self.of(state.fingerprint, patience, thread=state.run_id, revision=1)

    def of(self, fingerprint: str, patience: Patience, *, thread: str, revision: int) -> Definition:
        """``thread`` and ``revision`` say where it is named, for the error."""
        found = self._known.get(fingerprint)
        if found is None:
            body = patience.call(lambda: self._store.definition(Fingerprint(fingerprint)))
            name = f"its definition {fingerprint[:12]}"
            if body is None:
                raise CorruptHistory(f"{name} is not in the journal", thread=thread, revision=revision)
            try:
                found = self._known[fingerprint] = Definition.from_json(body)
            except ValueError as error:
                why = f"{name} can not be read; it is damaged, or of a newer version"
                raise CorruptHistory(why, thread=thread, revision=revision) from error
        return found


class Runs:
    """The most recently used runs. Not thread-safe: each pump has its own."""

    def __init__(
        self, store: JournalStore, definitions: Definitions, patience: Patience, *, limit: int = CACHED_RUNS
    ) -> None:
        self._store = store
        self._definitions = definitions
        self._patience = patience
        self._held: OrderedDict[str, HeldRun] = OrderedDict()
        self._limit = limit

    def load(
        self,
        run_ids: Iterable[str],
        *,
        trusted: Collection[str] = (),
        known: Mapping[str, History] = MappingProxyType({}),
    ) -> dict[str, HeldRun | CorruptHistory]:
        """The runs as the journal has them now; a run that it does not have is left out, one whose history can not be
        read is represented by the error. One read for all; a held run costs only the entries since, a ``trusted`` one
        that is held costs nothing, nor does one that is not held and of which the whole history is ``known``.
        """
        loaded: dict[str, HeldRun | CorruptHistory] = {}
        reads, found = [], []
        for run_id in dict.fromkeys(run_ids):
            held = self._held.get(run_id)
            if held is not None and run_id in trusted:
                loaded[run_id] = held
            elif held is None and run_id in known:
                found.append((ThreadRead(thread=ThreadId(run_id)), known[run_id]))
            else:
                reads.append(ThreadRead(thread=ThreadId(run_id), after=held.state.revision if held else 0))
        if reads:
            found += zip(reads, self._patience.call(lambda: self._store.read(reads)), strict=True)
        for read, history in found:
            try:
                run = self._refresh(read, history)
            except BackendError as error:
                self._held.pop(read.thread, None)
                if not isinstance(error, CorruptHistory):
                    raise
                loaded[read.thread] = error
                continue
            except Exception as error:  # whatever one odd history does, it holds one run, not the fleet
                self._held.pop(read.thread, None)
                loaded[read.thread] = unreadable(read.thread, read.after, error)
                continue
            if run is not None:
                loaded[read.thread] = run
        return loaded

    def get(self, run_id: str) -> HeldRun | None:
        """The run as it is held, without asking the journal."""
        return self._held.get(run_id)

    def keep(self, run: HeldRun) -> None:
        self._held[run.state.run_id] = run
        self._held.move_to_end(run.state.run_id)
        while len(self._held) > self._limit:
            self._held.popitem(last=False)

    def drop(self, run_id: str) -> None:
        self._held.pop(run_id, None)

    def _refresh(self, read: ThreadRead, history: History) -> HeldRun | None:
        held = self._held.get(read.thread)
        if held is None:
            held = self._open(read.thread, history)
        elif history.tail:
            for entry in history.tail:
                held.state = replay_one(held.state, entry)
            held.row = run_row(held.state)
        if held is not None:
            if held.state.ended:
                self.drop(read.thread)
            else:
                self.keep(held)
        return held

    def _open(self, thread: ThreadId, history: History) -> HeldRun | None:
        state = decode_state(history.checkpoint.body) if history.checkpoint else None
        if state is None and history.checkpoint is not None:
            (history,) = self._patience.call(lambda: self._store.read([ThreadRead(thread=thread)], whole=True))
        checkpoint_at = state.revision if state else 0
        state = replay(state, history.tail)
        if state is None:
            return None
        return HeldRun(state, self._definitions.get(state, self._patience), checkpoint_at=checkpoint_at)


def unreadable(thread: str, revision: int, error: Exception) -> CorruptHistory:
    """For a history, or a definition, that makes no sense in a way that nobody foresaw."""
    return CorruptHistory(f"{type(error).__name__}: {error}", thread=thread, revision=revision)


def replay(state: RunState | None, tail: Iterable[Entry]) -> RunState | None:
    """Folds entries onto a state. Raises ``CorruptHistory`` at the first entry that can not be vouched for."""
    for entry in tail:
        state = replay_one(state, entry)
    return state


def replay_one(state: RunState | None, entry: Entry) -> RunState:
    expected = (state.revision if state else 0) + 1
    if entry.revision != expected:
        raise CorruptHistory(f"entry {expected} is missing", thread=entry.thread, revision=entry.revision)  # I1
    try:
        return fold(state, decode_facts(entry.body, thread=entry.thread, revision=entry.revision))
    except IllegalFact as error:
        raise CorruptHistory(str(error), thread=entry.thread, revision=entry.revision) from error
