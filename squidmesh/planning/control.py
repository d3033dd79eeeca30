"""What operators may do to a run, and when they may (I17)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from squidmesh.clock import Instant, to_datetime
from squidmesh.errors import NotAllowed, NotFound, NotWaiting
from squidmesh.ids import undo_of
from squidmesh.journal.facts import (
    AnyFact,
    ApprovalDecided,
    AttemptScheduled,
    CompensationRetried,
    CompensationWaived,
    PauseResumed,
    RunCancelled,
)
from squidmesh.journal.state import GateKind, GateState, RunnableState, RunState
from squidmesh.planning.commands import CancelRun, DecideApproval, ResumeRun, RetryCompensation, WaiveCompensation
from squidmesh.planning.failure import close_all, fails, next_undo
from squidmesh.planning.readiness import follow
from squidmesh.planning.repeating import repeated
from squidmesh.workflow.definition import ApprovalStep, Definition, FunctionStep, PauseStep


def decide_approval(definition: Definition, state: RunState, command: DecideApproval) -> list[AnyFact]:
    """One decision a gate. A rejection without a route for it fails the run."""
    verb = "approve" if command.decision == "approved" else "reject"
    if (again := repeated(state, command.key, verb, command.step, now=command.now)) is not None:
        return again
    step = _open_gate(definition, state, command.step, "approval", now=command.now)
    gate = definition.step(step)
    assert isinstance(gate, ApprovalStep)
    output = {gate.output: _decision(command)} if gate.output else {}
    decided = ApprovalDecided(
        at=command.now,
        step=step,
        decision=command.decision,
        actor=command.actor,
        comment=command.comment,
        metadata=command.metadata,
        output=output,
        key=command.key,
    )
    if command.decision == "approved":
        return [decided, *follow(definition, state, step, "ok", output=output, now=command.now)]
    routed = follow(definition, state, step, "reject", output=output, now=command.now)
    message = f"{step} was rejected"
    return [
        decided,
        *(
            routed
            or fails(
                definition,
                state,
                now=command.now,
                code="rejected",
                step=step,
                message=message,
                closed=frozenset((step,)),
            )
        ),
    ]


def resume(definition: Definition, state: RunState, command: ResumeRun) -> list[AnyFact]:
    """Opens a pause."""
    if (again := repeated(state, command.key, "resume", command.step, now=command.now)) is not None:
        return again
    step = _open_gate(definition, state, command.step, "pause", now=command.now)
    resumed = PauseResumed(
        at=command.now,
        step=step,
        actor=command.actor,
        comment=command.comment,
        metadata=command.metadata,
        key=command.key,
    )
    return [resumed, *follow(definition, state, step, "ok", output={}, now=command.now)]


def cancel(state: RunState, command: CancelRun) -> list[AnyFact]:
    """Immediate: whatever is open, claimed or not, is closed by the same entry. A run that fails is not cancelled: what
    it did is being undone.
    """
    if (again := repeated(state, command.key, "cancel", "", now=command.now)) is not None:
        return again
    if state.ended:
        raise NotAllowed(f"run {state.run_id} has ended; it is {state.phase}")
    if state.phase != "open":
        why = f"{state.failure_step or 'the run'} failed ({state.failure_code})"
        allowed = "allowed is to let that end, or to retry or waive the compensation that hinders it"
        raise NotAllowed(f"run {state.run_id} is {state.phase}: {why}; {allowed}")
    cancelled = RunCancelled(
        at=command.now,
        actor=command.actor,
        comment=command.comment,
        metadata=command.metadata,
        children=command.children,
        key=command.key,
        signal=command.signal,
    )
    return [*close_all(state, now=command.now, claimed_too=True), cancelled]


# --------------------------------------------------------------------------------------------------- compensations


def retry_compensation(state: RunState, command: RetryCompensation) -> list[AnyFact]:
    """Another series of attempts for the compensation that has used up its own."""
    again = repeated(state, command.key, "retry_compensation", _runnable(command), now=command.now)
    if again is not None:
        return again
    failed = _exhausted(state, command)
    retried = CompensationRetried(
        at=command.now, step=failed.step, actor=command.actor, comment=command.comment, key=command.key
    )
    following = AttemptScheduled(
        at=command.now,
        step=failed.step,
        attempt=failed.attempt + 1,
        queue=failed.queue,
        priority=failed.priority,
        visible_at=command.now,
        cause="undo",
    )
    return [retried, following]


def waive_compensation(definition: Definition, state: RunState, command: WaiveCompensation) -> list[AnyFact]:
    """The compensation that has used up its attempts is let be; the one after it is next."""
    again = repeated(state, command.key, "waive_compensation", _runnable(command), now=command.now)
    if again is not None:
        return again
    failed = _exhausted(state, command)
    waived = CompensationWaived(
        at=command.now, step=failed.step, actor=command.actor, comment=command.comment, key=command.key
    )
    return [waived, *next_undo(definition, state, now=command.now)]


def _runnable(command: RetryCompensation) -> str | None:
    return None if command.step is None else undo_of(command.step)


def _exhausted(state: RunState, command: RetryCompensation) -> RunnableState:
    """The compensation that waits for an operator."""
    if state.phase != "compensating":
        status = state.status(Instant(command.now))
        raise NotWaiting(f"run {state.run_id} is {status}, and no compensation of it waits for an operator")
    present = state.to_undo[0]
    runnable = state.runnables[undo_of(present)]
    if command.step not in (None, present):
        raise NotWaiting(f"the compensation of {command.step!r} does not wait; that of {present} is next", field="step")
    if runnable.status != "failed":
        why = f"the compensation of {present} is {runnable.status}; it has not failed for good"
        raise NotWaiting(why, field="step")
    return runnable


# ----------------------------------------------------------------------------------------------------------- gates


_KINDS: dict[GateKind, tuple[type, str]] = {"approval": (ApprovalStep, "approval"), "pause": (PauseStep, "pause")}
_SAID: dict[str, Callable[[GateState], str]] = {
    "approved": lambda gate: f"was approved already, by {gate.actor}",
    "rejected": lambda gate: f"was rejected already, by {gate.actor}",
    "resumed": lambda gate: f"was resumed already, by {gate.actor}",
    "timed_out": lambda gate: "is closed: its time had passed",
    "closed": lambda gate: "is closed: its run failed or was cancelled",
}


def _open_gate(definition: Definition, state: RunState, step: str | None, kind: GateKind, *, now: int) -> str:
    """The name of the gate that is meant; raises where it is not open, or where it is not clear which one is."""
    spec, word = _KINDS[kind]
    gates = [name for name in state.open_gates if state.gates[name].kind == kind]
    if step is not None and not isinstance(definition.steps_by_name.get(step), spec):
        raise NotFound(f"{step!r} is no {word} of {state.workflow}", field="step")
    if step is None and len(gates) == 1:
        return gates[0]
    if step is not None and step in gates:
        return step
    if len(gates) > 1 and step is None:
        raise NotWaiting(f"several {word}s are open; say which: {', '.join(gates)}", field="step")
    raise NotWaiting(_why_not(state, step, kind, word, now=now), field="step" if step else None)


def _why_not(state: RunState, step: str | None, kind: GateKind, word: str, *, now: int) -> str:
    newest = next((gate for gate in reversed(state.gates.values()) if gate.kind == kind), None)
    left = state.gates.get(step) if step else newest
    if left is not None and left.status in _SAID:
        return f"run {state.run_id}: {left.step} {_SAID[left.status](left)}"
    return f"run {state.run_id} is {state.status(Instant(now))} and waits for no {word}"


def _decision(command: DecideApproval) -> dict[str, Any]:
    return {
        "decision": command.decision,
        "actor": command.actor,
        "comment": command.comment,
        "decided_at": to_datetime(command.now).isoformat(),
        "metadata": command.metadata,
    }


def not_to_be_repeated(definition: Definition, state: RunState) -> list[str]:
    """Completed steps that their author marked so: a replay of the run would do them again."""
    return [
        step.name
        for step in definition.steps
        if isinstance(step, FunctionStep)
        and step.name in state.completed
        and (step.irreversible or not step.compensatable)
    ]
