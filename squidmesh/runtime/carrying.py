"""Carrying one assignment to its outcome: in this process, in a transaction of the journal's, or in a child process.

Called by slots, in whatever thread they have. What a step does to the mesh meanwhile goes through its context.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, assert_never

from squidmesh.ports.instrument import StepOutcome, StepSeen
from squidmesh.runtime import quarantine
from squidmesh.runtime.children import Child, ChildVerbs, start_child
from squidmesh.runtime.invoke import Assignment, Completed, Died, Failed, Outcome, Recorded, Snoozed, Unstarted, invoke
from squidmesh.runtime.transactional import carry_out_in_transaction

if TYPE_CHECKING:
    from squidmesh.runtime.engine import Engine


class Carrier:
    """Of one process. Thread-safe. ``run_coroutine`` blocks until an ``async def`` step has ended."""

    def __init__(self, engine: Engine, run_coroutine: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
        self._engine = engine
        self._run_coroutine = run_coroutine

    def __call__(self, assignment: Assignment) -> Outcome:
        if not self._engine.instruments.any:
            return self._carry(assignment)
        return self._carry_seen(assignment)

    def _carry_seen(self, assignment: Assignment) -> Outcome:
        instruments = self._engine.instruments
        seen = _seen(assignment, waited=(self._engine.store.now() - assignment.visible_at) / 1e6)
        begun, began = instruments.step_begins(seen), time.monotonic()
        outcome: Outcome | None = None
        try:
            outcome = self._carry(assignment)
        finally:  # also where it is an interrupt that ends it
            instruments.step_ends(
                seen,
                begun,
                outcome="lost" if outcome is None else _word(outcome),
                error=outcome.error if isinstance(outcome, Failed) else None,
                seconds=time.monotonic() - began,
            )
        return outcome

    def _carry(self, assignment: Assignment) -> Outcome:
        if assignment.spec.transaction:
            return carry_out_in_transaction(self._engine, assignment)
        verbs = _Verbs(self._engine, assignment)
        if assignment.home is not None:
            return quarantine.run(assignment, assignment.home, self._run_coroutine, verbs)
        return invoke(assignment, self._run_coroutine, verbs)


class _Verbs(ChildVerbs):
    """Each is carried out at once."""

    def begin(self, child: Child) -> str:
        return start_child(self._engine, self._assignment, child)


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
        case Failed():
            return "failed"
        case Snoozed():
            return "snoozed"
        case Unstarted():
            return "unstarted"
        case Died():
            return "lost"
        case _:
            assert_never(outcome)
