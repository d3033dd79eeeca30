"""Deadlines that have passed: of a run, and of a gate. (Those of attempts are in ``outcome.py``.)

A timer is read without a lock and may be fired by several at once, or late: each of these asks again whether what it
is about is still open, and gives no facts where it is not.
"""

from __future__ import annotations

from squidmesh.journal.facts import AnyFact, GateTimedOut
from squidmesh.journal.state import RunState
from squidmesh.planning.commands import PassGateDeadline, PassRunDeadline
from squidmesh.planning.failure import abandon_siblings, fails
from squidmesh.planning.readiness import follow
from squidmesh.workflow.definition import Definition


def pass_run(definition: Definition, state: RunState, command: PassRunDeadline) -> list[AnyFact]:
    """The run fails, and waits for none of its siblings: what is claimed is closed too."""
    if state.deadline is None or state.deadline > command.now or state.ended or state.phase == "compensating":
        return []
    if state.phase == "failing":
        return abandon_siblings(definition, state, now=command.now)
    return fails(
        definition,
        state,
        now=command.now,
        code="deadline_exceeded",
        step="",
        message="the run had not ended at its deadline",
        at_once=True,
    )


def pass_gate(definition: Definition, state: RunState, command: PassGateDeadline) -> list[AnyFact]:
    """The gate's time-out route, or the run fails."""
    gate = state.gates.get(command.step)
    if gate is None or gate.status != "open" or gate.deadline is None or gate.deadline > command.now:
        return []
    passed = GateTimedOut(at=command.now, step=command.step)
    routed = follow(definition, state, command.step, "timeout", output={}, now=command.now)
    message = f"{command.step} was not answered in time"
    return [
        passed,
        *(
            routed
            or fails(
                definition,
                state,
                now=command.now,
                code="timed_out",
                step=command.step,
                message=message,
                closed=frozenset((command.step,)),
            )
        ),
    ]
