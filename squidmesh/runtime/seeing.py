"""What instruments hear of one step, around its call."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, assert_never

from squidmesh.ports.instrument import StepOutcome, StepSeen
from squidmesh.runtime.invoke import (
    Assignment,
    Completed,
    Died,
    Failed,
    Outcome,
    Recorded,
    Snoozed,
    TimedOut,
    Unstarted,
)

if TYPE_CHECKING:
    from squidmesh.runtime.engine import Engine


@dataclass(slots=True)
class Call:
    """Of a step. ``outcome`` is None where an interrupt has ended it."""

    outcome: Outcome | None = None


@contextmanager
def seen(engine: Engine, assignment: Assignment) -> Iterator[Call]:
    """Around the call, in the thread and the context that the step is called in. Who is in it notes the outcome."""
    call = Call()
    instruments = engine.instruments
    if not instruments.any:
        yield call
        return
    step = _seen(assignment, waited=(engine.store.now() - assignment.visible_at) / 1e6)
    begun, began = instruments.step_begins(step), time.monotonic()
    try:
        yield call
    finally:  # also where it is an interrupt that ends it
        instruments.step_ends(
            step,
            begun,
            outcome="lost" if call.outcome is None else _word(call.outcome),
            error=call.outcome.error if isinstance(call.outcome, Failed) else None,
            seconds=time.monotonic() - began,
        )


def _seen(assignment: Assignment, *, waited: float) -> StepSeen:
    return StepSeen(
        run_id=assignment.run_id,
        workflow=assignment.workflow,
        step=assignment.spec.name,
        attempt=assignment.attempt,
        delivery=assignment.delivery,
        fence=assignment.claim.fence,
        owner=assignment.claim.owner,
        queue=assignment.claim.queue,
        waited=max(0.0, waited),
        traceparent=assignment.traceparent,
    )


def _word(outcome: Outcome) -> StepOutcome:
    match outcome:
        case Completed() | Recorded():
            return "completed"
        case Failed() | TimedOut():
            return "failed"
        case Snoozed():
            return "snoozed"
        case Unstarted():
            return "unstarted"
        case Died():
            return "lost"
        case _:
            assert_never(outcome)
