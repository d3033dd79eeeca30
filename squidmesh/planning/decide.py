"""``decide(definition, state, command) -> facts``: the functional core's front door (protocol 3.2).

A command is either turned into the facts of one entry, all of which become true together, or refused with a typed error
and no fact at all. The state is only read.
"""

from __future__ import annotations

from typing import assert_never

from squidmesh.clock import micros
from squidmesh.journal.facts import AnyFact, RunStarted
from squidmesh.journal.fold import evolve, fold
from squidmesh.journal.state import RunState
from squidmesh.planning import children, claims, control, dead_letters, deadlines, events, outcome
from squidmesh.planning.commands import (
    AnyCommand,
    CancelRun,
    DecideApproval,
    DiscardDeadLetter,
    PassGateDeadline,
    PassRunDeadline,
    PassStepDeadline,
    RecordChildEnd,
    RecordClaim,
    RecordCompletion,
    RecordFailure,
    RecordLoss,
    RecordRelease,
    ReplayDeadLetter,
    ResumeRun,
    RetryCompensation,
    SendEvent,
    StartChild,
    StartRun,
    WaiveCompensation,
)
from squidmesh.planning.readiness import begin
from squidmesh.workflow.definition import Definition


def start(definition: Definition, command: StartRun) -> list[AnyFact]:
    """Revision 1 of a run: that it started, and what is first."""
    return begun(definition, command)[0]


def begun(definition: Definition, command: StartRun) -> tuple[list[AnyFact], RunState]:
    """The same, and the state after it: what is first is asked of a state that has begun, so it is at hand."""
    delay = micros(command.delay)
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
        parent=command.parent,
        metadata=command.metadata,
        replay_of=command.replay_of,
        deadline=None if definition.timeout is None else command.now + delay + micros(definition.timeout),
        activation=command.activation,
        traceparent=command.traceparent,
    )
    state = fold(None, [started])
    first = begin(definition, state, now=command.now, delay=delay)
    for fact in first:
        evolve(state, fact)
    return [started, *first], state


def decide(definition: Definition, state: RunState, command: AnyCommand) -> list[AnyFact]:
    """The facts that the command makes true: none where it repeats a command that was carried out before.

    Raises ``ClaimRefused`` (a claim that may not be recorded), ``StaleClaim`` (a result under any but the current
    claim), ``NotWaiting``, ``NotAllowed``, ``NotFound`` or ``KeyReused`` (a command from outside that does not fit).
    """
    match command:
        case RecordCompletion():
            return outcome.complete(definition, state, command)
        case RecordClaim():
            return claims.record(definition, state, command)
        case RecordRelease():
            return claims.release(definition, state, command)
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
        case ResumeRun():
            return control.resume(definition, state, command)
        case CancelRun():
            return control.cancel(state, command)
        case WaiveCompensation():
            return control.waive_compensation(definition, state, command)
        case RetryCompensation():
            return control.retry_compensation(state, command)
        case SendEvent():
            return events.send(definition, state, command)
        case StartChild():
            return children.start_child(state, command)
        case RecordChildEnd():
            return children.record_end(definition, state, command)
        case PassRunDeadline():
            return deadlines.pass_run(definition, state, command)
        case PassGateDeadline():
            return deadlines.pass_gate(definition, state, command)
        case PassStepDeadline():
            return outcome.time_out(definition, state, command)
        case _:
            assert_never(command)
