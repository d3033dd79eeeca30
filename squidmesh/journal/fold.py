"""``evolve(state, fact)``: how one fact changes the state (protocol 3.2). Needs no definition, makes no choice.

Fields that a fact repeats are taken from the fact; what it breaks is an :class:`IllegalFact`. The state is changed in
place and belongs to its caller.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar, assert_never

from squidmesh.journal import facts
from squidmesh.journal.facts import AnyFact
from squidmesh.journal.state import (
    ClaimState,
    Death,
    GateState,
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
    match fact:
        case facts.AttemptScheduled():
            _schedule(state, fact)
        case facts.AttemptClaimed():
            _claim(state, fact)
        case facts.ClaimReleased():
            runnable = _step_attempt(state, fact)
            runnable.claim = None
            runnable.visible_at = fact.visible_at
            runnable.snoozes += fact.reason == "snooze"
        case facts.AttemptCompleted():
            _close(state, fact)
            state.outputs.update(fact.output)
        case facts.AttemptFailed():
            _close(state, fact).error = fact.error
        case facts.DeliveryLost():
            runnable = _step_attempt(state, fact)
            runnable.claim = None
            runnable.visible_at = fact.visible_at
            runnable.lost += 1
            runnable.loss = fact.cause
        case facts.AttemptDeadLettered():
            _dead_letter(state, fact)
        case facts.DeadLetterReplayed():
            _replay(state, fact)
        case facts.DeadLetterDiscarded():
            _leave_dead(state, fact).error = fact.error
        case facts.RouteTaken():
            state.routes.append(
                RouteState(source=fact.source, on=fact.on, target=fact.target, edge=fact.edge, recovery=fact.recovery)
            )
        case facts.ApprovalRequested():
            _check(GATE, None if fact.step not in state.gates else "decided", fact)
            state.gates[fact.step] = GateState(step=fact.step, requested_at=fact.at)
            state.open_gates.append(fact.step)
        case facts.ApprovalDecided():
            _decide(state, fact)
        case facts.RunCompleted():
            state.ended_at = fact.at
        case facts.RunFailed():
            state.ended_at = fact.at
            state.failure_code, state.failure_step, state.failure_message = fact.code, fact.step, fact.message
        case facts.RunStarted():
            raise IllegalFact("RunStarted twice")
        case _:
            assert_never(fact)
    state.phase = phase
    state.updated_at = fact.at
    return state


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
    )


def _schedule(state: RunState, fact: facts.AttemptScheduled) -> None:
    former = state.runnables.get(fact.step)
    if former is not None and (former.status != "failed" or fact.attempt != former.attempt + 1):  # I5
        raise IllegalFact(f"attempt {fact.attempt} of {fact.step} after attempt {former.attempt} ({former.status})")
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
    )
    state.open_steps.append(fact.step)


def _claim(state: RunState, fact: facts.AttemptClaimed) -> None:
    runnable = state.runnables.get(fact.step)
    if runnable is None or runnable.attempt != fact.attempt:
        raise IllegalFact(f"{type(fact).__name__} for {fact.step}#{fact.attempt}, which is not there")
    if (fact.generation, fact.fence) <= (runnable.generation, runnable.fence):
        raise IllegalFact(f"fence {fact.fence} of {fact.step} after fence {runnable.fence}")  # I3
    status = _check(ATTEMPT, runnable.status, fact)
    runnable.lost += runnable.status == "claimed"
    runnable.status = status
    runnable.generation, runnable.fence = fact.generation, fact.fence
    runnable.claim = ClaimState(owner=fact.owner, claim_hash=fact.claim_hash, lease=fact.lease, at=fact.at)
    runnable.last_owner = fact.owner


def _dead_letter(state: RunState, fact: facts.AttemptDeadLettered) -> None:
    runnable = state.runnables.get(fact.step)
    if runnable is None or runnable.attempt != fact.attempt:
        raise IllegalFact(f"{type(fact).__name__} for {fact.step}#{fact.attempt}, which is not there")
    if (fact.generation, fact.fence) <= (runnable.generation, runnable.fence):
        raise IllegalFact(f"fence {fact.fence} of {fact.step} after fence {runnable.fence}")  # I3
    runnable.status = _check(ATTEMPT, runnable.status, fact)
    runnable.generation, runnable.fence = fact.generation, fact.fence
    runnable.claim = None
    runnable.lost = fact.lost
    runnable.death = Death(at=fact.at, cause=fact.cause, lapsed=fact.lapsed, detail=fact.detail, owner=fact.owner)
    state.open_steps.remove(fact.step)
    state.dead_steps.append(fact.step)


def _replay(state: RunState, fact: facts.DeadLetterReplayed) -> None:
    runnable = _leave_dead(state, fact)
    if fact.generation != runnable.generation + 1:
        raise IllegalFact(f"generation {fact.generation} of {fact.step} after generation {runnable.generation}")
    runnable.generation = fact.generation
    runnable.visible_at = fact.visible_at
    runnable.lost = 0
    runnable.loss = None
    state.open_steps.append(fact.step)


def _leave_dead(state: RunState, fact: facts.DeadLetterReplayed | facts.DeadLetterDiscarded) -> RunnableState:
    runnable = state.runnables.get(fact.step)
    if runnable is None or runnable.attempt != fact.attempt:
        raise IllegalFact(f"{type(fact).__name__} for {fact.step}#{fact.attempt}, which is not there")
    runnable.status = _check(ATTEMPT, runnable.status, fact)
    runnable.death = None
    state.dead_steps.remove(fact.step)
    if fact.key is not None:
        deed = "replayed" if isinstance(fact, facts.DeadLetterReplayed) else "discarded"
        state.keys[fact.key] = f"{deed} {fact.step}"
    return runnable


def _step_attempt(
    state: RunState, fact: facts.ClaimReleased | facts.AttemptCompleted | facts.AttemptFailed | facts.DeliveryLost
) -> RunnableState:
    runnable = state.runnables.get(fact.step)
    if runnable is None or runnable.attempt != fact.attempt or runnable.fence != fact.fence:
        raise IllegalFact(f"{type(fact).__name__} for {fact.step}#{fact.attempt} under fence {fact.fence}")  # I4
    runnable.status = _check(ATTEMPT, runnable.status, fact)
    return runnable


def _close(state: RunState, fact: facts.AttemptCompleted | facts.AttemptFailed) -> RunnableState:
    runnable = _step_attempt(state, fact)
    runnable.claim = None
    state.open_steps.remove(fact.step)
    return runnable


def _decide(state: RunState, fact: facts.ApprovalDecided) -> None:
    gate = state.gates.get(fact.step)
    _check(GATE, None if gate is None else "decided" if gate.decision else "open", fact)
    assert gate is not None
    gate.decision, gate.actor, gate.decided_at = fact.decision, fact.actor, fact.at
    state.open_gates.remove(fact.step)
    state.outputs.update(fact.output)
    if fact.key is not None:
        state.keys[fact.key] = f"{fact.decision} {fact.step}"


def _check(table: Mapping[tuple[S | None, type[facts.Fact]], S], status: S | None, fact: AnyFact) -> S:
    following = table.get((status, type(fact)))
    if following is None:
        raise IllegalFact(f"{type(fact).__name__} where the status is {status}")
    return following
