"""The threads of cron triggers in the journal: read, and appended to, alone or together with a run that they start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from msgspec import structs

from squidmesh.errors import CorruptHistory
from squidmesh.ids import ThreadId, trigger_thread
from squidmesh.journal.fold import IllegalFact
from squidmesh.journal.rows import RowChanges
from squidmesh.journal.triggers import TRIGGER_CODEC, AnyTriggerFact, TriggerState, fold_trigger
from squidmesh.ports.journal_store import Append, Entry, Group, History, JournalStore, ThreadRead
from squidmesh.runtime import chance
from squidmesh.runtime.catalogue import Catalogue
from squidmesh.runtime.commit import Appender, Patience
from squidmesh.runtime.recorder import Birth
from squidmesh.workflow.definition import CronTrigger
from squidmesh.workflow.registry import RegisteredWorkflow, Registry


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredCron:
    """A cron trigger of a registered workflow."""

    workflow: RegisteredWorkflow
    trigger: CronTrigger

    @property
    def name(self) -> str:
        return f"{self.workflow.name}.{self.trigger.name}"

    @property
    def thread(self) -> ThreadId:
        return trigger_thread(self.workflow.name, self.trigger.name)


def crons_of(registry: Registry, catalogue: Catalogue) -> list[RegisteredCron]:
    """Of the classes in the order of registration, then of the workflows made at run time that are active now. One of
    those by the name of a class stands behind it.
    """
    classes = [found for name in registry.names if (found := registry.get(name)) is not None]
    made = [catalogue.get(name) for name in catalogue.active() if registry.get(name) is None]
    workflows = [*classes, *(found for found in made if found is not None)]
    return [
        RegisteredCron(workflow=workflow, trigger=trigger)
        for workflow in workflows
        for trigger in workflow.definition.crons.values()
    ]


class CronThreads:
    """Holds nothing between two calls: each entry carries a checkpoint, so that a read costs one row however old the
    trigger is. Thread-safe as far as ``patience`` is.
    """

    def __init__(self, store: JournalStore, patience: Patience) -> None:
        self._store = store
        self._patience = patience
        self._appender = Appender(store, patience)

    def load(self, crons: Sequence[RegisteredCron]) -> list[TriggerState | CorruptHistory]:
        """What the journal has of each, in order; the error where its history can not be read."""
        if not crons:
            return []
        reads = [ThreadRead(thread=cron.thread) for cron in crons]
        histories = self._patience.call(lambda: self._store.read(reads))
        return [self._opened(cron.thread, history) for cron, history in zip(crons, histories, strict=True)]

    def load_one(self, cron: RegisteredCron) -> TriggerState:
        """Raises ``CorruptHistory``."""
        (state,) = self.load([cron])
        if isinstance(state, CorruptHistory):
            raise state
        return state

    def append(
        self,
        cron: RegisteredCron,
        state: TriggerState,
        facts: Sequence[AnyTriggerFact],
        *,
        beside: Birth | None = None,
    ) -> tuple[TriggerState, ThreadId | None]:
        """One entry, and in the same group the birth of a run ``beside`` it. The state after it, and
        None; or the state as it was, and the thread that had moved on.
        """
        after = fold_trigger(structs.replace(state), facts)
        entry = Append(
            thread=cron.thread,
            expected_revision=state.revision,
            entry_id=chance.new_entry_id(),
            body=TRIGGER_CODEC.encode_facts(facts),
            rows=RowChanges(),
            checkpoint=TRIGGER_CODEC.encode_state(after),
        )
        group = Group(
            appends=(entry,) if beside is None else (entry, beside.append),
            definitions=() if beside is None else (beside.definition,),
        )
        (answer,) = self._appender.commit([group])
        moved: ThreadId | None = getattr(answer, "thread", None)
        return (after, None) if moved is None else (state, moved)

    def _opened(self, thread: ThreadId, history: History) -> TriggerState | CorruptHistory:
        try:
            point = history.checkpoint
            state = TRIGGER_CODEC.decode_state(point.body) if point is not None else TriggerState()
            if state is None:
                (history,) = self._patience.call(lambda: self._store.read([ThreadRead(thread=thread)], whole=True))
                state = TriggerState()
            for entry in history.tail:
                state = _folded(state, entry)
        except CorruptHistory as error:
            return error
        return state


def _folded(state: TriggerState, entry: Entry) -> TriggerState:
    if entry.revision != state.revision + 1:
        raise CorruptHistory(f"entry {state.revision + 1} is missing", thread=entry.thread, revision=entry.revision)
    try:
        return fold_trigger(state, TRIGGER_CODEC.decode_facts(entry.body, thread=entry.thread, revision=entry.revision))
    except IllegalFact as error:
        raise CorruptHistory(str(error), thread=entry.thread, revision=entry.revision) from error
