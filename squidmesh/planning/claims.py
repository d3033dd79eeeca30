"""Claims on attempts: which grants are recorded, whose results count, how a claim is given back (protocol 3.5)."""

from __future__ import annotations

from datetime import timedelta

from squidmesh.clock import duration, micros
from squidmesh.errors import ClaimRefused, RecordedClaim
from squidmesh.journal.facts import (
    AnyFact,
    AttemptCancelled,
    AttemptClaimed,
    AttemptCompleted,
    ClaimReleased,
    StepError,
)
from squidmesh.journal.state import OPEN_ATTEMPT, RunnableState, RunState
from squidmesh.planning import outcome
from squidmesh.planning.commands import RecordClaim, RecordFailure, RecordRelease
from squidmesh.planning.continuation import deadline_of
from squidmesh.planning.dead_letters import given_up
from squidmesh.planning.failure import sibling_ended
from squidmesh.planning.fences import require_current
from squidmesh.planning.readiness import follow
from squidmesh.workflow.definition import Definition, FunctionStep


def record(definition: Definition, state: RunState, command: RecordClaim) -> list[AnyFact]:
    """3.5.2. A claim on a built-in step is its completion too: such an attempt never enters a slot. While the run
    fails, what can not be found out is closed, where it would be a dead letter at other times.
    """
    runnable = state.runnables.get(command.step)
    if runnable is None or runnable.attempt != command.attempt or runnable.status not in OPEN_ATTEMPT or state.ended:
        raise ClaimRefused(f"{command.step}#{command.attempt} is closed", settle=True)
    if (command.generation, command.fence) <= (runnable.generation, runnable.fence):
        raise ClaimRefused(
            f"fence {command.fence} is not above {runnable.fence}",
            current=_recorded(runnable),
            floor=runnable.fence,
        )
    early = runnable.visible_at - command.now
    if early > 0:
        raise ClaimRefused("not visible yet", floor=runnable.fence, delay=timedelta(microseconds=early))  # I7
    spec = definition.step(command.step)
    built_in = not isinstance(spec, FunctionStep)
    if not built_in and (dead := given_up(runnable, command)) is not None:
        if state.phase != "failing":
            return [dead]
        closed = AttemptCancelled(at=command.now, step=command.step, attempt=command.attempt)
        return [closed, *sibling_ended(definition, state, command.step, now=command.now)]
    claimed = AttemptClaimed(
        at=command.now,
        step=command.step,
        attempt=command.attempt,
        generation=command.generation,
        fence=command.fence,
        owner=command.owner,
        claim_hash=command.claim_hash,
        lease=micros(command.lease),
        deadline=deadline_of(spec, command.now),
    )
    if not built_in:
        return [claimed]
    passed = AttemptCompleted(
        at=command.now, step=command.step, attempt=command.attempt, fence=command.fence, output={}
    )
    return [claimed, passed, *follow(definition, state, command.step, "ok", output={}, now=command.now)]


def release(definition: Definition, state: RunState, command: RecordRelease) -> list[AnyFact]:
    """Unspent: neither an attempt nor a delivery is counted. Snoozes are bounded, so that a step can not hide. A run
    that fails has no use for the attempt any more: it is closed.
    """
    runnable = require_current(
        state, command.step, attempt=command.attempt, fence=command.fence, claim_hash=command.claim_hash
    )
    if command.max_snoozes is not None and command.reason == "snooze" and runnable.snoozes >= command.max_snoozes:
        error = StepError(
            code="too_many_snoozes", type="Snooze", message=f"snoozed {runnable.snoozes} times; that is the most"
        )
        return outcome.fail(
            definition,
            state,
            RecordFailure(
                now=command.now,
                step=command.step,
                attempt=command.attempt,
                claim_hash=command.claim_hash,
                fence=command.fence,
                error=error,
                retryable=False,
            ),
        )
    released = ClaimReleased(
        at=command.now,
        step=command.step,
        attempt=command.attempt,
        fence=command.fence,
        visible_at=command.now + micros(command.delay),
        reason=command.reason,
    )
    if state.phase != "failing":
        return [released]
    closed = AttemptCancelled(at=command.now, step=command.step, attempt=command.attempt)
    return [released, closed, *sibling_ended(definition, state, command.step, now=command.now)]


def _recorded(runnable: RunnableState) -> RecordedClaim | None:
    if runnable.claim is None:
        return None
    return RecordedClaim(
        owner=runnable.claim.owner,
        claim_hash=runnable.claim.claim_hash,
        generation=runnable.generation,
        fence=runnable.fence,
        lease=duration(runnable.claim.lease),
    )
