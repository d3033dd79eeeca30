"""``evolve(state, fact)``: how one fact changes the state (protocol 3.2). Needs no definition, makes no choice.

Fields that a fact repeats are taken from the fact; what it breaks is an :class:`IllegalFact`. The state is changed in
place and belongs to its caller.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar, assert_never

from squidmesh.ids import undone_by
from squidmesh.journal import facts
from squidmesh.journal.facts import AnyFact
from squidmesh.journal.state import (
    ChildState,
    ClaimState,
    CommandState,
    Death,
    GateKind,
    GateState,
    KeptEvent,
    OverwrittenOutput,
    RouteState,
    RunnableState,
    RunState,
)
from squidmesh.journal.transitions import ATTEMPT, GATE, RUN

S = TypeVar("S", bound=str)


class IllegalFact(Exception):
    """A fact that its state does not allow. In a stored history this is corruption; in a decision, a bug."""


def fold(state: RunState | None, entry: Iterable[AnyFact]) -> RunState:
    """The state after one entry. Its revision is one higher. ``state`` is None before revision 1."""
    for fact in entry:
        state = _begin(fact) if state is None else evolve(state, fact)
    if state is None:
        raise IllegalFact("an entry without a fact")
    state.revision += 1
    return state


def evolve(state: RunState, fact: AnyFact) -> RunState:
    """Applies one fact to a run that has started."""
    phase = RUN.get((state.phase, type(fact)))
    if phase is None:
        raise IllegalFact(f"{type(fact).__name__} in a run that is {state.phase}")
    usual = _USUAL.get(type(fact))
    if usual is not None:
        usual(state, fact)
    else:
        _evolve(state, fact)
    state.phase = phase
    state.updated_at = fact.at
    return state


def _evolve(state: RunState, fact: AnyFact) -> None:
    match fact:
        case (
            facts.AttemptScheduled()
            | facts.AttemptClaimed()
            | facts.AttemptCompleted()
            | facts.RouteTaken()
            | facts.RunCompleted()
        ):
            _USUAL[type(fact)](state, fact)
        case facts.ClaimReleased():
            runnable = _give_back(state, fact)
            runnable.snoozes += fact.reason == "snooze"
        case facts.AttemptFailed() | facts.AttemptTimedOut():
            _close(state, fact).error = fact.error
        case facts.AttemptCancelled():
            _cancel(state, fact)
        case facts.DeliveryLost():
            runnable = _give_back(state, fact)
            runnable.lost += 1
            runnable.reported += 1
            runnable.loss = fact.cause
        case facts.AttemptDeadLettered():
            _dead_letter(state, fact)
        case facts.DeadLetterReplayed():
            _replay(state, fact)
        case facts.DeadLetterDiscarded():
            _leave_dead(state, fact).error = fact.error
            _command(state, "discard_dead_letter", fact.step, fact)
        case facts.ApprovalRequested():
            _open_gate(state, fact, "approval", deadline=fact.deadline)
        case facts.PauseReached():
            _open_gate(state, fact, "pause")
        case facts.EventAwaited():
            _open_gate(state, fact, "event", deadline=fact.deadline, event=fact.event)
        case facts.ChildrenAwaited():
            _open_gate(state, fact, "children")
        case facts.ApprovalDecided():
            gate = _leave_gate(state, fact)
            gate.status = fact.decision
            _decide(state, gate, fact, "approve" if fact.decision == "approved" else "reject")
            if fact.decision == "approved":
                _done(state, fact.step, fact.at)
            _add(state, fact.step, fact.output)
        case facts.PauseResumed():
            _decide(state, _leave_gate(state, fact), fact, "resume")
            _done(state, fact.step, fact.at)
        case facts.EventTaken():
            _take_event(state, fact)
        case facts.ChildrenEnded():
            _leave_gate(state, fact)
            _done(state, fact.step, fact.at)
            _add(state, fact.step, fact.output)
        case facts.GateTimedOut() | facts.GateClosed():
            _leave_gate(state, fact)
        case facts.EventReceived():
            state.events.append(KeptEvent(event=fact.event, data=fact.data))
            _command(state, "send_event", fact.event, fact)
        case facts.ChildStarted():
            _start_child(state, fact)
        case facts.ChildEnded():
            _end_child(state, fact)
        case facts.RunFailing():
            _note_failure(state, fact)
        case facts.RunFailed():
            _note_failure(state, fact)
            _end(state, fact)
        case facts.RunCancelled():
            _command(state, "cancel", "", fact)
            _end(state, fact)
        case facts.CompensationStarted():
            state.to_undo = list(fact.steps)
        case facts.CompensationRetried():
            _require_undo(state, fact)
            failed = state.runnables[fact.step]
            failed.forgiven = failed.attempt
            _command(state, "retry_compensation", fact.step, fact)
        case facts.CompensationWaived():
            _require_undo(state, fact)
            state.to_undo.pop(0)
            _command(state, "waive_compensation", fact.step, fact)
        case facts.CommandRepeated():
            _repeat(state, fact)
        case facts.RunStarted():
            raise IllegalFact("RunStarted twice")
        case _:
            assert_never(fact)


def _begin(fact: AnyFact) -> RunState:
    if not isinstance(fact, facts.RunStarted):
        raise IllegalFact(f"{type(fact).__name__} before RunStarted")
    return RunState(
        run_id=fact.run_id,
        workflow=fact.workflow,
        version=fact.version,
        fingerprint=fact.fingerprint,
        trigger=fact.trigger,
        key=fact.key,
        payload=fact.payload,
        payload_fingerprint=fact.payload_fingerprint,
        queue=fact.queue,
        priority=fact.priority,
        started_at=fact.at,
        updated_at=fact.at,
        parent=fact.parent,
        metadata=fact.metadata,
        replay_of=fact.replay_of,
        deadline=fact.deadline,
        activation=fact.activation,
        traceparent=fact.traceparent,
    )


# ------------------------------------------------------------------------------------------------------- the run


def _end(state: RunState, fact: facts.RunCompleted | facts.RunFailed | facts.RunCancelled) -> None:
    """Nothing is left open behind the end: what was, is closed by facts of the same entry, before this one."""
    if state.open_steps or state.open_gates or state.dead_steps:
        left = [*state.open_steps, *state.open_gates, *state.dead_steps]
        raise IllegalFact(f"{type(fact).__name__} while {', '.join(left)} is open")
    state.ended_at = fact.at
    state.events.clear()


def _take_route(state: RunState, fact: facts.RouteTaken) -> None:
    state.routes.append(
        RouteState(source=fact.source, on=fact.on, target=fact.target, edge=fact.edge, recovery=fact.recovery)
    )


def _note_failure(state: RunState, fact: facts.RunFailing | facts.RunFailed) -> None:
    state.failure_code, state.failure_step, state.failure_message = fact.code, fact.step, fact.message


def _command(state: RunState, verb: str, subject: str, fact: _Command) -> None:
    if fact.key is not None:
        state.keys[fact.key] = len(state.commands)
    state.commands.append(CommandState(verb=verb, subject=subject, actor=fact.actor, at=fact.at, key=fact.key))


def _repeat(state: RunState, fact: facts.CommandRepeated) -> None:
    place = state.keys.get(fact.key)
    if place is None:
        raise IllegalFact(f"the key {fact.key!r} comes again, and was never there")
    state.commands[place].repeats += 1


def _done(state: RunState, step: str, at: int) -> None:
    state.completed[step] = at


def _add(state: RunState, step: str, output: dict[str, Any]) -> None:
    """To the context."""
    for key, value in output.items():
        if (former := state.writers.get(key)) is not None:
            state.overwritten.append(OverwrittenOutput(step=former, key=key, value=state.outputs[key]))
        state.outputs[key], state.writers[key] = value, step


def _require_undo(state: RunState, fact: facts.CompensationRetried | facts.CompensationWaived) -> None:
    step = undone_by(fact.step)
    runnable = state.runnables.get(fact.step)
    if step is None or state.to_undo[:1] != [step] or runnable is None or runnable.status != "failed":
        raise IllegalFact(f"{type(fact).__name__} for {fact.step}, which does not wait for it")


# --------------------------------------------------------------------------------------------------- the attempts


def _schedule(state: RunState, fact: facts.AttemptScheduled) -> None:
    former = state.runnables.get(fact.step)
    if former is not None and (former.status != "failed" or fact.attempt != former.attempt + 1):  # I5
        raise IllegalFact(f"attempt {fact.attempt} of {fact.step} after attempt {former.attempt} ({former.status})")
    if (step := undone_by(fact.step)) is not None and state.to_undo[:1] != [step]:  # I15
        raise IllegalFact(f"{fact.step} is scheduled while {', '.join(state.to_undo) or 'nothing'} is to be undone")
    status = ATTEMPT[None, type(fact)]
    state.runnables[fact.step] = RunnableState(
        step=fact.step,
        attempt=fact.attempt,
        status=status,
        queue=fact.queue,
        priority=fact.priority,
        visible_at=fact.visible_at,
        cause=fact.cause,
        concurrency_key=fact.concurrency_key,
        concurrency_limit=fact.concurrency_limit,
        generation=former.generation if former else 0,
        fence=former.fence if former else 0,
        error=former.error if former else None,
        timed=former.timed if former else False,
        forgiven=former.forgiven if former else 0,
    )
    state.open_steps.append(fact.step)


def _claim(state: RunState, fact: facts.AttemptClaimed) -> None:
    runnable = _newer_claim(state, fact)
    status = _check(ATTEMPT, runnable.status, fact)
    if runnable.status == "claimed":
        runnable.lost += 1
    else:
        state.claimed += 1
    runnable.status = status
    runnable.generation, runnable.fence = fact.generation, fact.fence
    runnable.claim = ClaimState(
        owner=fact.owner, claim_hash=fact.claim_hash, lease=fact.lease, at=fact.at, deadline=fact.deadline
    )
    runnable.last_owner = fact.owner
    runnable.timed = runnable.timed or fact.deadline is not None


def _dead_letter(state: RunState, fact: facts.AttemptDeadLettered) -> None:
    runnable = _newer_claim(state, fact)
    state.claimed -= runnable.status == "claimed"
    runnable.status = _check(ATTEMPT, runnable.status, fact)
    runnable.generation, runnable.fence = fact.generation, fact.fence
    runnable.claim = None
    runnable.lost = fact.lost
    runnable.death = Death(at=fact.at, cause=fact.cause, lapsed=fact.lapsed, detail=fact.detail, owner=fact.owner)
    state.open_steps.remove(fact.step)
    state.dead_steps.append(fact.step)


def _newer_claim(state: RunState, fact: facts.AttemptClaimed | facts.AttemptDeadLettered) -> RunnableState:
    runnable = state.runnables.get(fact.step)
    if runnable is None or runnable.attempt != fact.attempt:
        raise IllegalFact(f"{type(fact).__name__} for {fact.step}#{fact.attempt}, which is not there")
    if (fact.generation, fact.fence) <= (runnable.generation, runnable.fence):
        raise IllegalFact(f"fence {fact.fence} of {fact.step} after fence {runnable.fence}")  # I3
    return runnable


def _replay(state: RunState, fact: facts.DeadLetterReplayed) -> None:
    runnable = _leave_dead(state, fact)
    if fact.generation != runnable.generation + 1:
        raise IllegalFact(f"generation {fact.generation} of {fact.step} after generation {runnable.generation}")
    runnable.generation = fact.generation
    runnable.visible_at = fact.visible_at
    runnable.lost = runnable.reported = 0
    runnable.loss = None
    state.open_steps.append(fact.step)
    _command(state, "replay_dead_letter", fact.step, fact)


def _leave_dead(state: RunState, fact: facts.DeadLetterReplayed | facts.DeadLetterDiscarded) -> RunnableState:
    runnable = _attempt(state, fact)
    runnable.status = _check(ATTEMPT, runnable.status, fact)
    runnable.death = None
    state.dead_steps.remove(fact.step)
    return runnable


def _cancel(state: RunState, fact: facts.AttemptCancelled) -> None:
    runnable = _attempt(state, fact)
    state.claimed -= runnable.status == "claimed"
    (state.dead_steps if runnable.status == "dead" else state.open_steps).remove(fact.step)
    runnable.status = _check(ATTEMPT, runnable.status, fact)
    runnable.claim = None


def _attempt(
    state: RunState, fact: facts.DeadLetterReplayed | facts.DeadLetterDiscarded | facts.AttemptCancelled
) -> RunnableState:
    runnable = state.runnables.get(fact.step)
    if runnable is None or runnable.attempt != fact.attempt:
        raise IllegalFact(f"{type(fact).__name__} for {fact.step}#{fact.attempt}, which is not there")
    _check(ATTEMPT, runnable.status, fact)
    return runnable


_UnderFence = (
    facts.ClaimReleased | facts.AttemptCompleted | facts.AttemptFailed | facts.AttemptTimedOut | facts.DeliveryLost
)


def _step_attempt(state: RunState, fact: _UnderFence) -> RunnableState:
    """Every fact that ends a claim names the fence of the current one."""
    runnable = state.runnables.get(fact.step)
    if runnable is None or runnable.attempt != fact.attempt or runnable.fence != fact.fence:
        raise IllegalFact(f"{type(fact).__name__} for {fact.step}#{fact.attempt} under fence {fact.fence}")  # I4
    runnable.status = _check(ATTEMPT, runnable.status, fact)
    runnable.claim = None
    state.claimed -= 1
    return runnable


def _give_back(state: RunState, fact: facts.ClaimReleased | facts.DeliveryLost) -> RunnableState:
    runnable = _step_attempt(state, fact)
    runnable.visible_at = fact.visible_at
    return runnable


def _close(
    state: RunState, fact: facts.AttemptCompleted | facts.AttemptFailed | facts.AttemptTimedOut
) -> RunnableState:
    runnable = _step_attempt(state, fact)
    state.open_steps.remove(fact.step)
    return runnable


def _complete(state: RunState, fact: facts.AttemptCompleted) -> None:
    """What a compensation gives is kept apart: the context is that of the steps."""
    _close(state, fact)
    undone = undone_by(fact.step)
    if undone is None:
        _add(state, fact.step, fact.output)
        _done(state, fact.step, fact.at)
    else:
        state.to_undo.pop(0)
        state.undone[undone] = fact.output


# ------------------------------------------------------------------------------------------------------ the gates


_Opens = facts.ApprovalRequested | facts.PauseReached | facts.EventAwaited | facts.ChildrenAwaited
_Leaves = (
    facts.ApprovalDecided
    | facts.PauseResumed
    | facts.EventTaken
    | facts.ChildrenEnded
    | facts.GateTimedOut
    | facts.GateClosed
)


def _open_gate(
    state: RunState, fact: _Opens, kind: GateKind, *, deadline: int | None = None, event: str | None = None
) -> None:
    former = state.gates.get(fact.step)
    status = _check(GATE, former.status if former else None, fact)
    state.gates[fact.step] = GateState(
        step=fact.step, kind=kind, requested_at=fact.at, status=status, deadline=deadline, event=event
    )
    state.open_gates.append(fact.step)


def _leave_gate(state: RunState, fact: _Leaves) -> GateState:
    gate = state.gates.get(fact.step)
    status = _check(GATE, gate.status if gate else None, fact)
    assert gate is not None
    gate.status, gate.decided_at = status, fact.at
    state.open_gates.remove(fact.step)
    return gate


def _decide(state: RunState, gate: GateState, fact: facts.ApprovalDecided | facts.PauseResumed, verb: str) -> None:
    gate.actor = fact.actor
    _command(state, verb, fact.step, fact)


def _take_event(state: RunState, fact: facts.EventTaken) -> None:
    place = next((n for n, kept in enumerate(state.events) if kept.event == fact.event), None)
    if place is None:
        raise IllegalFact(f"{fact.step} takes an event {fact.event!r}, and there is none")
    del state.events[place]
    _leave_gate(state, fact)
    _done(state, fact.step, fact.at)
    _add(state, fact.step, fact.output)


# -------------------------------------------------------------------------------------------------- the child runs


def _start_child(state: RunState, fact: facts.ChildStarted) -> None:
    runnable = state.runnables.get(fact.step)
    if runnable is None or runnable.attempt != fact.attempt or runnable.fence != fact.fence or runnable.claim is None:
        raise IllegalFact(f"a child of {fact.step}#{fact.attempt} under fence {fact.fence}")  # I4
    if fact.run_id in state.children:
        raise IllegalFact(f"child {fact.run_id} twice")  # I12
    state.children[fact.run_id] = ChildState(run_id=fact.run_id, step=fact.step, key=fact.key, workflow=fact.workflow)
    state.open_children.append(fact.run_id)


def _end_child(state: RunState, fact: facts.ChildEnded) -> None:
    child = state.children.get(fact.run_id)
    if child is None or child.status is not None:
        raise IllegalFact(f"child {fact.run_id} ends, which is not open")
    child.status = fact.status
    state.open_children.remove(fact.run_id)


_Command = (
    facts.ApprovalDecided
    | facts.PauseResumed
    | facts.EventReceived
    | facts.RunCancelled
    | facts.CompensationRetried
    | facts.CompensationWaived
    | facts.DeadLetterReplayed
    | facts.DeadLetterDiscarded
)


def _check(table: Mapping[tuple[S | None, type[facts.Fact]], S], status: S | None, fact: AnyFact) -> S:
    following = table.get((status, type(fact)))
    if following is None:
        raise IllegalFact(f"{type(fact).__name__} where the status is {status}")
    return following


_USUAL: Mapping[type[facts.Fact], Callable[[RunState, Any], None]] = {
    facts.AttemptScheduled: _schedule,
    facts.AttemptClaimed: _claim,
    facts.AttemptCompleted: _complete,
    facts.RouteTaken: _take_route,
    facts.RunCompleted: _end,
}
"""The facts of every step, found at once: to ask a struct whether it is of another class costs a call."""
