"""Events from outside: taken by the step that waits for them, or kept until one does."""

from __future__ import annotations

from squidmesh.errors import NotAllowed
from squidmesh.journal.facts import AnyFact, EventReceived
from squidmesh.journal.state import RunState
from squidmesh.planning.commands import SendEvent
from squidmesh.planning.readiness import Following
from squidmesh.planning.repeating import repeated
from squidmesh.workflow.definition import Definition, EventStep

MOST_KEPT = 1000
"""Events that a run keeps for steps to come: a sender that nobody waits for must not make it grow for ever."""


def send(definition: Definition, state: RunState, command: SendEvent) -> list[AnyFact]:
    """The first step that waits for this name takes it; where none does, it is kept. One key, one event."""
    if (again := repeated(state, command.key, "send_event", command.event, now=command.now)) is not None:
        return again
    if state.phase != "open":
        raise NotAllowed(f"run {state.run_id} is {state.phase}, and waits for no event any more")
    known = {step.event for step in definition.steps if isinstance(step, EventStep)}
    if command.event not in known:
        allowed = ", ".join(sorted(known)) or "none"
        why = f"{state.workflow} waits for no event {command.event!r}; allowed are: {allowed}"
        raise NotAllowed(why, field="event")
    received = EventReceived(
        at=command.now, event=command.event, data=command.data, actor=command.actor, key=command.key
    )
    waiting = next((step for step in state.open_gates if state.gates[step].event == command.event), None)
    if waiting is None:
        if len(state.events) >= MOST_KEPT:
            raise NotAllowed(f"run {state.run_id} keeps {MOST_KEPT} events that nobody has taken; that is the most")
        return [received]
    step = definition.step(waiting)
    assert isinstance(step, EventStep)
    following = Following(definition, state, command.now)
    following.take_event(step, command.data)
    return [received, *following.facts]
