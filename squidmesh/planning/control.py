"""What operators may do to a run, and when they may (I17)."""

from __future__ import annotations

from typing import Any

from squidmesh.clock import Instant, to_datetime
from squidmesh.errors import KeyReused, NotFound, NotWaiting
from squidmesh.journal.facts import AnyFact, ApprovalDecided, RunFailed
from squidmesh.journal.state import RunState
from squidmesh.planning.commands import DecideApproval
from squidmesh.planning.readiness import follow
from squidmesh.workflow.definition import ApprovalStep, Definition


def decide_approval(definition: Definition, state: RunState, command: DecideApproval) -> list[AnyFact]:
    """One decision a gate. A rejection without a route for it fails the run. The same key again gives
    no facts; with another decision, or for another gate, it is refused."""
    if command.key is not None and command.key in state.keys:
        return _repeated(state, command, command.key)
    step = _open_gate(definition, state, command)
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
    rejected = RunFailed(at=command.now, code="rejected", step=step, message=f"{step} was rejected")
    return [decided, *(routed or [rejected])]


def _repeated(state: RunState, command: DecideApproval, key: str) -> list[AnyFact]:
    decision, _, step = state.keys[key].partition(" ")
    if command.decision != decision or command.step not in (None, step):
        raise KeyReused(f"{key!r} was the key of another command: {step} was {decision} with it", field="key")
    return []


def _open_gate(definition: Definition, state: RunState, command: DecideApproval) -> str:
    """The name of the gate that is meant; raises where it is not open, or where it is not clear which one is."""
    if command.step is not None and not isinstance(definition.steps_by_name.get(command.step), ApprovalStep):
        raise NotFound(f"{command.step!r} is no approval of {state.workflow}", field="step")
    if command.step is None and len(state.open_gates) == 1:
        return state.open_gates[0]
    if command.step is not None and command.step in state.open_gates:
        return command.step
    if len(state.open_gates) > 1:
        raise NotWaiting(f"several approvals are open; say which: {', '.join(state.open_gates)}", field="step")
    raise NotWaiting(_why_not(state, command), field="step" if command.step else None)


def _why_not(state: RunState, command: DecideApproval) -> str:
    decided = state.gates.get(command.step) if command.step else next(reversed(state.gates.values()), None)
    if decided is not None and decided.decision is not None:
        return f"run {state.run_id}: {decided.step} was {decided.decision} already, by {decided.actor}"
    return f"run {state.run_id} is {state.status(Instant(command.now))} and waits for no approval"


def _decision(command: DecideApproval) -> dict[str, Any]:
    return {
        "decision": command.decision,
        "actor": command.actor,
        "comment": command.comment,
        "decided_at": to_datetime(command.now).isoformat(),
        "metadata": command.metadata,
    }
