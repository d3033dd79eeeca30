"""Results of attempts: completion, failure, and the retry between them."""

from __future__ import annotations

from squidmesh.clock import micros
from squidmesh.journal.facts import AnyFact, AttemptCompleted, AttemptFailed, AttemptScheduled, RunFailed
from squidmesh.journal.state import RunnableState, RunState
from squidmesh.planning.commands import RecordCompletion, RecordFailure
from squidmesh.planning.continuation import claim_next
from squidmesh.planning.fences import require_current
from squidmesh.planning.readiness import follow
from squidmesh.workflow.definition import Definition, FunctionStep
from squidmesh.workflow.retry import ONCE, RetryPolicy


def complete(definition: Definition, state: RunState, command: RecordCompletion) -> list[AnyFact]:
    """The completion, the route taken and the schedule of what is next: one entry (protocol 3.1)."""
    runnable = require_current(
        state, command.step, attempt=command.attempt, fence=command.fence, claim_hash=command.claim_hash
    )
    completed = AttemptCompleted(
        at=command.now, step=command.step, attempt=command.attempt, fence=command.fence, output=command.output
    )
    following = follow(definition, state, command.step, "ok", output=command.output, now=command.now)
    if command.then is not None:
        following += claim_next(definition, state, runnable, following, command.then, command.now)
    return [completed, *following]


def fail(definition: Definition, state: RunState, command: RecordFailure) -> list[AnyFact]:
    """A further attempt if the policy has one left (I8), else the error route, else the run fails."""
    runnable = require_current(
        state, command.step, attempt=command.attempt, fence=command.fence, claim_hash=command.claim_hash
    )
    retry = _retry_at(_policy(definition, command.step), runnable, command)
    failed = AttemptFailed(
        at=command.now,
        step=command.step,
        attempt=command.attempt,
        fence=command.fence,
        error=command.error,
        final=retry is None,
    )
    if retry is not None:
        again = AttemptScheduled(
            at=command.now,
            step=command.step,
            attempt=command.attempt + 1,
            queue=runnable.queue,
            priority=runnable.priority,
            visible_at=retry,
            cause="retry",
            concurrency_key=runnable.concurrency_key,
            concurrency_limit=runnable.concurrency_limit,
        )
        return [failed, again]
    routed = follow(definition, state, command.step, "error", output={}, now=command.now)
    return [failed, *(routed or [_run_failed(command)])]


def _policy(definition: Definition, step: str) -> RetryPolicy:
    found = definition.step(step)
    return (found.retry if isinstance(found, FunctionStep) else None) or ONCE


def _retry_at(policy: RetryPolicy, runnable: RunnableState, command: RecordFailure) -> int | None:
    if not command.retryable or runnable.attempt >= policy.max_attempts:
        return None
    delay = command.retry_after
    if delay is None:
        delay = policy.delay(runnable.attempt, command.jitter)
    return command.now + micros(delay)


def _run_failed(command: RecordFailure) -> RunFailed:
    return RunFailed(
        at=command.now,
        code="step_failed",
        step=command.step,
        message=f"{command.step} failed on attempt {command.attempt}: {command.error.code}",
    )
