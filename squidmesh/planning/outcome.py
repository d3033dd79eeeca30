"""Results of attempts: completion, failure, a passed deadline, and the retry in between."""

from __future__ import annotations

from datetime import timedelta

from squidmesh.clock import micros
from squidmesh.journal.facts import (
    AnyFact,
    AttemptCompleted,
    AttemptFailed,
    AttemptScheduled,
    AttemptTimedOut,
    StepError,
)
from squidmesh.journal.state import RunnableState, RunState
from squidmesh.planning.commands import PassStepDeadline, RecordCompletion, RecordFailure
from squidmesh.planning.continuation import claim_next
from squidmesh.planning.failure import fails, next_undo, sibling_ended
from squidmesh.planning.fences import require_current
from squidmesh.planning.readiness import follow
from squidmesh.workflow.definition import Definition, FunctionStep
from squidmesh.workflow.retry import ONCE, RetryPolicy


def complete(definition: Definition, state: RunState, command: RecordCompletion) -> list[AnyFact]:
    """The completion, what follows from it and the schedule of what is next: one entry (protocol 3.1)."""
    runnable = require_current(
        state, command.step, attempt=command.attempt, fence=command.fence, claim_hash=command.claim_hash
    )
    completed = AttemptCompleted(
        at=command.now, step=command.step, attempt=command.attempt, fence=command.fence, output=command.output
    )
    following = completed_so(definition, state, completed)
    if command.then is not None and state.phase != "failing":
        following += claim_next(definition, state, runnable, following, command.then, command.now)
    return [completed, *following]


def completed_so(definition: Definition, state: RunState, completed: AttemptCompleted) -> list[AnyFact]:
    """What follows from an attempt's completion: the next step, the next compensation, or the end of a failing run."""
    step, now = completed.step, completed.at
    if state.phase == "compensating":
        return next_undo(definition, state, now=now)
    if state.phase == "failing":
        return sibling_ended(definition, state, step, now=now, completed=True)
    return follow(definition, state, step, "ok", output=completed.output, now=now)


def fail(definition: Definition, state: RunState, command: RecordFailure) -> list[AnyFact]:
    """A further attempt if the policy has one left (I8), else the error route, else the run fails."""
    runnable = require_current(
        state, command.step, attempt=command.attempt, fence=command.fence, claim_hash=command.claim_hash
    )
    retry = None
    if command.retryable:
        retry = _retry_at(definition, state, runnable, command.now, command.jitter, command.retry_after)
    failed = AttemptFailed(
        at=command.now,
        step=command.step,
        attempt=command.attempt,
        fence=command.fence,
        error=command.error,
        final=retry is None,
    )
    return [failed, *failed_so(definition, state, runnable, command.error, retry, command.now)]


def time_out(definition: Definition, state: RunState, command: PassStepDeadline) -> list[AnyFact]:
    """The deadline of the claim that is recorded now. Nothing, where there is none, or it has not passed."""
    runnable = state.runnables.get(command.step)
    claim = runnable.claim if runnable is not None else None
    if runnable is None or claim is None or claim.deadline is None or claim.deadline > command.now:
        return []
    spec = definition.step(command.step)
    allowed = spec.timeout if isinstance(spec, FunctionStep) and spec.timeout is not None else timedelta(0)
    error = StepError(code="timed_out", type="Timeout", message=f"it had not ended after {allowed.total_seconds():g} s")
    retry = _retry_at(definition, state, runnable, command.now, command.jitter, None)
    passed = AttemptTimedOut(
        at=command.now,
        step=command.step,
        attempt=runnable.attempt,
        fence=runnable.fence,
        error=error,
        final=retry is None,
    )
    return [passed, *failed_so(definition, state, runnable, error, retry, command.now)]


def failed_so(
    definition: Definition, state: RunState, runnable: RunnableState, error: StepError, retry: int | None, now: int
) -> list[AnyFact]:
    """What follows from an attempt's failure. ``retry``: when the next attempt becomes visible; None after the last.
    A compensation without one waits for an operator.
    """
    step = runnable.step
    if retry is not None:
        return [
            AttemptScheduled(
                at=now,
                step=step,
                attempt=runnable.attempt + 1,
                queue=runnable.queue,
                priority=runnable.priority,
                visible_at=retry,
                cause="retry",
                concurrency_key=runnable.concurrency_key,
                concurrency_limit=runnable.concurrency_limit,
            )
        ]
    if state.phase == "compensating":
        return []
    if state.phase == "failing":
        return sibling_ended(definition, state, step, now=now)
    routed = follow(definition, state, step, "error", output={}, now=now)
    message = f"{step} failed on attempt {runnable.attempt}: {error.code}"
    closed = frozenset((step,))
    return routed or fails(definition, state, now=now, code="step_failed", step=step, message=message, closed=closed)


def _policy(definition: Definition, step: str) -> RetryPolicy:
    found = definition.step(step)
    return (found.retry if isinstance(found, FunctionStep) else None) or ONCE


def _retry_at(
    definition: Definition,
    state: RunState,
    runnable: RunnableState,
    now: int,
    jitter: float,
    after: timedelta | None,
) -> int | None:
    policy = _policy(definition, runnable.step)
    spent = runnable.attempt - runnable.forgiven
    if state.phase == "failing" or spent >= policy.max_attempts:
        return None
    return now + micros(policy.delay(spent, jitter) if after is None else after)
