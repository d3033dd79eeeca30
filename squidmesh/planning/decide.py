"""``decide(definition, state, command) -> facts``: the functional core's front door (protocol 3.2).

A command is either turned into the facts of one entry, all of which become true together, or refused with a typed error
and no fact at all. The state is only read.
"""

from __future__ import annotations

from typing import assert_never

from squidmesh.clock import micros
from squidmesh.journal.facts import AnyFact, RunStarted
from squidmesh.journal.state import RunState
from squidmesh.planning import claims, control, dead_letters, outcome
from squidmesh.planning.commands import (
    AnyCommand,
    DecideApproval,
    DiscardDeadLetter,
    RecordClaim,
    RecordCompletion,
    RecordFailure,
    RecordLoss,
    RecordRelease,
    ReplayDeadLetter,
    StartRun,
)
from squidmesh.planning.readiness import enter
from squidmesh.workflow.definition import Definition


def start(definition: Definition, command: StartRun) -> list[AnyFact]:
    """Revision 1 of a run: that it started, and what is first."""
    started = RunStarted(
        at=command.now,
        run_id=command.run_id,
        workflow=definition.name,
        version=definition.version,
        fingerprint=definition.fingerprint,
        trigger=command.trigger,
        payload=command.payload,
        payload_fingerprint=command.payload_fingerprint,
        queue=command.queue,
        priority=command.priority,
        key=command.key,
    )
    first = enter(
        definition,
        definition.entry,
        context=command.payload,
        now=command.now,
        queue=command.queue,
        priority=command.priority,
        delay=micros(command.delay),
    )
    return [started, first]


def decide(definition: Definition, state: RunState, command: AnyCommand) -> list[AnyFact]:
    """The facts that the command makes true: none where it repeats a command that was carried out before.

    Raises ``ClaimRefused`` (a claim that may not be recorded), ``StaleClaim`` (a result under any but the current
    claim), ``NotWaiting`` or ``NotFound`` (an operator's command that does not fit).
    """
    match command:
        case RecordClaim():
            return claims.record(definition, state, command)
        case RecordRelease():
            return claims.release(definition, state, command)
        case RecordCompletion():
            return outcome.complete(definition, state, command)
        case RecordFailure():
            return outcome.fail(definition, state, command)
        case RecordLoss():
            return dead_letters.lose(state, command)
        case ReplayDeadLetter():
            return dead_letters.replay(state, command)
        case DiscardDeadLetter():
            return dead_letters.discard(definition, state, command)
        case DecideApproval():
            return control.decide_approval(definition, state, command)
        case _:
            assert_never(command)
