"""Continuation: the entry that completes A also schedules B *and* claims it, for the same worker (protocol 5).

A linear workflow then costs one entry a step, and nobody waits for a delivery. The fence is minted here, last + 1: the
core is the one place that knows the last recorded one.
"""

from __future__ import annotations

from collections.abc import Iterable

from squidmesh.clock import micros
from squidmesh.journal.facts import AnyFact, AttemptClaimed, AttemptScheduled
from squidmesh.journal.state import RunnableState, RunState
from squidmesh.planning.commands import NextClaim
from squidmesh.workflow.definition import AnyStepSpec, Definition, FunctionStep


def claim_next(
    definition: Definition, state: RunState, ended: RunnableState, facts: Iterable[AnyFact], wish: NextClaim, now: int
) -> list[AnyFact]:
    """The claim on what ``facts`` schedule, if that is one step that the worker has, visible at once, and no further
    back in line than the step that ``ended``: on its queue, at its priority, and where it shares a concurrency key, in
    the place that the ended one leaves.
    """
    scheduled = [fact for fact in facts if isinstance(fact, AttemptScheduled)]
    if len(scheduled) != 1:
        return []
    (following,) = scheduled
    spec = definition.step(following.step)
    if (
        following.visible_at > now
        or following.queue != ended.queue
        or following.priority != ended.priority
        or not _has_place(following, ended)
        or following.step not in wish.steps
        or not isinstance(spec, FunctionStep)
    ):
        return []
    former = state.runnables.get(following.step)
    claimed = AttemptClaimed(
        at=now,
        step=following.step,
        attempt=following.attempt,
        generation=former.generation if former else 0,
        fence=(former.fence if former else 0) + 1,
        owner=wish.owner,
        claim_hash=wish.claim_hash,
        lease=micros(wish.lease),
        deadline=deadline_of(spec, now),
    )
    return [claimed]


def deadline_of(step: AnyStepSpec, now: int) -> int | None:
    """When a claim's work fails that is recorded now, if it has not ended by then."""
    if isinstance(step, FunctionStep) and step.timeout is not None:
        return now + micros(step.timeout)
    return None


def _has_place(following: AttemptScheduled, ended: RunnableState) -> bool:
    """Nobody has counted for any other key; nor for this one, whether a smaller limit is kept."""
    if following.concurrency_key is None or following.concurrency_limit is None:
        return True
    if following.concurrency_key != ended.concurrency_key or ended.concurrency_limit is None:
        return False
    return following.concurrency_limit >= ended.concurrency_limit
