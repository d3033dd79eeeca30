"""Child runs: how they are started under their parent's claim, and how the parent hears of their ends."""

from __future__ import annotations

from squidmesh.errors import NotAllowed
from squidmesh.journal.facts import AnyFact, ChildEnded, ChildStarted
from squidmesh.journal.state import RunState
from squidmesh.planning.commands import RecordChildEnd, StartChild
from squidmesh.planning.fences import require_current
from squidmesh.planning.readiness import Following
from squidmesh.workflow.definition import ChildrenStep, Definition


def start_child(state: RunState, command: StartChild) -> list[AnyFact]:
    """Nothing, where an earlier attempt of the same step has started the same child (I12). ``StaleClaim`` under any
    but the current claim.
    """
    require_current(state, command.step, attempt=command.attempt, fence=command.fence, claim_hash=command.claim_hash)
    if command.run_id in state.children:
        return []
    if state.phase != "open":
        raise NotAllowed(f"run {state.run_id} is {state.phase}, and starts no child runs any more")
    return [
        ChildStarted(
            at=command.now,
            step=command.step,
            attempt=command.attempt,
            fence=command.fence,
            key=command.key,
            run_id=command.run_id,
            workflow=command.workflow,
        )
    ]


def record_end(definition: Definition, state: RunState, command: RecordChildEnd) -> list[AnyFact]:
    """Heard once; the last open child opens the gates that wait for all of them. ``NotAllowed`` where nobody listens
    any more.
    """
    child = state.children.get(command.run_id)
    if state.ended or child is None or child.status is not None:
        raise NotAllowed(f"run {state.run_id} does not wait for child {command.run_id}")
    ended = ChildEnded(at=command.now, run_id=command.run_id, status=command.status, signal=command.signal)
    if state.phase != "open" or state.open_children != [command.run_id]:
        return [ended]
    following = Following(definition, state, command.now, ended=(command.run_id, command.status))
    for name in list(state.open_gates):
        step = definition.step(name)
        if isinstance(step, ChildrenStep):
            following.end_children(step)
    return [ended, *following.facts]
