"""What threads say, whatever they are about: for those who walk over all of them (protocol 3.3)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from squidmesh.errors import BackendError, CorruptHistory
from squidmesh.ids import ThreadId
from squidmesh.journal.catalogue import CATALOGUE_CODEC
from squidmesh.journal.codec import decode_facts, decode_state
from squidmesh.journal.facts import RunCancelled
from squidmesh.journal.queues import QUEUE_CODEC, QueueState, fold_queue
from squidmesh.journal.state import RunState
from squidmesh.journal.thread_codec import ThreadCodec
from squidmesh.journal.triggers import TRIGGER_CODEC
from squidmesh.planning.reindex import Parent
from squidmesh.ports.journal_store import Entry, History, JournalStore, ThreadAt, ThreadRead
from squidmesh.runtime.commit import Patience
from squidmesh.runtime.held import replay, unreadable

_KEPT = 256
"""Parents whose states are kept: their children are met one after the other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ThreadState:
    """As of ``revision``. ``state`` is that of a run or of a queue; None for a thread that has no rows, or no entry."""

    thread: ThreadId
    revision: int
    state: RunState | QueueState | None


class ThreadStates:
    """Of one walk: not thread-safe."""

    def __init__(self, store: JournalStore, patience: Patience) -> None:
        self._store = store
        self._patience = patience
        self._parents: OrderedDict[ThreadId, ThreadState] = OrderedDict()

    def load(self, threads: Sequence[ThreadId]) -> dict[ThreadId, ThreadState | CorruptHistory]:
        """As the journal has them now; the error in place of what can not be read."""
        reads = [ThreadRead(thread=thread) for thread in threads]
        histories = self._patience.call(lambda: self._store.read(reads))
        return {thread: self._opened(thread, history) for thread, history in zip(threads, histories, strict=True)}

    def parents(self, runs: Iterable[RunState]) -> dict[str, tuple[Parent, ThreadAt]]:
        """Of those that are children: by the parent's id, what it says, and as of when."""
        names = sorted({ThreadId(run.parent.run_id) for run in runs if run.parent is not None})
        found = {name: self._refreshed(name) for name in names if name in self._parents}
        found |= self.load([name for name in names if name not in found])
        for name, one in found.items():
            self._keep(name, one)
        return {str(name): self._parent(name, one) for name, one in found.items()}

    def _refreshed(self, name: ThreadId) -> ThreadState | CorruptHistory:
        """A parent that was met before: only what has come since is read."""
        held = self._parents.pop(name)
        read = ThreadRead(thread=name, after=held.revision)
        (history,) = self._patience.call(lambda: self._store.read([read]))
        if not history.tail or not isinstance(held.state, RunState):
            return held
        return _guarded(name, history, lambda: _folded(name, history, held.state))

    def _keep(self, name: ThreadId, found: ThreadState | CorruptHistory) -> None:
        if isinstance(found, ThreadState) and found.revision:
            self._parents[name] = found
        while len(self._parents) > _KEPT:
            self._parents.popitem(last=False)

    def _parent(self, name: ThreadId, found: ThreadState | CorruptHistory) -> tuple[Parent, ThreadAt]:
        if isinstance(found, CorruptHistory):
            return Parent(state=None, readable=False), ThreadAt(thread=name, revision=0)
        state = found.state if isinstance(found.state, RunState) else None
        try:
            cancels = state is not None and state.phase == "cancelled" and self._cancels(name, found.revision)
        except CorruptHistory:
            return Parent(state=None, readable=False), ThreadAt(thread=name, revision=0)
        return Parent(state=state, cancels=cancels), ThreadAt(thread=name, revision=found.revision)

    def _cancels(self, name: ThreadId, last: int) -> bool:
        """Whether the entry that cancelled it meant its children too: no state keeps that."""
        entry = self._patience.call(lambda: self._store.entry(name, last))
        if entry is None:
            raise CorruptHistory(f"entry {last} is missing", thread=name, revision=last)
        facts = decode_facts(entry.body, thread=name, revision=last)
        return any(isinstance(fact, RunCancelled) and fact.children == "cancel" for fact in facts)

    # ------------------------------------------------------------------------------------------------- one thread

    def _opened(self, thread: ThreadId, history: History) -> ThreadState | CorruptHistory:
        return _guarded(thread, history, lambda: self._open(thread, history))

    def _open(self, thread: ThreadId, history: History) -> ThreadState:
        if history.checkpoint is None:
            return _folded(thread, history, None)
        state = decode_state(history.checkpoint.body)
        if state is not None:
            return _folded(thread, history, state)
        first = self._patience.call(lambda: self._store.entry(thread, 1))
        if first is not None and _has_no_rows(first):  # it may be long, and is not needed
            return ThreadState(thread=thread, revision=_revision(history), state=None)
        (whole,) = self._patience.call(lambda: self._store.read([ThreadRead(thread=thread)], whole=True))
        return _folded(thread, whole, None)


def _folded(thread: ThreadId, history: History, state: RunState | QueueState | None) -> ThreadState:
    """``state``: that of the checkpoint, or what was folded before."""
    assert not isinstance(state, QueueState)
    found: RunState | QueueState | None
    try:
        found = replay(state, history.tail)
    except CorruptHistory as error:
        if error.revision != 1:
            raise
        first = history.tail[0]
        if not _is(QUEUE_CODEC, first) and not _has_no_rows(first):
            raise
        found = _queue(history.tail) if _is(QUEUE_CODEC, first) else None
    return ThreadState(thread=thread, revision=_revision(history), state=found)


def _guarded(thread: ThreadId, history: History, fold: Callable[[], ThreadState]) -> ThreadState | CorruptHistory:
    try:
        return fold()
    except CorruptHistory as error:
        return error
    except BackendError:
        raise
    except Exception as error:  # whatever one odd history does, it holds one run, not the walk
        return unreadable(thread, _revision(history), error)


def _queue(entries: Sequence[Entry]) -> QueueState:
    state: QueueState | None = None
    for entry in entries:
        facts = QUEUE_CODEC.decode_facts(entry.body, thread=entry.thread, revision=entry.revision)
        state = state or QueueState(queue=facts[0].queue)
        if entry.revision != state.revision + 1:  # I1
            raise CorruptHistory(f"entry {state.revision + 1} is missing", thread=entry.thread, revision=entry.revision)
        fold_queue(state, facts)
    assert state is not None
    return state


def _has_no_rows(first: Entry) -> bool:
    """Whether the thread that begins so is a trigger's, or the catalogue."""
    return _is(TRIGGER_CODEC, first) or _is(CATALOGUE_CODEC, first)


def _is(codec: ThreadCodec[Any, Any], entry: Entry) -> bool:
    try:
        codec.decode_facts(entry.body, thread=entry.thread, revision=entry.revision)
    except CorruptHistory:
        return False
    return True


def _revision(history: History) -> int:
    if history.tail:
        return history.tail[-1].revision
    return history.checkpoint.revision if history.checkpoint is not None else 0
