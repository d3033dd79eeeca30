"""Carrying one assignment to its outcome: in this process, in a transaction of the journal's, or in a child process.

Called by slots. What a step does to the mesh meanwhile goes through its context.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from squidmesh.runtime import quarantine
from squidmesh.runtime.children import Child, ChildVerbs, start_child
from squidmesh.runtime.coroutines import AsyncLoop
from squidmesh.runtime.invoke import Assignment, Outcome, invoke
from squidmesh.runtime.process_pool import ProcessPool
from squidmesh.runtime.seeing import seen
from squidmesh.runtime.transactional import carry_out_in_transaction

if TYPE_CHECKING:
    from squidmesh.runtime.engine import Engine


class Carrier:
    """Of one process. Thread-safe."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._loop = AsyncLoop(around=partial(seen, engine))
        self._processes = ProcessPool(engine.observer)

    def __call__(self, assignment: Assignment) -> Outcome:
        """Blocks until the step has ended."""
        if assignment.step.is_async:
            return self._loop.carry(assignment, _Verbs(self._engine, assignment))
        if not self._engine.instruments.any:
            return self._carry(assignment)
        with seen(self._engine, assignment) as call:
            call.outcome = self._carry(assignment)
            return call.outcome

    def _carry(self, assignment: Assignment) -> Outcome:
        if assignment.spec.transaction:
            return carry_out_in_transaction(self._engine, assignment)
        verbs = _Verbs(self._engine, assignment)
        if assignment.step.isolation == "process":
            return self._processes.carry(assignment, assignment.home or "", verbs)
        if assignment.home is not None:
            return quarantine.run(assignment, assignment.home, verbs)
        return invoke(assignment, verbs)

    def begin(self, assignment: Assignment, ended: Callable[[Outcome], None]) -> bool:
        """Whether the step is a coroutine: it has begun then, and ``ended`` is called with its outcome, from the event
        loop's thread.
        """
        if not assignment.step.is_async:
            return False
        self._loop.begin(assignment, _Verbs(self._engine, assignment), ended)
        return True

    def close(self) -> None:
        """Cancels the coroutines that run, and ends the child processes."""
        self._loop.close()
        self._processes.close()


class _Verbs(ChildVerbs):
    """Each is carried out at once."""

    def begin(self, child: Child) -> str:
        return start_child(self._engine, self._assignment, child)
