"""The workflows made at run time that are active in this journal, as one process sees them.

Asked anew by each call: whoever shares the journal sees an activation by the next start. It costs one read of what has
been added since.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from msgspec import structs

from squidmesh.errors import CorruptHistory, JournalConflict, NotFound
from squidmesh.ids import catalogue_thread
from squidmesh.journal.catalogue import (
    CATALOGUE_CODEC,
    AnyCatalogueFact,
    CatalogueState,
    WorkflowActivated,
    WorkflowDeactivated,
    fold_catalogue,
)
from squidmesh.journal.fold import IllegalFact
from squidmesh.journal.rows import RowChanges
from squidmesh.ports.journal_store import Append, Conflict, DefinitionRecord, Entry, Group, JournalStore, ThreadRead
from squidmesh.runtime import chance
from squidmesh.runtime.commit import Appender, Patience
from squidmesh.runtime.held import Definitions, checkpoint_due
from squidmesh.workflow.definition import Definition
from squidmesh.workflow.registry import RegisteredWorkflow, registered_draft

_THREAD = catalogue_thread()
_ROUNDS = 100
"""Conflicts in a row before the caller is told: each means that somebody else was activated."""


class Catalogue:
    """Of one process. Thread-safe. Every call raises ``CorruptHistory`` where the thread can not be read."""

    def __init__(self, store: JournalStore, definitions: Definitions, patience: Callable[[], Patience]) -> None:
        self._store = store
        self._definitions = definitions
        self._patience = patience
        self._lock = threading.Lock()
        self._state = CatalogueState()
        self._checkpoint_at = 0
        self._registered: dict[str, RegisteredWorkflow] = {}
        """By fingerprint, those of the active ones that were asked for."""

    def active(self) -> dict[str, WorkflowActivated]:
        """By name, in the order of activation."""
        with self._lock:
            return dict(self._refreshed().active)

    def queues(self) -> tuple[str, ...]:
        """All that were ever named by a step of one."""
        with self._lock:
            return tuple(self._refreshed().queues)

    def get(self, name: str, patience: Patience | None = None) -> RegisteredWorkflow | None:
        """The active workflow of that name. ``patience``: of this very call; by default that of all."""
        patience = patience or self._patience()
        with self._lock:
            state = self._refreshed(patience)
            activated = state.active.get(name)
            if activated is None:
                return None
            return self._registered.get(activated.fingerprint) or self._register(state, activated.fingerprint, patience)

    def activate(self, definition: Definition, actor: str) -> WorkflowActivated:
        """From now on, runs of that name start with this definition. The same again changes nothing."""
        record = DefinitionRecord(fingerprint=definition.fingerprint, body=definition.canonical())

        def fact(state: CatalogueState) -> WorkflowActivated | None:
            before = state.active.get(definition.name)
            if before is not None and before.fingerprint == definition.fingerprint:
                return None
            return WorkflowActivated(
                at=self._store.now(),
                name=definition.name,
                version=definition.version,
                fingerprint=definition.fingerprint,
                actor=actor,
                queues=list(definition.queues),
            )

        return self._append(fact, record).active[definition.name]

    def deactivate(self, name: str, actor: str) -> None:
        """``NotFound`` where no workflow of that name is active."""

        def fact(state: CatalogueState) -> WorkflowDeactivated:
            if name not in state.active:
                raise NotFound(f"no workflow {name!r} is active; active are: {_listed(state)}", field="name")
            return WorkflowDeactivated(at=self._store.now(), name=name, actor=actor)

        self._append(fact)

    # --------------------------------------------------------------------------------------------------- inside

    def _append(
        self, decide: Callable[[CatalogueState], AnyCatalogueFact | None], *definitions: DefinitionRecord
    ) -> CatalogueState:
        """What was decided on the newest state, appended to it; with the lock held, so that a process is no rival to
        itself. The state after it.
        """
        with self._lock:
            for _ in range(_ROUNDS):
                state = self._refreshed()
                fact = decide(state)
                if fact is None:
                    return state
                copied = structs.replace(state, active=dict(state.active), queues=list(state.queues))
                after = fold_catalogue(copied, [fact])
                due = checkpoint_due(after.revision, self._checkpoint_at)
                append = Append(
                    thread=_THREAD,
                    expected_revision=state.revision,
                    entry_id=chance.new_entry_id(),
                    body=CATALOGUE_CODEC.encode_facts([fact]),
                    rows=RowChanges(),
                    checkpoint=CATALOGUE_CODEC.encode_state(after) if due else None,
                )
                group = Group(appends=(append,), definitions=definitions)
                (answer,) = Appender(self._store, self._patience()).commit([group])
                if not isinstance(answer, Conflict):
                    self._state = after
                    self._checkpoint_at = after.revision if due else self._checkpoint_at
                    return after
        raise JournalConflict(f"the catalogue of workflows moved on {_ROUNDS} times in a row")

    def _refreshed(self, patience: Patience | None = None) -> CatalogueState:
        """The newest state. What can not be read leaves nothing behind."""
        state, self._state = self._state, CatalogueState()
        patience = patience or self._patience()
        read = ThreadRead(thread=_THREAD, after=state.revision)
        (history,) = patience.call(lambda: self._store.read([read]))
        if history.checkpoint is not None:
            saved = CATALOGUE_CODEC.decode_state(history.checkpoint.body)
            if saved is None:
                (history,) = patience.call(lambda: self._store.read([read], whole=True))
            state = saved or state
            self._checkpoint_at = state.revision
        for entry in history.tail:
            state = _folded(state, entry)
        self._state = state
        return state

    def _register(self, state: CatalogueState, fingerprint: str, patience: Patience) -> RegisteredWorkflow:
        active = {activated.fingerprint for activated in state.active.values()}
        self._registered = {known: one for known, one in self._registered.items() if known in active}
        found = self._definitions.of(fingerprint, patience, thread=_THREAD, revision=state.revision)
        self._registered[fingerprint] = registered_draft(found)
        return self._registered[fingerprint]


def _folded(state: CatalogueState, entry: Entry) -> CatalogueState:
    if entry.revision != state.revision + 1:
        raise CorruptHistory(f"entry {state.revision + 1} is missing", thread=entry.thread, revision=entry.revision)
    try:
        return fold_catalogue(
            state, CATALOGUE_CODEC.decode_facts(entry.body, thread=entry.thread, revision=entry.revision)
        )
    except IllegalFact as error:
        raise CorruptHistory(str(error), thread=entry.thread, revision=entry.revision) from error


def _listed(state: CatalogueState) -> str:
    return ", ".join(state.active) or "none"
