"""The rows that follow from a run's state, and the changes to them that follow from facts (protocol 3.3).

An entry's changes name only the attempts that its facts touch, never the whole set, so they do not grow with the run.
:func:`rebuild` is the whole set, for ``reindex`` and for the test that compares (I13).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeGuard, get_args

from squidmesh.clock import Instant
from squidmesh.ids import AttemptKey, RunId, attempt_key, is_random
from squidmesh.journal.facts import (
    AnyFact,
    AttemptCancelled,
    AttemptClaimed,
    AttemptCompleted,
    AttemptDeadLettered,
    AttemptFailed,
    AttemptScheduled,
    AttemptTimedOut,
    ClaimReleased,
    DeadLetterDiscarded,
    DeadLetterReplayed,
    DeliveryLost,
)
from squidmesh.journal.rows import AttemptRow, DeadLetterRow, RowChanges, RunRow, Tombstone
from squidmesh.journal.state import OPEN_ATTEMPT, RunnableState, RunState
from squidmesh.planning.timers import timer_changes, timers_of

ROUNDED_TO = 10_000_000
"""Microseconds: how exactly a row says when its run was last active."""

_Closes = AttemptCompleted | AttemptFailed | AttemptTimedOut | AttemptCancelled | AttemptDeadLettered
_Touches = AttemptScheduled | AttemptClaimed | ClaimReleased | DeliveryLost | DeadLetterReplayed
_Buries = AttemptDeadLettered | DeadLetterReplayed | DeadLetterDiscarded | AttemptCancelled
_CLOSES, _TOUCHES, _BURIES = (frozenset(get_args(kinds)) for kinds in (_Closes, _Touches, _Buries))


def run_row(state: RunState) -> RunRow:
    """The run row as of the state's last entry."""
    status = state.status(Instant(state.updated_at))
    return RunRow(
        run_id=RunId(state.run_id),
        workflow=state.workflow,
        version=state.version,
        trigger=state.trigger,
        key=state.key,
        queue=state.queue,
        status=status,
        step=state.standing_at(),
        error=state.failure_code,
        started_at=state.started_at,
        due_at=state.due_at() if status in ("waiting", "retrying") else None,
        ended_at=state.ended_at,
        parent=None if state.parent is None else RunId(state.parent.run_id),
        active_at=active_at(state),
    )


def active_at(state: RunState) -> int:
    """About when the newest entry was written: rounded down, so that the entries of a short run leave it alone, and a
    long one changes it every ten seconds at most. A start and an end are told exactly: they write the row anyway.
    """
    newest = state.updated_at - state.updated_at % ROUNDED_TO
    return max(newest, state.started_at, state.ended_at or 0)


def changes(before: RunRow | None, facts: Sequence[AnyFact], after: RunState) -> RowChanges:
    """``before``: the run row as it stands; ``after``: the state that includes ``facts``."""
    row = run_row(after)
    opened: dict[str, None] = {}
    closed: list[AttemptKey] = []
    buried: dict[tuple[str, int], None] = {}
    for fact in facts:
        if _closes(fact):
            closed.append(attempt_key(after.run_id, fact.step, fact.attempt))
        elif _touches(fact):
            opened[fact.step] = None
        if _buries(fact) and (not isinstance(fact, AttemptCancelled) or _was_dead(fact, after)):
            buried[fact.step, fact.attempt] = None
    touched = [after.runnables[step] for step in opened]
    set_timers, drop_timers = timer_changes(facts, after)
    return RowChanges(
        run=row if row != before else None,
        put=tuple([attempt_row(after, runnable) for runnable in touched if runnable.status in OPEN_ATTEMPT]),
        remove=tuple(closed),
        bury=tuple([dead_letter_row(after, after.runnables[step]) for step, _ in buried if step in after.dead_steps]),
        unbury=tuple([attempt_key(after.run_id, *key) for key in buried if key[0] not in after.dead_steps]),
        set_timers=set_timers,
        drop_timers=drop_timers,
    )


def _closes(fact: AnyFact) -> TypeGuard[_Closes]:
    return type(fact) in _CLOSES


def _touches(fact: AnyFact) -> TypeGuard[_Touches]:
    return type(fact) in _TOUCHES


def _buries(fact: AnyFact) -> TypeGuard[_Buries]:
    return type(fact) in _BURIES


def rebuild(state: RunState) -> RowChanges:
    """Every row of the run, as if there were none."""
    return RowChanges(
        run=run_row(state),
        put=tuple(attempt_row(state, runnable) for runnable in state.open_attempts()),
        bury=tuple(dead_letter_row(state, runnable) for runnable in state.dead_letters()),
        set_timers=tuple(timers_of(state)),
    )


def tombstone(state: RunState) -> Tombstone | None:
    """What stays where this run is pruned: nothing of one whose id was drawn, since nobody can start that again."""
    assert state.ended_at is not None
    if is_random(state.run_id):
        return None
    return Tombstone(
        run_id=RunId(state.run_id),
        workflow=state.workflow,
        status=state.phase,
        ended_at=state.ended_at,
        revision=state.revision,
    )


def _was_dead(fact: AttemptCancelled, after: RunState) -> bool:
    return after.runnables[fact.step].death is not None


def dead_letter_row(state: RunState, runnable: RunnableState) -> DeadLetterRow:
    death = runnable.death
    assert death is not None
    return DeadLetterRow(
        item=attempt_key(state.run_id, runnable.step, runnable.attempt),
        run_id=RunId(state.run_id),
        workflow=state.workflow,
        step=runnable.step,
        attempt=runnable.attempt,
        queue=runnable.queue,
        generation=runnable.generation,
        fence=runnable.fence,
        cause=death.cause,
        lost=runnable.lost,
        lapsed=death.lapsed,
        detail=death.detail,
        owner=death.owner,
        died_at=death.at,
    )


def attempt_row(state: RunState, runnable: RunnableState) -> AttemptRow:
    claim = runnable.claim
    return AttemptRow(
        item=attempt_key(state.run_id, runnable.step, runnable.attempt),
        run_id=RunId(state.run_id),
        step=runnable.step,
        attempt=runnable.attempt,
        queue=runnable.queue,
        priority=runnable.priority,
        visible_at=runnable.visible_at,
        generation=runnable.generation,
        fence=runnable.fence,
        owner=claim.owner if claim else None,
        claim_hash=claim.claim_hash if claim else None,
        lease=claim.lease if claim else None,
        concurrency_key=runnable.concurrency_key,
        concurrency_limit=runnable.concurrency_limit,
    )
