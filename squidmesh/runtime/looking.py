"""Reading a run for people: its state, its definition, its entries, and what could not be read."""

from __future__ import annotations

from dataclasses import dataclass

from squidmesh.errors import CorruptHistory
from squidmesh.ids import ThreadId
from squidmesh.journal.codec import decode_facts
from squidmesh.journal.facts import AnyFact
from squidmesh.journal.state import RunState
from squidmesh.ports.journal_store import ThreadRead
from squidmesh.runtime.engine import Engine
from squidmesh.runtime.held import HeldRun, Runs, replay, unreadable
from squidmesh.runtime.missing import missing_run
from squidmesh.workflow.definition import Definition


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """``entries``: revision and facts, in order, where asked for. ``anomaly``: the history can not be read beyond
    ``state``, and the run is held there.
    """

    state: RunState
    definition: Definition
    entries: list[tuple[int, list[AnyFact]]] | None = None
    anomaly: CorruptHistory | None = None


def look(engine: Engine, run_id: str, *, history: bool = False) -> Look:
    """``NotFound`` or ``RunPruned`` for a run that the journal does not have; ``CorruptHistory`` where its very start
    is unreadable.
    """
    if not history:
        found = Runs(engine.store, engine.definitions, engine.caller_patience()).load([run_id]).get(run_id)
        if isinstance(found, HeldRun):
            return Look(state=found.state, definition=found.definition)
        if found is None:
            raise missing_run(engine.store, run_id)
    return _whole(engine, run_id, keep=history)


def _whole(engine: Engine, run_id: str, *, keep: bool) -> Look:
    (thread,) = engine.store.read([ThreadRead(thread=ThreadId(run_id))], whole=True)
    if not thread.tail:
        raise missing_run(engine.store, run_id)
    state: RunState | None = None
    entries: list[tuple[int, list[AnyFact]]] = []
    anomaly: CorruptHistory | None = None
    for entry in thread.tail:
        try:
            facts = decode_facts(entry.body, thread=run_id, revision=entry.revision)
            state = replay(state, [entry])
        except CorruptHistory as error:
            anomaly = error
            break
        except Exception as error:
            anomaly = unreadable(run_id, entry.revision, error)
            break
        entries.append((entry.revision, facts))
    if state is None:
        assert anomaly is not None
        raise anomaly
    return Look(
        state=state,
        definition=engine.definitions.get(state, engine.caller_patience()),
        entries=entries if keep else None,
        anomaly=anomaly,
    )
