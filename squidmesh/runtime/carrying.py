"""Carrying one assignment to its outcome: in this process, in a transaction of the journal's, or in a child process.

Called by slots, in whatever thread they have. What a step does to the mesh meanwhile goes through its context.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from squidmesh.runtime import quarantine
from squidmesh.runtime.children import child_of, start_child
from squidmesh.runtime.context import Payload, StepVerbs, Target
from squidmesh.runtime.invoke import Assignment, Outcome, invoke
from squidmesh.runtime.transactional import carry_out_in_transaction

if TYPE_CHECKING:
    from squidmesh.runtime.engine import Engine


class Carrier:
    """Of one process. Thread-safe. ``run_coroutine`` blocks until an ``async def`` step has ended."""

    def __init__(self, engine: Engine, run_coroutine: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
        self._engine = engine
        self._run_coroutine = run_coroutine

    def __call__(self, assignment: Assignment) -> Outcome:
        if assignment.spec.transaction:
            return carry_out_in_transaction(self._engine, assignment)
        verbs = Verbs(self._engine, assignment)
        if assignment.home is not None:
            return quarantine.run(assignment, assignment.home, self._run_coroutine, verbs)
        return invoke(assignment, self._run_coroutine, verbs)


class Verbs(StepVerbs):
    """Of one step: each is carried out at once."""

    def __init__(self, engine: Engine, assignment: Assignment) -> None:
        self._engine = engine
        self._assignment = assignment

    def start_child_run(
        self,
        target: Target,
        payload: Payload,
        *,
        key: str,
        trigger: str | None,
        queue: str | None,
        priority: int | None,
        delay: timedelta | float | None,
        metadata: Mapping[str, Any] | None,
    ) -> str:
        child = child_of(
            self._engine,
            self._assignment,
            target,
            payload,
            key=key,
            trigger=trigger,
            queue=queue,
            priority=priority,
            delay=delay,
            metadata=metadata,
        )
        return start_child(self._engine, self._assignment, child)
