"""Carrying one assignment to its outcome: in this process, in a transaction of the journal's, or in a child process.

Called by slots, in whatever thread they have. What a step does to the mesh meanwhile goes through its context.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from squidmesh.runtime import quarantine
from squidmesh.runtime.children import Child, ChildVerbs, start_child
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
        verbs = _Verbs(self._engine, assignment)
        if assignment.home is not None:
            return quarantine.run(assignment, assignment.home, self._run_coroutine, verbs)
        return invoke(assignment, self._run_coroutine, verbs)


class _Verbs(ChildVerbs):
    """Each is carried out at once."""

    def begin(self, child: Child) -> str:
        return start_child(self._engine, self._assignment, child)
