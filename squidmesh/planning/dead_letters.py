"""Dead letters: when an attempt is given up, and what operators may do about it (protocol 3.5.5, I8, I16)."""

from __future__ import annotations

from typing import Literal

from squidmesh.clock import micros
from squidmesh.errors import NotFound, NotWaiting
from squidmesh.journal.facts import (
    AnyFact,
    AttemptDeadLettered,
    DeadLetterDiscarded,
    DeadLetterReplayed,
    DeliveryLost,
    StepError,
)
from squidmesh.journal.state import RunnableState, RunState
from squidmesh.planning.commands import DiscardDeadLetter, RecordClaim, RecordLoss, ReplayDeadLetter
from squidmesh.planning.fences import require_current
from squidmesh.planning.outcome import failed_so
from squidmesh.planning.repeating import repeated
from squidmesh.workflow.definition import Definition

LAPSES_A_DELIVERY = 3
"""So many grants that were lost before anybody recorded them count as much as one recorded delivery: a backend can not
write the journal, and a network that is down for a while loses such grants too.
"""


def given_up(runnable: RunnableState, command: RecordClaim) -> AttemptDeadLettered | None:
    """The dead letter that takes the place of this claim, if the attempt has been delivered often enough. The claim
    that is superseded by it is one of the lost deliveries.
    """
    lost = runnable.lost + (runnable.status == "claimed")
    cause: Literal["lost_deliveries", "lost_before_recording"]
    if lost >= command.max_deliveries:
        cause = "lost_deliveries"
    elif command.lapsed >= LAPSES_A_DELIVERY * command.max_deliveries:
        cause = "lost_before_recording"
    else:
        return None
    return AttemptDeadLettered(
        at=command.now,
        step=command.step,
        attempt=command.attempt,
        generation=command.generation,
        fence=command.fence,
        lost=lost,
        lapsed=command.lapsed,
        cause=cause,
        detail=runnable.loss,
        owner=runnable.last_owner,
    )


def lose(state: RunState, command: RecordLoss) -> list[AnyFact]:
    """The child died: counted as a lost delivery, without waiting for a lease to end."""
    require_current(state, command.step, attempt=command.attempt, fence=command.fence, claim_hash=command.claim_hash)
    visible_at = command.now + micros(command.delay)
    return [
        DeliveryLost(
            at=command.now,
            step=command.step,
            attempt=command.attempt,
            fence=command.fence,
            visible_at=visible_at,
            cause=command.cause,
        )
    ]


def replay(state: RunState, command: ReplayDeadLetter) -> list[AnyFact]:
    """The same attempt goes back to work, with its deliveries counted anew."""
    again = repeated(state, command.key, "replay_dead_letter", command.step, now=command.now)
    if again is not None:
        return again
    runnable = _dead(state, command)
    return [
        DeadLetterReplayed(
            at=command.now,
            step=command.step,
            attempt=command.attempt,
            generation=runnable.generation + 1,
            visible_at=command.now,
            actor=command.actor,
            comment=command.comment,
            key=command.key,
        )
    ]


def discard(definition: Definition, state: RunState, command: DiscardDeadLetter) -> list[AnyFact]:
    """The attempt fails for good: no retry, its error route if it has one, or the run fails. A compensation that is
    discarded waits to be retried or waived.
    """
    again = repeated(state, command.key, "discard_dead_letter", command.step, now=command.now)
    if again is not None:
        return again
    runnable = _dead(state, command)
    error = StepError(
        code="dead_letter_discarded", type="DeadLetter", message=f"given up after {runnable.lost} lost deliveries"
    )
    discarded = DeadLetterDiscarded(
        at=command.now,
        step=command.step,
        attempt=command.attempt,
        error=error,
        actor=command.actor,
        reason=command.reason,
        key=command.key,
    )
    return [discarded, *failed_so(definition, state, runnable, error, None, command.now)]


def _dead(state: RunState, command: ReplayDeadLetter | DiscardDeadLetter) -> RunnableState:
    runnable = state.runnables.get(command.step)
    if runnable is None or runnable.attempt < command.attempt:
        raise NotFound(f"run {state.run_id} has no attempt {command.step}#{command.attempt}", field="items")
    if runnable.attempt != command.attempt or runnable.status != "dead":
        status = runnable.status if runnable.attempt == command.attempt else "failed"
        raise NotWaiting(f"{command.step}#{command.attempt} is no dead letter; it is {status}", field="items")
    return runnable
