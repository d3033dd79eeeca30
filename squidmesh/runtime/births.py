"""What a start comes to: revision 1 of its run, with all that goes with it."""

from __future__ import annotations

from squidmesh.clock import Instant
from squidmesh.ids import EntryId, RunId, ThreadId
from squidmesh.journal.codec import encode_facts
from squidmesh.planning.commands import StartRun
from squidmesh.planning.decide import begun
from squidmesh.planning.rows import changes
from squidmesh.ports.journal_store import Append, DefinitionRecord
from squidmesh.runtime import chance
from squidmesh.runtime.delivery import Effects
from squidmesh.runtime.recorder import Birth
from squidmesh.runtime.starts import Start


def plan(
    asked: Start, now: Instant, run_id: RunId | None = None, *, entry_id: EntryId | None = None, offers: bool = True
) -> Birth:
    """Revision 1 of the run, whose id is known: ``run_id``, or that of ``asked``. ``entry_id`` is drawn where it is not
    given. ``offers``: whether its effects are wanted; leases in the journal itself need none.
    """
    if run_id is None:
        assert asked.run_id is not None
        run_id = asked.run_id
    terms = asked.terms
    definition = terms.workflow.definition
    command = StartRun(
        now=now,
        run_id=run_id,
        trigger=terms.trigger,
        payload=asked.payload,
        payload_fingerprint=asked.payload_fingerprint,
        queue=terms.queue,
        priority=terms.priority,
        key=asked.key,
        delay=terms.delay,
        parent=terms.parent,
        metadata=terms.metadata,
        replay_of=terms.replay_of,
        activation=terms.activation,
        traceparent=terms.traceparent,
    )
    facts, state = begun(definition, command)
    effects = Effects()
    if offers:
        effects.note(state, facts, None, now)
    append = Append(
        thread=ThreadId(run_id),
        expected_revision=0,
        entry_id=chance.new_entry_id() if entry_id is None else entry_id,
        body=encode_facts(facts),
        rows=changes(None, facts, state),
    )
    record = DefinitionRecord(fingerprint=definition.fingerprint, body=definition.canonical())
    return Birth(state=state, append=append, definition=record, effects=effects)
